"""Masks of edges, as PyG's explainers put them on layers: values and gradients against dense oracles.

The oracles of tests/support/graph_oracles.py are masked where they build their matrices, so that every one of them
serves: an off-diagonal entry is multiplied by the mask of its edge, or, of duplicate edges, by the mean of theirs by
    weight.
"""

import contextlib

import pytest
import torch
from torch_geometric import nn as pyg
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from seqgnn import nn as sg
from seqgnn.nn import GCN, GCNGRU, GCNLSTM, Chebyshev, Diffusion
from tests.support import graph_oracles as og
from tests.support import layer_cases
from tests.support.edge_masks import RING, B, F, H, N, T, draw
from tests.support.layer_cases import CASES
from tests.support.oracles import close, tricky_graph, tricky_graphs

EDGES, WEIGHTS, _ = tricky_graph()
E = EDGES.size(1)
LOOP = EDGES[0] == EDGES[1]
LARGE = torch.stack([torch.randint(100, (600,), generator=torch.Generator().manual_seed(s)) for s in (0, 1)])


def mask_of(num_edges, dtype=torch.float64):
    mask = torch.rand(num_edges, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return mask.to(dtype).requires_grad_()


@contextlib.contextmanager
def masked(model, mask, edge_index, apply_sigmoid=False):
    set_masks(model, mask, edge_index, apply_sigmoid)
    try:
        yield
    finally:
        clear_masks(model)


def spread(mask, edge_index, edge_weight, num_nodes):
    """The mask as a matrix, [i, j] for edges from i to j; 0 where there are none."""
    weight = torch.ones(len(mask), dtype=torch.float64) if edge_weight is None else edge_weight.double()
    zeros, places = torch.zeros(num_nodes, num_nodes, dtype=torch.float64), tuple(edge_index)
    total = zeros.index_put(places, weight, accumulate=True)
    return zeros.index_put(places, weight * mask.double(), accumulate=True) / total.where(total != 0, 1.0)


@pytest.fixture
def oracle_masks(monkeypatch):
    """Masks by the identity of the edges they are for: the oracles' matrices are masked by them."""
    masks = {}
    gcn, laplacian, random_walks = og.gcn_operator, og.scaled_laplacian, og.random_walks

    def keep_diagonal(matrix, by):
        eye = torch.eye(len(matrix), dtype=torch.bool)
        return torch.where(eye, matrix, matrix * by)

    def masked_gcn(e, w, n, *rest, **options):
        return keep_diagonal(gcn(e, w, n, *rest, **options), spread(masks[id(e)], e, w, n).T)

    def masked_laplacian(e, w, n, *rest, **options):
        return keep_diagonal(laplacian(e, w, n, *rest, **options), spread(masks[id(e)], e, w, n).T)

    def masked_walks(e, w, n):
        by = spread(masks[id(e)], e, w, n)  # a self-loop is an edge like any other here
        forward, backward = random_walks(e, w, n)
        return forward * by, backward * by.T

    monkeypatch.setattr(og, "gcn_operator", masked_gcn)
    monkeypatch.setattr(layer_cases, "gcn_operator", masked_gcn)
    monkeypatch.setattr(og, "scaled_laplacian", masked_laplacian)
    monkeypatch.setattr(og, "random_walks", masked_walks)
    return masks


def gradients(value, *leaves):
    weighting = draw(*value.shape, seed=9)
    weighted = (value.double() * weighting).sum()
    return torch.autograd.grad(weighted, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)


# Convolutions


def gcn_conv(**options):
    return lambda: sg.GCNConv(F, H, **options), lambda e, w, n: [og.gcn_operator(e, w, n)]


CONVS = {
    "GCN": gcn_conv(),
    "GCN rw": (
        lambda: sg.GCNConv(F, H, normalization="rw"), lambda e, w, n: [og.gcn_operator(e, w, n, "rw")],
    ),
    "ChebConv": (lambda: sg.ChebConv(F, H, 3), lambda e, w, n: og.chebyshev_operators(e, w, n, 3)),
    "ChebConv None": (
        lambda: sg.ChebConv(F, H, 4, None), lambda e, w, n: og.chebyshev_operators(e, w, n, 4, None),
    ),
    "DiffusionConv": (lambda: sg.DiffusionConv(F, H, 3), lambda e, w, n: og.diffusion_operators(e, w, n, 3)),
    "DiffusionConv authors": (
        lambda: sg.DiffusionConv(F, H, 3, variant="authors"),
        lambda e, w, n: og.diffusion_operators_authors(e, w, n, 3),
    ),
}  # fmt: skip


def weights_of(conv):
    return [conv.lin.weight] if hasattr(conv, "lin") else [lin.weight for lin in conv.lins]


@pytest.mark.parametrize(("graph", "dtype"), [("tricky", torch.float64), ("tricky", torch.float32),
                                               ("large", torch.float64)])  # fmt: skip
@pytest.mark.parametrize("name", CONVS)
def test_conv_with_edge_mask_equals_dense_oracle(name, graph, dtype, oracle_masks):
    edges, weights, nodes = (EDGES, WEIGHTS, N) if graph == "tricky" else (LARGE, None, 100)
    make, blocks = CONVS[name]
    torch.manual_seed(0)
    conv, x, mask = make().to(dtype), draw(nodes, F, dtype=dtype), mask_of(edges.size(1), dtype)
    weights = None if weights is None else weights.to(dtype)
    with masked(conv, mask, edges):
        found = conv(x, edges, weights)
    oracle_masks[id(edges)] = mask
    operators = blocks(edges, weights, nodes)
    expected = sum(p @ x.double() @ w.double().T for p, w in zip(operators, weights_of(conv), strict=True))
    expected = expected + conv.bias.double()
    rtol = 1e-10 if dtype == torch.float64 else 1e-4
    close(found.double(), expected, rtol)
    for ours, theirs in zip(gradients(found, mask, conv.bias), gradients(expected, mask, conv.bias), strict=True):
        close(ours.double(), theirs.double(), rtol)
    close(conv(x, edges, weights), make_unmasked(conv, x, edges, weights), rtol)


def make_unmasked(conv, x, edges, weights):
    """The layer with a mask of ones: what it is without one."""
    with masked(conv, torch.ones(edges.size(1), dtype=x.dtype), edges):
        return conv(x, edges, weights)


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
def test_gcn_conv_with_edge_mask_in_both_flows_equals_oracle(flow, oracle_masks):
    conv, x, mask = sg.GCNConv(F, H, flow=flow).double(), draw(N, F), mask_of(E)
    with masked(conv, mask, EDGES):
        found = conv(x, EDGES, WEIGHTS)
    edges = EDGES if flow == "source_to_target" else EDGES.flip(0)
    oracle_masks[id(edges)] = mask
    close(found, og.gcn_operator(edges, WEIGHTS, N) @ x @ conv.lin.weight.T)


def test_conv_with_edge_mask_on_leading_dimensions_is_equal():
    for make, _ in CONVS.values():
        conv, x, mask = make().double(), draw(T, B, N, F), mask_of(E)
        with masked(conv, mask, EDGES):
            close(conv(x, EDGES, WEIGHTS)[1, 1], conv(x[1, 1], EDGES, WEIGHTS))


@pytest.mark.parametrize(("ours", "theirs"), [(sg.GCNConv(F, H), pyg.GCNConv(F, H)),
                                              (sg.ChebConv(F, H, 3), pyg.ChebConv(F, H, 3))])  # fmt: skip
def test_conv_with_edge_mask_equals_pyg(ours, theirs):
    theirs.load_state_dict(ours.state_dict())
    x, mask = draw(N, F, dtype=torch.float32), mask_of(E, torch.float32)
    found = []
    for conv in (ours, theirs):
        with masked(conv, mask, EDGES, apply_sigmoid=True):
            found.append(conv(x, EDGES, WEIGHTS.float()))
    close(found[0], found[1], 1e-5)
    for a, b in zip(gradients(found[0], mask), gradients(found[1], mask)):
        close(a, b, 1e-5)


def test_conv_with_edge_mask_and_self_loops_equals_oracle(oracle_masks):
    """Where PyG 2.8 takes the mask of one edge for another."""
    edges = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0]])
    mask, x = mask_of(6), draw(3, F)
    oracle_masks[id(edges)] = mask
    for make, blocks in CONVS.values():
        conv = make().double()
        with masked(conv, mask, edges):
            found = conv(x, edges)
        close(found, sum(p @ x @ w.T for p, w in zip(blocks(edges, None, 3), weights_of(conv), strict=True)))


