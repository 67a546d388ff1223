"""Precisions on a GPU: a graph-recurrent layer and an LSTM with each engine, the LSTM compared with cuDNN's; the fused
engine also captured in CUDA graphs, one of the forward pass and one of the backward pass.

Errors are the largest differences of outputs and gradients from the equations in float64, relative to the largest
value. In bfloat16 all engines fall back to the reference, so it is measured alone.
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
from seqgnn.profile.reference_layers import GraphInputs, Size
from seqgnn.profile.timing import Step, interleaved_timing, ratio, summary

console = Console(width=150)

GRAPH_SIZE: Size = (12, 207, 64, 2, 64)
LSTM_SIZE = (150, 128, 10, 128)  # T, B, F, H
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}

CAPTURED = "fused, captured"

Call = Callable[[Tensor], Tensor]


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Matrix products in float32, or in TensorFloat-32 for `name` "tf32", also in cuDNN."""
    previous = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(previous[0])
        torch.backends.cudnn.allow_tf32 = previous[1]


def train(layer: nn.Module, call: Call, x: Tensor, grad_output: Tensor) -> list[Tensor]:
    """Return the output and the gradients of a training step."""
    layer.zero_grad()
    x.grad = None
    output = call(x)
    output.backward(grad_output)
    return [output.detach(), *(part.grad for part in (x, *layer.parameters()) if part.grad is not None)]


def error(values: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(values, exact, strict=True))


class Captured(nn.Module):
    """A layer and its call, as a module from which a CUDA graph can be captured."""

    def __init__(self, layer: nn.Module, call: Call) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


LayerCase = tuple[nn.Module, Callable[[nn.Module], Call], Tensor, Tensor]


def graph_layer(size: Size, device: str) -> LayerCase:
    """Return a layer, its call, an input and a gradient of the output, all in float64."""
    inputs = GraphInputs(size, device, torch.float64)
    layer = sg.GCRN(*size[-2:], K=2, engine="reference", dtype=torch.float64, device=device)

    def bound(layer: Any) -> Call:
        weight = inputs.edge_weight.to(next(layer.parameters()).dtype)
        graph = layer.prepare(inputs.edge_index, weight, size[1])
        return lambda x: layer(x, graph)[0]

    return layer, bound, inputs.x.detach(), inputs.grad_output


def lstm(size: Sequence[int], device: str) -> LayerCase:
    steps, batch, channels, hidden = size
    generator = torch.Generator().manual_seed(0)
    x, up = (torch.randn(steps, batch, c, generator=generator).double().to(device) for c in (channels, hidden))
    layer = sg.LSTM(channels, hidden, engine="reference", dtype=torch.float64, device=device)
    return layer, lambda layer: lambda x: layer(x)[0], x, up


def gpu(
    device: str, rounds: int, graph_size: Size = GRAPH_SIZE, lstm_size: Sequence[int] = LSTM_SIZE
) -> dict[str, object]:
    """Return times of training steps by engine and precision; the first engine of a row is the baseline."""
    torch.manual_seed(0)
    table = Table(title=f"Training step on {device}, ms (speedup over the first engine)")
    for name in ("layer", "size", "precision", "engine"):
        table.add_column(name)
    for name in ("median", "speedup", "error"):
        table.add_column(name, justify="right")
    cases = []
    fused = ["fused", CAPTURED] if device == "cuda" else ["fused"]
    for name, size, layer_case, engines in (
        ("GCRN K=2", graph_size, graph_layer(graph_size, device), ["reference", *fused, "triton"]),
        ("LSTM", lstm_size, lstm(lstm_size, device), ["native", "reference", *fused, "triton"]),
    ):
        for kind in PRECISIONS:
            supported = [engine for engine in engines if kind != "bf16" or engine in ("native", "reference")]
            with precision(kind):
                measured = compared(layer_case, kind, supported, device, rounds)
            case = {"layer": name, "size": size, "precision": kind, **measured}
            cases.append(case)
            for engine in supported:
                time, faster = case["times"][engine]["median_ms"], f"{case['times_faster'][engine]:.3g}x"
                cells = f"{time:.4g}", faster, f"{case['errors'][engine]:.0e}"
                table.add_row(name, ", ".join(map(str, size)), kind, engine, *cells)
    console.print(table)
    return {"cases": cases}


def compared(layer_case: LayerCase, kind: str, engines: Sequence[str], device: str, rounds: int) -> dict[str, Any]:
    """Return errors and interleaved times of one layer in one precision."""
    layer, bound, x, grad_output = layer_case
    exact = train(layer, bound(layer), x.clone().requires_grad_(), grad_output)
    steps: dict[str, Step] = {}
    errors = {}
    for engine in engines:
        other: Any = copy.deepcopy(layer).to(PRECISIONS[kind])
        other.engine = "fused" if engine == CAPTURED else engine
        layer_input, call = x.to(PRECISIONS[kind]).requires_grad_(), bound(other)
        if engine == CAPTURED:
            call = torch.cuda.make_graphed_callables(Captured(other, call), (layer_input,))
        step = partial(train, other, call, layer_input, grad_output.to(PRECISIONS[kind]))
        errors[engine] = error(step(), exact)
        steps[engine] = step
    times = interleaved_timing(steps, device, rounds)
    return {
        "errors": errors,
        "times": {engine: summary(times[engine]) for engine in engines},
        "times_faster": {engine: ratio(times, engines[0], engine) for engine in engines},
    }
