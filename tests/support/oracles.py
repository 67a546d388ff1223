"""What the layers should compute, written a second time, slowly: dense float64, one loop per edge, node, step and gate.

Nothing here comes from seqgnn, PyG or torch.nn, so that a mistake in the library and the same mistake here would be
two mistakes. torch is used for arithmetic on small vectors only, and its autograd gives the gradients of these loops.

Letters: `T` steps, `B` sequences, `N` nodes, `F` input features, `H` hidden units, `G` gates, `C` classes. An operator
is a dense `[N, N]` matrix P with y = P x; None stands for the identity. Parameters are dictionaries with torch.nn's
names and shapes.
"""

import numpy as np
import torch


def close(actual, expected, rtol=1e-10):
    """Assert equal shapes, and a largest difference below rtol times the largest expected magnitude."""
    actual, expected = torch.as_tensor(actual).detach(), torch.as_tensor(expected).detach()
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    assert torch.isfinite(actual).all() and torch.isfinite(expected).all(), "not all finite"
    if expected.numel() == 0:
        return
    gap, scale = float((actual - expected).abs().max()), float(expected.abs().max())
    assert gap <= rtol * scale + 1e-14, f"differs by {gap:.3e} where the largest figure is {scale:.3e}"


def leaf(tensor):
    """A float64 copy that collects gradients of its own."""
    return tensor.detach().clone().double().requires_grad_()


def gradient(tensor):
    """What was collected at a leaf; zeros where nothing depends on it."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def tricky_graph():
    """Directed, weighted, unsorted: 0 is a source, 4 a sink, 6 isolated; 2 has a self-loop; 1 -> 3 is there twice."""
    edge_index = torch.tensor([[3, 0, 2, 1, 5, 0, 1, 2, 3, 5], [1, 1, 2, 3, 4, 2, 3, 5, 5, 2]])
    edge_weight = torch.tensor([0.7, 0.5, 1.25, 1.5, 2.0, 0.3, 0.25, 0.9, 1.1, 0.6], dtype=torch.float64)
    return edge_index, edge_weight, 7


def tricky_graphs(steps):
    """As many graphs on the same seven nodes, no two with the same edges, weights or number of edges."""
    edge_index, edge_weight, num_nodes = tricky_graph()
    graphs = []
    for t in range(steps):
        extra = torch.tensor([[t % num_nodes, 4], [(2 * t + 3) % num_nodes, t % 4]])
        edges = torch.cat([extra, edge_index[:, t:]], dim=1)
        weights = torch.cat([torch.tensor([0.4 + 0.1 * t, 1.3], dtype=torch.float64), edge_weight[t:] * (1 + 0.2 * t)])
        graphs.append((edges, weights))
    return graphs, num_nodes


# Operators


def gcn_operator(edge_index, edge_weight, num_nodes, normalization="sym", improved=False, self_loops=True):
    """The GCN operator, [N, N]; row i holds what node i takes from its incoming edges.

    With self_loops, a node's own loop keeps its weight, a missing one weighs 1 (improved: 2), and of several loops at
    one node the last given counts, alone: what PyG's add_remaining_self_loops does. All other duplicates add up.
    Normalization None leaves the weights as they are. A node of degree 0 gets (and, in the sym form, gives) nothing.
    """
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    adjacency = [[zero for _ in range(num_nodes)] for _ in range(num_nodes)]
    loops = [2 * one if improved else one for _ in range(num_nodes)]
    for e in range(edge_index.shape[1]):
        source, target = int(edge_index[0, e]), int(edge_index[1, e])
        weight = one if edge_weight is None else edge_weight[e]
        if self_loops and source == target:
            loops[target] = weight
        else:
            adjacency[target][source] = adjacency[target][source] + weight
    if self_loops:
        for i in range(num_nodes):
            adjacency[i][i] = loops[i]

    degree = []
    for i in range(num_nodes):
        total = zero
        for j in range(num_nodes):
            total = total + adjacency[i][j]
        degree.append(total)

    empty = [float(total.detach()) == 0 for total in degree]
    rows = []
    for i in range(num_nodes):
        row = []
        for j in range(num_nodes):
            if normalization is None:
                row.append(adjacency[i][j])
            elif normalization == "rw":
                row.append(zero if empty[i] else adjacency[i][j] / degree[i])
            elif normalization == "sym":
                row.append(zero if empty[i] or empty[j] else adjacency[i][j] / (degree[i] * degree[j]) ** 0.5)
            else:
                raise ValueError(normalization)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def propagate(operator, x):
    """y = P x, x [N, F], summed node by node."""
    if operator is None:
        return x
    nodes = []
    for row in operator:
        total = torch.zeros_like(x[0])
        for share, x_j in zip(row, x):
            total = total + share * x_j
        nodes.append(total)
    return torch.stack(nodes)


def gcn_conv(x, operator, weight, bias=None):
    """y = P x W^T + b, x [N, F] or [B, N, F]."""
    if x.dim() == 3:
        return torch.stack([gcn_conv(signal, operator, weight, bias) for signal in x])
    nodes = []
    for taken in propagate(operator, x):
        nodes.append(weight @ taken if bias is None else weight @ taken + bias)
    return torch.stack(nodes)


# Cells: one step for all nodes, x [N, F], h [N, H]


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def preactivations(side, parameters, suffix, values, hidden):
    """For every node the list of its gates' pre-activations: W_k v + b_k for the k-th block of H rows."""
    weight, bias = parameters[f"weight_{side}{suffix}"], parameters.get(f"bias_{side}{suffix}")
    nodes = []
    for value in values:
        gates = []
        for start in range(0, weight.shape[0], hidden):
            gate = weight[start : start + hidden] @ value
            gates.append(gate if bias is None else gate + bias[start : start + hidden])
        nodes.append(gates)
    return nodes


