"""Speed of the layers, each compared with the layer it replaces, in one process.

    python benchmarks/speed.py [gcn recurrent minimal graph scaling gpu] [--device cpu|cuda] [--rounds 9]
        [--sizes 12,207,16,2,64 ...] [--engines auto reference] [--largest 1000000]
        [--json benchmarks/results/speed-cpu.json]

Timing is interleaved: the candidates of a case take turns in every round, so that other load on the machine affects all
of them alike. A time is the median over the rounds, a ratio the median of the ratios within a round. Each section
writes its own key of the JSON file and leaves the others unchanged.
"""

import argparse
import json
import os
import statistics
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from speed_gpu import gpu
from speed_graph import graph
from speed_minimal import minimal
from speed_scaling import scaling

from seqgnn.nn import GCNConv
from seqgnn.nn.recurrent.graph_rnn import ENGINES
from seqgnn.nn.scan.dispatch import fused_trains_faster
from seqgnn.profile.cases import engines_of
from seqgnn.profile.plain_layers import SequenceInputs, plain_candidates
from seqgnn.profile.reference_layers import SIZES
from seqgnn.profile.timing import Step, interleaved_timing, machine, rates, ratio, summary, versions

console = Console(width=150)

# Graph convolution

GCN_SIZES = [(169343, 1166243, 128, 128), (169343, 1166243, 128, 40), (2708, 10556, 1433, 16), (6, 16, 4, 4)]
GCN_ROWS = ["pyg edge_index", "pyg cached", "pyg csr", "pyg csr cached", "cold", "warm", "prepared"]


def gcn_steps(size: tuple[int, int, int, int], input_gradient: bool, device: str) -> dict[str, Step]:
    """Return a training step of one layer on a random graph for each candidate."""
    from torch_geometric.nn import GCNConv as PyG
    from torch_geometric.utils import to_torch_csr_tensor

    num_nodes, num_edges, in_channels, out_channels = size
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(num_nodes, (2, num_edges), generator=generator).to(device)
    x = torch.randn(num_nodes, in_channels, generator=generator).to(device).requires_grad_(input_gradient)
    up = torch.randn(num_nodes, out_channels, generator=generator).to(device)
    ours, theirs, cached, cached_csr = (
        GCNConv(in_channels, out_channels),
        PyG(in_channels, out_channels),
        PyG(in_channels, out_channels, cached=True),
        PyG(in_channels, out_channels, cached=True),
    )
    for layer in (ours, theirs, cached, cached_csr):
        layer.to(device).load_state_dict(theirs.state_dict())
    adj_t = to_torch_csr_tensor(edge_index.flip(0), size=(num_nodes, num_nodes))
    graph = ours.prepare(edge_index, num_nodes=num_nodes)

    def step(layer: torch.nn.Module, edges: Callable[[], object]) -> Step:
        def run() -> None:
            layer.zero_grad()
            x.grad = None
            layer(x, edges()).backward(up)

        return run

    steps = {
        "pyg edge_index": step(theirs, lambda: edge_index),
        "pyg cached": step(cached, lambda: edge_index),
        "pyg csr": step(theirs, lambda: adj_t),
        "pyg csr cached": step(cached_csr, lambda: adj_t),
        "cold": step(ours, lambda: edge_index.clone()),
        "warm": step(ours, lambda: edge_index),
        "prepared": step(ours, lambda: graph),
    }
    expected = theirs(x, edge_index)
    for name in ("cold", "warm", "prepared"):
        torch.testing.assert_close(ours(x, graph if name == "prepared" else edge_index), expected, rtol=1e-3, atol=1e-4)
    return steps


def gcn_lower_bound(size: tuple[int, int, int, int], input_gradient: bool, rate: dict[str, float]) -> float:
    """Return milliseconds for the dense products plus moving every operand of the sparse products once."""
    num_nodes, num_edges, in_channels, out_channels = size
    products = 3 if input_gradient else 2
    gemm = products * 2 * num_nodes * in_channels * out_channels / (1e6 * rate["gemm_gflop_per_s"])
    forward_only = not input_gradient and in_channels < 2 * out_channels
    width = in_channels if forward_only else min(in_channels, out_channels)
    entries = num_edges + num_nodes
    once = 4 * (2 * num_nodes * width + 2 * entries + num_nodes)
    return gemm + (1 if forward_only else 2) * once / (1e6 * rate["copy_gb_per_s"])


