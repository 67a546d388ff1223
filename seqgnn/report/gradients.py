"""A study of gradients or influence as a table, sentences, figures and JSON."""

import json
import math
import os
import sys
from pathlib import Path
from statistics import median, median_low
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqgnn._utils.files import write_all
from seqgnn.analysis import Decay
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.trained.gradient_study import Curve, Study
from seqgnn.report.plots.style import plain, rendered, style, tidy

if TYPE_CHECKING:
    from rich.table import Table

RISE = 2.0  # smallest factor of a change, a fall or a rise
STRAIGHT, STEADY = 0.95, 0.5  # smallest R² of an exponential fall, and of any steady change
STEPS, FALL = 10, 10.0  # number of norms and factor needed to distinguish an exponential fall from others
EXPONENTIAL, STEADILY, UNEVEN, DIP, RISES, LEVEL, NEITHER, FEW, ZERO = KINDS = (
    "falls exponentially",
    "falls steadily, less than tenfold",
    "falls unevenly",
    "falls, then rises again",
    "rises with distance",
    "changes less than twofold",
    "neither falls nor rises steadily",
    "too few steps for a verdict",
    "zero everywhere",
)
SYMBOLS = {
    "dL/dh": r"$\|\partial L / \partial h_t\|$",
    "dL/dc": r"$\|\partial L / \partial c_t\|$",
    "influence": r"$\|\partial p / \partial x_t\|$",
}


