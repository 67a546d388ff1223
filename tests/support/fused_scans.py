"""Layers with a fused engine and with the reference, and comparisons of all that they return."""

import copy
from itertools import accumulate

import torch

from seqgnn import nn as sg
from tests.support.layer_cases import PUBLISHED
from tests.support.oracles import close, gradient, leaf, tricky_graph

ENGINE = "fused"  # the tests of Triton set another
T, B, F, H = 4, 2, 2, 3
EDGES, WEIGHTS, N = tricky_graph()
PLAIN = {"rnn": sg.RNN, "lstm": sg.LSTM, "gru": sg.GRU}


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def both(case, **options):
    """The same layer with its engine and with the reference."""
    layer = case.make(**options, engine=ENGINE)
    other = copy.deepcopy(layer)
    other.engine = "reference"
    return layer, other


def outcome(layer, case, x, graph, weights, state=None, **options):
    """Everything a layer returns, and all gradients of a random weighting of it."""
    inputs = [leaf(x), *(leaf(w) for w in weights), *(() if state is None else (leaf(s) for s in state))]
    given = inputs[1 : 1 + len(weights)]
    start = inputs[1 + len(weights) :]
    hx = None if state is None else tuple(start) if len(start) == 2 else start[0]
    layer.zero_grad()
    parts = case.parts(layer(inputs[0], graph, given if isinstance(graph, list) else given[0], hx, **options))
    torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
    return parts, [gradient(part) for part in (*inputs, *layer.parameters())]


def agree(case, layers, *args, **options):
    (parts, found), (expected_parts, expected) = (outcome(layer, case, *args, **options) for layer in layers)
    for a, b in zip([*parts, *found], [*expected_parts, *expected], strict=True):
        close(a, b)


OPTIONS = [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}]
SOME = [
    case for case in PUBLISHED if str(case) in ("GCRN", "GCRN gru", "GCNLSTM mixed", "GCLSTM paper", "TGCN authors")
]


def peak(layer, x, *graph):
    """Bytes of tensors that are alive at once in a training step."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        layer(x, *graph)[0].sum().backward()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes))
