"""Graph-recurrent layers beside those of PyTorch Geometric Temporal and beside two of PyG's convolutions, with the
cases of `seqgnn.profile`: only layers that compute the same are timed."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from seqgnn.profile.cases import COLUMNS, Pace, cells, graph_case
from seqgnn.profile.reference_layers import Size, peers, pyg_temporal

console = Console(width=150)


def graph(device: str, rounds: int, sizes: Sequence[Size], engines: Sequence[str]) -> dict[str, object]:
    """Graph-recurrent layers beside their peers: training (gradients of weights and input) and inference."""
    if pyg_temporal() is None:
        console.print("PyTorch Geometric Temporal is not installed: the rows against its layers are left out")
    table = Table(title=f"Graph-recurrent layers on {device} (x: times faster than the peer; f: times the floor)")
    for name in ("layer", "peer", "T, N, B, F, H", "differs", *COLUMNS, *engines, "floor"):
        table.add_column(name)
    cases = []
    for peer in peers():
        for size in sizes:
            case = graph_case(peer, size, device, engines, Pace(rounds))
            cases.append(case)
            head = [case["layer"], case["peer"], ", ".join(map(str, size)), f"{case['difference_float64']:.0e}"]
            for row in cells(case, engines):
                table.add_row(*head, *row)
                console.print("[dim]" + " | ".join([*head, *row]))
    console.print(table)
    return {"overall": overall(cases, engines), "cases": cases}


def overall(cases: list[dict[str, Any]], engines: Sequence[str]) -> dict[str, Any]:
    """Over all sizes, for each peer, step and engine: how many times faster, also than the reference, which says
    whether `auto` chooses well, and how far from the floor."""
    table = Table(
        title="Over all sizes: times faster than the peer and the reference; times the floor at the three largest"
    )
    for name in ("peer", "step", "engine"):
        table.add_column(name)
    means = "geometric mean", "least"
    for name in (*means, "by edges: geometric mean", "least", "floors, at most", "than reference: mean", "least"):
        table.add_column(name, justify="right")
    found: dict[str, Any] = {}
    for peer in dict.fromkeys(case["peer"] for case in cases):
        timed = [case for case in cases if case["peer"] == peer and case["same"]]
        largest = sorted(timed, key=lambda case: output_numbers(case["size"]))[-3:]
        for name in ("train", "infer") if timed else ():
            for engine in engines:
                faster = [case[name]["times_faster_than_peer"][engine] for case in timed]
                by_edges = [case[name]["times_faster_than_peer_by_edges"][engine] for case in timed]
                floors = [case[name]["times_the_floor"] for case in timed]
                over = [each["reference"] / each[engine] for each in floors if "reference" in each]
                result = {
                    "geometric_mean": statistics.geometric_mean(faster),
                    "min": min(faster),
                    "geometric_mean_by_edges": statistics.geometric_mean(by_edges),
                    "min_by_edges": min(by_edges),
                    "most_times_the_floor": max(case[name]["times_the_floor"][engine] for case in largest),
                }
                if over:
                    result |= {"geometric_mean_over_reference": statistics.geometric_mean(over)}
                    result |= {"min_over_reference": min(over)}
                found.setdefault(peer, {}).setdefault(name, {})[engine] = result
                table.add_row(peer, name, engine, *(f"{value:.2f}" for value in result.values()))
    console.print(table)
    return found


def output_numbers(size: Size) -> int:
    steps, nodes, batch, _, hidden = size
    return steps * nodes * batch * hidden