def show(study: Study) -> None:
    """Print the table, its verdicts and its notes."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(study))
    for line in [*verdicts(study), *notes(study)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def table(study: Study) -> "Table":
    """Return the numbers of each curve, medians over seeds: norms at both ends, and the fit of the log norms."""
    from rich.table import Table

    view = Table(title=_title(study, "median of "))
    view.add_column("norm of")
    view.add_column("model")
    for name in ("last position", "first", "× per step back", "R²", "smallest at", "rise"):
        view.add_column(name, justify="right")
    for place, (panel, curves) in enumerate(study.panels.items()):
        if place:
            view.add_section()
        for curve in curves:
            ends = [f"{median(curve.norms[:, end].tolist()):.2e}" for end in (0, -1)]
            view.add_row(panel, curve.label, *ends, *_fitted(curve))
    return view


def _fitted(curve: Curve) -> list[str]:
    fits = [fit for fit in curve.decays if fit is not None]
    if not fits:
        return [""] * 4
    rate, r2, rise = (median(getattr(fit, name) for fit in fits) for name in ("rate", "r2", "rise"))
    return [f"{rate:.3f}", f"{r2:.3f}", f"{median_low(fit.lowest for fit in fits)}", f"{rise:.3g}"]


def verdicts(study: Study) -> list[str]:
    """Return a line for each curve: how its norms change with distance, in most seeds and in the others."""
    return [f"{name}, {curve.label}: {_verdict(curve)}" for name, curves in study.panels.items() for curve in curves]


def kinds(curve: Curve) -> list[str]:
    """Return how the norms of each seed change with distance, as one of `KINDS`.

    A fall is exponential under three conditions: at least `STEPS` norms are neither zero nor subnormal; a line through
    their logarithms explains at least `STRAIGHT` of the variance, which rules out linear and hyperbolic falls; and the
    fall is at least `FALL`-fold, below which these look alike. With fewer norms the kind is `FEW`, unless all are
    within `RISE` times the smallest.

    Norms rise if a steady line leads from the smallest norm up to at least `RISE` times as much at the farthest. They
    fall before that if the first norm is at least `RISE` times the smallest.
    """
    return [_kind(norms, decay) for norms, decay in zip(curve.norms, curve.decays)]


def _kind(norms: Tensor, decay: Decay | None) -> str:
    if decay is None:
        return FEW if bool(norms.any()) else ZERO
    if decay.spread < RISE:
        return LEVEL
    if decay.count < STEPS:
        return FEW
    if decay.rise >= RISE and decay.rise_r2 >= STEADY:
        return DIP if decay.fall >= RISE else RISES
    if decay.rate < 1 and decay.r2 >= STEADY:
        if decay.r2 < STRAIGHT:
            return UNEVEN
        return EXPONENTIAL if decay.fall >= FALL else STEADILY
    return NEITHER


def _verdict(curve: Curve) -> str:
    seed_kinds = kinds(curve)
    first, *other_kinds = sorted(set(seed_kinds), key=lambda kind: (-seed_kinds.count(kind), KINDS.index(kind)))
    seeds = f" in {seed_kinds.count(first)} of {len(seed_kinds)} seeds" if len(seed_kinds) > 1 else ""
    matching = [(norms, fit) for norms, fit, kind in zip(curve.norms, curve.decays, seed_kinds) if kind == first]
    fits = [fit for _, fit in matching if fit is not None]
    minority = "".join(f"; {kind} in {seed_kinds.count(kind)}" for kind in other_kinds)
    numbers = _ends([norms for norms, _ in matching], curve.start) if first == FEW else _numbers(first, fits)
    return f"{first}{seeds}{numbers}{minority}{_end(curve)}"


def _ends(rows: list[Tensor], start: int) -> str:
    """Return the number of norms if there are too few, and the ratio of the farthest to the nearest, in words."""
    normal = [[norm for norm in row[start:].tolist() if norm >= torch.finfo(row.dtype).tiny] for row in rows]
    count = median_low(map(len, normal))
    if count < 2:
        return f" ({count or 'no'} norm{'s' * (count != 1)} from distance {start} on)"
    ratio = median(row[-1] / row[0] for row in normal if len(row) > 1)
    return f" ({count} norms, the farthest {ratio:.3g} times the nearest)"


def _numbers(kind: str, fits: list[Decay]) -> str:
    """Return the figures of a kind in words: medians over its seeds."""
    if not fits:
        return ""
    if kind == DIP:
        lowest, rise = median_low(fit.lowest for fit in fits), median(fit.rise for fit in fits)
        times = f"{rise:,.0f}" if rise >= 100 else f"{rise:.3g}"
        return f", from {lowest} step{'s' * (lowest != 1)} back on, {times}-fold up to the farthest"
    r2 = f"R² {median(fit.r2 for fit in fits):.3f}"
    if kind == NEITHER:
        return f", {r2}"
    rates = [fit.rate for fit in fits]
    spread = f" ({min(rates):.3f} to {max(rates):.3f})" if len(rates) > 1 else ""
    return f", times {median(rates):.3f}{spread} per step back, {r2}"


def _end(curve: Curve) -> str:
    """Return the distance beyond which all norms vanish, in words."""
    ends = [fit.farthest for fit in curve.decays if fit is not None and fit.farthest < curve.norms.size(1) - 1]
    if not ends:
        return ""
    reason = "below what float64 can hold" if curve.endless else "zero"
    seeds = f" in {len(ends)} of {len(curve.norms)} seeds" if len(ends) < len(curve.norms) else ""
    return f"; {reason} beyond distance {median_low(ends)}{seeds}"


def position_note(study: Study) -> str:
    """Return which position is measured, for tasks with a target at every position; else an empty string."""
    if not study.settings.get("per_element"):
        return ""
    if study.measure == "influence":
        return "Every position has a prediction here; the influence on the one at the last position is measured."
    return "Every position has a target here; the loss is that of the last position alone."


def notes(study: Study) -> list[str]:
    """Return the notes below the table."""
    curves = [curve for curves in study.panels.values() for curve in curves]
    lines = [sentence] if (sentence := position_note(study)) else []
    if any(fit is not None for curve in curves for fit in curve.decays):
        lines.append(
            "× per step back, R²: least-squares fit of the log norm against distance. A fall is called exponential "
            f"with at least {STEPS} norms, R² {STRAIGHT:g} and a {FALL:g}-fold fall, and uneven with R² from "
            f"{STEADY:g}; fewer norms are too few for a verdict. rise: factor from the smallest norm to the farthest, "
            f"by a line fitted between the two; at least {RISE:g} counts as a rise. Distances are "
            f"{distance_label(study)}; fits start at {curves[0].start}."
        )
    if len(study.seeds) == 1:
        lines.append("One seed: no spread, and no band in the figure.")
    else:
        lines.append("All numbers are medians over seeds; in a sentence, over the seeds that it names first, with "
                     "their range in parentheses.")  # fmt: skip
    return lines


def figure(study: Study) -> Any:
    """Return a matplotlib figure: norms against steps back, on a logarithmic and a linear axis side by side.

    Lines are medians over seeds, bands their range. The logarithmic axis omits zeros.

    Raises:
        ValueError: if all norms are zero.
    """
    from matplotlib.figure import Figure

    if not any(bool(curve.norms.any()) for curves in study.panels.values() for curve in curves):
        raise ValueError("gradients: all norms are zero, so there is nothing to plot")
    labels = list(dict.fromkeys(curve.label for curves in study.panels.values() for curve in curves))
    canvas = Figure(figsize=(11.4, 0.9 + 3.3 * len(study.panels)), layout="constrained")
    grid = canvas.subplots(len(study.panels), 2, squeeze=False, sharex=True)
    for row, (name, curves) in zip(grid, study.panels.items()):
        for panel, scale in zip(row, ("log", "linear")):
            draw(panel, curves, labels, scale)
            panel.set_ylabel(SYMBOLS[name])
    for panel in grid[-1]:
        panel.set_xlabel(distance_label(study))
    _legend(canvas, labels)
    canvas.suptitle(_title(study, "median and range of "), fontsize=11)
    return canvas


def distance_label(study: Study) -> str:
    """Return the label of distances: steps of a sequence, or edges of a tree."""
    in_steps = study.measure == "gradients" or PROBLEMS[study.settings["task"]].sequential
    return "steps back from the last position" if in_steps else "edges to the last node, the root"


def draw(panel: Any, curves: list[Curve], labels: list[str], scale: str) -> None:
    """Draw curves against distance on a "log" or "linear" axis, each in the style it has among `labels`."""
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        _draw(panel, curve, style(curve.label, labels), zeros=scale == "linear")
    panel.set_yscale(scale)
    if scale == "linear":
        panel.ticklabel_format(axis="y", scilimits=(-2, 3))
    panel.set_xlim(-0.5, max(curve.norms.size(1) for curve in curves) - 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    tidy(panel)


def _draw(panel: Any, curve: Curve, line_style: tuple[str, str, str], zeros: bool) -> None:
    color, marker, line = line_style
    x = range(curve.norms.size(1))
    marker = marker if len(x) < 12 else "none"
    parts = (curve.norms.quantile(0.5, 0), curve.norms.amin(0), curve.norms.amax(0))
    middle, low, high = (part.where((part > 0) | zeros, math.nan).tolist() for part in parts)
    panel.plot(x, middle, line, color=color, marker=marker, markersize=4, linewidth=1.5)
    if len(curve.norms) > 1:
        panel.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def _legend(canvas: Any, labels: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for label in labels:
        color, _, line = style(label, labels)
        handles.append(Line2D([], [], color=color, linestyle=line, linewidth=1.5, label=plain(label)))
    canvas.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)


def _title(study: Study, statistic: str) -> str:
    settings = study.settings
    reductions = {"norm-of-mean": "norm of the mean gradient", "mean-of-norms": "mean norm of gradients"}
    quantity = "influence on the prediction" if study.measure == "influence" else reductions[settings["reduce"]]
    if settings.get("per_element"):
        quantity += " at the last position" if study.measure == "influence" else ", loss at the last position"
    seeds = "one seed" if len(study.seeds) == 1 else f"{statistic}{len(study.seeds)} seeds"
    start = f", {settings['init']} weights" if "init" in settings else f", after {settings['steps']} steps"
    return f"{settings['task']}, T = {settings['length']}{start}: {quantity}, {seeds}"


def write(study: Study, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `<measure>.json`, and `<measure>` as PNG and SVG; return their paths.

    Raises:
        ValueError: if the folder cannot be made, or there is nothing to draw.
        NotWritten: a ValueError that names each file that could not be written; the others are.
    """
    folder = Path(folder)
    canvas = figure(study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"gradients: expected a writable folder, got {folder} ({error})") from error
    numbers = folder / f"{study.measure}.json", to_json(study)
    return write_all([numbers, *rendered(canvas, folder / study.measure)])


def to_json(study: Study) -> str:
    """Return settings, seeds and curves; each curve has a verdict and, by seed, kind, fit and norms from distance 0."""
    curves = [
        {
            "of": name,
            "model": curve.label,
            "verdict": _verdict(curve),
            "kinds": kinds(curve),
            "fits": [None if decay is None else vars(decay) for decay in curve.decays],
            "norms": curve.norms.tolist(),
        }
        for name, curves in study.panels.items()
        for curve in curves
    ]
    content = {"measure": study.measure, "settings": study.settings, "seeds": list(study.seeds), "curves": curves}
    return json.dumps(content, allow_nan=False, indent=1) + "\n"
