"""Graph-recurrent layers beside those of PyTorch Geometric Temporal and beside two of PyG's convolutions.

Only layers that compute the same are compared, and are checked to do so before they are timed. The others run their
best way: the graph normalised once where they can keep it, the windows of a batch as one graph, and, where they take
one, the graph as a CSR matrix as well as by its edges; a ratio is to the faster of both. The floor is the time of the
products alone.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peers import (
    TOLERANCE,
    TOLERANCE_TIMED,
    Contender,
    Peer,
    Problem,
    Size,
    contenders,
    disagreement,
    disagreement_as_timed,
    peers,
    pyg_temporal,
)
from racing import Step, console, peak_memory, race, ratio, summary
from rich.table import Table
from torch import Tensor

from seqgnn.nn.filters import Filter
from seqgnn.nn.graph_recurrent import ENGINES, GraphRecurrent
from seqgnn.nn.init import NUM_GATES
from seqgnn.nn.prepare import PreparedGraph
from seqgnn.nn.published import TGCN

SIZES: list[Size] = [
    (12, 207, 16, 2, 64),
    (12, 207, 64, 2, 64),
    (12, 325, 64, 2, 64),
    (4, 20, 1, 4, 32),
    (12, 10000, 1, 8, 32),
    (100, 50, 8, 8, 64),
]


class Propagation:
    """P x of so many columns, and its transpose on the way back."""

    def __init__(self, filter: Filter, graph: PreparedGraph, columns: int, like: Tensor) -> None:
        self.signal = like.new_empty(graph.num_nodes, columns).normal_()
        self.heard = torch.empty_like(self.signal)
        self.matrices = []
        if filter.hops:
            (operator,) = graph.operators[filter]
            values = operator.values_as(like.dtype)
            self.matrices = [operator.csr(values, transposed) for transposed in (False, True)]
        self.times = filter.hops

    def run(self, transposed: bool = False) -> None:
        for _ in range(self.times):
            torch.mm(self.matrices[transposed], self.signal, out=self.heard)


class Product:
    """A linear map of all rows of each step, its gradients step by step, and the weights' of all steps in one."""

    def __init__(self, steps: int, rows: int, width: int, gates: int, like: Tensor) -> None:
        self.basis = like.new_empty(steps, rows, width).normal_()
        self.weight = like.new_empty(gates, width).normal_()
        self.gates = like.new_empty(steps, rows, gates)
        self.grad_basis = torch.empty_like(self.basis[0])
        self.grad_weight = torch.empty_like(self.weight)

    def forward(self, step: int) -> None:
        torch.mm(self.basis[step], self.weight.t(), out=self.gates[step])

    def backward(self, step: int) -> None:
        torch.mm(self.gates[step], self.weight, out=self.grad_basis)

    def backward_weight(self) -> None:
        torch.mm(self.gates.flatten(0, 1).t(), self.basis.flatten(0, 1), out=self.grad_weight)


class Floor:
    """The products that no implementation of a layer avoids, each into memory of its own that is there already.

    The input is propagated once for all steps, the state step by step; one product a step then makes all gates of both
    (two, and two propagations, where a GRU resets before), of the input alone in the first step, whose state is zero.
    A linear map behind the input's convolution counts as one with it.
    """

    def __init__(self, layer: GraphRecurrent, graph: PreparedGraph, size: Size) -> None:
        steps, nodes, batch, in_channels, hidden = size
        like = next(layer.parameters()).detach()
        input_filter = layer.gcn if isinstance(layer, TGCN) else layer.input_filter
        hidden_filter = layer.hidden_filter
        assert input_filter is not None and hidden_filter is not None
        self.x = Propagation(input_filter, graph, steps * batch * in_channels, like)
        self.h = Propagation(hidden_filter, graph, batch * hidden, like)
        parts = (2 * hidden, hidden) if layer.reset == "before" else (NUM_GATES[layer.kind] * hidden,)
        of_x, of_h = input_filter.num_terms * in_channels, hidden_filter.num_terms * hidden
        self.first = [Product(1, nodes * batch, of_x, gates, like) for gates in parts]
        self.later = [Product(steps - 1, nodes * batch, of_x + of_h, gates, like) for gates in parts]
        self.steps = range(steps - 1)

    @torch.no_grad()
    def infer(self) -> None:
        self.x.run()
        for product in self.first:
            product.forward(0)
        for step in self.steps:
            for product in self.later:
                self.h.run()
                product.forward(step)

    @torch.no_grad()
    def train(self) -> None:
        self.infer()
        for step in self.steps:
            for product in self.later:
                product.backward(step)
                self.h.run(transposed=True)
        for product in self.first:
            product.backward(0)
        self.x.run(transposed=True)
        for product in self.first + self.later:
            product.backward_weight()


def training_memory(contender: Contender, problem: Problem, device: str) -> int:
    """Bytes that a training step needs on top of weights, graph and input."""
    contender.layer.zero_grad()
    problem.x.grad = None
    return peak_memory(partial(contender.train, problem), device)


def engines_of(device: str) -> list[str]:
    """On the CPU Triton's kernels would be interpreted."""
    return [engine for engine in ENGINES if engine != "triton" or device == "cuda"]


