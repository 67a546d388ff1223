"""EvolveGCN, A3TGCN and DCRNNForecaster: the oracles, windows, batches, states, errors."""

import copy

import pytest
import torch
from torch_geometric.data import Batch, Data

from seqgnn.nn import A3TGCN, DCRNN, GCLSTM, GCRN, ChebConv, DCRNNForecaster, EvolveGCN, GCNConv, scheduled_sampling
from tests.support import graph_oracles as og
from tests.support.layer_cases import per_gate
from tests.support.oracles import close, gradient, leaf, tricky_graph, tricky_graphs

T, F, H = 4, 3, 4
EDGES, WEIGHTS, N = tricky_graph()
GRAPHS, _ = tricky_graphs(T)
STATIC, CHANGING = (EDGES, WEIGHTS), ([e for e, _ in GRAPHS], [w for _, w in GRAPHS])


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def evolve(variant, **options):
    torch.manual_seed(0)
    return EvolveGCN(F, H, variant=variant, dtype=torch.float64, **options)


def last_weight(layer, state):
    return state[-1][0] if layer.variant == "O" else state[-1]


def leaves(tensors):
    return [leaf(tensor) for tensor in tensors]


def same_gradients(layer, inputs, ours, parameters, others, theirs):
    """Of one random weighting of what both return, with respect to inputs, edge weights, states and parameters."""
    weighting = signal(*theirs.shape, seed=5)
    (ours * weighting).sum().backward()
    (theirs * weighting).sum().backward()
    for a, b in zip(inputs, others, strict=True):
        close(gradient(a), gradient(b))
    for name, value in layer.named_parameters():
        close(gradient(value), gradient(parameters[name]))


@pytest.mark.parametrize("variant", ["O", "H"])
@pytest.mark.parametrize("changing", [False, True])
def test_evolve_gcn_equals_oracle(variant, changing):
    layer, edges = evolve(variant), CHANGING[0] if changing else [EDGES]
    inputs = leaves([signal(T, N, F), *(CHANGING[1] if changing else [WEIGHTS])])
    p, others = {name: leaf(value) for name, value in layer.named_parameters()}, leaves(inputs)
    (x, *weights), (y, *theirs) = inputs, others
    given = (edges, weights) if changing else (EDGES, weights[0])
    graph = list(zip(edges, theirs)) if changing else (EDGES, theirs[0])
    names = {name.removesuffix("_l0"): value for name, value in p.items()}
    names["weight_0"] = names.pop("weight")
    if variant == "H":
        names["p"] = names.pop("score")
    wanted, evolved = og.evolve_gcn(names, y, graph, variant)
    output, state = layer(x, *given)
    close(output, wanted)
    close(last_weight(layer, state), evolved[-1])
    same_gradients(layer, inputs, output, p, others, wanted)


@pytest.mark.parametrize("variant", ["O", "H"])
def test_evolve_gcn_windows_batches_and_parts_are_equal(variant):
    layer, x = evolve(variant, num_layers=2), signal(T, 2, N, F)
    together, state = layer(x, EDGES, WEIGHTS)
    apart = [layer(x[:, b], EDGES, WEIGHTS) for b in range(2)]
    close(together, torch.stack([output for output, _ in apart], 1))
    batch = Batch.from_data_list([Data(edge_index=EDGES, edge_weight=WEIGHTS, num_nodes=N)] * 2)
    disjoint, of_graphs = layer(x.flatten(1, 2), batch.edge_index, batch.edge_weight, batch=batch.batch)
    close(disjoint, together.flatten(1, 2))
    close(last_weight(layer, of_graphs), last_weight(layer, state))
    first, between = layer(x[:1], EDGES, WEIGHTS)
    rest, end = layer(x[1:], EDGES, WEIGHTS, between)
    close(torch.cat([first, rest]), together)
    close(last_weight(layer, end), last_weight(layer, state))
    ragged, ended = layer(x, EDGES, WEIGHTS, lengths=torch.tensor([2, 4]))
    short, early = layer(x[:2, 0], EDGES, WEIGHTS)
    close(ragged[:2, 0], short)
    assert not ragged[2:, 0].any()
    if variant == "H":
        close(last_weight(layer, ended)[0], last_weight(layer, early))
        close(last_weight(layer, ended)[1], last_weight(layer, state)[1])
    first = evolve(variant, num_layers=2, batch_first=True)
    close(first(x.transpose(0, 1), EDGES, WEIGHTS)[0].transpose(0, 1), together)