def test_conv_edge_mask_passes_gradcheck():
    for make, _ in CONVS.values():
        conv, x = make().double(), draw(6, F)

        def of_mask(mask, conv=conv, x=x):
            with masked(conv, mask, RING):
                return conv(x, RING)

        assert torch.autograd.gradcheck(of_mask, mask_of(6))


# Graph-recurrent layers


def run(case, layer, x, edges, weights):
    return case.parts(layer(x, edges, weights))


@pytest.mark.parametrize(("case", "windows"), [*((c, False) for c in CASES), *((c, True) for c in CASES[::4])], ids=str)
def test_graph_rnn_with_edge_mask_equals_dense_oracle(case, windows, oracle_masks):
    layer, mask = case.make(F, H), mask_of(E)
    x = draw(T, B, N, F) if windows else draw(T, N, F)
    with masked(layer, mask, EDGES):
        found = run(case, layer, x, EDGES, WEIGHTS)[0]
    oracle_masks[id(EDGES)] = mask
    shape = (1, *x.shape[1:-1], H)
    state = tuple(torch.zeros(shape, dtype=torch.float64) for _ in range(2 if layer.kind == "lstm" else 1))
    parameters = dict(layer.named_parameters())
    expected, _ = case.oracle(parameters, x, (EDGES, WEIGHTS), state=state)
    close(found, expected)
    for a, b in zip(gradients(found, mask, layer.weight_ih_l0), gradients(expected, mask, layer.weight_ih_l0)):
        close(a, b)