def gcn(device: str, rounds: int) -> dict[str, object]:
    """Return times of GCNConv and of PyG's: forward and backward pass, with gradients of weight, bias and (for an inner
    layer) of the input."""
    rate = rates(device)
    table = Table(title=f"GCNConv, training step on {device}, ms (x: speedup over PyG on edge_index)")
    table.add_column("N, E, F, H")
    table.add_column("x.grad")
    for name in [*GCN_ROWS, "lower bound"]:
        table.add_column(name, justify="right")
    table.add_column("warm / pyg csr", justify="right")
    cases = []
    for size in GCN_SIZES:
        for input_gradient in (True, False):
            times = interleaved_timing(gcn_steps(size, input_gradient, device), device, rounds)
            lower_bound = gcn_lower_bound(size, input_gradient, rate)
            faster = {name: ratio(times, "pyg edge_index", name) for name in GCN_ROWS}
            over_csr = {name: ratio(times, "pyg csr", name) for name in ("cold", "warm", "prepared")}
            over_cached = {name: ratio(times, "pyg csr cached", name) for name in ("cold", "warm", "prepared")}
            cells = [f"{statistics.median(times[name]):.4g} ({faster[name]:.2f}x)" for name in GCN_ROWS]
            shown = ", ".join(map(str, size))
            table.add_row(shown, str(input_gradient), *cells, f"{lower_bound:.3g}", f"{over_csr['warm']:.2f}x")
            console.print(f"[dim]{shown} x.grad={input_gradient}: " + ", ".join(cells))
            cases.append(
                {
                    "size": size,
                    "input_gradient": input_gradient,
                    "times": {name: summary(times[name]) for name in times},
                    "times_faster_than_pyg_edge_index": faster,
                    "times_faster_than_pyg_csr": over_csr,
                    "times_faster_than_pyg_csr_cached": over_cached,
                    "lower_bound_ms": lower_bound,
                }
            )
    console.print(table)
    return {"rates": rate, "cases": cases}


# Recurrent layers

RECURRENT_SIZES = [
    (10, 64, 10, 64),
    (30, 64, 64, 128),
    (150, 128, 10, 128),
    (50, 128, 10, 128),
    (1000, 16, 64, 128),
    (30, 64, 512, 512),
    (50, 32, 256, 512),
    (20, 256, 64, 512),
    (20, 2, 64, 512),
    (5, 2, 64, 512),
    (20, 64, 1024, 1024),
]
RECURRENT_ENGINES = ["auto", "fused", "reference"]
RECURRENT_ROWS = ["torch", "torch again", *RECURRENT_ENGINES]
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def recurrent_steps(kind: str, size: tuple[int, int, int, int], training: bool, device: str) -> dict[str, Step]:
    """Return a step of one layer, training or inference, with torch.nn and with each engine, all with the same weights.

    torch.nn runs twice: the difference between the two shows how much any two figures may differ by chance.
    """
    inputs = SequenceInputs(size, device)
    found = plain_candidates(kind, inputs, RECURRENT_ENGINES)
    found["torch again"] = plain_candidates(kind, inputs, ())["torch"]
    expected = found["torch"].infer(inputs)
    for candidate in found.values():
        torch.testing.assert_close(candidate.infer(inputs), expected, rtol=1e-3, atol=1e-4)
    name = "train" if training else "infer"
    return {key: partial(getattr(found[key], name), inputs) for key in RECURRENT_ROWS}


