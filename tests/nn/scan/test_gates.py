"""Convolutions of PyG in the gates: against the filter that does the same, and against a loop over single graphs."""

import copy

import pytest
import torch
from torch_geometric import nn as pyg

from seqgnn.nn import DCRNN, GCLSTM, GCN, GCNGRU, GCNLSTM, GCNRNN, GCRN, TGCN, Chebyshev, GCRNCell, Identity
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.gates import graphs_of_copies
from tests.support.oracles import close, tricky_graph, tricky_graphs

T, B, F, H, D = 3, 2, 2, 4, 3
EDGES, WEIGHTS, N = tricky_graph()
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(T, B, N, F, dtype=torch.float64, generator=GENERATOR)
ATTR = torch.randn(EDGES.size(1), D, dtype=torch.float64, generator=GENERATOR)
CONVS = {
    "GATConv": (lambda i, o: pyg.GATConv(i, o // 2, heads=2), None),
    "SAGEConv": (pyg.SAGEConv, None),
    "GraphConv": (pyg.GraphConv, "edge_weight"),
    "GATv2Conv": (lambda i, o: pyg.GATv2Conv(i, o, edge_dim=D), "edge_attr"),
    "TransformerConv": (lambda i, o: pyg.TransformerConv(i, o, edge_dim=D), "edge_attr"),
    "ChebConv": (lambda i, o: pyg.ChebConv(i, o, 3), "edge_weight"),
}
GIVEN = {"edge_weight": WEIGHTS, "edge_attr": ATTR}


def parts(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def layer_with_attributes():
    return GCNLSTM(F, H, conv=CONVS["GATv2Conv"][0], dtype=torch.float64)


def arguments(takes):
    return {} if takes is None else {takes: GIVEN[takes]}


@pytest.mark.parametrize("layer, options", [(GCNRNN, {}), (GCNLSTM, {}), (GCNGRU, {}), (GCNGRU, {"reset": "before"})])
@pytest.mark.parametrize("side", ["conv", "input_conv", "hidden_conv"])
def test_graph_rnn_with_pyg_gcn_conv_equals_gcn_filter(layer, options, side):
    torch.manual_seed(0)
    made = layer(F, H, **{side: pyg.GCNConv}, **options, dtype=torch.float64)
    plain = layer(F, H, **options, dtype=torch.float64)
    state = plain.state_dict()
    for place, short in (("input", "ih"), ("hidden", "hh")):
        if side in ("conv", f"{place}_conv"):
            module = getattr(made, f"{place}_conv_l0")
            modules = list(module) if isinstance(module, torch.nn.ModuleList) else [module]
            state[f"weight_{short}_l0"] = torch.cat([part.lin.weight for part in modules])
            state[f"bias_{short}_l0"] = torch.cat([part.bias for part in modules])
        else:
            for kind in ("weight", "bias"):
                state[f"{kind}_{short}_l0"] = made.state_dict()[f"{kind}_{short}_l0"]
    plain.load_state_dict(state)
    for a, b in zip(parts(made(X, EDGES, WEIGHTS)), parts(plain(X, EDGES, WEIGHTS)), strict=True):
        close(a, b)


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("per_step", [False, True])
def test_gcn_lstm_with_pyg_conv_equals_loop_over_graphs(name, per_step):
    make, takes = CONVS[name]
    torch.manual_seed(1)
    layer = GCNLSTM(F, H, num_layers=2, conv=make, dtype=torch.float64)
    given, edges = arguments(takes), EDGES
    steps = [(EDGES, given)] * T
    if per_step:
        graphs, _ = tricky_graphs(T)
        values = {"edge_weight": [w for _, w in graphs], "edge_attr": [w[:, None] * ATTR[0] for _, w in graphs]}
        edges, given = [e for e, _ in graphs], {} if takes is None else {takes: values[takes]}
        steps = [(e, {n: v[t] for n, v in given.items()}) for t, (e, _) in enumerate(graphs)]
    output, (h_last, _) = layer(X, edges, **given)
    for b in range(B):
        below = X[:, b]
        for index in range(2):
            state, outputs = (torch.zeros(N, H, dtype=torch.float64),) * 2, []
            conv_x, conv_h = getattr(layer, f"input_conv_l{index}"), getattr(layer, f"hidden_conv_l{index}")
            for x, (edge_index, extra) in zip(below, steps):
                gates = conv_x(x, edge_index, **extra)
                project = lambda h, e=edge_index, extra=extra, conv=conv_h: conv(h, e, **extra)  # noqa: E731
                h, state = cells.lstm(gates, project, state)
                outputs.append(h)
            below = torch.stack(outputs)
        close(output[:, b], below)
        close(h_last[1, b], below[-1])
    output.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_gcn_gru_with_input_filter_and_hidden_conv_is_supported():
    layer = GCNGRU(F, H, input_conv=Identity(), hidden_conv=CONVS["GATConv"][0], reset="before", dtype=torch.float64)
    assert layer.weight_ih_l0.shape == (3 * H, F) and not hasattr(layer, "weight_hh_l0")
    assert [conv.out_channels * conv.heads for conv in layer.hidden_conv_l0] == [2 * H, H]
    assert layer(X, EDGES)[0].shape == (T, B, N, H)
    with pytest.raises(ValueError, match="expected no edge_weight, since GATConv would not take it"):
        layer(X, layer.prepare(EDGES, WEIGHTS, N))
    prepared = layer.prepare(EDGES, None, N)
    close(layer(X, prepared)[0], layer(X, EDGES)[0])
    assert "input_conv=Identity()" in repr(layer) and "GATConv(4, 4, heads=2)" in repr(layer)


def test_gcn_gru_integer_edge_attr_stays_integer():
    class Relational(torch.nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.conv, self.table = pyg.GATv2Conv(in_channels, out_channels, edge_dim=2), torch.nn.Embedding(3, 2)

        def forward(self, x, edge_index, edge_attr):
            return self.conv(x, edge_index, self.table(edge_attr))

    layer = GCNGRU(F, H, conv=Relational, dtype=torch.float64)
    kinds = torch.arange(EDGES.size(1)) % 3
    together = layer(X, EDGES, edge_attr=kinds)[0]
    close(together, torch.stack([layer(X[:, b], EDGES, edge_attr=kinds)[0] for b in range(B)], 1))


def test_gcn_lstm_peepholes_with_conv_are_initialized():
    torch.use_deterministic_algorithms(True)  # fills what is not initialized with NaN
    try:
        layer = GCNLSTM(F, H, conv=pyg.SAGEConv, peephole=True)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(p.abs().max() <= H**-0.5 for name, p in layer.named_parameters() if name.startswith("weight_c"))


def test_gcn_lstm_after_inference_mode_can_be_trained():
    layer, edges = GCNLSTM(F, H, conv=pyg.SAGEConv, dtype=torch.float64), EDGES.clone()
    untouched = copy.deepcopy(layer)
    with torch.inference_mode():
        layer(X, edges)
    layer(X, edges)[0].sum().backward()
    untouched(X, EDGES.clone())[0].sum().backward()
    for parameter, expected in zip(layer.parameters(), untouched.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_gcn_lstm_wider_edge_weights_equal_float32():
    layer = GCNLSTM(F, H, conv=pyg.GraphConv)
    torch.testing.assert_close(layer(X.float(), EDGES, WEIGHTS)[0], layer(X.float(), EDGES, WEIGHTS.float())[0])


class Normed(torch.nn.Module):
    """A convolution with a norm over the nodes of each graph, wrapped in a module that cannot reset itself."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv, self.norm = pyg.GraphConv(in_channels, out_channels), pyg.GraphNorm(out_channels)

    def forward(self, x, edge_index, edge_weight=None, batch=None):
        return self.norm(self.conv(x, edge_index, edge_weight), batch)


def test_gcn_lstm_norm_in_conv_is_over_single_graphs():
    torch.manual_seed(0)
    layer = GCNLSTM(F, H, conv=Normed, dtype=torch.float64)
    together = layer(X, EDGES, WEIGHTS)[0]
    for b in range(B):
        state, outputs = None, []
        for t in range(T):
            output, state = layer(X[t : t + 1, b], EDGES, WEIGHTS, state)
            outputs.append(output[0])
        close(together[:, b], torch.stack(outputs))
    both = torch.cat([EDGES, EDGES + N], dim=1)
    graphs = {"batch": torch.arange(2).repeat_interleave(N)}
    close(layer(X.flatten(1, 2), both, WEIGHTS.repeat(2), **graphs)[0], together.flatten(1, 2))


def test_graphs_of_copies_are_numbered_one_after_the_other():
    edges = torch.tensor([[0, 1], [1, 2]])
    assert graphs_of_copies(None, edges, 3, 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert graphs_of_copies(torch.tensor([0, 0, 1]), edges, 3, 3).tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 5]
    assert graphs_of_copies(None, edges[:, :0], 0, 2).tolist() == []


class Alone(torch.nn.Module):
    """Adds the number of each node's graph, which it has to be given."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.lin = torch.nn.Linear(in_channels, out_channels)

    def forward(self, x, edge_index, batch):
        return self.lin(x) + batch[:, None]


def test_gcn_lstm_conv_is_given_the_graphs_of_a_single_graph():
    layer = GCNLSTM(F, H, conv=Alone, dtype=torch.float64)
    output, _ = layer(X[:1, 0], EDGES)
    zeros = {"batch": torch.zeros(N, dtype=torch.long)}
    close(output, layer(X[:1, 0], EDGES, **zeros)[0])
    gates = layer.input_conv_l0.lin(X[0, 0]) + layer.hidden_conv_l0.lin.bias
    close(output[0], cells.lstm(gates, lambda h: 0.0, (torch.zeros(N, H, dtype=torch.float64),) * 2)[0])


class Raises(pyg.SAGEConv):
    def forward(self, x, edge_index):
        raise RuntimeError("no luck")


class Pair(pyg.SAGEConv):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index), None


def test_gcn_lstm_errors_of_a_convolution_are_its_own():
    with pytest.raises(RuntimeError, match=r"^no luck$"):
        GCNLSTM(F, H, conv=Raises, dtype=torch.float64)(X, EDGES)
    with pytest.raises(ValueError, match=r"to return shape \(42, 16\), got \(shape \(42, 16\), NoneType\)$"):
        GCNLSTM(F, H, conv=Pair, dtype=torch.float64)(X, EDGES)


def test_gcn_lstm_conv_may_infer_its_channels():
    layer = GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv(-1, o)).double()
    assert layer(X, EDGES)[0].shape == (T, B, N, H)
    with pytest.raises(ValueError, match="expected a convolution of 2 channels in"):
        GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv(0, o))


class Noisy(pyg.SAGEConv):
    def forward(self, x, edge_index):
        noise = torch.rand(())
        self.drawn.append(float(noise))
        return noise * super().forward(x, edge_index)


def test_gcn_rnn_recomputed_segments_draw_equal_noise(monkeypatch):
    monkeypatch.setattr(Noisy, "drawn", [], raising=False)
    layer = GCNRNN(F, H, conv=Noisy, checkpoint_every=1, dtype=torch.float64)
    layer(X, EDGES)[0].sum().backward()
    there, back = Noisy.drawn[: 2 * T], Noisy.drawn[2 * T :]
    assert len(set(there)) == 2 * T and sorted(there) == sorted(back)


@pytest.mark.parametrize("conv", [pyg.SAGEConv, Normed])
def test_gcn_lstm_reset_parameters_redraws_convolutions(conv):
    layer = GCNLSTM(F, H, conv=conv)
    before = layer(X.float(), EDGES)[0]
    layer.reset_parameters()
    assert not torch.allclose(layer(X.float(), EDGES)[0], before)


@pytest.mark.parametrize(
    "conv, filter",
    [("chebyshev", r"Chebyshev\(K=3\)"), (Chebyshev, r"Chebyshev\(K=3\)"), ("Diffusion", r"Diffusion\(K=3\)"),
     (Identity, r"Identity\(\)"), ("gcn", r"GCN\(\)"), (GCN, r"GCN\(\)")],
)  # fmt: skip
def test_graph_rnn_conv_by_name_or_class_raises_with_the_nearest_filter(conv, filter):
    with pytest.raises(ValueError, match=f"expected conv to be a filter, such as {filter}, or a factory"):
        GCNLSTM(F, H, conv=conv)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: GCNLSTM(F, H, conv=pyg.SAGEConv(F, 4 * H)),
            "expected conv to be a filter, such as .*, or a factory of convolutions, such as lambda i,",
        ),
        (lambda: GCNLSTM(F, H, conv=lambda i, o: None), "expected a convolution that is an nn.Module, got None"),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv(i + 1, o)),
            "expected a convolution of 2 channels in",
        ),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: pyg.HeteroConv({("a", "to", "a"): pyg.SAGEConv(i, o)})),
            "expected a convolution of one type of nodes and edges, got HeteroConv",
        ),
        (lambda: GCLSTM(F, H, K=2, peephole=True), "GCLSTM: expected option to be one of .* got 'peephole'"),
        (lambda: DCRNN(F, H, K=2, conv=GCN()), "DCRNN: expected option to be one of .* got 'conv'"),
        (lambda: TGCN(F, H, dropuot=0.5), "TGCN: expected option .* got 'dropuot'; did you mean 'dropout'"),
        (lambda: GCRNCell(F, H, K=2, reset="after"), "GCRNCell: expected option to be one of .* got 'reset'"),
        (lambda: GCRN(F, H, K=2, nonlinearity="relu"), "GCRN: expected a cell of kind rnn with nonlinearity='relu'"),
        (
            lambda: layer_with_attributes()(X, EDGES, edge_attr=ATTR[0, 0]),
            r"edge_attr of shape \[\d+, D\], got shape \(\)",
        ),
        (
            lambda: layer_with_attributes()(X, EDGES, edge_attr=ATTR.to("meta")),
            "expected edge_attr on cpu, .* got meta",
        ),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv((i + 1, i + 1), o)),
            "expected a convolution of 2 channels in",
        ),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv((i + 1, i), o)),
            "expected a convolution of 2 channels in",
        ),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: Normed(i + 1, o))(X.float(), EDGES),
            r"GCNLSTM: expected a convolution that takes x \(42, 2\), got Normed",
        ),
        (lambda: GCNLSTM(F, H, conv=pyg.SAGEConv, bias=False), "expected bias=False in the convolutions"),
        (lambda: GCNLSTM(F, H, conv=3), "expected conv to be a filter.*got 3"),
        (lambda: GCNLSTM(F, H, conv=pyg.SAGEConv, input_conv=GCN()), "expected conv or input_conv for the input"),
        (lambda: GCNLSTM(F, H, conv=pyg.SAGEConv, hidden_conv=GCN()), "conv or hidden_conv for the hidden"),
        (lambda: GCNLSTM(F, H, conv=pyg.SAGEConv, init="xavier"), "init and forget_bias with filters only, got a conv"),
        (
            lambda: GCNLSTM(F, H, conv=pyg.SAGEConv)(X.float(), EDGES, WEIGHTS.float()),
            "expected no edge_weight, since",
        ),
        (
            lambda: GCNLSTM(F, H)(X.float(), EDGES, edge_attr=ATTR),
            "expected no edge_attr, since filters would not take it",
        ),
        (
            lambda: GCNLSTM(F, H, conv=lambda i, o: pyg.SAGEConv(i, o + 1))(X.float(), EDGES),
            r"expected SAGEConv\(2, 17, aggr=mean\) to return shape \(42, 16\), got shape \(42, 17\)",
        ),
        (
            lambda: GCNLSTM(F, H, conv=CONVS["GATv2Conv"][0])(X.float(), EDGES, edge_attr=ATTR[:3].float()),
            r"expected edge_attr of shape \[10, D\], got shape \(3, 3\)",
        ),
        (
            lambda: GCNLSTM(F, H, conv=CONVS["GATv2Conv"][0])(X.float(), [EDGES] * T, edge_attr=ATTR.float()),
            "expected a list of 3 of edge_attr, one per step, got one for all steps",
        ),
        (lambda: GCNLSTM(F, H, conv=pyg.SAGEConv)(X.float(), EDGES + 5), r"expected node indices in 0..6 .* got 5..10"),
        (lambda: GCNRNN(F, H, peephole=True), "GCNRNN: expected a cell of kind lstm with peephole=True, got rnn"),
        (lambda: GCNLSTM(F, H, reset="before"), "GCNLSTM: expected a cell of kind gru with reset='before', got lstm"),
    ],
)
def test_graph_rnn_invalid_convolutions_raise_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