def test_evolve_gcn_ended_graphs_preserve_their_weights():
    layer, x = evolve("H"), signal(T, 2, N, F)
    batch = Batch.from_data_list([Data(edge_index=EDGES, edge_weight=WEIGHTS, num_nodes=N)] * 2)
    graph = {"edge_index": batch.edge_index, "edge_weight": batch.edge_weight, "batch": batch.batch}
    lengths = torch.tensor([2, 4])
    windows, (expected,) = layer(x, *STATIC, lengths=lengths)
    output, (weight,) = layer(x.flatten(1, 2), **graph, lengths=lengths.repeat_interleave(N))
    close(output, windows.flatten(1, 2))
    close(weight, expected)
    alone, (last,) = layer(x[:, 0], *STATIC, lengths=torch.full((N,), 2))
    close(alone, windows[:, 0])
    close(last, expected[0])


def test_evolve_gcn_prepared_batch_with_state_equals_whole():
    layer, x = evolve("H"), signal(T, 2, N, F).flatten(1, 2)
    batch = Batch.from_data_list([Data(edge_index=EDGES, edge_weight=WEIGHTS, num_nodes=N)] * 2)
    prepared = layer.prepare(batch.edge_index, batch.edge_weight, batch=batch.batch)
    whole, (weight,) = layer(x, prepared)
    first, state = layer(x[:2], prepared)
    rest, (last,) = layer(x[2:], prepared, state=state)
    close(torch.cat([first, rest]), whole)
    close(last, weight)
    with pytest.raises(ValueError, match=r"x of shape \[T, N, F\] with batch, got windows"):
        layer(x[:, None], prepared)


def test_evolve_gcn_ended_nodes_are_not_selected():
    layer, x = evolve("H"), signal(T, N, F)
    lengths = torch.tensor([4, 1, 4, 4, 2, 4, 4])
    spoilt = torch.where((torch.arange(T)[:, None] < lengths)[..., None], x, torch.nan)
    output, (weight,) = layer(spoilt, *STATIC, lengths=lengths)
    assert output.isfinite().all() and weight.isfinite().all() and not output[2:, 1].any()
    with pytest.raises(ValueError, match="expected graphs of at least 4 nodes, one per column of W, got 3"):
        layer(x, *STATIC, lengths=torch.tensor([4, 1, 1, 4, 1, 4, 1]))


@pytest.mark.parametrize("variant", ["O", "H"])
def test_evolve_gcn_repeated_and_permuted_calls_are_equal(variant):
    layer, x = evolve(variant), signal(T, N, F)
    before = copy.deepcopy(layer.state_dict())
    first = layer(x, *STATIC)[0]
    assert torch.equal(layer(x, *STATIC)[0], first)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    (layer(x, *STATIC)[0].sum() + layer(2 * x, *STATIC)[0].sum()).backward()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    close(layer(x[:, order], order.argsort()[EDGES], WEIGHTS)[0], first[:, order])


@pytest.mark.parametrize("variant", ["paper", "authors", "pyg-temporal"])
def test_a3tgcn_equals_oracle(variant):
    torch.manual_seed(0)
    layer = A3TGCN(F, H, attention_channels=5, variant=variant, dtype=torch.float64)
    inputs = leaves([signal(T, N, F), WEIGHTS, signal(1, N, H, seed=3)])
    p, others = {name: leaf(value) for name, value in layer.named_parameters()}, leaves(inputs)
    (x, weight, state), (y, other_weight, other_state) = inputs, others
    inner = {name: value for name, value in p.items() if not name.startswith("attention.")}
    names = per_gate(inner) if variant == "pyg-temporal" else inner
    for index in (0, 1):
        for kind in ("weight", "bias"):
            names[f"attention.{kind}_{index + 1}"] = p[f"attention.{index}.{kind}"]
    wanted, _, states = og.a3tgcn(names, y, (EDGES, other_weight), variant, state=(other_state[0],))
    summary, last = layer(x, EDGES, weight, state)
    close(summary, wanted)
    close(last[0], states[-1])
    same_gradients(layer, inputs, summary, p, others, wanted)


