"""MinGRU, MinLSTM and their graph versions a second time, as loops over steps, sequences and nodes.

The equations of Feng et al. 2024, "Were RNNs All We Needed?", https://arxiv.org/abs/2410.01201:

    minGRU:   z = sigmoid(W_z x + b_z),  c = W_h x + b_h,  h = (1 - z) h' + z c
    minLSTM:  f = sigmoid(W_f x + b_f),  i = sigmoid(W_i x + b_i),  c = W_h x + b_h,  h = f / (f + i) h' + i / (f + i) c

In a graph version x is replaced by P x, with P = D^-1/2 (A + I) D^-1/2. Nothing here comes from seqgnn, PyG or torch:
numpy in float64, with a backward pass derived by hand.

Letters: `T` steps, `B` sequences, `N` nodes, `F` input features, `H` hidden units, `G` gates, `D` directions, `L`
layers. Parameters are dictionaries with torch's names: weight_ih_l0 [G * H, F], bias_ih_l0 [G * H], in the order of
`GATES`; those of the second direction end in "_reverse".
"""

import math

import numpy as np

GATES = {"mingru": ("z", "h"), "minlstm": ("f", "i", "h")}


def sigmoid(a):
    return np.array([1 / (1 + math.exp(-value)) if value > -700 else math.exp(value) for value in a])


def gate_values(kind, gx):
    """The gates of one step and the candidate "h", from the pre-activations [G * H]."""
    parts = zip(GATES[kind], np.split(gx, len(GATES[kind])), strict=True)
    return {gate: a if gate == "h" else sigmoid(a) for gate, a in parts}


def step(kind, gx, h):
    """The next state [H]."""
    gates = gate_values(kind, gx)
    if kind == "mingru":
        return (1 - gates["z"]) * h + gates["z"] * gates["h"]
    total = gates["f"] + gates["i"]
    return gates["f"] / total * h + gates["i"] / total * gates["h"]


def step_backward(kind, gx, h, grad):
    """The gradients with respect to gx and h, from that with respect to the next state."""
    gates = gate_values(kind, gx)
    c = gates["h"]
    if kind == "mingru":
        z = gates["z"]
        return np.concatenate([grad * (c - h) * z * (1 - z), grad * z]), grad * (1 - z)
    f, i = gates["f"], gates["i"]
    total = f + i
    grad_f, grad_i = grad * (h - c) * i / total**2, grad * (c - h) * f / total**2
    return np.concatenate([grad_f * f * (1 - f), grad_i * i * (1 - i), grad * i / total]), grad * f / total


def gcn_matrix(edges, weights, num_nodes):
    """D^-1/2 (A + I) D^-1/2, [N, N]; row i holds what node i receives. Edges without self-loops, as pairs."""
    adjacency = [[1.0 if i == j else 0.0 for j in range(num_nodes)] for i in range(num_nodes)]
    for (source, target), weight in zip(edges, weights, strict=True):
        assert source != target
        adjacency[target][source] += weight
    degree = [sum(row) for row in adjacency]
    return np.array(
        [[adjacency[i][j] / math.sqrt(degree[i] * degree[j]) for j in range(num_nodes)] for i in range(num_nodes)]
    )


def on_nodes(matrix, x, num_sequences):
    """P x for each step and graph; x [T, B * N, F], the nodes of a graph one after another."""
    num_nodes = len(matrix)
    result = np.zeros_like(x)
    for t in range(len(x)):
        for b in range(num_sequences):
            for i in range(num_nodes):
                for j in range(num_nodes):
                    result[t, b * num_nodes + i] += matrix[i, j] * x[t, b * num_nodes + j]
    return result