@pytest.mark.parametrize("engine", ["auto", "fused", "reference"])
@pytest.mark.parametrize("case", CASES[1::4], ids=str)
def test_graph_rnn_mask_per_step_equals_oracle_in_every_engine(case, engine, oracle_masks):
    """`PreparedGraph.masked`: a mask for each step."""
    layer = case.make(F, H, engine=engine)
    x, masks = draw(T, N, F), [mask_of(E) * (t + 1) / T for t in range(T)]
    graph = layer.prepare(EDGES, WEIGHTS, N)
    found = run(case, layer, x, [graph.masked(mask) for mask in masks], None)[0]
    steps = [(EDGES.clone(), WEIGHTS) for _ in range(T)]
    oracle_masks |= {id(edges): mask for (edges, _), mask in zip(steps, masks)}
    state = tuple(torch.zeros(1, N, H, dtype=torch.float64) for _ in range(2 if layer.kind == "lstm" else 1))
    expected, _ = case.oracle(dict(layer.named_parameters()), x, steps, state=state)
    close(found, expected)
    for a, b in zip(gradients(found, *masks), gradients(expected, *masks)):
        close(a, b)


@pytest.mark.parametrize(
    ("filter", "dtype"),
    [(GCN(), torch.float64), (GCN(), torch.float32), (Chebyshev(3), torch.float64), (Diffusion(3), torch.float64)],
)
def test_gcn_lstm_edge_mask_on_large_graph_equals_oracle(filter, dtype, oracle_masks):
    x, mask = draw(8, 3, 100, F, dtype=dtype), mask_of(600, dtype)
    oracle_masks[id(LARGE)] = mask
    operators = layer_cases.OPERATORS[filter](LARGE, None, 100)
    rtol = 1e-10 if dtype == torch.float64 else 2e-4
    for engine in ("auto", "fused", "reference"):
        torch.manual_seed(0)
        layer = GCNLSTM(F, H, conv=filter, engine=engine, dtype=dtype)
        with masked(layer, mask, LARGE):
            by_explainer = layer(x, LARGE)[0]
        by_graph = layer(x, layer.prepare(LARGE, None, 100).masked(mask))[0]
        expected = dense_lstm({n: p.double() for n, p in layer.named_parameters()}, x.double(), operators)
        close(by_explainer.double(), expected, rtol)
        close(by_graph.double(), expected, rtol)
        (grad,) = gradients(expected, mask)
        close(gradients(by_explainer, mask)[0], grad, rtol)
        close(gradients(by_graph, mask)[0], grad, rtol)