def recurrent(device: str, rounds: int) -> dict[str, object]:
    """Return times of RNN, LSTM and GRU and of torch.nn's: training (gradients of weights and input) and inference."""
    rate = rates(device)
    table = Table(title=f"Recurrent layers on {device}, ms per step (x: speed relative to torch.nn)")
    for name in ("layer", "T, B, F, H", "step"):
        table.add_column(name)
    for name in [*RECURRENT_ROWS, "lower bound"]:
        table.add_column(name, justify="right")
    cases: list[dict[str, Any]] = []
    for kind in GATES:
        for size in RECURRENT_SIZES:
            for training in (True, False):
                times = interleaved_timing(recurrent_steps(kind, size, training, device), device, rounds)
                num_steps, batch, input_size, hidden = size
                products = 2 * num_steps * batch * (input_size + hidden) * GATES[kind] * hidden
                lower_bound = (3 if training else 1) * products / (1e6 * rate["gemm_gflop_per_s"])
                relative = {name: ratio(times, "torch", name) for name in RECURRENT_ROWS}
                cells = [f"{statistics.median(times[name]):.4g} ({relative[name]:.2f}x)" for name in RECURRENT_ROWS]
                what = "training" if training else "inference"
                fused = training and device == "cpu" and fused_trains_faster(kind.lower(), hidden, num_steps, batch)
                table.add_row(kind, ", ".join(map(str, size)), what, *cells, f"{lower_bound:.3g}")
                cases.append(
                    {
                        "layer": kind,
                        "size": size,
                        "step": what,
                        "auto_is": "fused" if fused else "native",
                        "times": {name: summary(times[name]) for name in times},
                        "speed_relative_to_torch": relative,
                        "lower_bound_ms": lower_bound,
                    }
                )
    console.print(table)
    table = Table(title="Speed relative to torch.nn: the choice of `auto` is right where this is at least 0.97")
    for name in ("layer", "auto is", "step", "engine", "geometric mean", "min", "max"):
        table.add_column(name)
    overall: dict[str, Any] = {}
    for kind, choice, what in product(GATES, ("native", "fused"), ("training", "inference")):
        chosen = [c for c in cases if (c["layer"], c["auto_is"], c["step"]) == (kind, choice, what)]
        for name in RECURRENT_ROWS[1:] if chosen else ():
            speeds = [case["speed_relative_to_torch"][name] for case in chosen]
            found = {"geometric_mean": statistics.geometric_mean(speeds), "min": min(speeds), "max": max(speeds)}
            overall.setdefault(kind, {}).setdefault(choice, {}).setdefault(what, {})[name] = found
            table.add_row(kind, choice, what, name, *(f"{value:.3f}" for value in found.values()))
    console.print(table)
    return {"rates": rate, "overall": overall, "cases": cases}


def save(path: Path, section: str, result: dict[str, object]) -> None:
    """Replace one section of the file atomically; if anything fails, the file is unchanged."""
    stored = read_results(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({**stored, section: result}, indent=1) + "\n")
    os.replace(unfinished, path)


def size(text: str) -> tuple[int, ...]:
    """Return T,N,B,F,H as given on the command line."""
    numbers = tuple(int(part) if part.isdecimal() else 0 for part in text.split(","))
    if len(numbers) != 5 or min(numbers) < 1 or numbers[0] < 2:
        raise argparse.ArgumentTypeError(f"expected T,N,B,F,H with T >= 2, got {text}")
    return numbers


def read_results(path: Path) -> dict[str, object]:
    """Return the results of earlier runs, by section."""
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    names = ("gcn", "recurrent", "minimal", "graph", "scaling", "gpu")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{', '.join(names)}; default: all")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", nargs="+", type=size, default=SIZES, metavar="T,N,B,F,H", help="sizes of graph")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, help="engines of graph; default: all of the device")
    parser.add_argument("--largest", type=int, default=1_000_000, help="number of nodes in scaling")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/speed-<device>.json")
    arguments = parser.parse_args()
    device, rounds = arguments.device, arguments.rounds
    engines = arguments.engines or engines_of(device)
    path = arguments.json or Path(__file__).parent / "results" / f"speed-{device}.json"
    unknown = set(arguments.sections) - set(names)
    if unknown:
        parser.error(f"expected sections among {', '.join(names)}, got {' '.join(unknown)}")
    if rounds < 1 or arguments.largest < 3000:
        parser.error(f"expected --rounds >= 1 and --largest >= 3000, got {rounds} and {arguments.largest}")
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("expected a device for --device cuda, got none")
    if device == "cpu" and "triton" in engines:
        parser.error("expected --device cuda for --engines triton, got cpu")
    try:
        read_results(path)
    except ValueError as error:
        parser.error(f"expected --json to be a JSON file, or none yet, got {path}: {error}")
    sections: dict[str, Callable[[], dict[str, object]]] = {
        "gcn": partial(gcn, device, rounds),
        "recurrent": partial(recurrent, device, rounds),
        "minimal": partial(minimal, device, rounds),
        "graph": partial(graph, device, rounds, arguments.sizes, engines),
        "scaling": partial(scaling, device, rounds, arguments.largest),
        "gpu": partial(gpu, device, rounds),
    }
    # PyG creates sparse tensors, and torch warns that they are in beta.
    warnings.filterwarnings("ignore", message="Sparse")
    for section in arguments.sections or names:
        if section == "gpu" and device == "cpu":
            console.print("gpu: expected --device cuda, got cpu; skipped")
            continue
        measured = sections[section]()
        config = {"device": device, "rounds": rounds, "dtype": "float32"}
        about = {"config": config, "versions": versions(), "machine": machine(device)}
        save(path, section, {**about, "measured": measured})
        console.print(f"{section}: saved to {path}")


if __name__ == "__main__":
    main()
