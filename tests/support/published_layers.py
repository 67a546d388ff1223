"""Inputs for the oracles of EvolveGCN, A3TGCN and DCRNNForecaster, and comparisons of gradients."""

import torch

from tests.support.oracles import close, gradient, leaf, tricky_graph, tricky_graphs

T, F, H = 4, 3, 4
EDGES, WEIGHTS, N = tricky_graph()
GRAPHS, _ = tricky_graphs(T)
STATIC, CHANGING = (EDGES, WEIGHTS), ([e for e, _ in GRAPHS], [w for _, w in GRAPHS])


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def leaves(tensors):
    return [leaf(tensor) for tensor in tensors]


def same_gradients(layer, inputs, ours, parameters, others, theirs):
    """Of one random weighting of what both return, with respect to inputs, edge weights, states and parameters."""
    weighting = signal(*theirs.shape, seed=5)
    (ours * weighting).sum().backward()
    (theirs * weighting).sum().backward()
    for a, b in zip(inputs, others, strict=True):
        close(gradient(a), gradient(b))
    for name, value in layer.named_parameters():
        close(gradient(value), gradient(parameters[name]))
