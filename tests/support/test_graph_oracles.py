"""The oracles of oracles_graph.py: the fixtures, small cases worked out by hand, gradients, limits."""

import json
import math

import numpy as np
import pytest
import torch

from tests.support import graph_oracles as og
from tests.support import oracles
from tests.support.oracles import close, gcn_operator, tricky_graph, tricky_graphs
from tests.support.paths import FIXTURE

FIXTURES = json.loads(FIXTURE.read_text())
SWAP = [torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)]  # two nodes, each sees the other


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def rand(*shape, seed=0, scale=0.7):
    generator = torch.Generator().manual_seed(seed + 97 * len(shape))
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator)


def cell_parameters(gates, inputs, hidden, width=None, suffix="_l0", seed=0, peephole=False):
    p = {
        f"weight_ih{suffix}": rand(gates * hidden, inputs, seed=seed + 1),
        f"weight_hh{suffix}": rand(gates * hidden, width or hidden, seed=seed + 2),
        f"bias_ih{suffix}": rand(gates * hidden, seed=seed + 3),
        f"bias_hh{suffix}": rand(gates * hidden, seed=seed + 4),
    }
    for k, gate in enumerate("ifo" if peephole else ""):
        p[f"weight_c{gate}{suffix}"] = rand(hidden, seed=seed + 5 + k)
    return p


def sg(v):
    return 1 / (1 + math.exp(-v))


def graph_of(pairs):
    """[(source, target, weight), ..] -> edge_index, edge_weight."""
    return torch.tensor([[s for s, _, _ in pairs], [t for _, t, _ in pairs]]), tensor([w for _, _, w in pairs])


# Fixtures


def same(actual, expected):
    assert actual.shape == expected.shape
    assert float((actual - expected).abs().max()) < 1e-12


EDGES = torch.tensor(FIXTURES["edge_index"])
WEIGHTS = tensor(FIXTURES["edge_weight"])


def test_oracle_operators_equal_fixture():
    expected = FIXTURES["operators"]
    same(gcn_operator(EDGES, WEIGHTS, 6), tensor(expected["gcn sym"]))
    same(gcn_operator(EDGES, WEIGHTS, 6, normalization="rw"), tensor(expected["gcn rw"]))
    blocks = og.chebyshev_operators(EDGES, WEIGHTS, 6, 3, "sym", 2.0)
    same(torch.stack(blocks), tensor(expected["chebyshev K=3 sym lambda_max=2"]))
    same(torch.stack(og.chebyshev_operators(EDGES, WEIGHTS, 6, 3)), torch.stack(blocks))  # the rule gives 2 here
    same(torch.stack(og.diffusion_operators(EDGES, WEIGHTS, 6, 3)), tensor(expected["diffusion K=3"]))


@pytest.mark.parametrize("name", FIXTURES["layers"])
def test_oracle_layers_equal_fixture(name):
    layer, x = FIXTURES["layers"][name], tensor(FIXTURES["x [T,B,N,F]"])
    p = {key: tensor(value) for key, value in layer["parameters"].items()}
    gcn = [gcn_operator(EDGES, WEIGHTS, 6)]
    if name == "GCNLSTM":
        output, states = og.stacked("lstm", p, x, gcn, gcn)
    elif name.startswith("GCNGRU"):
        output, states = og.stacked("gru", p, x, gcn, gcn, reset=name.split("=")[1])
    elif name == "GCRN model=2 lstm K=3 peephole":
        output, states = og.gcrn(p, x, (EDGES, WEIGHTS), 3)
    else:
        assert name == "DCRNN variant=paper K=3"
        output, states = og.dcrnn(p, x, (EDGES, WEIGHTS), 3)
    same(output, tensor(layer["output [T,B,N,H]"]))
    same(torch.cat(states), tensor(layer["states [B,N,H]"]))


# Operators by hand


TWO = graph_of([(0, 1, 2.0), (1, 0, 8.0), (0, 0, 5.0)])  # 0 -> 1 weighs 2, 1 -> 0 weighs 8; the loop is dropped


def test_chebyshev_operators_of_two_nodes_equal_hand_values():
    # out-degrees d_0 = 2, d_1 = 8. Row 1 gathers from 0 (weight 2), row 0 from 1 (weight 8).
    # sym: L_10 = -2 / sqrt(2 * 8) = -1/2, L_01 = -8 / 4 = -2, diagonal 1; lambda = 2 * max(1, -1/2, -2) = 2.
    # L~ = L - I = [[0, -2], [-1/2, 0]]; L~^2 = I; T_2 = 2 I - I = I; T_3 = 2 L~ - L~ = L~.
    blocks = og.chebyshev_operators(*TWO, 2, 4)
    eye, scaled = [[1, 0], [0, 1]], [[0, -2], [-0.5, 0]]
    for block, expected in zip(blocks, [eye, scaled, eye, scaled], strict=True):
        close(block, tensor(expected))
    # lambda_max = 1: L~ = 2 L - I = [[1, -4], [-1, 1]]
    close(og.scaled_laplacian(*TWO, 2, "sym", 1.0), tensor([[1, -4], [-1, 1]]))
    # rw: L_10 = -2 / d_0 = -1, L_01 = -8 / d_1 = -1
    close(og.scaled_laplacian(*TWO, 2, "rw"), tensor([[0, -1], [-1, 0]]))
    # None: L = [[2, -8], [-2, 8]], lambda = 2 * 8 = 16: L / 8 - I
    close(og.scaled_laplacian(*TWO, 2, None), tensor([[-0.75, -1], [-0.25, 0]]))
    assert len(og.chebyshev_operators(*TWO, 2, 1)) == 1


def test_scaled_laplacian_of_duplicate_edges_equals_hand_values():
    # 0 -> 2 weighs 1, 1 -> 2 weighs 3, 0 -> 1 twice: 1 + 2; d = [4, 3, 0]
    # rw divides by the source's degree: row 1: -3/4 from 0; row 2: -1/4 from 0, -3/3 from 1; node 2 gives nothing.
    graph = graph_of([(0, 2, 1.0), (1, 2, 3.0), (0, 1, 1.0), (0, 1, 2.0)])
    close(og.scaled_laplacian(*graph, 3, "rw"), tensor([[0, 0, 0], [-0.75, 0, 0], [-0.25, -1, 0]]))
    # sym: row 1: -3 / sqrt(4 * 3); row 2: nothing, since d_2 = 0
    close(og.scaled_laplacian(*graph, 3), tensor([[0, 0, 0], [-3 / math.sqrt(12), 0, 0], [0, 0, 0]]))
    # None, doubled edge of weight -1 each and one of weight 3 from 1 to 0: d = [-2, 3], entries 1, 1, -3, -2, 3.
    # The maximum is over single entries, so lambda = 6: L = [[-2, -3], [2, 3]], L~ = L / 3 - I.
    graph = graph_of([(0, 1, -1.0), (0, 1, -1.0), (1, 0, 3.0)])
    close(og.scaled_laplacian(*graph, 2, None), tensor([[-5 / 3, -1], [2 / 3, 0]]))
    # doubled edges of weight -3: entries 3, 3 (the sum, 6, would give 12), degrees -6, 0: lambda = 6
    graph = graph_of([(0, 1, -3.0), (0, 1, -3.0)])
    close(og.scaled_laplacian(*graph, 2, None), tensor([[-3, 0], [2, -1]]))
    with pytest.raises(ValueError):
        og.scaled_laplacian(*graph, 2)