def test_a3tgcn_windows_and_ragged_batches_equal_single_calls():
    layer, x = A3TGCN(F, H, dtype=torch.float64), signal(T, 2, N, F)
    together = layer(x, *STATIC)[0]
    close(together, torch.stack([layer(x[:, b], *STATIC)[0] for b in range(2)]))
    ragged = layer(x, *STATIC, lengths=torch.tensor([2, 4]))[0]
    close(ragged, torch.stack([layer(x[:2, 0], *STATIC)[0], together[1]]))
    first = A3TGCN(F, H, batch_first=True, dtype=torch.float64)
    first.load_state_dict(layer.state_dict())
    close(first(x.transpose(0, 1), *STATIC)[0], together)
    with pytest.raises(ValueError, match="A3TGCN: expected one direction"):
        A3TGCN(F, H, bidirectional=True)


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_dcrnn_forecaster_equals_oracle(variant):
    torch.manual_seed(0)
    model = DCRNNForecaster(F, H, 2, 5, num_layers=2, K=3, variant=variant, dtype=torch.float64)
    inputs, targets = leaves([signal(T, N, F), WEIGHTS]), signal(5, N, 2)
    p, others = {name: leaf(value) for name, value in model.named_parameters()}, leaves(inputs)
    (x, weight), (y, other_weight) = inputs, others
    wanted = og.dcrnn_forecaster(p, y, (EDGES, other_weight), 3, 5, variant, 2)
    forecast = model(x, EDGES, weight)
    close(forecast, wanted)
    same_gradients(model, inputs, forecast, p, others, wanted)
    draws = torch.rand(5, generator=torch.Generator().manual_seed(0))
    taken = [False, *(draws[:4] < 0.5).tolist()]
    assert 0 < sum(taken) < 4
    taught = model(x, *STATIC, targets=targets, truth=0.5, generator=torch.Generator().manual_seed(0))
    close(taught, og.dcrnn_forecaster(p, y, STATIC, 3, 5, variant, 2, targets, taken))
    close(model.eval()(x, *STATIC, targets=targets, truth=1.0), forecast)


def test_dcrnn_forecaster_windows_and_changing_graphs_agree():
    torch.manual_seed(0)
    model = DCRNNForecaster(F, H, 1, T, K=2, dtype=torch.float64)
    x = signal(T, 2, N, F)
    together = model(x, *STATIC)
    close(together, torch.stack([model(x[:, b], *STATIC) for b in range(2)], 1))
    assert model(x, *CHANGING, future=EDGES, future_weight=WEIGHTS).isfinite().all()
    close(model(x, *STATIC, future=[EDGES] * T, future_weight=[WEIGHTS] * T), together)
    close(model(x, *STATIC, future=model.prepare(EDGES, WEIGHTS, N)), together)
    p, ahead = dict(model.named_parameters()), {"future": CHANGING[0], "future_weight": CHANGING[1]}
    wanted = og.dcrnn_forecaster(p, x[:, 0], STATIC, 2, T, future_graph=GRAPHS)
    close(model(x[:, 0], *STATIC, **ahead), wanted)
    close(model(x[:, 0], *CHANGING, **ahead), og.dcrnn_forecaster(p, x[:, 0], GRAPHS, 2, T, future_graph=GRAPHS))
    close(model(x, model.prepare(EDGES, WEIGHTS, N)), together)
    first = DCRNNForecaster(F, H, 1, T, K=2, batch_first=True, dtype=torch.float64)
    first.load_state_dict(model.state_dict())
    targets = signal(2, T, N, 1)
    close(first(x.transpose(0, 1), *STATIC), together.transpose(0, 1))
    close(
        first(x.transpose(0, 1), *STATIC, targets=targets, truth=1.0),
        model(x, *STATIC, targets=targets.transpose(0, 1), truth=1.0).transpose(0, 1),
    )


