"""Graph-recurrent layers compared with those of PyTorch Geometric Temporal and with two of PyG's convolutions, with the
cases of `seqgnn.profile`: only layers with equal outputs are timed."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from seqgnn.profile.cases import COLUMNS, TimeBudget, cells, graph_case
from seqgnn.profile.reference_layers import Size, pyg_temporal, reference_layers

console = Console(width=150)


def graph(device: str, rounds: int, sizes: Sequence[Size], engines: Sequence[str]) -> dict[str, object]:
    """Return times of graph-recurrent layers and their reference layers: training (gradients of weights and input) and
    inference."""
    if pyg_temporal() is None:
        console.print("PyTorch Geometric Temporal is not installed: skipping the rows with its layers")
    title = f"Graph-recurrent layers on {device} (x: speedup over the reference layer; b: times the lower bound)"
    table = Table(title=title)
    for name in ("layer", "reference layer", "T, N, B, F, H", "difference", *COLUMNS, *engines, "lower bound"):
        table.add_column(name)
    cases = []
    for reference in reference_layers():
        for size in sizes:
            case = graph_case(reference, size, device, engines, TimeBudget(rounds))
            cases.append(case)
            shape, difference = ", ".join(map(str, size)), f"{case['difference_float64']:.0e}"
            head = [case["layer"], case["reference_layer"], shape, difference]
            for row in cells(case, engines):
                table.add_row(*head, *row)
                console.print("[dim]" + " | ".join([*head, *row]))
    console.print(table)
    return {"overall": overall(cases, engines), "cases": cases}


def overall(cases: list[dict[str, Any]], engines: Sequence[str]) -> dict[str, Any]:
    """Return, over all sizes and for each reference layer, step and engine: the speedup over the reference layer, the
    speedup over the engine "reference", which shows whether `auto` chooses well, and the ratio to the lower bound."""
    table = Table(title="Over all sizes: speedups; ratio to the lower bound at the three largest sizes")
    for name in ("reference layer", "step", "engine"):
        table.add_column(name)
    headers = ["geometric mean", "min", "by edges: geometric mean", "min", "times the lower bound, max"]
    for name in (*headers, "over engine 'reference': mean", "min"):
        table.add_column(name, justify="right")
    summary: dict[str, Any] = {}
    for reference in dict.fromkeys(case["reference_layer"] for case in cases):
        timed = [case for case in cases if case["reference_layer"] == reference and case["same"]]
        largest = sorted(timed, key=lambda case: output_numbers(case["size"]))[-3:]
        for name in ("train", "infer") if timed else ():
            for engine in engines:
                faster = [case[name]["speedup"][engine] for case in timed]
                by_edges = [case[name]["speedup_by_edges"][engine] for case in timed]
                bounds = [case[name]["times_lower_bound"] for case in timed]
                over = [each["reference"] / each[engine] for each in bounds if "reference" in each]
                result = {
                    "geometric_mean": statistics.geometric_mean(faster),
                    "min": min(faster),
                    "geometric_mean_by_edges": statistics.geometric_mean(by_edges),
                    "min_by_edges": min(by_edges),
                    "most_times_lower_bound": max(case[name]["times_lower_bound"][engine] for case in largest),
                }
                if over:
                    result |= {"geometric_mean_over_reference": statistics.geometric_mean(over)}
                    result |= {"min_over_reference": min(over)}
                summary.setdefault(reference, {}).setdefault(name, {})[engine] = result
                table.add_row(reference, name, engine, *(f"{value:.2f}" for value in result.values()))
    console.print(table)
    return summary


def output_numbers(size: Size) -> int:
    steps, nodes, batch, _, hidden = size
    return steps * nodes * batch * hidden
