"""A study of gradients or influence as a table, in words, as figures and as JSON."""

import json
import math
import os
import sys
from pathlib import Path
from statistics import geometric_mean, median_low
from typing import TYPE_CHECKING, Any

from seqgnn.figures import plain, save, style, tidy
from seqgnn.gradients import Curve, Study
from seqgnn.metrics import mean_sd
from seqgnn.store import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

RISE = 2.0  # the farthest norm over the smallest: what is called a rise
STRAIGHT, STEADY = 0.9, 0.5  # R²: from where on a fall is called exponential, or one at all
SYMBOLS = {
    "dL/dh": r"$\|\partial L / \partial h_t\|$",
    "dL/dc": r"$\|\partial L / \partial c_t\|$",
    "influence": r"$\|\partial p / \partial x_t\|$",
}


def show(study: Study) -> None:
    """Prints the table, and what it says in words."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(study))
    for line in [*verdicts(study), *notes(study)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def table(study: Study) -> "Table":
    """Returns the numbers of each curve: mean norms at both ends, and the fit of their logarithm."""
    from rich.table import Table

    view = Table(title=_title(study))
    view.add_column("norm of")
    view.add_column("model")
    for name in ("last element", "first", "× a step back", "R²", "smallest at", "rise"):
        view.add_column(name, justify="right")
    for place, (panel, curves) in enumerate(study.panels.items()):
        if place:
            view.add_section()
        for curve in curves:
            ends = [f"{mean_sd(curve.norms[:, end].tolist())[0]:.2e}" for end in (0, -1)]
            view.add_row(panel, curve.label, *ends, *_fitted(curve))
    return view


def _fitted(curve: Curve) -> list[str]:
    found = curve.decays
    if not found:
        return [""] * 4
    lowest = f"{median_low(d.lowest for d in found)}"
    return [_rate(curve), f"{min(d.r2 for d in found):.3f}", lowest, f"{geometric_mean(d.rise for d in found):.3g}"]


def _rate(curve: Curve) -> str:
    mean, sd = mean_sd([found.rate for found in curve.decays])
    return f"{mean:.3f}" if math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def verdicts(study: Study) -> list[str]:
    """Returns a line for each curve: whether it falls exponentially, rises again, or neither."""
    return [f"{name}, {curve.label}: {_verdict(curve)}" for name, curves in study.panels.items() for curve in curves]


def _verdict(curve: Curve) -> str:
    found = curve.decays
    if not bool(curve.norms.any()):
        return "zero everywhere"
    if len(found) < len(curve.norms):
        heard = int((curve.norms[:, curve.start :] > 0).sum(1).min())
        return f"too few norms that are not zero for a fit, {heard} where it needs 3"
    end = f"; zero beyond {max(d.farthest for d in found)} back" if bool((curve.norms[:, -1] == 0).all()) else ""
    rising = [d for d in found if d.rise >= RISE]
    if rising:
        times = geometric_mean(d.rise for d in rising)
        lowest = median_low(d.lowest for d in rising)
        back = f"{lowest} step{'s' * (lowest != 1)} back"
        until = f"falls until {back}, then rises again" if lowest else "rises from the last element on"
        seeds = f", in {len(rising)} of {len(found)} seeds" if len(found) > 1 else ""
        times_said = f"{times:,.0f}" if times >= 100 else f"{times:.3g}"
        return f"{until}, {times_said}-fold to the farthest{seeds}{end}"
    r2 = min(d.r2 for d in found)
    if all(d.rate < 1 for d in found) and r2 >= STEADY:
        how = "falls exponentially" if r2 >= STRAIGHT else "falls, though not exponentially"
        return f"{how}, times {_rate(curve)} a step back (R² at least {r2:.3f}){end}"
    return f"neither falls steadily, times {_rate(curve)} a step back (R² from {r2:.3f}), nor rises again{end}"


def notes(study: Study) -> list[str]:
    """Returns what a reader of the table has to know."""
    curves = [curve for curves in study.panels.values() for curve in curves]
    found = []
    if any(curve.decays for curve in curves):
        found.append(
            "× a step back, R²: least squares of the logarithm against distance, seed by seed; of R² the smallest. "
            f"rise: the farthest norm over the smallest, called one from {RISE:g} on. Distances are steps back; fits "
            f"begin at {curves[0].start}."
        )
    if len(study.seeds) == 1:
        found.append("One seed: no spread, and no band in the figure.")
    return found


def figure(study: Study) -> Any:
    """Returns a matplotlib figure: norms against steps back, on a logarithmic and a linear axis side by side.

    Lines are means over seeds, bands their range. What is zero is not there on the logarithmic axis.

    Raises:
        ValueError: if all norms are zero, and there is nothing to draw.
    """
    from matplotlib.figure import Figure

    if not any(bool(curve.norms.any()) for curves in study.panels.values() for curve in curves):
        raise ValueError("gradients: expected norms to draw, got zeros alone")
    labels = list(dict.fromkeys(curve.label for curves in study.panels.values() for curve in curves))
    sheet = Figure(figsize=(11.4, 0.9 + 3.3 * len(study.panels)), layout="constrained")
    grid = sheet.subplots(len(study.panels), 2, squeeze=False, sharex=True)
    for row, (name, curves) in zip(grid, study.panels.items()):
        for panel, scale in zip(row, ("log", "linear")):
            draw(panel, curves, labels, scale)
            panel.set_ylabel(SYMBOLS[name])
    for panel in grid[-1]:
        panel.set_xlabel("steps back from the last element")
    _legend(sheet, labels)
    sheet.suptitle(_title(study, "mean and range of "), fontsize=11)
    return sheet


def draw(panel: Any, curves: list[Curve], labels: list[str], scale: str) -> None:
    """Draws curves against distance on a "log" or "linear" axis, each in the style it has among `labels`."""
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        _draw(panel, curve, style(curve.label, labels), zeros=scale == "linear")
    panel.set_yscale(scale)
    if scale == "linear":
        panel.ticklabel_format(axis="y", scilimits=(-2, 3))
    panel.set_xlim(-0.5, max(curve.norms.size(1) for curve in curves) - 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    tidy(panel)


def _draw(panel: Any, curve: Curve, look: tuple[str, str, str], zeros: bool) -> None:
    color, marker, line = look
    x = range(curve.norms.size(1))
    marker = marker if len(x) < 12 else "none"
    parts = (curve.norms.mean(0), curve.norms.amin(0), curve.norms.amax(0))
    mean, low, high = (part.where((part > 0) | zeros, math.nan).tolist() for part in parts)
    panel.plot(x, mean, line, color=color, marker=marker, markersize=4, linewidth=1.5)
    if len(curve.norms) > 1:
        panel.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def _legend(sheet: Any, labels: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for label in labels:
        color, _, line = style(label, labels)
        handles.append(Line2D([], [], color=color, linestyle=line, linewidth=1.5, label=plain(label)))
    sheet.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)


def _title(study: Study, band: str = "") -> str:
    settings = study.settings
    over = {"norm-of-mean": "norm of the mean gradient", "mean-of-norms": "mean norm of gradients"}
    what = "influence on the answer" if study.measure == "influence" else over[settings["reduce"]]
    seeds = "one seed" if len(study.seeds) == 1 else f"{band}{len(study.seeds)} seeds"
    start = f", {settings['init']} weights" if "init" in settings else f", after {settings['steps']} steps"
    return f"{settings['task']}, T = {settings['length']}{start}: {what}, {seeds}"


def write(study: Study, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes `<measure>.json`, and `<measure>` as PNG and SVG; returns their paths.

    Raises:
        ValueError: if the folder cannot be made, or there is nothing to draw.
    """
    folder = Path(folder)
    drawn = figure(study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"gradients: expected a folder that can be written, got {folder} ({error})") from error
    write_atomically(folder / f"{study.measure}.json", to_json(study))
    return [folder / f"{study.measure}.json", *save(drawn, folder / study.measure)]


def to_json(study: Study) -> str:
    """Returns settings, seeds, and of each curve its norms by seed, from distance 0 on, the fits and the verdict."""
    curves = [
        {
            "of": name,
            "model": curve.label,
            "verdict": _verdict(curve),
            "fits": [vars(found) for found in curve.decays],
            "norms": curve.norms.tolist(),
        }
        for name, curves in study.panels.items()
        for curve in curves
    ]
    content = {"measure": study.measure, "settings": study.settings, "seeds": list(study.seeds), "curves": curves}
    return json.dumps(content, allow_nan=False, indent=1) + "\n"
