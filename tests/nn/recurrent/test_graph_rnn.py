"""GCNRNN, GCNLSTM and GCNGRU: reductions, invariances, copies and errors; the dense oracle is in a file of its own."""

import copy
import io

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from seqgnn.nn import GCN, GCNGRU, GCNLSTM, GCNRNN, Identity, init

LAYERS = [(GCNRNN, nn.RNN), (GCNLSTM, nn.LSTM), (GCNGRU, nn.GRU)]
EDGES = torch.tensor([[3, 0, 1, 2, 4, 1, 2, 2], [1, 2, 0, 2, 1, 3, 0, 0]])  # directed, a loop at 2, 2 -> 0 twice
WEIGHTS = torch.tensor([0.5, 2.0, 1.5, 1.0, 0.25, 0.75, 3.0, 1.0], dtype=torch.float64)
N = 6  # node 5 is isolated, node 4 a source


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parts(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def close(actual, expected, tolerance=1e-10):
    for a, b in zip(parts(actual), parts(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ours, theirs", LAYERS)
@pytest.mark.parametrize("filtered", [False, True])
def test_graph_rnn_without_edges_or_with_identity_equals_torch(ours, theirs, filtered):
    plain = theirs(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    layer = ours(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64, conv=Identity() if filtered else None)
    layer.load_state_dict(plain.state_dict())
    edges = EDGES if filtered else torch.empty(2, 0, dtype=torch.long)
    x, h = signal(5, 2, N, 3), signal(4, 2, N, 4, seed=1)
    state = (h, 2 * h) if ours is GCNLSTM else h
    output, last = layer(x, edges, state=state)
    for node in range(N):
        given = (h[:, :, node], 2 * h[:, :, node]) if ours is GCNLSTM else h[:, :, node].contiguous()
        if ours is GCNLSTM:
            given = tuple(s.contiguous() for s in given)
        expected = plain(x[:, :, node], given)
        states = tuple(s[:, :, node] for s in last) if ours is GCNLSTM else last[:, :, node]
        close((output[:, :, node], states), expected)


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_windows_equal_single_calls_and_joint_batch(ours, _):
    layer = ours(3, 4, num_layers=2, dtype=torch.float64)
    x = signal(5, 3, N, 3)
    together = parts(layer(x, EDGES, WEIGHTS))
    apart = [parts(layer(x[:, b], EDGES, WEIGHTS)) for b in range(3)]
    graphs = [Data(edge_index=EDGES, edge_weight=WEIGHTS, num_nodes=N) for _ in range(3)]
    batch = Batch.from_data_list(graphs)
    disjoint = parts(layer(x.flatten(1, 2), batch.edge_index, batch.edge_weight, batch=batch.batch))
    for index, values in enumerate(together):
        torch.testing.assert_close(values, torch.stack([a[index] for a in apart], 1), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(values.flatten(1, 2), disjoint[index], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_is_node_permutation_equivariant(ours, _):
    layer = ours(3, 4, bidirectional=True, dtype=torch.float64)
    x, order = signal(5, N, 3), torch.randperm(N, generator=torch.Generator().manual_seed(2))
    place = order.argsort()
    expected = layer(x, EDGES, WEIGHTS)
    permuted = layer(x[:, order], place[EDGES], WEIGHTS)
    for a, b in zip(parts(permuted), parts(expected), strict=True):
        torch.testing.assert_close(a, b[:, order], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_prepared_weighted_and_unit_graphs_agree(ours, _):
    layer = ours(3, 4, dtype=torch.float64)
    x = signal(5, N, 3)
    close(layer(x, layer.prepare(EDGES, WEIGHTS, N)), layer(x, EDGES, WEIGHTS))
    close(layer(x, EDGES, torch.ones(8, dtype=torch.float64)), layer(x, EDGES))
    assert not torch.allclose(layer(x, EDGES, WEIGHTS)[0], layer(x, EDGES)[0])


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_in_two_halves_with_state_equals_whole(ours, _):
    layer = ours(3, 4, num_layers=2, dtype=torch.float64)
    x = signal(6, 2, N, 3)
    output, state = layer(x[:2], EDGES)
    rest, state = layer(x[2:], EDGES, state=state)
    close((torch.cat([output, rest]), state), layer(x, EDGES))


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_padding_does_not_change_outputs(ours, _):
    layer = ours(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    x, lengths = signal(5, 2, N, 3), torch.tensor([3, 5])
    spoilt = x.clone()
    spoilt[3:, 0] = torch.nan
    ragged = layer(spoilt, EDGES, lengths=lengths)
    alone = layer(x[:3, :1], EDGES)
    torch.testing.assert_close(ragged[0][:3, :1], alone[0])
    assert not ragged[0][3:, 0].any()
    ragged[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_gcn_lstm_receptive_field_of_one_step_is_the_neighbors():
    layer = GCNLSTM(1, 2, dtype=torch.float64)
    x = signal(2, 4, 1).requires_grad_()
    path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    output, _ = layer(x, path)
    influence = lambda t, node: torch.autograd.grad(output[t, node].sum(), x, retain_graph=True)[0].abs().sum(-1)  # noqa: E731
    assert influence(0, 3)[0].nonzero().flatten().tolist() == [2, 3]
    assert influence(1, 3)[0].nonzero().flatten().tolist() == [1, 2, 3]
    assert influence(1, 0).nonzero().tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("make", [GCNRNN, GCNLSTM, GCNGRU, lambda *a, **k: GCNGRU(*a, reset="before", **k)])
def test_graph_rnn_gradients_pass_gradcheck(make):
    layer = make(2, 2, dtype=torch.float64)
    x, weight = signal(2, 2, N, 2).requires_grad_(), WEIGHTS.clone().requires_grad_()
    names, values = zip(*((n, p.detach().requires_grad_()) for n, p in layer.named_parameters()))

    def call(x, weight, *weights):
        arguments = (x, EDGES, weight)
        return parts(torch.func.functional_call(layer, dict(zip(names, weights)), arguments))[0]

    assert torch.autograd.gradcheck(call, (x, weight, *values))


@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_copies_and_accumulated_gradients_are_equal(ours, _):
    layer = ours(3, 4)
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    x = signal(3, N, 3).float()
    for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
        close(other(x, EDGES), layer(x, EDGES), 0)
    (layer(x, EDGES)[0].sum() + layer(2 * x, EDGES)[0].sum()).backward()
    twice = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x, EDGES)[0].sum().backward()
    layer(2 * x, EDGES)[0].sum().backward()
    for a, p in zip(twice, layer.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad)


def test_gcn_lstm_dropout_is_between_layers_in_training_only():
    layer = GCNLSTM(3, 4, num_layers=2, dropout=1.0, dtype=torch.float64)
    x = signal(3, N, 3)
    trained, evaluated = layer(x, EDGES)[0], layer.eval()(x, EDGES)[0]
    assert not torch.allclose(trained, evaluated)
    layer.train()
    assert torch.equal(layer(x, EDGES)[0], layer(2 * x, EDGES)[0])  # nothing of x is left behind a dropout of one


def test_gcn_lstm_wider_edge_weights_return_float32():
    layer = GCNLSTM(3, 4)
    x = signal(3, N, 3).float()
    wide, same = layer(x, EDGES, WEIGHTS)[0], layer(x, EDGES, WEIGHTS.float())[0]
    assert wide.dtype == torch.float32
    torch.testing.assert_close(wide, same)


def test_graph_rnn_init_options_set_the_parameters():
    layer = GCNLSTM(3, 64, init=["orthogonal", init.chrono(t_max=50)])
    block = layer.weight_hh_l0[:64]
    torch.testing.assert_close(block @ block.t(), torch.eye(64), atol=1e-5, rtol=0)
    layer = GCNLSTM(3, 8, num_layers=2, forget_bias=1.0)
    assert torch.equal((layer.bias_ih_l1 + layer.bias_hh_l1)[8:16], torch.ones(8))
    layer.reset_parameters()
    assert torch.equal((layer.bias_ih_l1 + layer.bias_hh_l1)[8:16], torch.ones(8))
    assert layer.weight_ih_l0.abs().max() <= 8**-0.5
    assert torch.equal(GCNRNN(3, 4, init="identity").weight_hh_l0, torch.eye(4))
    torch.manual_seed(0)
    layer = GCNLSTM(3, 8)
    torch.manual_seed(0)
    for key, value in nn.LSTM(3, 8).state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)


def test_graph_rnn_repr_lists_options_other_than_defaults():
    assert repr(GCNLSTM(3, 4)) == "GCNLSTM(3, 4, conv=GCN())"
    layer = GCNGRU(3, 4, reset="before", init="orthogonal", engine="reference")
    assert repr(layer) == "GCNGRU(3, 4, reset='before', engine='reference', conv=GCN(), init=[orthogonal()])"
    assert repr(GCNRNN(3, 4, nonlinearity="relu")) == "GCNRNN(3, 4, nonlinearity='relu', conv=GCN())"
    layer = GCNGRU(3, 4, num_layers=2, input_conv=Identity(), hidden_conv=GCN("rw"))
    assert repr(layer) == "GCNGRU(3, 4, num_layers=2, input_conv=Identity(), hidden_conv=GCN(normalization='rw'))"


def test_gcn_lstm_compiled_autocast_and_bfloat16_are_close():
    layer = GCNLSTM(3, 4)
    x = signal(3, N, 3).float()
    expected = layer(x, EDGES)[0]
    compiled = torch.compile(layer, backend="eager")
    torch.testing.assert_close(compiled(x, EDGES)[0], expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x, EDGES)[0].float(), expected, rtol=0, atol=3e-2)
    half = layer.bfloat16()(x.bfloat16(), EDGES)[0]
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=3e-2)


X, H = torch.zeros(4, N, 3), torch.zeros(1, N, 4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GCNLSTM(3, 4, conv=GCN), "GCNLSTM: expected conv to be a filter, such as GCN\\(\\)"),
        (
            lambda: GCNLSTM(3, 4, conv=GCN(), input_conv=GCN()),
            "GCNLSTM: expected conv or input_conv",
        ),
        (lambda: GCNLSTM(3, 4, dropout=None), "GCNLSTM: expected dropout in \\[0, 1\\], got None"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, lengths=torch.ones(6).bool()), "expected integer lengths .* got torch.bool"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, state=(H, H.double())), "GCNLSTM: expected a state of torch.float32"),
        (lambda: GCNLSTM(0, 4), "GCNLSTM: expected in_channels to be an integer of at least 1, got 0"),
        (lambda: GCNLSTM(3, 4, num_layers=0), "GCNLSTM: expected num_layers .* got 0"),
        (lambda: GCNLSTM(3, 4, dropout=1.5), "GCNLSTM: expected dropout in \\[0, 1\\], got 1.5"),
        (lambda: GCNLSTM(3, 4, engine="native"), "GCNLSTM: expected engine .* got 'native'"),
        (lambda: GCNRNN(3, 4, nonlinearity="tan"), "GCNRNN: expected nonlinearity .* got 'tan'"),
        (lambda: GCNGRU(3, 4, reset="befor"), "GCNGRU: expected reset .* did you mean 'before'"),
        (lambda: GCNGRU(3, 4, forget_bias=1.0), "GCNGRU: expected init forget_bias .* lstm"),
        (lambda: GCNLSTM(3, 4)(X[0], EDGES), "GCNLSTM: expected input of rank 3 or 4 with 3 channels"),
        (lambda: GCNLSTM(2, 4)(X, EDGES), "GCNLSTM: expected input of rank 3 or 4 with 2 channels"),
        (lambda: GCNLSTM(3, 4)(X[:0], EDGES), "GCNLSTM: expected at least one time step"),
        (lambda: GCNLSTM(3, 4)(X[:, :0], EDGES), r"GCNLSTM: expected node indices in 0..-1 \(num_nodes=0\)"),
        (lambda: GCNLSTM(3, 4)(X.double(), EDGES), "GCNLSTM: expected input of torch.float32"),
        (lambda: GCNLSTM(3, 4)(X, EDGES.to("meta")), "GCNLSTM: expected the graph on cpu, .* got meta"),
        (lambda: GCNLSTM(3, 4)(X[:, :4], EDGES), "GCNLSTM: expected node indices in 0..3"),
        (lambda: GCNLSTM(3, 4)(X, -EDGES), "GCNLSTM: expected node indices in 0..5"),
        (lambda: GCNLSTM(3, 4)(X, EDGES.float()), "GCNLSTM: expected edge_index of dtype torch.int64"),
        (lambda: GCNLSTM(3, 4)(X, EDGES[0]), "GCNLSTM: expected edge_index of shape \\[2, E\\]"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, WEIGHTS[:3]), "GCNLSTM: expected edge_weight of shape \\[8\\]"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, [WEIGHTS] * 4), "expected one edge_weight with one edge_index, got 4"),
        (lambda: GCNLSTM(3, 4)(X, [EDGES] * 3), "GCNLSTM: expected 4 of edge_index, one per step, got 3"),
        (lambda: GCNLSTM(3, 4)(X, [EDGES] * 4, WEIGHTS), "GCNLSTM: expected a list of 4 of edge_weight"),
        (lambda: GCNLSTM(3, 4)(X, [EDGES] * 4, [WEIGHTS] * 5), "expected 4 of edge_weight, one per step, got 5"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, state=X), "GCNLSTM: expected a state \\(h, c\\) .* got shape"),
        (lambda: GCNGRU(3, 4)(X, EDGES, state=X), "GCNGRU: expected a state h of shape \\(1, 6, 4\\)"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, lengths=[1] * 6), "expected integer lengths of shape \\(6,\\), got list"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, lengths=torch.ones(6)), "expected integer lengths .* got torch.float32"),
        (lambda: GCNLSTM(3, 4)(X, EDGES, lengths=torch.tensor([1, 2, 0, 1, 1, 1])), "expected lengths between 1 and 4"),
        (lambda: GCNLSTM(3, 4)(X, GCN("rw").prepare(EDGES, num_nodes=N)), "GCNLSTM: .* prepared for GCN\\(\\)"),
        (lambda: GCNLSTM(3, 4)(X, GCNLSTM(3, 4).prepare(EDGES, num_nodes=9)), "GCNLSTM: .* of 6 nodes, got one of 9"),
    ],
)
def test_graph_rnn_invalid_arguments_raise_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.parametrize("ours, _", LAYERS)
def test_graph_rnn_on_gpu_equals_cpu(ours, _):
    layer = ours(3, 4, num_layers=2, dtype=torch.float64)
    x = signal(5, 2, N, 3)
    expected = layer(x, EDGES, WEIGHTS)
    layer.cuda()
    close(tuple(p.cpu() for p in parts(layer(x.cuda(), EDGES.cuda(), WEIGHTS.cuda()))[:2]), parts(expected)[:2], 1e-9)
    prepared = layer.prepare(EDGES, WEIGHTS, N).to("cuda")
    torch.testing.assert_close(layer(x.cuda(), prepared)[0].cpu(), expected[0])
    with pytest.raises(ValueError, match="expected the graph on cuda:0, where the input is, got cpu"):
        layer(x.cuda(), EDGES)
