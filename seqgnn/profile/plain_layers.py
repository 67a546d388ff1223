"""The recurrent layers of torch.nn, and those of seqgnn with the same weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import seqgnn.nn
from seqgnn.profile.reference_layers import Candidate, relative

KINDS = ("LSTM", "GRU", "RNN")
PlainSize = tuple[int, int, int, int]  # T, B, F, H


class SequenceInputs:
    """A batch of sequences and a gradient of the output."""

    def __init__(self, size: PlainSize, device: str, dtype: torch.dtype = torch.float32) -> None:
        steps, batch, in_channels, hidden = size
        generator = torch.Generator().manual_seed(0)
        self.size = size
        self.x = torch.randn(steps, batch, in_channels, generator=generator).to(device, dtype).requires_grad_()
        self.grad_output = torch.randn(steps, batch, hidden, generator=generator).to(device, dtype)


def plain_candidates(kind: str, inputs: SequenceInputs, engines: Sequence[str]) -> dict[str, Candidate]:
    """Return torch's layer and seqgnn's with each engine, all with the same weights."""
    sizes = inputs.size[2:]
    torch.manual_seed(0)
    layers = {"torch": getattr(nn, kind)(*sizes)}
    layers |= {engine: getattr(seqgnn.nn, kind)(*sizes, engine=engine) for engine in engines}
    for layer in layers.values():
        layer.load_state_dict(layers["torch"].state_dict())
        layer.to(inputs.x)
    return {name: _candidate(layer) for name, layer in layers.items()}


def _candidate(layer: nn.Module) -> Candidate:
    return Candidate(layer, lambda x: layer(x)[0])


def plain_disagreement(kind: str, size: PlainSize, device: str, engines: Sequence[str]) -> float:
    """Return the largest difference of outputs and gradients from torch's in float64, relative to the largest value,
    over a few steps of a few sequences."""
    steps, batch, *sizes = size
    inputs = SequenceInputs((min(steps, 4), min(batch, 4), sizes[0], sizes[1]), device, torch.float64)
    results: list[list[Any]] = []
    for candidate in plain_candidates(kind, inputs, engines).values():
        candidate.train(inputs)
        gradients = [weight.grad for weight in candidate.layer.parameters()]
        results.append([candidate.infer(inputs), inputs.x.grad, *gradients])
    expected, *engine_results = results
    return max(relative(a, b) for values in engine_results for a, b in zip(values, expected))
