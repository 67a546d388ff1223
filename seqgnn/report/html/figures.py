"""The figures of a page, each narrow enough for a phone, with a separate legend."""

import math
from dataclasses import dataclass, replace
from typing import Any

from seqgnn._utils.text import listed
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.experiments.trained.gradient_study import Study
from seqgnn.report.footnotes import seeds_of
from seqgnn.report.gradients import distance_label, draw, verdicts
from seqgnn.report.html.model_inspection import BATCH, ModelInspection
from seqgnn.report.html.oversmoothing import Smoothing, verdict
from seqgnn.report.html.summary import curves_description, scores_description, solved_description
from seqgnn.report.html.svg import inline, swatch
from seqgnn.report.plots.comparison import curve_label, curves_title, draw_curves, first_step, solved_steps
from seqgnn.report.plots.scores import (
    UNRANKED,
    draw_scores,
    draw_solved,
    figure_height,
    panel_title,
    panels_figure,
    rows,
    solved_rows,
    solved_title,
)
from seqgnn.report.plots.style import style, tidy

SIZE = (3.85, 3.0)  # inches: the width of a column, so that text has about the same size on a phone and on a desktop
WIDE = 11.7  # inches: the width of a page, for the panels of all sizes
WIDE_GROWTH, ROWS_GROWTH = 1.07, 1.4  # maximum factors by which these, and figures of rows, are enlarged
MOST = 240  # points of a curve
AXES = {"dL/dh": "dL/dh", "dL/dc": "dL/dc", "influence": "dp/dx"}
NAMES = {"dL/dh": "Gradient at the hidden state h", "dL/dc": "Gradient at the cell state c", "influence": "Influence"}


@dataclass(frozen=True)
class PageFigure:
    """A figure: its title, SVG, caption, and legend of swatches and labels."""

    title: str
    svg: str
    caption: str
    legend: list[tuple[str, str]]


def scores_page_figures(comparison: Comparison, name: str, table: str) -> tuple[PageFigure | None, list[PageFigure]]:
    """Return the headline score by model twice: all sizes in one figure for wide screens, and a figure per size for
    narrow ones; nothing without a finished run.

    Args:
        name: begins the ids of the figures.
        table: begins the ids of the rows of the table of scores, to which marks link.
    """
    if not comparison.runs:
        return None, []
    metric, sizes = f"test {METRICS[comparison.metric].label}", sorted(comparison.sizes)
    caption = _scores_caption(comparison)
    description = scores_description(comparison)
    if len(sizes) > 1:
        title, figure = f"{_first_capital(metric)} by model", panels_figure(comparison, WIDE)
    else:
        title, figure = panel_title(comparison, sizes[0]), panels_figure(comparison, WIDE, titled=False)
    wide = PageFigure(title, inline(figure, f"{name}-wide", title, description, table, WIDE_GROWTH), caption, [])
    narrow = []
    for size in sizes:
        figure, panel = column_figure((SIZE[0], figure_height(rows(comparison))))
        draw_scores(panel, comparison, size)
        title = panel_title(comparison, size)
        svg = inline(figure, f"{name}-{size}", title, description, table, ROWS_GROWTH)
        narrow.append(PageFigure(title, svg, caption if size == sizes[-1] else "", []))
    return wide, narrow


def _scores_caption(comparison: Comparison) -> str:
    parts = ["Marks and numbers are means."]
    if len(comparison.seeds) > 1:
        parts.append(f"Dashes are the seeds, bars one standard deviation; {seeds_of(comparison)}.")
    else:
        parts.append("One seed, so no spread.")
    if comparison.baselines:
        parts.append("Gray lines are baselines; one far outside the axis has its number only.")
    if any(not row.is_compared for row in rows(comparison)):
        parts.append(f"With{UNRANKED}: not compared with the others.")
    return " ".join(parts)


def curves_page_figures(comparison: Comparison, name: str, table: str) -> list[PageFigure]:
    """Return training curves, a figure for each size with runs; lines link to rows of the table of scores."""
    figures = []
    for size in sorted({size for _, size, _ in comparison.runs}):
        figure, panel = column_figure()
        draw_curves(panel, comparison, size, MOST)
        panel.set_ylabel(curve_label(comparison))
        title = curves_title(comparison, size)
        svg = inline(figure, f"{name}-{size}", title, curves_description(comparison, size), table)
        caption = (
            f"Running mean over 21 steps, from step {first_step(comparison, size)} on, one line per seed; a mark is at "
            "the step whose weights were saved and tested. Logarithmic step axis."
        )
        figures.append(PageFigure(title, svg, caption, []))
    return figures


def solved_page_figures(comparison: Comparison, name: str, table: str) -> list[PageFigure]:
    """Return steps until solved by model, for each size at which two models solved the task."""
    figures = []
    for size in sorted(comparison.sizes):
        solved = [label for label in comparison.labels if solved_steps(comparison, label, size)]
        if len(solved) < 2:
            continue
        figure, panel = column_figure((SIZE[0], figure_height(solved_rows(comparison, size))))
        draw_solved(panel, comparison, size)
        title = solved_title(comparison, size)
        caption = "Marks and numbers are means over the seeds that reached the target accuracy, hollow if some seeds "
        caption += "did not, and dashes are the seeds; logarithmic axis."
        if any(not row.is_compared for row in solved_rows(comparison, size)):
            caption += f" With{UNRANKED}: not compared with the others."
        description = solved_description(replace(comparison, sizes=(size,)))
        svg = inline(figure, f"{name}-{size}", title, description, table, ROWS_GROWTH)
        figures.append(PageFigure(title, svg, caption, []))
    return figures


