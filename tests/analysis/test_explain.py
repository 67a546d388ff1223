"""Importance of edges by time step: polynomials by hand, completeness, and planted causes."""

import copy

import pytest
import torch
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from seqgnn.analysis import explain
from seqgnn.nn import GCN, GCNGRU, GCNLSTM, GCNRNN, Chebyshev, Diffusion, GCRNCell, Identity
from tests.support.oracles import close, tricky_graph

EDGES, WEIGHTS, N = tricky_graph()
E, T, B, F, H = EDGES.size(1), 3, 2, 2, 3


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def adding_layer(**options):
    """h_t = P x_t + P h_(t-1) with the adjacency matrix as P, for x above zero."""
    layer = GCNRNN(1, 1, bias=False, nonlinearity="relu", dtype=torch.float64, **options)
    for parameter in layer.parameters():
        torch.nn.init.ones_(parameter)
    return layer


RAW = GCN(None, add_self_loops=False)
PATH = torch.tensor([[0, 1, 0], [1, 2, 3]])  # 0 -> 1 -> 2, and 0 -> 3
# Node 2 at step 1 has m[1, 1->2] (x_1[1] + m[0, 0->1] x_0[0]).
X = torch.tensor([[3.0, 5.0, 7.0, 9.0], [2.0, 4.0, 6.0, 8.0]], dtype=torch.float64)[..., None]
IMPORTANCE = torch.tensor([[1.5, 0.0, 0.0], [0.0, 4.0 + 1.5, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("engine", ["auto", "fused", "reference"])
def test_explain_equals_importances_by_hand(engine):
    found = explain(adding_layer(conv=RAW, engine=engine), X, PATH, target=(-1, 2, 0), steps=1)
    close(found.importance, IMPORTANCE)
    assert (found.output, found.baseline) == (7.0, 0.0) and abs(found.convergence_delta) < 1e-12
    assert found.top(2) == [(1, 1, 2, 5.5), (0, 0, 1, 1.5)]
    assert found.top(2)[0]._fields == ("step", "source", "target", "importance")
    close(found.per_edge, torch.tensor([1.5, 5.5, 0.0], dtype=torch.float64))
    close(found.per_step, torch.tensor([1.5, 5.5], dtype=torch.float64))


def test_explain_with_pyg_conv_equals_importances_by_hand():
    class Sum(torch.nn.Module):
        def __init__(self, *_):
            super().__init__()
            self.conv = pyg.SimpleConv(aggr="sum")

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    layer = GCNRNN(1, 1, nonlinearity="relu", conv=Sum)
    close(explain(layer, X, PATH, target=(-1, 2, 0)).importance, IMPORTANCE)
    windows = torch.stack([X, 2 * X], 1)  # the mean over both
    close(explain(layer, windows, PATH, target=lambda y: y[-1, :, 2, 0]).importance, 1.5 * IMPORTANCE)


def test_explain_weights_and_changing_graphs_equal_hand_values():
    layer, weights = adding_layer(conv=RAW), torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64)
    found = explain(layer, X, PATH, weights, target=lambda y: 10 - y[-1, 2, 0])
    close(found.importance, -0.5 * IMPORTANCE)
    assert found.top(1)[0].importance == pytest.approx(-2.75)
    flipped = PATH[:, [1, 0, 2]]
    found = explain(layer, X, [PATH, flipped], target=(-1, 2, 0))
    close(found.importance, torch.tensor([[1.5, 0.0, 0.0], [5.5, 0.0, 0.0]], dtype=torch.float64))
    assert [edge[:3] for edge in found.top(2)] == [(1, 1, 2), (0, 0, 1)]
    prepared = layer.prepare(PATH, num_nodes=4)
    close(explain(layer, X, prepared, target=(-1, 2, 0)).importance, IMPORTANCE)
    adjacency = torch.sparse_coo_tensor(PATH.flip(0), torch.ones(3).double(), (4, 4), check_invariants=True)
    found = explain(layer, X, adjacency, target=(-1, 2, 0))
    assert [edge[:3] for edge in found.top(2)] == [(1, 1, 2), (0, 0, 1)]


LAYERS = {
    "Identity": lambda: GCNLSTM(F, H, conv=Identity()),
    "GCNLSTM": lambda: GCNLSTM(F, H, num_layers=2, bidirectional=True),
    "Chebyshev": lambda: GCNGRU(F, H, conv=Chebyshev(3)),
    "Diffusion": lambda: GCNRNN(F, H, conv=Diffusion(3, "authors")),
    "mixed": lambda: GCNGRU(F, H, input_conv=pyg.GATConv, hidden_conv=GCN("rw"), reset="before"),
    "GraphConv": lambda: GCNLSTM(F, H, conv=pyg.GraphConv),
    "GCRN": lambda: sg.GCRN(F, H, K=3, model=1),
    "DCRNN": lambda: sg.DCRNN(F, H, K=2),
    "TGCN": lambda: sg.TGCN(F, H),
    "A3TGCN": lambda: sg.A3TGCN(F, H),
    "GCLSTM": lambda: sg.GCLSTM(F, H, K=3),
    "EvolveGCN O": lambda: sg.EvolveGCN(F, H),
    "EvolveGCN H": lambda: sg.EvolveGCN(F, H, variant="H"),
    "DCRNNForecaster": lambda: sg.DCRNNForecaster(F, H, K=2, horizon=3),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("windows", [False, True])
def test_explain_importances_sum_to_the_difference_of_outputs(name, windows):
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    x = draw(T, B, N, F) if windows else draw(T, N, F)
    weights = None if name == "mixed" else WEIGHTS
    found = explain(layer, x, EDGES, weights, target=lambda y: y.square().sum(), steps=16)
    steps = T + 3 if isinstance(layer, sg.DCRNNForecaster) else T
    assert found.importance.shape == (steps, E) and found.importance.dtype == torch.float64
    kinks = name.startswith(("TGCN", "A3TGCN", "EvolveGCN"))  # of a ReLU, where quadrature is less exact
    assert abs(found.convergence_delta) <= (1e-2 if kinks else 1e-5) * float(found.importance.abs().sum()) + 1e-12
    assert (name == "Identity") == (found.importance.count_nonzero() == 0)
    if name == "GraphConv":  # no normalization, which would change with the edges
        expected = layer(x, EDGES[:, :0])[0].square().sum()
        assert found.baseline == pytest.approx(expected.item())


def test_explain_of_windows_is_the_mean_of_single_windows():
    layer, x = GCNLSTM(F, H, dtype=torch.float64), draw(T, B, N, F)
    together = explain(layer, x, EDGES, target=lambda y: y[-1, :, 2].sum(-1))
    each = [explain(layer, x[:, b : b + 1], EDGES, target=lambda y: y[-1, :, 2].sum(-1)) for b in range(B)]
    close(together.importance, torch.stack([one.importance for one in each]).mean(0))
    first = GCNLSTM(F, H, batch_first=True, dtype=torch.float64)
    first.load_state_dict(layer.state_dict())
    found = explain(first, x.transpose(0, 1), EDGES, target=lambda y: y[:, -1, 2].sum(-1))
    close(found.importance, together.importance)


class Stepwise(torch.nn.Module):
    """A cell in a custom loop, after a convolution that is not explained."""

    def __init__(self, cell):
        super().__init__()
        self.conv, self.cell, self.drop = sg.GCNConv(F, F), cell, torch.nn.Dropout(0.5)

    def forward(self, x, edge_index, edge_weight=None):
        state = None
        for x_t in self.conv(x, edge_index, edge_weight):
            state = self.cell(x_t, edge_index, edge_weight, state)
        return self.drop(state[0])


def test_explain_of_a_cell_in_a_loop_equals_the_layer():
    torch.manual_seed(0)
    model, layer = Stepwise(GCRNCell(F, H, K=3)).double(), sg.GCRN(F, H, K=3).double()
    layer.load_state_dict(model.cell.state_dict())
    found = explain(model, draw(T, N, F), EDGES, WEIGHTS, target=2)
    x = model.conv(draw(T, N, F), EDGES, WEIGHTS).detach()
    close(found.importance, explain(layer, x, EDGES, WEIGHTS, target=(-1, 2)).importance)
    cell = sg.EvolveGCNCell(F, H).double()
    close(explain(cell, x[0], EDGES, target=2).importance,
          explain(_evolve(cell), x[:1], EDGES, target=(-1, 2)).importance)  # fmt: skip


def _evolve(cell):
    layer = sg.EvolveGCN(F, H).double()
    layer.load_state_dict(cell.state_dict())
    return layer


def test_explain_with_lengths_and_batch_is_zero_elsewhere():
    conv = lambda i, o: pyg.GATv2Conv(i, o, edge_dim=4)  # noqa: E731
    layer, attributes = GCNLSTM(F, H, conv=conv, dtype=torch.float64), draw(E, 4)
    options = {"edge_attr": attributes, "lengths": torch.tensor([T, 1])}
    found = explain(layer, draw(T, B, N, F), EDGES, target=(slice(None), 1), **options)
    assert found.importance[0].count_nonzero() > 0 and found.importance[1:].count_nonzero() == 0
    assert abs(found.convergence_delta) < 1e-6
    layer, batch = sg.GCRN(F, H, K=2).double(), torch.tensor([0] * N + [1] * N)
    both = torch.cat([EDGES, EDGES + N], 1)
    found = explain(layer, draw(T, 2 * N, F), both, batch=batch, target=(-1, slice(N)))
    assert found.importance[:, E:].count_nonzero() == 0 and found.importance[:, :E].count_nonzero() > 0


def test_explain_does_not_change_the_model():
    torch.manual_seed(0)
    model = Stepwise(GCRNCell(F, H, K=3)).double().train()
    model.conv.eval()
    before, hooks = copy.deepcopy(model), [len(part._forward_pre_hooks) for part in model.modules()]
    found = explain(model, draw(T, N, F), EDGES, target=2)
    with torch.no_grad():
        again = explain(model, draw(T, N, F), EDGES, target=2)
    assert found.importance.equal(again.importance)
    assert [part.training for part in model.modules()] == [part.training for part in before.modules()]
    assert all(p.grad is None for p in model.parameters())
    for name, value in before.state_dict().items():
        assert value.equal(model.state_dict()[name])
    with pytest.raises(ZeroDivisionError):
        explain(model, draw(T, N, F), EDGES, target=lambda y: 1 / 0)
    assert [len(part._forward_pre_hooks) for part in model.modules()] == hooks
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    close(explain(model, draw(T, N, F), EDGES, target=2).importance, found.importance)


def test_explain_invalid_arguments_raise_value_error():
    layer, x, changing = GCNGRU(F, H, dtype=torch.float64), draw(T, N, F), [EDGES, EDGES, EDGES[:, 1:]]
    for match, call in {
        "expected a model with a graph-recurrent layer, got GCNConv": lambda: explain(sg.GCNConv(F, H), x, EDGES),
        r"a target that selects a tensor in the output, got shape \(3, 7, 3\)": lambda: explain(layer, x, EDGES),
        "got float": lambda: explain(layer, x, EDGES, target=lambda y: 1.0),
        "no message or parameter": lambda: explain(layer, x, EDGES, target=lambda y: y.detach().sum()),
        "expected steps to be an integer": lambda: explain(layer, x, EDGES, target=0, steps=0),
        "the same number of edges at all steps, got 9 and 10": lambda: explain(layer, x, changing, target=0),
        r"an edge mask of shape \[11\], got \[10\]": lambda: explain(LoopAdding(layer), x, EDGES, target=0),
        "the same number of steps, got 2 and 3": lambda: explain(Halved(layer), x, EDGES, target=0),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()


class Scalar(torch.nn.Module):
    """The sum of a layer's last outputs; a second layer is never called."""

    def __init__(self, layer, size=()):
        super().__init__()
        self.layer, self.size, self.unused = layer, size, GCNGRU(F, H, dtype=torch.float64)

    def forward(self, x, edge_index):
        return self.layer(x, edge_index)[0][-1].sum().expand(self.size)


def test_explain_scalar_output_needs_no_target():
    layer, x = GCNGRU(F, H, dtype=torch.float64), draw(T, N, F)
    expected = explain(layer, x, EDGES, target=lambda y: y[-1].sum())
    for size in ((), (1,)):
        found = explain(Scalar(layer, size), x, EDGES)
        close(found.importance, expected.importance)
        assert isinstance(found.output, float) and found.output == pytest.approx(expected.output)
    with pytest.raises(ValueError, match=r"a target that selects a tensor in the output, got shape \(2,\)"):
        explain(Scalar(layer, (2,)), x, EDGES)


class CellLoop(torch.nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, edge_index, edge_attr):
        state = None
        for x_t in x:
            state = self.cell(x_t, edge_index, None, state, edge_attr=edge_attr)
        return state


def test_explain_of_a_cell_with_edge_attributes_equals_the_layer():
    def conv(i, o):
        return pyg.GATv2Conv(i, o, edge_dim=2)

    torch.manual_seed(0)
    layer, cell = (make(F, H, conv=conv, dtype=torch.float64) for make in (GCNGRU, sg.GCNGRUCell))
    cell.load_state_dict(layer.state_dict())
    x, attributes = draw(T, N, F), draw(E, 2, seed=1)
    expected = explain(layer, x, EDGES, edge_attr=attributes, target=-1)
    found = explain(CellLoop(cell), x, EDGES, edge_attr=attributes, target=slice(None))
    close(found.importance, expected.importance)


class LoopAdding(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, edge_index):
        return self.layer(x, torch.cat([edge_index, torch.tensor([[0], [0]])], 1))


class Halved(LoopAdding):
    def __init__(self, layer):
        super().__init__(layer)
        self.second = GCNGRU(H, H, dtype=torch.float64)

    def forward(self, x, edge_index):
        return self.second(self.layer(x, edge_index)[0][1:], edge_index)


# Planted causes


class Planted:
    """Noise on a random directed graph; the target of one node is the value of a neighbor at one step."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        pairs = torch.tensor([(i, j) for i in range(8) for j in range(8) if i != j]).t()
        self.edge_index = pairs[:, torch.randperm(pairs.size(1), generator=self.generator)[:20]]
        self.edge, self.step = (int(torch.randint(bound, (), generator=self.generator)) for bound in (20, 5))
        self.source, self.node = self.edge_index[:, self.edge].tolist()

    def draw(self, windows):
        x = torch.randn(5, windows, 8, 1, generator=self.generator)
        return x, x[self.step, :, self.source]

    def rank(self, scores):
        """Return the rank of the planted edge and step, from 1 to 100; ties by their mean."""
        planted = scores[self.step, self.edge]
        return 1 + int((scores > planted).sum()) + (int((scores == planted).sum()) - 1) / 2


def ranks_of_planted_cause(seed, **options):
    """Return the ranks by `explain` and by gradient times input, for the error on new windows, and that error."""
    planted = Planted(seed)
    torch.manual_seed(seed)
    layer, head = GCNLSTM(1, 16, **options), torch.nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    for _ in range(300):
        x, y = planted.draw(64)
        loss = (head(layer(x, planted.edge_index)[0][-1, :, planted.node]) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = planted.draw(256)
    score = lambda h: -(head(h[-1, :, planted.node]) - y).square().mean()  # noqa: E731
    found = explain(layer, x, planted.edge_index, target=score)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(score(layer(x, planted.edge_index)[0]), x)
    by_node = (gradient * x).abs().sum((1, 3))  # [T, N]
    return planted.rank(found.importance), planted.rank(by_node[:, planted.edge_index[0]]), -found.output


@pytest.mark.slow
def test_explain_ranks_the_planted_edge_and_step_first():
    """Only the input is propagated, so the planted edge at its step is the only path; 100 edges and steps."""
    ranks = [ranks_of_planted_cause(seed, input_conv=Chebyshev(2), hidden_conv=Identity()) for seed in range(10)]
    assert sum(rank == 1 for rank, _, _ in ranks) >= 9, ranks
