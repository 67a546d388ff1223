"""Precisions on a GPU: a graph-recurrent layer by its engines, and an LSTM by its engines beside cuDNN's; the fused
engine also captured in CUDA graphs, one of the way there and one of the way back.

Errors are those of outputs and gradients, the largest difference from the equations in float64 relative to the largest
value. In bfloat16 the engines hand over to the reference, which stands alone there.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import seqgnn.nn as sg
from seqgnn.profile.reference_layers import Problem, Size
from seqgnn.profile.timing import Step, race, ratio, summary

console = Console(width=150)

GRAPH_SIZE: Size = (12, 207, 64, 2, 64)
LSTM_SIZE = (150, 128, 10, 128)  # T, B, F, H
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}

CAPTURED = "fused, captured"

Call = Callable[[Tensor], Tensor]


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Products of float32 as they are, or of TensorFloat-32, cuDNN's too."""
    kept = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(kept[0])
        torch.backends.cudnn.allow_tf32 = kept[1]


def train(layer: nn.Module, call: Call, x: Tensor, up: Tensor) -> list[Tensor]:
    """A training step: output and gradients."""
    layer.zero_grad()
    x.grad = None
    output = call(x)
    output.backward(up)
    return [output.detach(), *(part.grad for part in (x, *layer.parameters()) if part.grad is not None)]


def error(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True))


class Captured(nn.Module):
    """A layer and how it is called, as a module that a CUDA graph can be made of."""

    def __init__(self, layer: nn.Module, call: Call) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


Made = tuple[nn.Module, Callable[[nn.Module], Call], Tensor, Tensor]


def graph_layer(size: Size, device: str) -> Made:
    """A layer, how it is called, an input and a gradient of the output, all in float64."""
    problem = Problem(size, device, torch.float64)
    layer = sg.GCRN(*size[-2:], K=2, engine="reference", dtype=torch.float64, device=device)

    def bound(layer: Any) -> Call:
        weight = problem.edge_weight.to(next(layer.parameters()).dtype)
        graph = layer.prepare(problem.edge_index, weight, size[1])
        return lambda x: layer(x, graph)[0]

    return layer, bound, problem.x.detach(), problem.up


def lstm(size: Sequence[int], device: str) -> Made:
    steps, batch, channels, hidden = size
    generator = torch.Generator().manual_seed(0)
    x, up = (torch.randn(steps, batch, c, generator=generator).double().to(device) for c in (channels, hidden))
    layer = sg.LSTM(channels, hidden, engine="reference", dtype=torch.float64, device=device)
    return layer, lambda layer: lambda x: layer(x)[0], x, up


def gpu(
    device: str, rounds: int, graph_size: Size = GRAPH_SIZE, lstm_size: Sequence[int] = LSTM_SIZE
) -> dict[str, object]:
    """Training steps, by engine and precision; the first engine of a row is what the others are compared with."""
    torch.manual_seed(0)
    table = Table(title=f"Training step on {device}, ms (times faster than the first engine)")
    for name in ("layer", "size", "precision", "engine"):
        table.add_column(name)
    for name in ("median", "times faster", "error"):
        table.add_column(name, justify="right")
    cases = []
    fused = ["fused", CAPTURED] if device == "cuda" else ["fused"]
    for name, size, made, engines in (
        ("GCRN K=2", graph_size, graph_layer(graph_size, device), ["reference", *fused, "triton"]),
        ("LSTM", lstm_size, lstm(lstm_size, device), ["native", "reference", *fused, "triton"]),
    ):
        for kind in PRECISIONS:
            able = [engine for engine in engines if kind != "bf16" or engine in ("native", "reference")]
            with precision(kind):
                case = {"layer": name, "size": size, "precision": kind, **compared(made, kind, able, device, rounds)}
            cases.append(case)
            for engine in able:
                time, faster = case["times"][engine]["median_ms"], f"{case['times_faster'][engine]:.3g}x"
                cells = f"{time:.4g}", faster, f"{case['errors'][engine]:.0e}"
                table.add_row(name, ", ".join(map(str, size)), kind, engine, *cells)
    console.print(table)
    return {"cases": cases}


def compared(made: Made, kind: str, engines: Sequence[str], device: str, rounds: int) -> dict[str, Any]:
    """Errors, then times in turns, of one layer in one precision."""
    layer, bound, x, up = made
    exact = train(layer, bound(layer), x.clone().requires_grad_(), up)
    steps: dict[str, Step] = {}
    errors = {}
    for engine in engines:
        other: Any = copy.deepcopy(layer).to(PRECISIONS[kind])
        other.engine = "fused" if engine == CAPTURED else engine
        given, call = x.to(PRECISIONS[kind]).requires_grad_(), bound(other)
        if engine == CAPTURED:
            call = torch.cuda.make_graphed_callables(Captured(other, call), (given,))
        step = partial(train, other, call, given, up.to(PRECISIONS[kind]))
        errors[engine] = error(step(), exact)
        steps[engine] = step
    times = race(steps, device, rounds)
    return {
        "errors": errors,
        "times": {engine: summary(times[engine]) for engine in engines},
        "times_faster": {engine: ratio(times, engines[0], engine) for engine in engines},
    }
