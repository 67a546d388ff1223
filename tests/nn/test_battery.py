"""One battery over all graph-recurrent layers, filters and variants; `layer_cases` lists them."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call
from torch_geometric.data import Batch, Data

from tests.support.graph_layers import ALL, EDGES, WEIGHTS, B, F, H, N, T, auto_is_fused, signal  # noqa: F401
from tests.support.layer_cases import CASES, MINIMAL, PUBLISHED
from tests.support.marks import thorough_but
from tests.support.oracles import close, gradient, leaf, tricky_graphs
from tests.support.releases import IN_ONE_PIECE


def as_state(layer, tensors):
    return tuple(tensors) if layer.kind == "lstm" else tensors[0]


def states_of(layer, *batch, seed=1):
    directions = 2 if layer.bidirectional else 1
    shape = (layer.num_layers * directions, *batch, N, layer.hidden_channels)
    return [signal(*shape, seed=seed + i) for i in range(2 if layer.kind == "lstm" else 1)]


def compare(case, layer, x, graph, state, **options):
    """Outputs, states and all gradients of a layer and its oracle, under one random weighting of what they return."""
    weights = [w for _, w in graph] if isinstance(graph, list) else [graph[1]]
    results = []
    for run in ("layer", "oracle"):
        inputs = [leaf(x), *(leaf(s) for s in state), *(leaf(w) for w in weights)]
        x_, state_, weights_ = inputs[0], inputs[1 : 1 + len(state)], inputs[1 + len(state) :]
        if run == "layer":
            parameters = dict(layer.named_parameters())
            layer.zero_grad()
            if isinstance(graph, list):
                edges, weight = [e for e, _ in graph], weights_
            else:
                edges, weight = graph[0], weights_[0]
            lengths = options.get("lengths")
            found = case.parts(layer(x_, edges, weight, as_state(layer, state_), lengths=lengths))
        else:
            parameters = {name: leaf(value) for name, value in layer.named_parameters()}
            given = list(zip([e for e, _ in graph], weights_)) if isinstance(graph, list) else (graph[0], weights_[0])
            output, last = case.oracle(parameters, x_, given, state=tuple(state_), **options)
            found = [output, *last]
        torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in found])
        named = {f"input {i}": gradient(part) for i, part in enumerate(inputs)}
        named |= {name: gradient(value) for name, value in parameters.items()}
        results.append((found, named))
    (ours, our_gradients), (theirs, their_gradients) = results
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)
    for name, expected in their_gradients.items():
        close(our_gradients[name], expected)


@pytest.mark.parametrize("case", CASES + MINIMAL, ids=str)
@pytest.mark.parametrize("per_step", [False, True])
def test_graph_layer_equals_oracle(case, per_step):
    layer = case.make()
    graph = tricky_graphs(T)[0] if per_step else (EDGES, WEIGHTS)
    compare(case, layer, signal(T, B, N, F), graph, states_of(layer, B))


@pytest.mark.parametrize("case", [case for case in PUBLISHED if case.deep] + MINIMAL, ids=str)
def test_graph_layer_deep_bidirectional_ragged_equals_oracle(case):
    layer = case.make(num_layers=2, bidirectional=True)
    options = {"num_layers": 2, "bidirectional": True, "lengths": torch.tensor([4, 2])}
    compare(case, layer, signal(T, B, N, F), (EDGES, WEIGHTS), states_of(layer, B), **options)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_is_node_permutation_equivariant(case):
    layer, x = case.make_both(), signal(T, N, F)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    found = case.parts(layer(x[:, order], order.argsort()[EDGES], WEIGHTS))
    for a, b in zip(found, expected, strict=True):
        close(a, b.index_select(-2, order))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_windows_equal_single_calls_and_joint_batch(case):
    layer, x = case.make(num_layers=2), signal(T, B, N, F)
    together = case.parts(layer(x, EDGES, WEIGHTS))
    apart = [case.parts(layer(x[:, b], EDGES, WEIGHTS)) for b in range(B)]
    batch = Batch.from_data_list([Data(edge_index=EDGES, edge_weight=WEIGHTS, num_nodes=N)] * B)
    disjoint = case.parts(layer(x.flatten(1, 2), batch.edge_index, batch.edge_weight, batch=batch.batch))
    for index, values in enumerate(together):
        close(values, torch.stack([alone[index] for alone in apart], -3))
        close(values.flatten(-3, -2), disjoint[index])


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_batch_equals_single_graphs(case):
    layer = case.make()
    (first, other), _ = tricky_graphs(2)
    edges, weights = torch.cat([first[0], other[0] + N], dim=1), torch.cat([first[1], 3 * other[1]])
    x, batch = signal(T, 2 * N, F), torch.arange(2).repeat_interleave(N)
    together = case.parts(layer(x, edges, weights, batch=batch))
    alone = case.parts(layer(x[:, :N], *first))
    for a, b in zip(together, alone, strict=True):
        close(a[..., :N, :], b)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_ragged_windows_equal_single_windows(case):
    layer, lengths = case.make_both(num_layers=2), (2, 4)
    x = signal(T, B, N, F)
    spoilt = x.clone()
    spoilt[2:, 0] = torch.nan
    together = case.parts(layer(spoilt, EDGES, WEIGHTS, lengths=torch.tensor(lengths)))
    for b, length in enumerate(lengths):
        alone = case.parts(layer(x[:length, b], EDGES, WEIGHTS))
        mine = [part.select(-3, b) for part in together]
        if case.steps:
            assert not mine[0][length:].any()
            mine[0] = mine[0][:length]
        for a, s in zip(mine, alone, strict=True):
            close(a, s)
    together[0].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_lists_and_prepared_graphs_equal_edge_index(case):
    layer, x = case.make(), signal(T, N, F)
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    prepared = layer.prepare(EDGES, WEIGHTS, N)
    given = {"future": EDGES, "future_weight": WEIGHTS} if case.ahead else {}
    ways = [
        layer(x, [EDGES] * T, [WEIGHTS] * T, **given),
        layer(x, [EDGES.clone() for _ in range(T)], [WEIGHTS.clone() for _ in range(T)], **given),
        layer(x, prepared),
        layer(x, [prepared] * T, **given),
    ]
    for way in ways:
        for a, b in zip(case.parts(way), expected, strict=True):
            close(a, b)
    ones = case.parts(layer(x, EDGES, torch.ones(EDGES.size(1), dtype=torch.float64)))
    for a, b in zip(case.parts(layer(x, EDGES)), ones, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", [case for case in ALL if case.steps], ids=str)
def test_graph_layer_in_two_parts_with_state_equals_whole(case):
    layer, x = case.make(num_layers=2), signal(2 * T, B, N, F)
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    first, state = layer(x[:3], EDGES, WEIGHTS)
    rest, *last = case.parts(layer(x[3:], EDGES, WEIGHTS, state))
    close(torch.cat([first, rest]), expected[0])
    for a, b in zip(last, expected[1:], strict=True):
        close(a, b)


@pytest.mark.parametrize("case", [case for case in ALL if case.both], ids=str)
def test_graph_layer_backward_direction_equals_reversed_input(case):
    both, one, x = case.make(bidirectional=True), case.make(), signal(T, N, F)
    weights = both.state_dict()
    one.load_state_dict({key: weights[key.replace("_l0", "_l0_reverse")] for key in one.state_dict()})
    output, *states = case.parts(both(x, EDGES, WEIGHTS))
    expected, *last = case.parts(one(x.flip(0), EDGES, WEIGHTS))
    close(output[..., H:].flip(0), expected)
    for a, b in zip(states, last, strict=True):
        close(a[1:], b)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_joint_backward_equals_separate_ones(case):
    layer, x = case.make(), signal(T, N, F)
    losses = [layer(scale * x, EDGES, WEIGHTS)[0].sum() for scale in (1, 2)]
    sum(losses).backward(retain_graph=True)
    together = [gradient(p).clone() for p in layer.parameters()]
    layer.zero_grad()
    for scale in (1, 2):
        layer(scale * x, EDGES, WEIGHTS)[0].sum().backward()
    for a, p in zip(together, layer.parameters(), strict=True):
        close(a, gradient(p))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_gradients_pass_gradcheck(case):
    layer = case.make(1, 2)
    x, weight = leaf(signal(2, N, 1)), leaf(WEIGHTS)
    names, values = zip(*((name, leaf(p)) for name, p in layer.named_parameters()))

    def call(x, weight, *values):
        return tuple(case.parts(functional_call(layer, dict(zip(names, values)), (x, EDGES, weight))))

    assert torch.autograd.gradcheck(call, (x, weight, *values), fast_mode=True)


@pytest.mark.filterwarnings("ignore:There is a performance drop .*scatter_add_")  # PyG's sums, under torch 2.6
@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_jacrev_and_vmap_equal_loop(case):
    layer, x = case.make(), signal(2, N, F)
    call = lambda x: layer(x, EDGES, WEIGHTS)[0]  # noqa: E731
    close(torch.func.jacrev(call)(x), torch.autograd.functional.jacobian(call, x))
    several = signal(3, 2, N, F)
    close(torch.func.vmap(call)(several), torch.stack([call(one) for one in several]))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_copies_are_equal_until_reset(case):
    layer, x = case.make(num_layers=2), signal(T, N, F)
    expected = layer(x, EDGES, WEIGHTS)[0]
    other = case.make(num_layers=2)
    torch.nn.init.normal_(next(other.parameters()))
    other.load_state_dict(layer.state_dict())
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        assert torch.equal(copied(x, EDGES, WEIGHTS)[0], expected)
        assert repr(copied) == repr(layer)
    assert repr(layer).replace("\n  ", "").startswith(f"{type(layer).__name__}({F}, {H}")
    layer.reset_parameters()
    assert not torch.allclose(layer(x, EDGES, WEIGHTS)[0], expected)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_autocast_and_bfloat16_are_close(case):
    layer, x = case.make().float(), signal(T, N, F).float()
    expected = layer(x, EDGES, WEIGHTS.float())[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, EDGES, WEIGHTS.float())[0]
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)
    half = layer.bfloat16()(x.bfloat16(), EDGES, WEIGHTS.bfloat16())[0]
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=0.1)


QUICK = ("GCNLSTM peephole", "GCRN gru", "DCRNN", "TGCN authors", "GCLSTM paper", "EvolveGCN O", "A3TGCN")


@pytest.mark.parametrize("case", thorough_but(ALL, *QUICK))
def test_graph_layer_compiled_equals_eager(case):
    layer, x = case.make(), signal(2, B, N, F)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=IN_ONE_PIECE)
    for inputs in (x, leaf(x)):
        close(compiled(inputs, EDGES, WEIGHTS)[0], layer(inputs, EDGES, WEIGHTS)[0])
    lengths = torch.tensor([1, 2])
    close(compiled(x, EDGES, WEIGHTS, lengths=lengths)[0], layer(x, EDGES, WEIGHTS, lengths=lengths)[0])


BAD = {
    "rank": (
        (signal(N, F), EDGES),
        {},
        r"expected input of rank 3 or 4 with 2 channels at the end, got shape \(7, 2\)",
    ),
    "channels": ((signal(T, N, F + 1), EDGES), {}, "expected input of rank 3 or 4 with 2 channels"),
    "no tensor": (([0.0], EDGES), {}, "expected a tensor, got list"),
    "dtype": ((signal(T, N, F).float(), EDGES), {}, "expected input of torch.float64, as the weights are"),
    "device": ((signal(T, N, F).to("meta"), EDGES), {}, "expected input on cpu, where the weights are, got meta"),
    "edges elsewhere": ((signal(T, N, F), EDGES.to("meta")), {}, "expected the graph on cpu, .* got meta"),
    "weights elsewhere": ((signal(T, N, F), EDGES, WEIGHTS.to("meta")), {}, "expected edge_weight on cpu, .* got meta"),
    "another graph": ((signal(T, N - 2, F), EDGES), {}, r"expected node indices in 0\.\.4 .* got 0\.\.5"),
    "weights of another": ((signal(T, N, F), EDGES, WEIGHTS[1:]), {}, r"expected edge_weight of shape \["),
    "NaN": ((signal(T, N, F), EDGES, WEIGHTS * torch.nan), {}, "expected finite edge_weight"),
    "lengths": (
        (signal(T, B, N, F), EDGES),
        {"lengths": torch.tensor([0, 2])},
        "expected lengths between 1 and 4, got .0, 2.",
    ),
    "graphs": ((signal(T, N, F), [EDGES] * 3), {}, "expected 4 of edge_index, one per step, got 3"),
    "no graph": (
        (signal(T, N, F), EDGES),
        {"batch": torch.full((N,), -1)},
        r"expected graph indices in batch in 0..6, got -1",
    ),
    "lengths elsewhere": (
        (signal(T, B, N, F), EDGES),
        {"lengths": torch.tensor([1, 2], device="meta")},
        "expected lengths on the CPU or on",
    ),
    "batch": ((signal(T, N, F), EDGES), {"batch": torch.zeros(3, dtype=torch.long)}, r"expected batch of shape \[7\]"),
}


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("wrong", BAD)
def test_graph_layer_invalid_input_raises_value_error(case, wrong):
    layer, (arguments, options, message) = case.make(), BAD[wrong]
    if case.ahead and wrong == "graphs":
        options = {"future": EDGES}
    with pytest.raises(ValueError, match=f"^{type(layer).__name__.removesuffix('Forecaster')}.*: {message}"):
        layer(*arguments, **options)


@pytest.mark.parametrize("case", [case for case in ALL if case.state], ids=str)
def test_graph_layer_invalid_state_raises_value_error(case):
    layer, x = case.make(), signal(T, N, F)
    right = states_of(layer)
    wrong = [part[:, 1:] for part in right], [part.float() for part in right], [part.to("meta") for part in right]
    for state, message in zip(wrong, (r"of shape \(1, 7, 3\)", "of torch.float64", "on cpu")):
        with pytest.raises(ValueError, match=f"^{type(layer).__name__}: expected a state .*{message}"):
            layer(x, EDGES, WEIGHTS, as_state(layer, state))


@pytest.mark.gpu
@pytest.mark.parametrize("case", ALL, ids=str)
def test_graph_layer_on_gpu_equals_cpu(case):
    layer, x = case.make(num_layers=2, bidirectional=True), signal(T, B, N, F)
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    layer.cuda()
    found = case.parts(layer(x.cuda(), EDGES.cuda(), WEIGHTS.cuda()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-9, atol=1e-9)


GRAPHS = st.integers(1, 6).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12))
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    case=st.sampled_from(CASES + MINIMAL),
    graph=GRAPHS,
    steps=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 3)] * 2),
)
def test_graph_layer_of_any_graph_and_size_equals_oracle(case, graph, steps, sizes):
    """The oracle agrees; edges are where hypothesis wants them."""
    nodes, edges = graph
    channels, hidden = sizes
    layer = case.make(channels, hidden)
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous()
    weight = signal(edge_index.size(1)).abs() + 0.1
    x = signal(steps, nodes, channels)
    state = case.parts(layer(x, edge_index, weight))[1:]
    expected, last = case.oracle(dict(layer.named_parameters()), x, (edge_index, weight), state=tuple(state))
    found, *states = case.parts(layer(x, edge_index, weight, as_state(layer, state)))
    close(found, expected)
    for a, b in zip(states, last, strict=True):
        close(a, b)