def rnn_step(parameters, suffix, x, state, input_operator, hidden_operator, nonlinearity="tanh"):
    (h,) = state
    hidden = h.shape[1]
    g = preactivations("ih", parameters, suffix, propagate(input_operator, x), hidden)
    u = preactivations("hh", parameters, suffix, propagate(hidden_operator, h), hidden)
    new = []
    for n in range(len(x)):
        total = g[n][0] + u[n][0]
        new.append(torch.tanh(total) if nonlinearity == "tanh" else torch.where(total > 0, total, 0 * total))
    return (torch.stack(new),)


def lstm_step(parameters, suffix, x, state, input_operator, hidden_operator):
    h, c = state
    hidden = c.shape[1]
    g = preactivations("ih", parameters, suffix, propagate(input_operator, x), hidden)
    u = preactivations("hh", parameters, suffix, propagate(hidden_operator, h), hidden)
    projection = parameters.get(f"weight_hr{suffix}")
    new_h, new_c = [], []
    for n in range(len(x)):
        gate_i = sigmoid(g[n][0] + u[n][0])
        gate_f = sigmoid(g[n][1] + u[n][1])
        content = torch.tanh(g[n][2] + u[n][2])
        gate_o = sigmoid(g[n][3] + u[n][3])
        cell = gate_f * c[n] + gate_i * content
        out = gate_o * torch.tanh(cell)
        new_c.append(cell)
        new_h.append(out if projection is None else projection @ out)
    return torch.stack(new_h), torch.stack(new_c)


def gru_step(parameters, suffix, x, state, input_operator, hidden_operator, reset="after"):
    (h,) = state
    hidden = h.shape[1]
    g = preactivations("ih", parameters, suffix, propagate(input_operator, x), hidden)
    u = preactivations("hh", parameters, suffix, propagate(hidden_operator, h), hidden)
    r = [sigmoid(g[n][0] + u[n][0]) for n in range(len(x))]
    z = [sigmoid(g[n][1] + u[n][1]) for n in range(len(x))]
    if reset == "before":
        remembered = torch.stack([r[n] * h[n] for n in range(len(x))])
        again = preactivations("hh", parameters, suffix, propagate(hidden_operator, remembered), hidden)
        candidate = [torch.tanh(g[n][2] + again[n][2]) for n in range(len(x))]
    else:
        candidate = [torch.tanh(g[n][2] + r[n] * u[n][2]) for n in range(len(x))]
    return (torch.stack([(1 - z[n]) * candidate[n] + z[n] * h[n] for n in range(len(x))]),)


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


# Time, layers, directions


