"""The results of `seqgnn bench` as a table, notes, a figure and JSON."""

import os
import statistics
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgnn._utils.files import write_all
from seqgnn.profile.cases import COLUMNS, cells
from seqgnn.profile.suite import Bench
from seqgnn.report.plots.style import GRAY, plain, rendered, tidy

if TYPE_CHECKING:
    from rich.table import Table

# Okabe and Ito's colors, and wine. "auto" is a ring, so that the engine it chose is visible inside.
MARKS: dict[str, tuple[str, dict[str, Any]]] = {
    "edge_index": ("reference layer, edge_index", {"marker": "^", "color": "#D55E00"}),
    "csr": ("reference layer, CSR matrix", {"marker": "v", "color": "#E69F00"}),
    "torch": ("torch.nn", {"marker": "D", "color": "#CC79A7"}),
    "reference": ("seqgnn, reference", {"marker": "s", "color": "#56B4E9"}),
    "fused": ("seqgnn, fused", {"marker": "o", "color": "#0072B2"}),
    "cpp": ("seqgnn, cpp", {"marker": "X", "color": "#882255"}),
    "triton": ("seqgnn, triton", {"marker": "P", "color": "#009E73"}),
    "auto": ("seqgnn, auto", {"marker": "o", "color": "#000000", "markerfacecolor": "none", "markersize": 10}),
}
STEPS = {"train": "training step", "infer": "inference"}
TICKS = [digit * 10**power for power in range(-1, 4) for digit in (1, 2, 5)]
INSTALL = "pip install --no-deps torch-geometric-temporal decorator requests"


def show(bench: Bench) -> None:
    """Print the table and its notes."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(bench))
    for line in notes(bench):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def table(bench: Bench) -> "Table":
    """Return times, speedups and memory of every row, size by size."""
    from rich.table import Table

    engines = _engines(bench)
    title = f"Layers on {bench.config['device']} (x: speedup over the reference layer; b: times the lower bound)"
    view = Table(title=title)
    view.add_column("T, (N,) B, F, H:\nlayer / reference layer", no_wrap=True)
    for name in (*COLUMNS, *engines, "lower bound"):
        view.add_column(name)
    for size, cases in _by_size(bench):
        view.add_section()
        view.add_row(f"[bold]{size.split(' = ')[1]}")
        for case in cases:
            for number, row in enumerate(cells(case, engines)):
                view.add_row(_name(case) if number == 0 else "", *row)
    return view


def notes(bench: Bench) -> list[str]:
    """Return the speedups of `auto` over each kind of reference layer, the rows left out, machine and versions."""
    lines = []
    for name, is_included in (
        (
            "PyTorch Geometric Temporal's layers",
            lambda case: case["reference_layer"] and case["layer"] not in _OTHER_LAYERS,
        ),
        ("two GCNConv of PyG", lambda case: case["layer"] == "GCNLSTM"),
        ("torch.nn's layers", lambda case: case["reference_layer"].startswith("torch.nn")),
    ):
        cases = [case for case in bench.cases if case["timed"] and is_included(case)]
        parts = []
        for step, label in STEPS.items():
            speedups = [case[step]["speedup"]["auto"] for case in cases]
            if speedups:
                mean = statistics.geometric_mean(speedups)
                parts.append(f"{label} {mean:.2f} times as fast (geometric mean; minimum {min(speedups):.2f})")
        if parts:
            lines.append(f"auto compared with {name}: {'; '.join(parts)}.")
    different = [_name(case) for case in bench.cases if not case["same"]]
    if different:
        lines.append(f"Not timed, since their outputs differ: {'; '.join(different)}.")
    if "torch_geometric_temporal" not in bench.versions:
        lines.append(f"PyTorch Geometric Temporal is not installed, so its layers are missing ({INSTALL}).")
    for size, rows in groupby(bench.left_out, key=lambda row: row.size):
        lines.append(f"Skipped for lack of time, {_size(size)}: {'; '.join(row.layer for row in rows)}.")
    return [*lines, *about(bench)]


def about(bench: Bench) -> list[str]:
    """Return how to read the numbers, the machine, and versions."""
    machine = {name: value for name, value in bench.machine.items() if name != "system"}
    return [
        "T steps, N nodes with eight neighbors, B windows or sequences, F to H channels; one layer.",
        "Median over interleaved repetitions, float32. Lower bound: time of dense and sparse matrix products alone.",
        ", ".join(f"{name} {value}" for name, value in machine.items()) + f", {bench.machine.get('system', '')}",
        ", ".join(f"{name} {value}" for name, value in bench.versions.items()),
    ]


def figure(bench: Bench) -> Any:
    """Return a matplotlib figure: for each row the times of every engine and reference layer as multiples of the lower
    bound, training and inference side by side.

    Raises:
        ValueError: if no row was timed.
    """
    from matplotlib.figure import Figure

    places: list[tuple[str, dict[str, Any] | None]] = []
    for size, cases in _by_size(bench):
        timed = [case for case in cases if case["timed"]]
        places += [(size, None), *((_name(case), case) for case in timed)] if timed else []
    if not places:
        raise ValueError("bench: no layer was timed; increase --seconds")
    canvas = Figure(figsize=(11, 2.3 + 0.24 * len(places)), layout="constrained")
    panels = canvas.subplots(1, 2, sharex=True, sharey=True)
    for panel, (step, step_name) in zip(panels, STEPS.items()):
        for place, (_, case) in enumerate(places):
            if case is not None:
                _draw(panel, place, case[step]["times_lower_bound"])
        panel.set_title(step_name, fontsize=10)
        panel.set_xlabel("time / lower bound")
    for panel in panels:
        _axis(panel, panels)
    panels[0].set_yticks(range(len(places)), [plain(name) for name, _ in places], fontsize=9)
    for label, (_, case) in zip(panels[0].get_yticklabels(), places):
        label.set(color="black" if case is not None else GRAY, fontstyle="normal" if case is not None else "italic")
    panels[0].set_ylim(len(places) - 0.4, -0.6)
    _legend(canvas, places, f"Layers on {bench.config['device']}: time relative to the lower bound (left is faster)")
    canvas.supxlabel("\n".join(plain(line) for line in about(bench)), fontsize=8, color=GRAY)
    return canvas


def write(bench: Bench, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `bench.json`, `bench.png` and `bench.svg`; return their paths.

    Raises:
        ValueError: if there is nothing to draw.
        NotWritten: a ValueError that names each file that could not be written; the others are.
    """
    folder = Path(folder)
    return write_all([(folder / "bench.json", bench.to_json()), *rendered(figure(bench), folder / "bench")])