def dense_lstm(p, x, operators):
    basis = lambda z: torch.cat([operator @ z for operator in operators], -1)  # noqa: E731
    h = c = torch.zeros(*x.shape[1:-1], H, dtype=torch.float64)
    outputs = []
    for x_t in x:
        gates = basis(x_t) @ p["weight_ih_l0"].T + basis(h) @ p["weight_hh_l0"].T + p["bias_ih_l0"] + p["bias_hh_l0"]
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("variant", ["O", "H"])
def test_evolve_gcn_with_edge_mask_equals_dense_oracle(variant, oracle_masks):
    layer, mask, x = sg.EvolveGCN(F, H, variant=variant, dtype=torch.float64), mask_of(E), draw(T, N, F)
    with masked(layer, mask, EDGES):
        found, _ = layer(x, EDGES, WEIGHTS)
    oracle_masks[id(EDGES)] = mask
    p = {name.removesuffix("_l0"): value for name, value in layer.named_parameters()}
    p |= {"weight_0": p["weight"]} | ({"p": p["score"]} if variant == "H" else {})
    expected, _ = og.evolve_gcn(p, x, (EDGES, WEIGHTS), variant)
    close(found, expected)
    close(gradients(found, mask)[0], gradients(expected, mask)[0])
    by_graph, _ = layer(x, layer.prepare(EDGES, WEIGHTS, N).masked(mask))
    close(by_graph, expected)


def test_a3tgcn_and_dcrnn_forecaster_with_edge_mask_equal_oracle(oracle_masks):
    mask, x = mask_of(E), draw(T, N, F)
    oracle_masks[id(EDGES)] = mask
    layer = sg.A3TGCN(F, H, dtype=torch.float64)
    with masked(layer, mask, EDGES):
        found, _ = layer(x, EDGES, WEIGHTS)
    names = {"attention.0.weight": "attention.weight_1", "attention.0.bias": "attention.bias_1",
             "attention.1.weight": "attention.weight_2", "attention.1.bias": "attention.bias_2"}  # fmt: skip
    p = {names.get(name, name): value for name, value in layer.named_parameters()}
    close(found, og.a3tgcn(p, x, (EDGES, WEIGHTS))[0])
    layer = sg.DCRNNForecaster(F, H, 1, horizon=2, K=3, dtype=torch.float64)
    with masked(layer, mask, EDGES):
        found = layer(x, EDGES, WEIGHTS)
    expected = og.dcrnn_forecaster(dict(layer.named_parameters()), x, (EDGES, WEIGHTS), 3, 2)
    close(found, expected)
    close(gradients(found, mask)[0], gradients(expected, mask)[0])


@pytest.mark.parametrize("conv", [pyg.GCNConv, lambda i, o: pyg.ChebConv(i, o, 3), sg.GCNConv,
                                  lambda i, o: sg.ChebConv(i, o, 3)])  # fmt: skip