def test_chebyshev_operators_without_edges_equal_hand_values():
    none = torch.zeros(2, 0, dtype=torch.long)
    # sym and rw: L = I, lambda = 2, L~ = 0, so T_k = 1, 0, -1, 0; None: L = 0, L~ = -I, T_k = 1, -1, 1, -1
    for normalization, signs in (("sym", [1, 0, -1, 0]), ("rw", [1, 0, -1, 0]), (None, [1, -1, 1, -1])):
        for edge_weight in (None, torch.zeros(0, dtype=torch.float64)):
            blocks = og.chebyshev_operators(none, edge_weight, 3, 4, normalization)
            for block, sign in zip(blocks, signs, strict=True):
                close(block, sign * torch.eye(3, dtype=torch.float64))
    loops = torch.tensor([[0, 1], [0, 1]])
    close(og.scaled_laplacian(loops, None, 2, None), -torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("lambda_max", [None, 1.7, [1.5, 2.5, 3.0]])
def test_chebyshev_operators_of_batch_equal_single_graphs(normalization, lambda_max):
    edge_index, edge_weight, num_nodes = tricky_graph()
    edges = torch.cat([edge_index, TWO[0] + num_nodes], dim=1)
    weights = torch.cat([edge_weight, TWO[1]])
    batch = torch.tensor([0] * num_nodes + [1] * 2 + [2] * 3)  # the third graph has no edges
    own = lambda_max if isinstance(lambda_max, list) else [lambda_max] * 3
    together = og.chebyshev_operators(edges, weights, num_nodes + 5, 4, normalization, lambda_max, batch)
    first = og.chebyshev_operators(edge_index, edge_weight, num_nodes, 4, normalization, own[0])
    second = og.chebyshev_operators(*TWO, 2, 4, normalization, own[1])
    third = og.chebyshev_operators(torch.zeros(2, 0, dtype=torch.long), None, 3, 4, normalization, own[2])
    for k in range(4):
        close(together[k], torch.block_diag(first[k], second[k], third[k]))
    with pytest.raises(ValueError):
        og.chebyshev_operators(torch.tensor([[0], [1]]), None, 2, 3, batch=torch.tensor([0, 1]))


def test_chebyshev_operators_equal_cosines_of_eigenvalues():
    # undirected: T_k(L~) = U cos(k arccos(eigenvalue)) U^T
    rng = np.random.default_rng(0)
    w = rng.uniform(0.2, 2.0, (6, 6)) * (rng.uniform(size=(6, 6)) < 0.5)
    w = np.triu(w, 1) + np.triu(w, 1).T
    w[0, 1] = w[1, 0] = 0.7
    pairs = [(i, j, w[i, j]) for i in range(6) for j in range(6) if w[i, j]]
    d = w.sum(1)
    inverse = np.where(d > 0, 1 / np.sqrt(np.where(d > 0, d, 1)), 0)
    for normalization, laplacian, largest in (
        ("sym", np.eye(6) - inverse[:, None] * w * inverse[None], 2.0),
        (None, np.diag(d) - w, 2 * d.max()),
    ):
        values, vectors = np.linalg.eigh(2 * laplacian / largest - np.eye(6))
        assert np.abs(values).max() <= 1 + 1e-12
        for k, block in enumerate(og.chebyshev_operators(*graph_of(pairs), 6, 6, normalization)):
            expected = vectors @ np.diag(np.cos(k * np.arccos(np.clip(values, -1, 1)))) @ vectors.T
            close(block, torch.from_numpy(expected), rtol=1e-7)


def test_diffusion_operators_of_two_nodes_equal_hand_values():
    # 0 -> 0 weighs 2 (it counts), 0 -> 1 weighs 2, 1 -> 0 weighs 8: W = [[2, 2], [8, 0]], D_O = [4, 8], D_I = [10, 2]
    # P_f = [[1/2, 1/2], [1, 0]], P_f^2 = [[3/4, 1/4], [1/2, 1/2]]
    # W^T = [[2, 8], [2, 0]], P_b = [[1/5, 4/5], [1, 0]], P_b^2 = [[.04 + .8, .16], [.2, .8]]
    graph = graph_of([(0, 0, 2.0), (0, 1, 2.0), (1, 0, 8.0)])
    expected = [
        [[1, 0], [0, 1]],
        [[0.5, 0.5], [1, 0]],
        [[0.75, 0.25], [0.5, 0.5]],
        [[0.2, 0.8], [1, 0]],
        [[0.84, 0.16], [0.2, 0.8]],
    ]
    for block, rows in zip(og.diffusion_operators(*graph, 2, 3), expected, strict=True):
        close(block, tensor(rows))
    # authors: S_1 = P_f^T = [[.5, 1], [.5, 0]]; 2 S_1^2 - I = 2 [[.75, .5], [.25, .5]] - I
    # S_2 = P_b^T = [[.2, 1], [.8, 0]]; S_2 S_1 = [[.6, .2], [.4, .8]]
    # 2 S_2 (S_2 S_1) - S_1 = 2 [[.52, .84], [.48, .16]] - S_1
    expected = [
        [[1, 0], [0, 1]],
        [[0.5, 1], [0.5, 0]],
        [[0.5, 1], [0.5, 0]],
        [[0.6, 0.2], [0.4, 0.8]],
        [[0.54, 0.68], [0.46, 0.32]],
    ]
    for block, rows in zip(og.diffusion_operators_authors(*graph, 2, 3), expected, strict=True):
        close(block, tensor(rows))
    # K = 2: nothing was overwritten, S_2 starts from x; K = 1: the identity alone; K = 4: S_2 starts from T_2(S_1)
    blocks = og.diffusion_operators_authors(*graph, 2, 2)
    close(torch.stack(blocks), tensor([[[1, 0], [0, 1]], [[0.5, 1], [0.5, 0]], [[0.2, 1], [0.8, 0]]]))
    assert len(og.diffusion_operators_authors(*graph, 2, 1)) == len(og.diffusion_operators(*graph, 2, 1)) == 1
    blocks = og.diffusion_operators_authors(*graph, 2, 4)
    assert len(blocks) == 7
    close(blocks[4], tensor([[0.2, 1], [0.8, 0]]) @ blocks[2])


def test_diffusion_operators_rows_sum_to_one_or_zero():
    edge_index, edge_weight, num_nodes = tricky_graph()
    blocks = og.diffusion_operators(edge_index, edge_weight, num_nodes, 2)
    # 4 and 6 have no way out, 0 and 6 no way in: zero rows; all others sum to one
    close(blocks[1].sum(1), tensor([1, 1, 1, 1, 0, 1, 0]))
    close(blocks[2].sum(1), tensor([0, 1, 1, 1, 1, 1, 0]))
    unweighted = og.diffusion_operators(torch.tensor([[0, 0], [1, 2]]), None, 3, 2)
    close(unweighted[1], tensor([[0, 0.5, 0.5], [0, 0, 0], [0, 0, 0]]))
    close(unweighted[2], tensor([[0, 0, 0], [1, 0, 0], [1, 0, 0]]))


def test_oracle_convs_of_two_nodes_equal_hand_values():
    # x = [1, 10]; blocks I and swap; weights 2 and 3, bias 0.5: 2*1 + 3*10 + .5 = 32.5, 2*10 + 3*1 + .5 = 23.5
    x, blocks = tensor([[1], [10]]), [torch.eye(2, dtype=torch.float64), SWAP[0]]
    for conv in (og.cheb_conv, og.diffusion_conv):
        close(conv(x, blocks, tensor([[[2]], [[3]]]), tensor([0.5])), tensor([[32.5], [23.5]]))
    with pytest.raises(ValueError):
        og.cheb_conv(x, blocks, tensor([[[2]]]))


# Cells by hand: two nodes, F = H = 1, x = [1, -2], h = [0.5, -1], each node sees only the other


X, H0, C0 = tensor([[1.0], [-2.0]]), tensor([[0.5], [-1.0]]), tensor([[0.3], [2.0]])


def scalars(gates):
    """weight_ih, weight_hh, bias_ih, bias_hh of the gates, as lists of floats and as parameters."""
    w, u, b, a = [[round(0.3 * (k + 1) * (-1) ** (k + j) + 0.1 * j, 2) for k in range(gates)] for j in range(4)]
    p = {"weight_ih_l0": tensor(w)[:, None], "weight_hh_l0": tensor(u)[:, None]}
    return w, u, b, a, p | {"bias_ih_l0": tensor(b), "bias_hh_l0": tensor(a)}


def test_oracle_graph_rnn_of_two_nodes_equals_hand_values():
    w, u, b, a, p = scalars(1)
    # node 0 sees x_1 = -2 and h_1 = -1, node 1 sees x_0 = 1 and h_0 = .5
    first = w[0] * -2 + b[0] + u[0] * -1 + a[0]
    second = w[0] * 1 + b[0] + u[0] * 0.5 + a[0]
    output, (h,) = og.graph_rnn(p, X[None], SWAP, SWAP, (H0,))
    close(output[0], tensor([[math.tanh(first)], [math.tanh(second)]]))
    close(h, output[0])
    output, _ = og.graph_rnn(p, X[None], SWAP, SWAP, (H0,), nonlinearity="relu")
    close(output[0], tensor([[max(first, 0)], [max(second, 0)]]))


def test_oracle_graph_lstm_of_two_nodes_equals_hand_values():
    w, u, b, a, p = scalars(4)
    ci, cf, co = 0.4, -0.6, 0.9
    p |= {"weight_ci_l0": tensor([ci]), "weight_cf_l0": tensor([cf]), "weight_co_l0": tensor([co])}
    expected_h, expected_c = [], []
    for x, h, c in ((-2, -1, 0.3), (1, 0.5, 2.0)):  # the other's x and h, one's own c
        i, f, g, o = (w[k] * x + b[k] + u[k] * h + a[k] for k in range(4))
        new = sg(f + cf * c) * c + sg(i + ci * c) * math.tanh(g)
        expected_c.append([new])
        expected_h.append([sg(o + co * new) * math.tanh(new)])
    output, (h, c) = og.graph_lstm(p, X[None], SWAP, SWAP, (H0, C0))
    close(output[0], tensor(expected_h))
    close(h, tensor(expected_h))
    close(c, tensor(expected_c))


def test_oracle_graph_gru_of_two_nodes_equals_hand_values():
    w, u, b, a, p = scalars(3)
    for reset in ("after", "before"):
        r = [sg(w[0] * x + b[0] + u[0] * h + a[0]) for x, h in ((-2, -1), (1, 0.5))]
        z = [sg(w[1] * x + b[1] + u[1] * h + a[1]) for x, h in ((-2, -1), (1, 0.5))]
        if reset == "after":  # one's own r, the other's h
            n = [math.tanh(w[2] * x + b[2] + q * (u[2] * h + a[2])) for x, h, q in ((-2, -1, r[0]), (1, 0.5, r[1]))]
        else:  # the other's r and h
            n = [math.tanh(w[2] * x + b[2] + u[2] * q * h + a[2]) for x, h, q in ((-2, -1, r[1]), (1, 0.5, r[0]))]
        expected = [[(1 - z[0]) * n[0] + z[0] * 0.5], [(1 - z[1]) * n[1] + z[1] * -1]]
        output, _ = og.graph_gru(p, X[None], SWAP, SWAP, (H0,), reset=reset)
        close(output[0], tensor(expected))


# Limits


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_oracle_stacked_with_identity_equals_sequence_layer(kind):
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    x = rand(5, 3, 2, seed=4)
    p = {}
    for layer, inputs in enumerate((2, 6)):
        p |= cell_parameters(gates, inputs, 3, suffix=f"_l{layer}", seed=10 * layer)
        p |= cell_parameters(gates, inputs, 3, suffix=f"_l{layer}_reverse", seed=10 * layer + 5)
    state = tuple(rand(4, 3, 3, seed=40 + k) for k in range(2 if kind == "lstm" else 1))
    eye = [torch.eye(3, dtype=torch.float64)]
    expected = oracles.recurrent(kind, p, x, num_layers=2, bidirectional=True, state=state)
    for ops in (None, eye, [eye] * 5, [None, eye, None, eye, None]):
        actual = og.stacked(kind, p, x, ops, ops, 2, True, state=state)
        close(actual[0], expected[0])
        for mine, theirs in zip(actual[1], expected[1]):
            close(mine, theirs)
    # and against torch's published equations in numpy, one node, layer 0, forward
    h = state[0][0, 1].numpy()
    c = state[-1][0, 1].numpy()
    w, u, b, a = (p[f"{name}_l0"].numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    sigm = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for t in range(5):
        g, v = w @ x[t, 1].numpy() + b, u @ h + a
        if kind == "rnn":
            h = np.tanh(g + v)
        elif kind == "lstm":
            i, f, q, o = np.split(g + v, 4)
            c = sigm(f) * c + sigm(i) * np.tanh(q)
            h = sigm(o) * np.tanh(c)
        else:
            r, z = sigm(g[:3] + v[:3]), sigm(g[3:6] + v[3:6])
            h = (1 - z) * np.tanh(g[6:] + r * v[6:]) + z * h
    close(og.stacked(kind, p, x, state=tuple(s[:1] for s in state))[1][0][0, 1], torch.from_numpy(h))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_oracle_stacked_with_graph_per_step_equals_gcn_oracle(kind):
    graphs, num_nodes = tricky_graphs(4)
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    p = cell_parameters(gates, 2, 3) | cell_parameters(gates, 2, 3, suffix="_l0_reverse", seed=8)
    operators = [gcn_operator(*graph, num_nodes) for graph in graphs]
    x = rand(4, num_nodes, 2)
    expected = oracles.recurrent(kind, p, x, bidirectional=True, input_operators=operators, hidden_operators=operators)
    ops = [[operator] for operator in operators]
    actual = og.stacked(kind, p, x, ops, ops, bidirectional=True)
    close(actual[0], expected[0])
    for mine, theirs in zip(actual[1], expected[1]):
        close(mine, theirs)


def test_oracle_basis_times_wide_weights_equals_diffusion_conv():
    # two blocks, weights [A | B]: the same as one block with A, and the other with B, added up
    edge_index, edge_weight, num_nodes = tricky_graph()
    blocks = og.diffusion_operators(edge_index, edge_weight, num_nodes, 3)
    x = rand(num_nodes, 2)
    weights = rand(5, 4, 2)
    wide = torch.cat(list(weights), dim=1)
    close(og.basis(x, blocks) @ wide.T, og.diffusion_conv(x, blocks, weights))


def test_oracle_stacked_lengths_and_reverse_equal_cut_and_flip():
    edge_index, edge_weight, num_nodes = tricky_graph()
    blocks = og.chebyshev_operators(edge_index, edge_weight, num_nodes, 2)
    p = cell_parameters(4, 4, 3, 6) | cell_parameters(4, 4, 3, 6, suffix="_l0_reverse", seed=9)
    p |= cell_parameters(4, 12, 3, 6, "_l1", 20) | cell_parameters(4, 12, 3, 6, "_l1_reverse", 30)
    x, lengths = rand(4, 3, num_nodes, 2), [4, 2, 0]
    start = tuple(rand(4, 3, num_nodes, 3, seed=50 + k) for k in range(2))
    output, (h, c) = og.stacked("lstm", p, x, blocks, blocks, 2, True, lengths, start)
    for b, length in ((0, 4), (1, 2)):
        own = tuple(part[:, b] for part in start)
        cut, (h_b, c_b) = og.stacked("lstm", p, x[:length, b], blocks, blocks, 2, True, state=own)
        close(output[:length, b], cut)
        assert not output[length:, b].any()
        close(h[:, b], h_b)
        close(c[:, b], c_b)
    assert not output[:, 2].any()
    close(h[:, 2], start[0][:, 2])
    # a reversed walk is a walk over the reversed input, the graphs reversed too
    graphs, num_nodes = tricky_graphs(4)
    ops = [og.diffusion_operators(*graph, num_nodes, 2) for graph in graphs]
    p = cell_parameters(3, 6, 2, 6)
    there, final = og.graph_gru(p, x[:, 0], ops, ops, reverse=True)
    back, last = og.graph_gru(p, x[:, 0].flip(0), ops[::-1], ops[::-1])
    close(there, back.flip(0))
    close(final[0], last[0])


# Layers by hand


PAIR = graph_of([(0, 1, 2.0), (1, 0, 8.0)])  # Chebyshev: L~ = [[0, -2], [-1/2, 0]]; walks: swap; see above


def test_oracle_gcrn_of_two_nodes_equals_hand_values():
    x = tensor([[[1.0], [10.0]]])
    # model 1, K = 2: x'_0 = 2*1 + 3*(-2*10) + .5 = -57.5, x'_1 = 2*10 + 3*(-1/2*1) + .5 = 19, here times 0.01
    *_, p = scalars(4)
    q = p | {"weight_conv": tensor([[[0.02]], [[0.03]]]), "bias_conv": tensor([0.005])}
    expected = og.graph_lstm(p, tensor([[[-0.575], [0.19]]]))
    actual = og.gcrn(q, x, PAIR, 2, model=1, peephole=False)
    close(actual[0], expected[0])
    close(actual[1][1][0], expected[1][1])
    # model 2, rnn, K = 2, h = [.5, -1]: node 0 sees x: 1, -20 and h: .5, 2; node 1 sees x: 10, -.5 and h: -1, -.25
    p = {"weight_ih_l0": tensor([[0.1, 0.2]]), "weight_hh_l0": tensor([[0.3, 0.4]])}
    output, _ = og.gcrn(p, x, PAIR, 2, cell="rnn", peephole=False, state=(H0[None],))
    close(output[0], tensor([[math.tanh(0.1 - 4 + 0.15 + 0.8)], [math.tanh(1 - 0.1 - 0.3 - 0.1)]]))
    with pytest.raises(ValueError):
        og.gcrn(p, x, PAIR, 2, cell="rnn")
    # K = 1 sees no neighbor: both models are the plain cell
    p = cell_parameters(4, 1, 2, peephole=True)
    plain = og.graph_lstm(p, x)[0]
    close(og.gcrn(p, x, PAIR, 1)[0], plain)
    close(og.gcrn(p | {"weight_conv": tensor([[[1]]])}, x, PAIR, 1, model=1)[0], plain)


def test_oracle_gcrn_batch_equals_step_by_step():
    graphs, num_nodes = tricky_graphs(3)
    x = rand(3, 2, num_nodes, 2)
    p = cell_parameters(4, 4, 2, peephole=True) | {"weight_conv": rand(3, 4, 2), "bias_conv": rand(4)}
    output, (h, _) = og.gcrn(p, x, graphs, 3, model=1)
    state = None
    for t in range(3):  # step by step, sequence 1
        step, state = og.gcrn(p, x[t : t + 1, 1], graphs[t], 3, model=1, state=state)
        close(output[t, 1], step[0])
    close(h[:, 1], state[0])


def test_oracle_dcrnn_of_two_nodes_equals_hand_values():
    # both random walks of PAIR are the swap: paper, K = 2: basis of x_0 = 1, x_1 = 10 is [1, 10, 10], [10, 1, 1].
    # Reset weights zero: r = 1/2. z = sigm(0) = 1/2. n_0 = tanh(.1*1 + .2*10 + .3*10 + .4*v_0 + .5*v_1 + .6*v_1)
    # with v = r h = [.25, -.5]; n_1 = tanh(.1*10 + .2*1 + .3*1 + .4*v_1 + .5*v_0 + .6*v_0); h = (n + h) / 2
    p = {"weight_ih_l0": tensor([[0] * 3, [0] * 3, [0.01, 0.02, 0.03]])}
    p["weight_hh_l0"] = tensor([[0] * 3, [0] * 3, [0.4, 0.5, 0.6]])
    n_0 = math.tanh(0.01 + 0.2 + 0.3 + 0.1 - 0.25 - 0.3)
    n_1 = math.tanh(0.1 + 0.02 + 0.03 - 0.2 + 0.125 + 0.15)
    x = tensor([[[1.0], [10.0]]])
    expected = tensor([[(n_0 + 0.5) / 2], [(n_1 - 1) / 2]])
    close(og.dcrnn(p, x, PAIR, 2, state=(H0[None],))[0][0], expected)
    close(og.dcrnn(p, x, PAIR, 2, "authors", state=(H0[None],))[0][0], expected)  # the swap is its own transpose
    # K = 3, authors: blocks I, S, 2 S^2 - I = I, S S = I, 2 S S S - S = S: not the paper's I, S, I, S, I
    blocks = og.diffusion_operators_authors(*PAIR, 2, 3)
    for block, k in zip(blocks, (0, 1, 0, 0, 1), strict=True):
        close(block, [torch.eye(2, dtype=torch.float64), SWAP[0]][k])


def test_oracle_dcrnn_forecaster_of_two_nodes_equals_hand_values():
    # K = 1, H = O = 1: encoder and decoder GRUs whose r and z are 1/2 and n = tanh(w x): h = (tanh(w x) + h) / 2
    p = {}
    for name, w in (("encoder", 0.5), ("decoder", 0.25)):
        p[f"{name}.weight_ih_l0"] = tensor([[0], [0], [w]])
        p[f"{name}.weight_hh_l0"] = tensor([[0], [0], [0]])
    p |= {"projection.weight": tensor([[2]]), "projection.bias": tensor([1])}
    x, truth = tensor([[[1.0], [-2.0]]]), tensor([[[7], [8]], [[9], [6]], [[0], [0]]])
    for node, v in enumerate((1.0, -2.0)):
        h0 = math.tanh(0.5 * v) / 2  # the encoder's last state
        h1 = (math.tanh(0) + h0) / 2  # GO
        y1 = 2 * h1 + 1
        h2 = (math.tanh(0.25 * y1) + h1) / 2
        y2 = 2 * h2 + 1
        h3 = (math.tanh(0.25 * y2) + h2) / 2
        close(og.dcrnn_forecaster(p, x, PAIR, 1, 3)[:, node, 0], tensor([y1, y2, 2 * h3 + 1]))
        taught = (math.tanh(0.25 * float(truth[1, node])) + h2) / 2  # step 2 gets the truth of step 1
        for first in (False, True):
            flags = [first, False, True]
            sampled = og.dcrnn_forecaster(p, x, PAIR, 1, 3, truth=truth, take_truth=flags)
            close(sampled[:, node, 0], tensor([y1, y2, 2 * taught + 1]))
    batch = torch.stack([x, 3 * x], dim=1)
    forecasts = og.dcrnn_forecaster(p, batch, PAIR, 1, 3)
    close(forecasts[:, 0], og.dcrnn_forecaster(p, x, PAIR, 1, 3))
    close(forecasts[:, 1], og.dcrnn_forecaster(p, 3 * x, PAIR, 1, 3))


def test_oracle_dcrnn_forecaster_with_future_graphs_equals_dcrnn():
    graphs, num_nodes = tricky_graphs(4)
    p = {"projection.weight": rand(1, 3), "projection.bias": rand(1)}
    for name, inputs in (("encoder", 2), ("decoder", 1)):
        own = cell_parameters(3, 3 * inputs, 3, 9) | cell_parameters(3, 9, 3, 9, "_l1", 30)
        p |= {f"{name}.{key}": value for key, value in own.items()}
    x = rand(2, num_nodes, 2)
    forecasts = og.dcrnn_forecaster(p, x, graphs[:2], 2, 2, num_layers=2, future_graph=graphs[2:])
    parts = {name: {k.split(".")[1]: v for k, v in p.items() if k.startswith(name)} for name in ("encoder", "decoder")}
    _, state = og.dcrnn(parts["encoder"], x, graphs[:2], 2, num_layers=2)
    y = torch.zeros(1, num_nodes, 1, dtype=torch.float64)
    for s in range(2):
        h, state = og.dcrnn(parts["decoder"], y, graphs[2 + s], 2, num_layers=2, state=state)
        y = h @ p["projection.weight"].T + p["projection.bias"]
        close(forecasts[s], y[0])


ONE_WAY = graph_of([(0, 1, 1.0)])  # A^ = [[1, 0], [1/sqrt(2), 1/2]]: d = [1, 2]
A_10 = 1 / math.sqrt(2)


def gru_scalar(v, h, w, u, b):
    r, z = sg(w[0] * v + u[0] * h + b[0]), sg(w[1] * v + u[1] * h + b[1])
    return (1 - z) * math.tanh(w[2] * v + u[2] * r * h + b[2]) + z * h


def test_oracle_tgcn_of_two_nodes_equals_hand_values():
    x, w, u, b = tensor([[[1.0], [-2.0]]]), [0.3, -0.4, 0.5], [0.2, 0.6, -0.7], [0.1, -0.1, 0.2]
    p = {"weight_ih_l0": tensor(w)[:, None], "weight_hh_l0": tensor(u)[:, None], "bias_ih_l0": tensor(b)}
    # paper, W_0 = 2, W_1 = -1: A^ x W_0 = 2 [1, .707 - 1] -> relu [2, 0] (the second is negative)
    # A^ of that: [2, 2 * .707], times -1, sigm: f
    f = [sg(-2), sg(-2 * A_10)]
    expected = [[gru_scalar(f[0], 0.5, w, u, b)], [gru_scalar(f[1], -1, w, u, b)]]
    full = p | {"weight_0": tensor([[2]]), "weight_1": tensor([[-1]])}
    output, (h,) = og.tgcn(full, x, ONE_WAY, state=(H0,))
    close(output[0], tensor(expected))
    close(h, output[0])
    # authors: A^ x = [1, .707 - 1], A^ h = [.5, .5 * .707 - .5], A^ (r h) = [r_0 h_0, .707 r_0 h_0 + r_1 h_1 / 2]
    v, s = [1, A_10 - 1], [0.5, 0.5 * A_10 - 0.5]
    r = [sg(w[0] * v[k] + u[0] * s[k] + b[0]) for k in range(2)]
    z = [sg(w[1] * v[k] + u[1] * s[k] + b[1]) for k in range(2)]
    q = [r[0] * 0.5, A_10 * r[0] * 0.5 - r[1] / 2]
    n = [math.tanh(w[2] * v[k] + u[2] * q[k] + b[2]) for k in range(2)]
    expected = [[(1 - z[0]) * n[0] + z[0] * 0.5], [(1 - z[1]) * n[1] - z[1]]]
    close(og.tgcn(p, x, ONE_WAY, "authors", state=(H0,))[0][0], tensor(expected))
    # pyg-temporal: conv weights 2, 3, 4 and biases .1, .2, .3 of z, r, h; then linear on [conv, h]
    p = {}
    for k, gate in enumerate("zrh"):
        p |= {f"conv_{gate}.lin.weight": tensor([[k + 2]]), f"conv_{gate}.bias": tensor([(k + 1) / 10])}
        p |= {f"linear_{gate}.weight": tensor([[0.5, -0.3 * (k + 1)]]), f"linear_{gate}.bias": tensor([0.05 * k])}
    expected = []
    for node, h in enumerate((0.5, -1.0)):
        z = sg(0.5 * (2 * v[node] + 0.1) - 0.3 * h)
        r = sg(0.5 * (3 * v[node] + 0.2) - 0.6 * h + 0.05)
        n = math.tanh(0.5 * (4 * v[node] + 0.3) - 0.9 * r * h + 0.1)
        expected.append([z * h + (1 - z) * n])
    close(og.tgcn(p, x, ONE_WAY, "pyg-temporal", state=(H0,))[0][0], tensor(expected))


@pytest.mark.parametrize("variant", ["paper", "authors", "pyg-temporal"])
def test_oracle_tgcn_batch_equals_step_by_step(variant):
    graphs, num_nodes = tricky_graphs(3)
    p = cell_parameters(3, 4 if variant == "paper" else 2, 3) | {"weight_0": rand(5, 2), "weight_1": rand(4, 5)}
    for k, gate in enumerate("zrh"):
        p |= {f"conv_{gate}.lin.weight": rand(3, 2, seed=k), f"conv_{gate}.bias": rand(3, seed=k)}
        p |= {f"linear_{gate}.weight": rand(3, 6, seed=k + 3), f"linear_{gate}.bias": rand(3, seed=k + 3)}
    x = rand(3, 2, num_nodes, 2)
    output, (h,) = og.each_sequence(og.tgcn, p, x, graphs, variant=variant)
    state = None
    for t in range(3):
        step, state = og.tgcn(p, x[t : t + 1, 1], graphs[t], variant, state=state)
        close(output[t, 1], step[0])
    close(h[1], state[0])


def test_oracle_gclstm_of_two_nodes_equals_hand_values():
    # K = 2, L~ = [[0, -2], [-1/2, 0]]: basis of h = [.5, -1]: [.5, 2], [-1, -.25]; of c = [.3, 2]: [.3, -4], [2, -.15]
    x, w, b, a = [1.0, 10.0], [0.1, -0.2, 0.3, 0.4], [0.05, 0.1, 0.15, 0.2], [0.3, -0.1, 0.2, 0.1]
    u, uc, bc = [[0.2, 0.1], [0.3, -0.2], [-0.4, 0.5], [0.6, 0.1]], [0.7, 0.2], 0.25
    p = {"weight_ih_l0": tensor(w)[:, None], "weight_hh_l0": tensor(u), "bias_ih_l0": tensor(b)}
    p |= {"bias_hh_l0": tensor(a), "weight_cc_l0": tensor([uc]), "bias_cc_l0": tensor([bc])}
    for variant in ("paper", "pyg-temporal"):
        expected_h, expected_c = [], []
        for node, (h, c) in enumerate((([0.5, 2], [0.3, -4]), ([-1, -0.25], [2, -0.15]))):
            i, f, g, o = (w[k] * x[node] + b[k] + u[k][0] * h[0] + u[k][1] * h[1] + a[k] for k in range(4))
            memory = uc[0] * c[0] + uc[1] * c[1] + bc if variant == "paper" else c[0]
            new = sg(f) * memory + sg(i) * math.tanh(g)
            expected_c.append([new])
            expected_h.append([sg(o) * math.tanh(new)])
        output, (h, c) = og.gclstm(p, tensor([[[1.0], [10.0]]]), PAIR, 2, variant, state=(H0, C0))
        close(output[0], tensor(expected_h))
        close(h, tensor(expected_h))
        close(c, tensor(expected_c))


def test_oracle_gclstm_with_identity_conv_equals_graph_lstm():
    # the convolution of c set to the identity: the pyg-temporal variant; that one is a graph LSTM with plain x
    edge_index, edge_weight, num_nodes = tricky_graph()
    p, x = cell_parameters(4, 2, 3, 9), rand(3, num_nodes, 2)
    eye = torch.cat([torch.eye(3, dtype=torch.float64), torch.zeros(3, 6, dtype=torch.float64)], dim=1)
    paper = og.gclstm(p | {"weight_cc_l0": eye}, x, (edge_index, edge_weight), 3)
    other = og.gclstm(p, x, (edge_index, edge_weight), 3, "pyg-temporal")
    blocks = og.chebyshev_operators(edge_index, edge_weight, num_nodes, 3)
    plain = og.graph_lstm(p, x, None, blocks)
    close(paper[0], other[0])
    close(other[0], plain[0])
    close(other[1][1], plain[1][1])


def test_oracle_top_summary_equals_hand_values():
    # p = [3, 4], |p| = 5: y = [.6, -.8, 1.4 (tied with the last), 1.4]; the best three: nodes 2, 3, 0
    x = tensor([[1, 0], [0, -1], [1, 1], [-1, 2.5]])
    p = tensor([3, 4])
    assert og.top_summary(x, p, 3).shape == (3, 2)
    t, s = math.tanh(1.4), math.tanh(0.6)
    close(og.top_summary(x, p, 3), tensor([[t, t], [-t, 2.5 * t], [s, 0]]))
    with pytest.raises(ValueError):
        og.top_summary(x, p, 5)
    assert torch.equal(og.top_summary(x, p, 6, "repeat")[3:], torch.stack([og.top_summary(x, p, 4)[3]] * 3))


def test_oracle_evolve_gcn_of_two_nodes_equals_hand_values():
    # F = 1, C = 2, W_0 = [[.5, -1]]; every column is a sequence of its own
    w, u, b, a, p = scalars(4)
    p = {name.removesuffix("_l0"): value for name, value in p.items()} | {"weight_0": tensor([[0.5, -1.0]])}
    x = tensor([[[1.0], [-2.0]], [[3.0], [0.5]]])
    outputs, weights = og.evolve_gcn(p, x, ONE_WAY)
    for column, start in enumerate((0.5, -1.0)):
        h, c = start, 0.0
        for t in range(2):
            i, f, g, o = (w[k] * h + b[k] + u[k] * h + a[k] for k in range(4))  # input and hidden both W_(t-1)
            c = sg(f) * c + sg(i) * math.tanh(g)
            h = sg(o) * math.tanh(c)
            close(weights[t, 0, column], tensor(h))
            first, second = x[t, 0, 0].item(), A_10 * x[t, 0, 0].item() + x[t, 1, 0].item() / 2
            close(outputs[t, :, column], tensor([max(first * h, 0), max(second * h, 0)]))
    # H: p = [-2] so y = -x: best is node 1 (y = 2), then node 0 (y = -1); Z = [-2 tanh 2, 1 tanh(-1)]
    w, u, b, a, p = scalars(3)
    p = {name.removesuffix("_l0"): value for name, value in p.items()} | {"weight_0": tensor([[0.5, -1.0]])}
    _, weights = og.evolve_gcn(p | {"p": tensor([-2.0])}, x[:1], ONE_WAY, "H")
    sums = [b[k] + a[k] for k in range(3)]
    expected = [gru_scalar(-2 * math.tanh(2), 0.5, w, u, sums), gru_scalar(math.tanh(-1), -1.0, w, u, sums)]
    close(weights[0], tensor([expected]))


def test_oracle_evolve_gcn_columns_equal_single_columns():
    graphs, num_nodes = tricky_graphs(3)
    x = rand(3, num_nodes, 2)
    p = cell_parameters(4, 2, 2, suffix="") | {"weight_0": rand(2, 3)}
    outputs, weights = og.evolve_gcn(p, x, graphs)
    for j in range(3):  # each column alone
        close(og.evolve_gcn(p | {"weight_0": p["weight_0"][:, j : j + 1]}, x, graphs)[1], weights[:, :, j : j + 1])
    spread = {name: value[:, None].expand(-1, 3) if "bias" in name else value for name, value in p.items()}
    close(og.evolve_gcn(spread, x, graphs)[0], outputs)
    # H in the paper's letters, in matrices: Q = (1 - z) W + z H~ with their z, that is, ours with z's weights negated
    p = cell_parameters(3, 2, 2, suffix="") | {"weight_0": rand(2, 3), "p": rand(2, seed=9)}
    _, weights = og.evolve_gcn(p, x, graphs, "H")
    q = p["weight_0"]
    (w_r, w_z, w_h), (u_r, u_z, u_h) = p["weight_ih"].chunk(3), p["weight_hh"].chunk(3)
    b_r, b_z, b_h = (p["bias_ih"] + p["bias_hh"])[:, None].chunk(3)
    for t in range(3):
        z_t = og.top_summary(x[t], p["p"], 3).T
        update = torch.sigmoid(-(w_z @ z_t + u_z @ q + b_z))
        reset = torch.sigmoid(w_r @ z_t + u_r @ q + b_r)
        content = torch.tanh(w_h @ z_t + u_h @ (reset * q) + b_h)
        q = (1 - update) * q + update * content
        close(weights[t], q)
    shrinking = [x[0], x[1][:4], x[2][:5]]
    simple = (torch.tensor([[0, 1], [1, 2]]), None)
    outputs, _ = og.evolve_gcn(p, shrinking, simple, "H")
    assert [len(output) for output in outputs] == [num_nodes, 4, 5]


def test_oracle_a3tgcn_of_two_nodes_equals_hand_values():
    # authors' T-GCN; W_1 = [[1], [-2]], b_1 = [.1, .2], w_2 = [3, 1], b_2 = 4:
    # e = 3 (h + .1) + (-2 h + .2) + 4 = h + 4.5
    w, u, b = [0.3, -0.4, 0.5], [0.2, 0.6, -0.7], [0.1, -0.1, 0.2]
    p = {"weight_ih_l0": tensor(w)[:, None], "weight_hh_l0": tensor(u)[:, None], "bias_ih_l0": tensor(b)}
    p |= {"attention.weight_1": tensor([[1], [-2]]), "attention.bias_1": tensor([0.1, 0.2])}
    p |= {"attention.weight_2": tensor([[3, 1]]), "attention.bias_2": tensor([4])}
    x = tensor([[[1.0], [-2.0]], [[0.5], [3.0]], [[-1.0], [1.0]]])
    context, attention, states = og.a3tgcn(p, x, ONE_WAY, "authors")
    close(states, og.tgcn(p, x, ONE_WAY, "authors")[0])
    for node in range(2):
        h = [float(states[t, node, 0]) for t in range(3)]
        total = sum(math.exp(v) for v in h)
        close(attention[:, node], tensor([math.exp(v) / total for v in h]))
        close(context[node, 0], tensor(sum(v * math.exp(v) for v in h) / total))
    shifted = p | {"attention.bias_2": tensor([-40])}
    close(og.a3tgcn(shifted, x, ONE_WAY, "authors")[0], context)


# DAGs and trees


def test_oracle_dag_recurrent_equals_hand_values():
    # 0 -> 2, 1 -> 2: h_0 = tanh(.5 x_0 + .1), h_2 = tanh(.5 x_2 + .1 + .3 (h_0 + h_1)); edges given in any order
    p = {"weight_ih": tensor([[0.5]]), "weight_hh": tensor([[0.3]]), "bias_ih": tensor([0.1])}
    x = tensor([[1.0], [-2.0], [3.0]])
    h0, h1 = math.tanh(0.6), math.tanh(-0.9)
    edges = torch.tensor([[1, 0], [2, 2]])
    close(og.dag_recurrent("rnn", p, x, edges)[0], tensor([[h0], [h1], [math.tanh(1.6 + 0.3 * (h0 + h1))]]))
    twice = torch.tensor([[1, 0, 1], [2, 2, 2]])
    close(og.dag_recurrent("rnn", p, x, twice)[0][2], tensor([math.tanh(1.6 + 0.3 * (h0 + 2 * h1))]))
    for bad in ([[0, 1], [1, 0]], [[2], [2]]):
        with pytest.raises(ValueError):
            og.dag_recurrent("rnn", p, x, torch.tensor(bad))
    # LSTM: c is summed too, before the forget gate
    w, u, b, a, p = scalars(4)
    h, c = og.dag_recurrent("lstm", p, x, edges, "_l0")
    i, f, g, o = (w[k] * 3.0 + b[k] + u[k] * float(h[0] + h[1]) + a[k] for k in range(4))
    new = sg(f) * float(c[0] + c[1]) + sg(i) * math.tanh(g)
    close(c[2], tensor([new]))
    close(h[2], tensor([sg(o) * math.tanh(new)]))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_oracle_dag_recurrent_on_a_path_equals_the_sequence(kind):
    p = cell_parameters({"rnn": 1, "lstm": 4, "gru": 3}[kind], 2, 3)
    x = rand(5, 2)
    place = torch.tensor([3, 0, 4, 1, 2])  # step t sits at node place[t]
    nodes = torch.empty_like(x)
    nodes[place] = x
    states = og.dag_recurrent(kind, p, nodes, torch.stack([place[:-1], place[1:]]), "_l0")
    output, final = oracles.recurrent(kind, p, x[:, None])
    close(states[0][place], output[:, 0])
    for mine, theirs in zip(states, final):
        close(mine[place[-1]], theirs[0, 0])


def test_oracle_tree_lstm_equals_hand_values():
    # children 0 and 1 of 2; x at 2 as well
    w, u, b, a, p = scalars(4)
    p = {name.removesuffix("_l0"): value for name, value in p.items()}
    x = [1.0, -2.0, 3.0]
    h, c = [], []
    for j in range(3):
        total = sum(h) if j == 2 else 0.0
        i, _, g, o = (w[k] * x[j] + b[k] + u[k] * total + a[k] for k in range(4))
        kept = sum(sg(w[1] * x[2] + b[1] + u[1] * h[k] + a[1]) * c[k] for k in range(2)) if j == 2 else 0.0
        c.append(sg(i) * math.tanh(g) + kept)
        h.append(sg(o) * math.tanh(c[j]))
    actual = og.child_sum_tree_lstm(p, tensor(x)[:, None], torch.tensor([[1, 0], [2, 2]]))
    close(actual[0][:, 0], tensor(h))
    close(actual[1][:, 0], tensor(c))


def test_oracle_tree_lstm_with_one_child_equals_dag_lstm():
    p, x = cell_parameters(4, 2, 3), rand(5, 2)
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    h, c = og.child_sum_tree_lstm(p, x, path, "_l0")
    output, (_, last) = oracles.recurrent("lstm", p, x[:, None])
    close(h, output[:, 0])
    close(c[4], last[0, 0])
    chain = og.dag_recurrent("lstm", p, x, path, "_l0")
    close(c, chain[1])
    # with two children the two differ: one forget gate for each child
    fork = torch.tensor([[0, 1], [2, 2]])
    difference = og.child_sum_tree_lstm(p, x[:3], fork, "_l0")[1] - og.dag_recurrent("lstm", p, x[:3], fork, "_l0")[1]
    assert float(difference[:2].abs().max()) < 1e-14 < float(difference[2].abs().max())


# Gradients


def grad_checked(function, *inputs):
    assert torch.autograd.gradcheck(function, [v.detach().clone().requires_grad_() for v in inputs])


SMALL = torch.tensor([[0, 1, 2, 0, 1], [1, 2, 0, 2, 0]])
SMALL_WEIGHT = tensor([0.5, 1.5, 0.8, 1.1, 0.3])


def named(names, values):
    return dict(zip(names, values))


def test_oracle_operators_pass_gradcheck():
    for normalization in ("sym", "rw", None):
        grad_checked(lambda w, n=normalization: torch.stack(og.chebyshev_operators(SMALL, w, 3, 3, n)), SMALL_WEIGHT)
    grad_checked(lambda w: torch.stack(og.diffusion_operators(SMALL, w, 3, 3)), SMALL_WEIGHT)
    grad_checked(lambda w: torch.stack(og.diffusion_operators_authors(SMALL, w, 3, 3)), SMALL_WEIGHT)


def test_oracle_layers_pass_gradcheck():
    x, h = rand(2, 3, 1), rand(1, 3, 2, seed=3)
    p = cell_parameters(4, 2, 2, 4, peephole=True)

    def lstm(x, h, c, w, *values):
        output, states = og.gcrn(named(p, values), x, (SMALL, w), 2, state=(h, c))
        return output, *states

    grad_checked(lstm, x, h, rand(1, 3, 2, seed=4), SMALL_WEIGHT, *p.values())
    q = cell_parameters(3, 3, 2, 6)
    for variant in ("paper", "authors"):
        grad_checked(
            lambda x, h, w, *v, kind=variant: og.dcrnn(named(q, v), x, (SMALL, w), 2, kind, state=(h,))[0],
            *(x, h, SMALL_WEIGHT, *q.values()),
        )
    s = cell_parameters(3, 2, 2) | {"weight_0": rand(2, 1), "weight_1": rand(2, 2)}
    grad_checked(lambda x, w, *v: og.tgcn(named(s, v), x, (SMALL, w))[0], x, SMALL_WEIGHT, *s.values())
    e = cell_parameters(3, 1, 1, suffix="") | {"weight_0": rand(1, 2), "p": rand(1)}
    grad_checked(lambda x, w, *v: og.evolve_gcn(named(e, v), x, (SMALL, w), "H"), x, SMALL_WEIGHT, *e.values())
    g = cell_parameters(4, 1, 2, 4) | {"weight_cc_l0": rand(2, 4), "bias_cc_l0": rand(2)}
    grad_checked(lambda x, w, *v: og.gclstm(named(g, v), x, (SMALL, w), 2)[0], x, SMALL_WEIGHT, *g.values())
    t = cell_parameters(4, 2, 2)
    edges = torch.tensor([[0, 1, 2], [2, 2, 3]])
    grad_checked(lambda x, *v: og.child_sum_tree_lstm(named(t, v), x, edges, "_l0"), rand(4, 2), *t.values())
    grad_checked(lambda x, *v: og.dag_recurrent("lstm", named(t, v), x, edges, "_l0"), rand(4, 2), *t.values())


def test_oracle_layers_are_node_permutation_equivariant():
    edge_index, edge_weight, num_nodes = tricky_graph()
    place = torch.tensor([4, 2, 6, 0, 1, 5, 3])  # node n becomes place[n]
    moved, x = (place[edge_index], edge_weight), rand(2, num_nodes, 2)
    y = torch.empty_like(x)
    y[:, place] = x
    p = cell_parameters(4, 6, 2, 6, peephole=True)
    close(og.gcrn(p, y, moved, 3)[0][:, place], og.gcrn(p, x, (edge_index, edge_weight), 3)[0])
    p = cell_parameters(3, 10, 2, 10)
    for variant in ("paper", "authors"):
        expected = og.dcrnn(p, x, (edge_index, edge_weight), 3, variant)[0]
        close(og.dcrnn(p, y, moved, 3, variant)[0][:, place], expected)
