"""EvolveGCN: the oracle, windows, batches, states and ended graphs."""

import copy

import pytest
import torch
from torch_geometric.data import Batch, Data

from seqgnn.nn import EvolveGCN
from tests.support import graph_oracles as og
from tests.support.oracles import close, leaf
from tests.support.published_layers import CHANGING, EDGES, STATIC, WEIGHTS, F, H, N, T, leaves, same_gradients, signal


def evolve(variant, **options):
    torch.manual_seed(0)
    return EvolveGCN(F, H, variant=variant, dtype=torch.float64, **options)


def last_weight(layer, state):
    return state[-1][0] if layer.variant == "O" else state[-1]


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
