"""DAGRecurrent and TreeLSTM: the oracle, the plain layer on paths, batches, errors."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgnn.nn import GCN, LSTM, DAGRecurrent, GRUCell, MinGRU, MinLSTM, MinLSTMCell, TreeLSTM, TreeLSTMCell
from tests.support import graph_oracles as og
from tests.support.dag_layers import CELLS, F, H, make, parts, signal
from tests.support.oracles import close, gradient, leaf

# A diamond with a doubled edge, a node of its own (6), edges over two levels, and node 5 in between sources and sink.
EDGES, N = torch.tensor([[0, 1, 0, 2, 3, 3, 5, 1], [1, 3, 2, 3, 4, 4, 4, 4]]), 7


def expected(kind, p, x, edges):
    p = {name.removeprefix("cell."): value for name, value in p.items()}
    return og.child_sum_tree_lstm(p, x, edges) if kind == "tree" else og.dag_recurrent(kind, p, x, edges)


@pytest.mark.parametrize("kind", [*CELLS, "tree"])
def test_dag_recurrent_and_tree_lstm_equal_oracle(kind):
    layer, x = make(kind), leaf(signal(N, F))
    output, *state = parts(layer(x, EDGES))
    p, y = {name: leaf(value) for name, value in layer.named_parameters()}, leaf(x)
    wanted = expected(kind, p, y, EDGES)
    close(output, wanted[0])
    for a, b in zip(state, wanted, strict=True):
        close(a, b)
    weighting = signal(N, H, seed=2)
    (output * weighting).sum().backward()
    (wanted[0] * weighting).sum().backward()
    close(gradient(x), gradient(y))
    for name, value in layer.named_parameters():
        close(gradient(value), gradient(p[name]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([*CELLS, "tree"]),
    graph=st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.just(n), st.permutations(range(n)), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=14)
        )
    ),
)
def test_dag_recurrent_of_any_acyclic_graph_equals_oracle(kind, graph):
    num_nodes, order, pairs = graph
    upwards = [(order[min(pair)], order[max(pair)]) for pair in pairs if pair[0] != pair[1]]
    edges = torch.tensor(upwards, dtype=torch.long).reshape(-1, 2).T.contiguous()
    layer, x = make(kind), signal(num_nodes, F)
    for a, b in zip(parts(layer(x, edges))[1:], expected(kind, dict(layer.named_parameters()), x, edges), strict=True):
        close(a, b)


@pytest.mark.parametrize("kind", [*CELLS, "minlstm"])
def test_dag_recurrent_on_paths_equals_sequence_layer(kind):
    steps, paths = 6, 3
    cell, plain = (MinLSTMCell, MinLSTM) if kind == "minlstm" else CELLS[kind]
    layer, plain = DAGRecurrent(cell(F, H, dtype=torch.float64)), plain(F, H, dtype=torch.float64)
    plain.load_state_dict({f"{name}_l0": value for name, value in layer.cell.state_dict().items()})
    x = signal(steps, paths, F)
    output, state = plain(x)
    nodes = torch.arange(steps * paths).view(steps, paths)
    edges = torch.stack([nodes[:-1].flatten(), nodes[1:].flatten()])
    found, last = layer(x.flatten(0, 1), edges)
    close(found.view(steps, paths, H), output)
    for a, b in zip(parts((0, last))[1:], parts((0, state))[1:], strict=True):
        close(a.view(steps, paths, H)[-1], b[0])


@pytest.mark.parametrize("kind", [*CELLS, "tree"])
def test_dag_recurrent_is_batch_and_permutation_equivariant(kind):
    layer, x = make(kind), signal(2 * N, F)
    other = torch.tensor([[6, 5, 4, 3, 2, 1], [5, 4, 3, 2, 1, 0]])
    together = layer(x, torch.cat([EDGES, other + N], dim=1))[0]
    close(together, torch.cat([layer(x[:N], EDGES)[0], layer(x[N:], other)[0]]))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    close(layer(x[:N][order], order.argsort()[EDGES])[0], layer(x[:N], EDGES)[0][order])


@pytest.mark.parametrize("kind", [*CELLS, "tree"])
def test_dag_recurrent_copies_gradients_and_cache_agree(kind):
    layer, x = make(kind), signal(N, F)
    wanted = layer(x, EDGES)[0]
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x, EDGES)[0], wanted)
    edges = EDGES.clone()
    with torch.inference_mode():
        layer(x, edges)
    layer(x, edges)[0].sum().backward()
    edges[1, 0] = 4  # in place: the levels are others now
    close(layer(x, edges)[0], layer(x, edges.clone())[0])
    assert torch.autograd.gradcheck(lambda x: layer(x, EDGES)[0], leaf(x))
    call = lambda x: layer(x, EDGES)[0]  # noqa: E731
    close(torch.func.jacrev(call)(x), torch.autograd.functional.jacobian(call, x))
    close(torch.func.vmap(call)(torch.stack([x, 2 * x])), torch.stack([call(x), call(2 * x)]))
    close(layer(x, GCN().prepare(EDGES, num_nodes=N))[0], wanted)
    close(layer(x, EDGES.int())[0], wanted)
    layer, x = layer.float(), x.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, EDGES)[0]
    torch.testing.assert_close(found.float(), wanted.float(), rtol=0, atol=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [*CELLS, "tree"])
def test_dag_recurrent_on_gpu_equals_cpu(kind):
    layer, x = make(kind), signal(N, F)
    expected = layer(x, EDGES)[0]
    torch.testing.assert_close(layer.cuda()(x.cuda(), EDGES.cuda())[0].cpu(), expected, rtol=1e-9, atol=1e-9)


TREE_CELL = TreeLSTMCell(F, H)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: TREE_CELL(torch.zeros(2, F), (torch.zeros(2, H),) * 2), "TreeLSTMCell: expected children and parents"),
        (lambda: TREE_CELL(torch.zeros(2, F), (torch.zeros(3, H),) * 2, torch.tensor([0, 1])), r"of shape \(2, 4\)"),
        (lambda: TREE_CELL(torch.zeros(2, F), (torch.zeros(2, H),) * 2, torch.zeros(2)), "expected integer parents"),
        (lambda: TREE_CELL(torch.zeros(1, F), (torch.zeros(2, H),) * 2, torch.tensor([0, 1])), "parents in 0..0, got"),
        (
            lambda: TREE_CELL(
                torch.zeros(1, F), (torch.zeros(1, H),) * 2, torch.zeros(1, dtype=torch.long, device="meta")
            ),
            "expected parents on cpu",
        ),
        (lambda: TreeLSTM(F, H)(torch.zeros(5, F), GCN().prepare(EDGES, num_nodes=N)), "expected x of 7 nodes, as the"),
        (lambda: TreeLSTM(F, H)(torch.zeros(5, F), torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]])), "TreeLSTM: .* cycles"),
        (lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(5, F), torch.tensor([[3], [3]])), "cycles, got 3 -> 3"),
        (lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(2, F), EDGES), r"expected node indices in 0..1, got 0..5"),
        (lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(7, F), EDGES.float()), "edge_index of dtype torch.int64"),
        (
            lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(1, 7, F), EDGES),
            r"x of shape \[N, F\], got shape \(1, 7",
        ),
        (
            lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(7, F), EDGES.to("meta")),
            "expected edge_index on cpu,",
        ),
        (lambda: DAGRecurrent(GRUCell(F, H))(torch.zeros(7, F), [[0], [1]]), r"edge_index of shape \[2, E\], got"),
        (lambda: DAGRecurrent("gru"), "DAGRecurrent: expected a cell, such as GRUCell"),
        (lambda: DAGRecurrent(LSTM(2, 3)), r"such as LSTMCell\(2, 3\), got a layer over time"),
        (lambda: DAGRecurrent(MinGRU(2, 3)), r"such as MinGRUCell\(2, 3\), got a layer over time"),
        (lambda: TreeLSTM(F, H)(torch.zeros(7, F + 1), EDGES), "TreeLSTM: expected input of rank 2 with 3 channels"),
        (lambda: TreeLSTM(F, H, variant="n-ary"), "TreeLSTM: expected variant to be one of 'child-sum'"),
        (lambda: TreeLSTM(0, H), "TreeLSTM: expected in_channels"),
    ],
)
def test_dag_recurrent_and_tree_lstm_invalid_input_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()