@pytest.mark.parametrize("layer", [GCNLSTM, GCNGRU])
@pytest.mark.parametrize("windows", [False, True])
def test_graph_rnn_edge_mask_on_conv_equals_filter(conv, layer, windows):
    torch.manual_seed(0)
    filter = GCN() if hasattr(conv(1, 1), "lin") else Chebyshev(3)
    ours, plain = layer(F, H, conv=conv, dtype=torch.float64), layer(F, H, conv=filter, dtype=torch.float64)
    state = {}
    for place, short in (("input", "ih"), ("hidden", "hh")):
        module = getattr(ours, f"{place}_conv_l0")
        state[f"weight_{short}_l0"] = torch.cat(weights_of(module), 1)
        state[f"bias_{short}_l0"] = module.bias
    plain.load_state_dict(state)
    x, mask = draw(T, B, N, F) if windows else draw(T, N, F), mask_of(E)
    found = []
    for model in (ours, plain):
        with masked(model, mask, EDGES, apply_sigmoid=True):
            found.append(model(x, EDGES, WEIGHTS)[0])
    close(found[0], found[1])
    close(gradients(found[0], mask)[0], gradients(found[1], mask)[0])
    steps = [ours.prepare(EDGES, WEIGHTS, N).masked(mask.sigmoid() * t) for t in range(T)]
    others = [plain.prepare(EDGES, WEIGHTS, N).masked(mask.sigmoid() * t) for t in range(T)]
    close(ours(x, steps)[0], plain(x, others)[0])


@pytest.mark.parametrize("make", [pyg.GATConv, pyg.SAGEConv, pyg.GraphConv, pyg.TransformerConv])
def test_gcn_lstm_edge_mask_on_convs_is_restored_after_calls(make):
    layer = GCNLSTM(F, H, conv=make, dtype=torch.float64)
    mask = torch.nn.Parameter(mask_of(E).detach())
    x = draw(T, B, N, F)
    with masked(layer, mask, EDGES):
        whole = layer(x, EDGES)[0]
        close(whole, torch.stack([layer(x[:, b], EDGES)[0] for b in range(B)], 1))
        parts = [part for part in layer.modules() if isinstance(part, pyg.MessagePassing)]
        assert len(parts) == 3 and all(part._edge_mask is mask for part in parts)
        assert all(part._loop_mask.shape == (E,) and part.explain for part in parts)
        whole.sum().backward()
        assert mask.grad.count_nonzero() > 0
        with pytest.raises(ValueError, match="expected input"):
            layer(x[..., :1], EDGES)
        with pytest.raises(RuntimeError, match="on purpose"), failing(layer.hidden_conv_l0):
            layer(x, EDGES)
        assert all(part._edge_mask is mask for part in parts)
    assert all(part._edge_mask is None and part.explain is None for part in parts)


@contextlib.contextmanager
def failing(conv):
    def fail(*_):
        raise RuntimeError("on purpose")

    handle = conv.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


def test_gcn_lstm_conv_with_explain_false_ignores_edge_mask():
    layer, x = GCNLSTM(F, H, conv=pyg.GraphConv, dtype=torch.float64), draw(T, N, F)
    for conv in layer.convs:
        conv.explain = False
    before = layer(x, EDGES)[0]
    with masked(layer, mask_of(E), EDGES):
        close(layer(x, EDGES)[0], before)


@pytest.mark.parametrize("options", [{}, {"conv": pyg.GraphConv}, {"conv": Chebyshev(2)}])
def test_gcn_lstm_one_edge_mask_on_changing_graphs_raises(options):
    graphs, _ = tricky_graphs(T)
    layer, x = GCNLSTM(F, H, **options, dtype=torch.float64), draw(T, N, F)
    with masked(layer, mask_of(E), EDGES):
        with pytest.raises(ValueError, match=r"an edge mask of shape \[12\], got \[10\]; one mask does not fit"):
            layer(x, [e for e, _ in graphs])
        same = layer(x, [EDGES] * T)[0]
        close(same, layer(x, EDGES)[0])
    with pytest.raises(ValueError, match=r"PreparedGraph: expected an edge mask of shape \[10\], got \[3\]"):
        layer.prepare(EDGES).masked(torch.ones(3))


def test_gcn_lstm_checkpoint_every_preserves_edge_mask():
    """Captum's masks are cleared before the backward pass, which computes a segment again."""
    for options in ({}, {"conv": pyg.GraphConv}):
        grads = []
        for every in (None, 2):
            torch.manual_seed(0)
            layer = GCNLSTM(F, H, checkpoint_every=every, **options, dtype=torch.float64)
            mask = mask_of(E)
            with masked(layer, mask, EDGES):
                out = layer(draw(T, N, F), EDGES)[0]
            grads.append(gradients(out, mask)[0])
        close(grads[0], grads[1])
