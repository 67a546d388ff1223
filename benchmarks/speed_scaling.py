"""Scaling of a training step with time steps, edges, windows and nodes, and the setup costs of a graph.

The layer is a GCNLSTM. One size grows at a time (when the nodes grow, so do the edges, five per node). Time is fitted
as a power of that size and, over all points, as a product of powers of T, E, B and N.
"""

import math
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from seqgnn.nn import GCNLSTM
from seqgnn.profile.resources import PeakMemory
from seqgnn.profile.timing import Step, interleaved_timing, seconds

console = Console(width=150)
Size = tuple[int, int, int, int]  # T, E, B, N
IN_CHANNELS, HIDDEN = 4, 16
STEPS, EDGES_PER_NODE = 4, 5
SWEEPS: dict[str, list[Size]] = {
    "T": [(steps, 50_000, 1, 10_000) for steps in (4, 8, 16, 32, 64)],
    "E": [(STEPS, edges, 1, 20_000) for edges in (50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000)],
    "B": [(STEPS, 50_000, batch, 10_000) for batch in (1, 2, 4, 8, 16, 32)],
    "N": [
        (STEPS, EDGES_PER_NODE * nodes, 1, nodes)
        for nodes in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    ],
}


class Training:
    """Training steps of one layer at one size, on a random graph."""

    def __init__(self, size: Size, device: str) -> None:
        num_steps, num_edges, batch, num_nodes = size
        generator = torch.Generator().manual_seed(0)
        self.edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator).to(device)
        self.layer = GCNLSTM(IN_CHANNELS, HIDDEN).to(device)
        self.x = torch.randn(num_steps, batch, num_nodes, IN_CHANNELS, generator=generator).to(device)
        self.graph: Any = self.edge_index

    def prepare(self) -> "Training":
        self.graph = self.layer.prepare(self.edge_index, num_nodes=self.x.size(2))
        return self

    def __call__(self) -> None:
        self.layer.zero_grad()
        output, _ = self.layer(self.x, self.graph)
        output.sum().backward()


def power(points: Sequence[tuple[tuple[int, ...], float]]) -> tuple[list[float], float]:
    """Return the exponents of time as a product of powers of sizes, by least squares in logarithms, and R^2."""
    sizes = np.log([size for size, _ in points])
    times = np.log([milliseconds for _, milliseconds in points])
    design = np.column_stack([np.ones(len(points)), sizes])
    found, *_ = np.linalg.lstsq(design, times, rcond=None)
    residual = times - design @ found
    return found[1:].tolist(), 1 - residual.var() / times.var()


def first_call(size: Size, device: str) -> float:
    """Return milliseconds of the first training step of a process, on a new graph."""
    training = Training(size, device)
    return 1e3 * seconds(training, 1, device)


def set_up(device: str, rounds: int) -> dict[str, float]:
    """Return milliseconds of one-off costs: the first call of a process, a call on a new graph, and preparing a graph
    of a million edges with the matrices of both directions."""
    size = (12, 1656, 16, 207)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first = pool.apply(first_call, (size, device))
    training = Training(size, device)
    seen = training.edge_index

    def unseen() -> None:
        training.graph = seen.clone()
        training()

    large = Training((1, 1_000_000, 1, 100_000), device)

    def prepare() -> None:
        graph = large.layer.prepare(large.edge_index.clone(), num_nodes=100_000)
        (operators,) = graph.operators.values()
        for transposed in (False, True):
            operators[0].csr(operators[0].values_as(torch.float32), transposed)

    times = interleaved_timing({"seen": Training(size, device), "unseen": unseen, "prepare": prepare}, device, rounds)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "first_call_of_a_process_ms": first,
        "call_on_an_unseen_graph_ms": medians["unseen"],
        "call_on_a_seen_graph_ms": medians["seen"],
        "prepare_a_million_edges_ms": medians["prepare"],
    }


def sweep(sizes: list[Size], device: str, rounds: int) -> dict[Size, float]:
    """Return median milliseconds of a training step at each size, by interleaved timing."""
    steps: dict[str, Step] = {str(size): Training(size, device).prepare() for size in sizes}
    times = interleaved_timing(steps, device, rounds, warm_up=1)
    return {size: statistics.median(times[str(size)]) for size in sizes}


def scaling(device: str, rounds: int, largest: int) -> dict[str, object]:
    """Return time as powers of T, E, B and N, up to `largest` nodes, the memory at that size, and setup costs."""
    table = Table(title=f"GCNLSTM, training step on {device}, F = {IN_CHANNELS}, H = {HIDDEN}: time as powers of sizes")
    for name in ("what grows", "T, E, B, N: ms", "power", "R^2"):
        table.add_column(name)
    cases: dict[str, Any] = {}
    points: list[tuple[Size, float]] = []
    for number, (what, sizes) in enumerate(SWEEPS.items()):
        times = sweep([size for size in sizes if what != "N" or size[3] <= largest], device, rounds)
        found, certain = power([((size[number],), ms) for size, ms in times.items()])
        shown = "\n".join(f"{', '.join(map(str, size))}: {ms:.4g}" for size, ms in times.items())
        table.add_row(what + (", and E with it" if what == "N" else ""), shown, f"{found[0]:.3f}", f"{certain:.4f}")
        cases[what] = {"power": found[0], "r2": certain, "points": [(*size, ms) for size, ms in times.items()]}
        points += times.items()
    together, certain = power(points)
    powers = dict(zip(SWEEPS, together))
    table.add_row("all", " ".join(f"{name}^{value:.3f}" for name, value in powers.items()), "", f"{certain:.4f}")
    console.print(table)

    million = max(size for size in SWEEPS["N"] if size[3] <= largest)
    training = Training(million, device)
    memory, start = PeakMemory(device), time.perf_counter()
    training.prepare()()
    first, peak = time.perf_counter() - start, memory.read()
    console.print(
        f"{million[3]:,} nodes and {million[1]:,} edges, T = {million[0]}: "
        f"{math.nan if peak is None else peak / 1e9:.2f} GB at most, {first:.2f} s with the graph's preparation"
    )
    costs = set_up(device, rounds)
    for name, value in costs.items():
        console.print(f"{name}: {value:.4g}")
    return {
        "powers": {**powers, "r2": certain},
        "sweeps": cases,
        "largest": {"size": million, "peak_bytes": peak, "first_step_s": first},
        "set_up": costs,
    }
