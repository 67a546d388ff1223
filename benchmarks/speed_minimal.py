"""MinGRU and MinLSTM compared with torch.nn's LSTM and GRU, and their graph versions with GCRN.

A training step computes the gradients of all weights from a fixed gradient of the output; the input is data and needs
none. On the CPU, layers run in one thread, and times are its CPU time, so that other load on the machine matters less.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from seqgnn.nn import GCRN, GCNMinGRU, GCNMinLSTM, MinGRU, MinLSTM
from seqgnn.nn.scan.cpp import library
from seqgnn.profile.timing import Step, interleaved_timing, ratio, summary

console = Console(width=150)
SIZES = [(1000, 16, 64, 128), (1000, 1, 64, 128), (4000, 16, 64, 128)]  # T, B, F, H
GRAPH_SIZES = [(1000, 50, 1, 8, 32)]  # T, N, B, F, H
DEGREE = 6  # edges per node


def training_step(layer: torch.nn.Module, *inputs: torch.Tensor) -> Step:
    parameters = list(layer.parameters())
    with torch.no_grad():
        gradient = torch.randn_like(layer(*inputs)[0])

    def step() -> None:
        torch.autograd.grad(layer(*inputs)[0], parameters, gradient)

    return step


def plain_steps(size: tuple[int, ...], engines: list[str], device: str) -> dict[str, Step]:
    """Return a training step of each layer without a graph."""
    num_steps, batch, input_size, hidden = size
    x = torch.randn(num_steps, batch, input_size, device=device)
    layers: dict[str, Callable[..., torch.nn.Module]] = {"torch LSTM": torch.nn.LSTM, "torch GRU": torch.nn.GRU}
    for engine in engines:
        layers |= {f"{kind.__name__} {engine}": partial(kind, engine=engine) for kind in (MinGRU, MinLSTM)}
    return {name: training_step(make(input_size, hidden).to(device), x) for name, make in layers.items()}


def graph_steps(size: tuple[int, ...], engines: list[str], device: str) -> dict[str, Step]:
    """Return a training step of each layer on a random graph."""
    num_steps, num_nodes, batch, in_channels, hidden = size
    x = torch.randn(num_steps, batch, num_nodes, in_channels, device=device)
    edge_index = torch.randint(num_nodes, (2, DEGREE * num_nodes), device=device)
    layers: dict[str, Callable[..., torch.nn.Module]] = {"GCRN fused": partial(GCRN, K=2, engine="fused")}
    for engine in engines:
        layers |= {f"{kind.__name__} {engine}": partial(kind, engine=engine) for kind in (GCNMinGRU, GCNMinLSTM)}
    return {name: training_step(make(in_channels, hidden).to(device), x, edge_index) for name, make in layers.items()}


def minimal(device: str, rounds: int) -> dict[str, Any]:
    """Return times of a training step of each layer, and speeds relative to the layers they are compared with."""
    table = Table(title=f"Layers whose gates do not see the hidden state, training step on {device}, ms")
    for name in ("T, (N,) B, F, H", "layer", "ms", "speed relative to"):
        table.add_column(name)
    engines = ["fused", "cpp"] if device == "cpu" and library.load()[0] is not None else ["fused"]
    clock, threads = time.perf_counter, torch.get_num_threads()
    if device == "cpu":
        clock = time.process_time
        torch.set_num_threads(1)
    cases = []
    for sizes, steps in ((SIZES, plain_steps), (GRAPH_SIZES, graph_steps)):
        for size in sizes:
            torch.manual_seed(0)
            times = interleaved_timing(steps(size, engines, device), device, rounds, clock=clock)
            references = [name for name in times if name.startswith(("torch", "GCRN"))]
            relative = {name: {slow: ratio(times, slow, name) for slow in references} for name in times}
            for name, values in times.items():
                shown = "" if name in references else ", ".join(f"{k}: {v:.1f}x" for k, v in relative[name].items())
                table.add_row(", ".join(map(str, size)), name, f"{statistics.median(values):.4g}", shown)
            cases.append({"size": size, "times": {k: summary(v) for k, v in times.items()}, "speed": relative})
    torch.set_num_threads(threads)
    console.print(table)
    return {"threads": 1 if device == "cpu" else threads, "cases": cases}