class Direction:
    """One direction of one layer over x [T, S, F], S = B or B * N rows that do not see each other."""

    def __init__(self, kind, weight, bias, lengths, reverse):
        self.kind, self.weight, self.lengths, self.reverse = kind, weight, lengths, reverse
        self.bias = np.zeros(len(weight)) if bias is None else bias

    def times(self, row):
        """The steps of a row in the order of the direction; none after its end."""
        return range(self.lengths[row] - 1, -1, -1) if self.reverse else range(self.lengths[row])

    def forward(self, x, h):
        """The outputs [T, S, H], zero after the end of a row, and its last states [S, H]."""
        self.x, last = x, h.copy()
        output, self.before = np.zeros((*x.shape[:2], h.shape[1])), np.zeros((*x.shape[:2], h.shape[1]))
        for row in range(x.shape[1]):
            for t in self.times(row):
                self.before[t, row] = last[row]
                last[row] = step(self.kind, self.weight @ x[t, row] + self.bias, last[row])
                output[t, row] = last[row]
        return output, last

    def backward(self, grad_output, grad_last):
        """The gradients with respect to x, the initial states, the weight and the bias."""
        grad_x, grad_h = np.zeros_like(self.x), grad_last.copy()
        grad_weight, grad_bias = np.zeros_like(self.weight), np.zeros_like(self.bias)
        for row in range(self.x.shape[1]):
            for t in reversed(self.times(row)):
                gx = self.weight @ self.x[t, row] + self.bias
                grad = grad_h[row] + grad_output[t, row]
                grad_gx, grad_h[row] = step_backward(self.kind, gx, self.before[t, row], grad)
                grad_x[t, row] = self.weight.T @ grad_gx
                grad_weight += np.outer(grad_gx, self.x[t, row])
                grad_bias += grad_gx
        return grad_x, grad_h, grad_weight, grad_bias


class Network:
    """Layers of MinGRU or MinLSTM, on B sequences or on B graphs of N nodes.

    Args:
        kind: "mingru" or "minlstm".
        parameters: arrays by name; the numbers of layers and directions follow from the names.
        matrix: P [N, N] of a graph version, else None.
    """

    def __init__(self, kind, parameters, matrix=None):
        self.kind, self.parameters, self.matrix = kind, parameters, matrix
        self.num_layers = sum(key.startswith("weight_ih_") and "reverse" not in key for key in parameters)
        self.suffixes = ("", "_reverse") if "weight_ih_l0_reverse" in parameters else ("",)
        self.hidden_size = len(parameters["weight_ih_l0"]) // len(GATES[kind])

    def forward(self, x, state=None, lengths=None):
        """The outputs [T, B, (N,) D * H] and the last states [L * D, B, (N,) H] of x [T, B, (N,) F]."""
        self.shape, num_nodes = x.shape[:-1], 1 if self.matrix is None else len(self.matrix)
        lengths = [len(x)] * x.shape[1] if lengths is None else lengths
        rows = [length for length in lengths for _ in range(num_nodes)]  # of every node that of its graph
        num_states = self.num_layers * len(self.suffixes)
        initial = np.zeros((num_states, *x.shape[1:-1], self.hidden_size)) if state is None else state
        initial = initial.reshape(num_states, len(rows), self.hidden_size)

        x, last, self.directions = x.reshape(len(x), len(rows), -1), [], []
        for layer in range(self.num_layers):
            x = x if self.matrix is None else on_nodes(self.matrix, x, self.shape[1])
            outputs = []
            for suffix in self.suffixes:
                names = (f"{part}_ih_l{layer}{suffix}" for part in ("weight", "bias"))
                direction = Direction(self.kind, *map(self.parameters.get, names), rows, suffix != "")
                output, state = direction.forward(x, initial[len(last)])
                self.directions.append(direction)
                outputs.append(output)
                last.append(state)
            x = np.concatenate(outputs, axis=2)
        return x.reshape(*self.shape, -1), np.stack(last).reshape(num_states, *self.shape[1:], self.hidden_size)

    def backward(self, grad_output, grad_last):
        """The gradients with respect to x, to the initial states and, as a dictionary, to the parameters."""
        num_directions = len(self.suffixes)
        grad = grad_output.reshape(len(grad_output), -1, grad_output.shape[-1])
        grad_last = grad_last.reshape(len(grad_last), -1, self.hidden_size)
        grad_state, grads = np.zeros_like(grad_last), {}
        for layer in reversed(range(self.num_layers)):
            grad_x = 0.0
            for number, part in enumerate(np.split(grad, num_directions, axis=2)):
                slot, suffix = layer * num_directions + number, f"l{layer}{self.suffixes[number]}"
                direction = self.directions[slot]
                to_x, grad_state[slot], to_weight, to_bias = direction.backward(part, grad_last[slot])
                grad_x = grad_x + to_x
                grads[f"weight_ih_{suffix}"] = to_weight
                if f"bias_ih_{suffix}" in self.parameters:
                    grads[f"bias_ih_{suffix}"] = to_bias
            grad = grad_x if self.matrix is None else on_nodes(self.matrix.T, grad_x, self.shape[1])
        grad_state = grad_state.reshape(len(grad_state), *self.shape[1:], self.hidden_size)
        return grad.reshape(*self.shape, -1), grad_state, grads
