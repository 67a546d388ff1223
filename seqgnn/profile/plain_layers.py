"""torch.nn's recurrent layers, and those of seqgnn with the same weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import seqgnn.nn
from seqgnn.profile.reference_layers import Contender, relative

KINDS = ("LSTM", "GRU", "RNN")
PlainSize = tuple[int, int, int, int]  # T, B, F, H


class Sequences:
    """A batch of sequences, and a gradient of the output."""

    def __init__(self, size: PlainSize, device: str, dtype: torch.dtype = torch.float32) -> None:
        steps, batch, in_channels, hidden = size
        generator = torch.Generator().manual_seed(0)
        self.size = size
        self.x = torch.randn(steps, batch, in_channels, generator=generator).to(device, dtype).requires_grad_()
        self.up = torch.randn(steps, batch, hidden, generator=generator).to(device, dtype)


def plain_contenders(kind: str, problem: Sequences, engines: Sequence[str]) -> dict[str, Contender]:
    """torch's layer, and seqgnn's by each engine, with the same weights."""
    sizes = problem.size[2:]
    torch.manual_seed(0)
    layers = {"torch": getattr(nn, kind)(*sizes)}
    layers |= {engine: getattr(seqgnn.nn, kind)(*sizes, engine=engine) for engine in engines}
    for layer in layers.values():
        layer.load_state_dict(layers["torch"].state_dict())
        layer.to(problem.x)
    return {name: _contender(layer) for name, layer in layers.items()}


def _contender(layer: nn.Module) -> Contender:
    return Contender(layer, lambda x: layer(x)[0])


def plain_disagreement(kind: str, size: PlainSize, device: str, engines: Sequence[str]) -> float:
    """How far outputs and gradients are from torch's in float64, relative to the largest, over a few steps of a few
    sequences."""
    steps, batch, *sizes = size
    problem = Sequences((min(steps, 4), min(batch, 4), sizes[0], sizes[1]), device, torch.float64)
    answers: list[list[Any]] = []
    for contender in plain_contenders(kind, problem, engines).values():
        contender.train(problem)
        gradients = [weight.grad for weight in contender.layer.parameters()]
        answers.append([contender.infer(problem), problem.x.grad, *gradients])
    expected, *rest = answers
    return max(relative(a, b) for found in rest for a, b in zip(found, expected))