_OTHER_LAYERS = ("GCNLSTM", "LSTM", "GRU", "RNN")


def _by_size(bench: Bench) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for size, cases in groupby(bench.cases, key=lambda case: case["size"]):
        yield _size(size), list(cases)


def _size(size: Any) -> str:
    names = "T, N, B, F, H" if len(size) == 5 else "T, B, F, H"
    return f"{names} = {', '.join(map(str, size))}"


def _name(case: dict[str, Any]) -> str:
    return f"{case['layer']} / {case['reference_layer']}" if case["reference_layer"] else case["layer"]


def _engines(bench: Bench) -> list[str]:
    timed = {name for case in bench.cases if case["timed"] for name in case["train"]["times_lower_bound"]}
    return [name for name in ("auto", "cpp", "fused", "triton", "reference") if name in timed]


def _draw(panel: Any, place: int, ratios: dict[str, float]) -> None:
    values = [ratios[name] for name in MARKS if name in ratios]
    panel.plot([min(values), max(values)], [place, place], color="#cccccc", linewidth=1, zorder=1)
    for name, (_, mark) in MARKS.items():
        if name in ratios:
            panel.plot(ratios[name], place, linestyle="none", **{"markersize": 6, **mark})


def _axis(panel: Any, panels: Any) -> None:
    """Draw the axis from the lower bound on, with plain numbers and some margin on both sides."""
    from matplotlib.ticker import NullLocator

    low = min(1.0, *(axes.dataLim.x0 for axes in panels)) / 1.3
    high = max(axes.dataLim.x1 for axes in panels) * 1.3
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    panel.xaxis.set_ticks([tick for tick in TICKS if low <= tick <= high])
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.axvline(1, color=GRAY, linewidth=1.2, zorder=1)
    tidy(panel, axis="x")


def _legend(canvas: Any, places: list[tuple[str, dict[str, Any] | None]], title: str) -> None:
    from matplotlib.lines import Line2D

    timed = {name for _, case in places if case is not None for name in case["train"]["times_lower_bound"]}
    handles: list[Any] = [
        Line2D([], [], linestyle="none", label=label, **{"markersize": 6, **mark})
        for name, (label, mark) in MARKS.items()
        if name in timed
    ]
    handles.append(Line2D([], [], color=GRAY, linewidth=1.2, label="lower bound"))
    legend_style = {"frameon": False, "fontsize": 9, "title_fontsize": 11}
    canvas.legend(handles=handles, loc="outside upper center", ncols=4, title=title, **legend_style)