def graph_case(peer: Peer, size: Size, device: str, rounds: int, engines: Sequence[str]) -> dict[str, Any]:
    """Times, ratios and memory of one layer at one size, unless it does not compute what its peer does."""
    case: dict[str, Any] = {"layer": peer.same, "peer": peer.name, "size": size}
    case["difference_float64"] = disagreement(peer, size, device, engines)
    problem = Problem(size, device)
    found = contenders(peer, problem, engines)
    case["difference_as_timed"] = disagreement_as_timed(found, problem)
    case["same"] = case["difference_float64"] <= TOLERANCE and case["difference_as_timed"] <= TOLERANCE_TIMED
    if not case["same"]:
        return case
    ours = found[engines[0]].layer
    assert isinstance(ours, GraphRecurrent)
    floor = Floor(ours, ours.prepare(problem.edge_index, problem.edge_weight, size[1]), size)
    for name in ("train", "infer"):
        steps: dict[str, Step] = {key: partial(getattr(each, name), problem) for key, each in found.items()}
        times = race({**steps, "floor": getattr(floor, name)}, device, rounds, warm_up=1)
        best = min(peer.ways, key=lambda way: statistics.median(times[way]))
        case[name] = {
            "times": {key: summary(times[key]) for key in times},
            "best_way": best,
            "times_faster_than_peer": {engine: ratio(times, best, engine) for engine in engines},
            "times_faster_than_peer_by_edges": {engine: ratio(times, "edge_index", engine) for engine in engines},
            "times_the_floor": {key: ratio(times, key, "floor") for key in (*peer.ways, *engines)},
        }
    del floor
    peaks = {key: training_memory(each, problem, device) for key, each in found.items()}
    case["peak_bytes"] = peaks
    if "reference" in peaks:
        case["memory_relative_to_reference"] = {key: peak / peaks["reference"] for key, peak in peaks.items()}
    return case


def graph(device: str, rounds: int, sizes: Sequence[Size], engines: Sequence[str]) -> dict[str, object]:
    """Graph-recurrent layers beside their peers: training (gradients of weights and input) and inference."""
    if pyg_temporal() is None:
        console.print("PyTorch Geometric Temporal is not installed: the rows against its layers are left out")
    table = Table(title=f"Graph-recurrent layers on {device} (x: times faster than the peer; f: times the floor)")
    for name in ("layer", "peer", "T, N, B, F, H", "step"):
        table.add_column(name)
    for name in ("differs", "by edges", "csr", *engines, "floor"):
        table.add_column(name, justify="right")
    cases = []
    for peer in peers():
        for size in sizes:
            case = graph_case(peer, size, device, rounds, engines)
            cases.append(case)
            for cells in rows(case, engines):
                table.add_row(*cells)
                console.print("[dim]" + " | ".join(cells))
    console.print(table)
    return {"overall": overall(cases, engines), "cases": cases}


def rows(case: dict[str, Any], engines: Sequence[str]) -> list[list[str]]:
    """What the table says of a case: training, inference and memory, or that the layers differ."""
    head = [case["layer"], case["peer"], ", ".join(map(str, case["size"]))]
    differs = f"{case['difference_float64']:.0e}"
    if not case["same"]:
        return [[*head, "not timed", f"{differs}, {case['difference_as_timed']:.0e} as timed"]]
    made = []
    for name, what in (("train", "training, ms"), ("infer", "inference, ms")):
        times = {key: f"{value['median_ms']:.4g}" for key, value in case[name]["times"].items()}
        faster, floors = case[name]["times_faster_than_peer"], case[name]["times_the_floor"]
        shown = [f"{times[engine]} ({faster[engine]:.3g}x {floors[engine]:.3g}f)" for engine in engines]
        made.append([*head, what, differs, times["edge_index"], times.get("csr", ""), *shown, times["floor"]])
    megabytes = {key: f"{peak / 1e6:.4g}" for key, peak in case["peak_bytes"].items()}
    shares = case.get("memory_relative_to_reference", {})
    shown = [megabytes[engine] + (f" ({shares[engine]:.2f})" if engine in shares else "") for engine in engines]
    made.append([*head, "memory, MB", "", megabytes["edge_index"], megabytes.get("csr", ""), *shown, ""])
    return made


def overall(cases: list[dict[str, Any]], engines: Sequence[str]) -> dict[str, Any]:
    """Over all sizes, for each peer, step and engine: how many times faster, and how far from the floor."""
    table = Table(title="Over all sizes: times faster than the peer, and times the floor at the three largest")
    for name in ("peer", "step", "engine"):
        table.add_column(name)
    for name in ("geometric mean", "least", "by edges: geometric mean", "least", "floors, at most"):
        table.add_column(name, justify="right")
    found: dict[str, Any] = {}
    for peer in dict.fromkeys(case["peer"] for case in cases):
        timed = [case for case in cases if case["peer"] == peer and case["same"]]
        largest = sorted(timed, key=lambda case: output_numbers(case["size"]))[-3:]
        for name in ("train", "infer") if timed else ():
            for engine in engines:
                faster = [case[name]["times_faster_than_peer"][engine] for case in timed]
                by_edges = [case[name]["times_faster_than_peer_by_edges"][engine] for case in timed]
                result = {
                    "geometric_mean": statistics.geometric_mean(faster),
                    "min": min(faster),
                    "geometric_mean_by_edges": statistics.geometric_mean(by_edges),
                    "min_by_edges": min(by_edges),
                    "most_times_the_floor": max(case[name]["times_the_floor"][engine] for case in largest),
                }
                found.setdefault(peer, {}).setdefault(name, {})[engine] = result
                table.add_row(peer, name, engine, *(f"{value:.2f}" for value in result.values()))
    console.print(table)
    return found


def output_numbers(size: Size) -> int:
    steps, nodes, batch, _, hidden = size
    return steps * nodes * batch * hidden