def test_scheduled_sampling_falls_from_one_to_zero():
    probabilities = [scheduled_sampling(step, 100) for step in range(0, 2000, 50)]
    assert probabilities == sorted(probabilities, reverse=True) and 0.98 < probabilities[0] <= 1
    assert probabilities[-1] < 1e-3 and scheduled_sampling(10**9) >= 0


X = torch.zeros(T, N, F)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: EvolveGCN(F, H, variant="X"), "EvolveGCN: expected variant to be one of 'O', 'H'"),
        (lambda: EvolveGCN(F, 8, variant="H")(X, EDGES), "EvolveGCN: expected graphs of at least 8 nodes, .* got 7"),
        (lambda: EvolveGCN(F, H)(X[0, 0], EDGES), "EvolveGCN: expected input of rank 3 or 4 with 3 channels"),
        (
            lambda: EvolveGCN(F, H)(X, EDGES, state=torch.zeros(3)),
            r"EvolveGCN: expected \(W, cell state\) for each of 1 layers",
        ),
        (
            lambda: EvolveGCN(F, H, variant="H")(X, EDGES, state=(torch.zeros(4, 4),)),
            r"EvolveGCN: expected a state h of shape \(3, 4\)",
        ),
        (
            lambda: EvolveGCN(F, H, variant="H")(X[:, None], EDGES, batch=torch.zeros(N, dtype=torch.long)),
            r"expected x of shape \[T, N, F\] with batch, got windows",
        ),
        (lambda: DCRNNForecaster(F, H, horizon=0, K=2), "DCRNNForecaster: expected horizon"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, truth=0.5), "expected truth in .* and targets"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=X), r"expected targets of shape \(12, 7, 1\)"),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, [EDGES] * T),
            "expected future, the graphs of the steps ahead, with one graph per step",
        ),
        (lambda: DCRNNForecaster(F, H, K=2)([0.0], EDGES), "DCRNNForecaster: expected a tensor, got list"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, truth=None), r"expected truth in \[0, 1\], .* got None"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=[0.0]), r"expected targets of shape .*, got "),
        (
            lambda: DCRNNForecaster(F, H, K=2, batch_first=True)(X[None], EDGES, targets=X),
            r"expected targets of shape \(1, 12, 7, 1\)",
        ),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, future=[EDGES] * 3),
            "expected future to have 12 items, one per step, got 3",
        ),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, future_weight=WEIGHTS),
            "expected future, .* with future_weight",
        ),
        (lambda: DCRNNForecaster(F, H, K=0), "DCRNNForecaster: expected K to be an integer of at least 1, got 0"),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=X.new_zeros(12, N, 1).double()),
            "expected targets of tor",
        ),
        (lambda: DCRNN(F, H, K=0), "DCRNN: expected K to be an integer of at least 1, got 0"),
        (lambda: GCRN(F, H, K=0), "GCRN: expected K to be an integer of at least 1, got 0"),
        (lambda: GCLSTM(F, H, K=0), "GCLSTM: expected K to be an integer of at least 1, got 0"),
        (lambda: ChebConv(F, H, 2)(X, EDGES.to("meta")), "ChebConv: expected the graph on cpu, .* got meta"),
        (lambda: GCNConv(F, H)(X, EDGES.to("meta")), "GCNConv: expected the graph on cpu, .* got meta"),
        (lambda: ChebConv(F, H, 2)(X.double(), EDGES), "ChebConv: expected x of torch.float32, as the weights are"),
        (lambda: ChebConv(F, H, 2)([0.0], EDGES), r"ChebConv: expected x of shape \[..., N, 3\], got "),
        (
            lambda: ChebConv(F, H, 2)(X.to("meta"), EDGES),
            "ChebConv: expected x on cpu, where the weights are, got meta",
        ),
        (lambda: scheduled_sampling(0, 0), "scheduled_sampling: expected step >= 0 and decay > 0"),
    ],
)
def test_sequence_models_and_convs_invalid_input_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()