def zero_state(kind, parameters, suffix, num_nodes):
    """h, and for the LSTM c, of zeros; with a projection the two differ in width."""
    weight = parameters[f"weight_hh{suffix}"]
    h = torch.zeros(num_nodes, weight.shape[1], dtype=torch.float64)
    return (h, torch.zeros(num_nodes, weight.shape[0] // 4, dtype=torch.float64)) if kind == "lstm" else (h,)


def walk(kind, parameters, suffix, x, state, lengths, input_operators, hidden_operators, reverse, **options):
    """One layer in one direction: x [T, N, F] -> output [T, N, H], last state.

    Before its turn (backward) and after its end (forward) a node's state stays as it is, where its neighbors still
    see it; its output is zero, and so is the input that it sends to its neighbors, whatever the padding holds.
    """
    steps, num_nodes = x.shape[0], x.shape[1]
    outputs = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        alive = [t < int(lengths[n]) for n in range(num_nodes)]
        x_t = torch.stack([x[t, n] if alive[n] else torch.zeros_like(x[t, n]) for n in range(num_nodes)])
        new = STEPS[kind](parameters, suffix, x_t, state, input_operators[t], hidden_operators[t], **options)
        state = tuple(
            torch.stack([fresh[n] if alive[n] else old[n] for n in range(num_nodes)]) for fresh, old in zip(new, state)
        )
        outputs[t] = torch.stack([state[0][n] if alive[n] else torch.zeros_like(state[0][n]) for n in range(num_nodes)])
    return torch.stack(outputs), state


def recurrent(
    kind,
    parameters,
    x,
    *,
    num_layers=1,
    bidirectional=False,
    input_operators=None,
    hidden_operators=None,
    lengths=None,
    state=None,
    **options,
):
    """x [T, N, F] -> output [T, N, H * directions], states (each [layers * directions, N, H]).

    Operators are lists of T dense matrices (None: identity at every step, so that each of the N nodes is a sequence
    of its own). lengths [N]; state is a tuple (h,) or (h, c). Options go to the cell: nonlinearity, reset.
    """
    steps, num_nodes = x.shape[0], x.shape[1]
    input_operators = [None] * steps if input_operators is None else input_operators
    hidden_operators = [None] * steps if hidden_operators is None else hidden_operators
    lengths = [steps] * num_nodes if lengths is None else lengths
    finals = []
    for layer in range(num_layers):
        outputs = []
        for reverse in (False, True) if bidirectional else (False,):
            suffix = f"_l{layer}_reverse" if reverse else f"_l{layer}"
            slot = len(finals)
            start = zero_state(kind, parameters, suffix, num_nodes) if state is None else tuple(s[slot] for s in state)
            output, final = walk(
                kind, parameters, suffix, x, start, lengths, input_operators, hidden_operators, reverse, **options
            )
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, dim=-1)
    return x, tuple(torch.stack(parts) for parts in zip(*finals))


def recurrent_batch(
    kind, parameters, x, *, input_operators=None, hidden_operators=None, lengths=None, state=None, **options
):
    """x [T, B, N, F] -> output [T, B, N, H * directions], states [.., B, N, H]: each sequence alone, cut at its end."""
    steps, outputs, states = x.shape[0], [], []
    for b in range(x.shape[1]):
        length = steps if lengths is None else int(lengths[b])
        output, final = recurrent(
            kind,
            parameters,
            x[:length, b],
            input_operators=None if input_operators is None else input_operators[:length],
            hidden_operators=None if hidden_operators is None else hidden_operators[:length],
            state=None if state is None else tuple(s[:, b] for s in state),
            **options,
        )
        rest = torch.zeros(steps - length, *output.shape[1:], dtype=torch.float64)
        outputs.append(torch.cat([output, rest]))
        states.append(final)
    return torch.stack(outputs, dim=1), tuple(torch.stack(parts, dim=1) for parts in zip(*states))


# Gradients over time, by differences


def rnn_loss(x, target, weight_hx, weight_hh, weight_ph, bias_h, bias_p):
    """Batch-mean cross-entropy of p = W_ph h_T + b_p, h_t = tanh(W_hx x_t + W_hh h_(t-1) + b_h), h_0 = 0; numpy."""
    total = 0.0
    for b in range(x.shape[1]):
        h = np.zeros(weight_hh.shape[0])
        for t in range(x.shape[0]):
            h = np.tanh(weight_hx @ x[t, b] + weight_hh @ h + bias_h)
        p = weight_ph @ h + bias_p
        total += np.log(np.sum(np.exp(p - p.max()))) + p.max() - p[target[b]]
    return total / x.shape[1]


def rnn_loss_gradients(x, target, weight_hx, weight_hh, weight_ph, bias_h=None, bias_p=None, step=1e-5):
    """Central differences of rnn_loss, one entry of one matrix at a time."""
    weights = {"W_hx": weight_hx.copy(), "W_hh": weight_hh.copy(), "W_ph": weight_ph.copy()}
    bias_h = np.zeros(weight_hh.shape[0]) if bias_h is None else bias_h
    bias_p = np.zeros(weight_ph.shape[0]) if bias_p is None else bias_p

    def loss():
        return rnn_loss(x, target, weights["W_hx"], weights["W_hh"], weights["W_ph"], bias_h, bias_p)

    gradients = {}
    for name, weight in weights.items():
        gradient = np.zeros_like(weight)
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            weight[place] = kept + step
            above = loss()
            weight[place] = kept - step
            below = loss()
            weight[place] = kept
            gradient[place] = (above - below) / (2 * step)
        gradients[name] = gradient
    return gradients