def study_page_figures(study: Study, name: str, comparison: Comparison) -> list[PageFigure]:
    """Return norms against the distance from the prediction, on a logarithmic axis."""
    figures = []
    labels = list(comparison.labels)
    labels += [curve.label for curves in study.panels.values() for curve in curves if curve.label not in labels]
    sentences = verdicts(study)
    for number, (quantity, curves) in enumerate(study.panels.items()):
        if not any(bool(curve.norms.any()) for curve in curves) or max(curve.norms.size(1) for curve in curves) < 2:
            continue
        figure, panel = column_figure()
        draw(panel, curves, labels, "log")
        label_powers(panel.yaxis)
        panel.set_ylabel(f"norm of {AXES[quantity]}")
        panel.set_xlabel(distance_label(study))
        title = f"{NAMES[quantity]}, T = {study.settings['length']}"
        description = " ".join(line + "." for line in sentences if line.startswith(f"{quantity}, "))
        size = study.settings["batch_size"]
        caption = f"Seed {study.seeds[0]}; the norm of each of {size} sequences, then their mean"
        if quantity != "influence":
            caption += ", since gradients of sequences can cancel, especially near an optimum, and norms cannot"
        caption += ". Logarithmic axis, which omits zeros."
        zero = [curve.label for curve in curves if not curve.norms.any()]
        if zero:
            caption += f" Zero everywhere, so not drawn: {listed(zero)}."
        drawn = [(line, curve.label) for line, curve in zip(panel.lines, curves) if curve.label not in zero]
        legend = [(_line_swatch(line), label) for line, label in drawn]
        figures.append(PageFigure(title, inline(figure, f"{name}-{number}", title, description), caption, legend))
    return figures


def label_powers(axis: Any) -> None:
    """Label the powers of ten of a logarithmic axis as plain text, and if there are fewer than two of them, other
    values as well."""
    from matplotlib.ticker import LogLocator

    low, high = axis.get_view_interval()
    axis.set_major_formatter(lambda value, _: power_of_ten(value))
    axis.set_minor_formatter(lambda value, _: "")
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(lambda value, _: scientific(value))


def scientific(value: float) -> str:
    """Return a number as plain text, with a power of ten if it is small or large.

    Example:
        >>> scientific(0.002), scientific(0.01), scientific(5.0)
        ('2·10⁻³', '10⁻²', '5')
    """
    if 0.1 <= value < 10000:
        return f"{value:g}"
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    digits = f"{value / power:.3g}"
    return power_of_ten(power) if digits == "1" else f"{digits}·{power_of_ten(power)}"


def power_of_ten(value: float) -> str:
    """Return a power of ten as plain text, whose size can change; other values are empty.

    Example:
        >>> power_of_ten(0.001), power_of_ten(1e12), power_of_ten(0.002)
        ('10⁻³', '10¹²', '')
    """
    if value <= 0:
        return ""
    exponent = math.log10(value)
    if not math.isclose(exponent, round(exponent), abs_tol=1e-9):
        return ""
    return "10" + str(round(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def smoothing_page_figure(
    smoothing: Smoothing, name: str, comparison: Comparison, inspection: ModelInspection
) -> PageFigure | None:
    """Return Dirichlet energy against depth; None without a GCN of two or more layers."""
    from matplotlib.ticker import MaxNLocator

    if not smoothing.energies:
        return None
    figure, panel = column_figure()
    for label, energies in smoothing.energies.items():
        color, marker, line = style(label, comparison.labels)
        panel.plot(range(len(energies)), energies, line, marker=marker, color=color, markersize=5, linewidth=1.5)
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("message-passing layers")
    panel.set_ylabel("relative Dirichlet energy")
    tidy(panel)
    title = f"Dirichlet energy against depth, T = {inspection.size}"
    caption = "Between 0, where neighbors have equal features, and 2; before the first layer and after each layer. "
    caption += f"Seed {inspection.seed}, {BATCH} sequences."
    legend = [(_line_swatch(line), label) for line, label in zip(panel.lines, smoothing.energies)]
    description = " ".join(f"{label} {verdict(energies)}." for label, energies in smoothing.energies.items())
    return PageFigure(title, inline(figure, name, title, description), caption, legend)


def column_figure(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def curves_legend(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the swatch of each model that has runs, with its label."""
    labels_with_runs = {label for label, _, _ in comparison.runs}
    labels = [label for label in comparison.labels if label in labels_with_runs]
    return [(swatch(*style(label, comparison.labels)), label) for label in labels]


def _line_swatch(line: Any) -> str:
    """Return the swatch of a plotted line, with or without markers."""
    return swatch(line.get_color(), line.get_marker(), line.get_linestyle())


def _first_capital(text: str) -> str:
    """Return the text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
