"""The figures of a page, each narrow enough for a phone, with a separate legend."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.experiments.trained.gradient_study import Study
from seqgnn.report.footnotes import seeds_of
from seqgnn.report.gradients import distance_label, draw, verdicts
from seqgnn.report.html.model_inspection import BATCH, ModelInspection
from seqgnn.report.html.oversmoothing import Smoothing, verdict
from seqgnn.report.html.summary import curves_description, scores_description, solved_description
from seqgnn.report.html.svg import inline, swatch
from seqgnn.report.plots.comparison import (
    CURVES,
    draw_against_size,
    draw_curves,
    draw_one_size,
    draw_solved,
    first_step,
    solved_steps,
)
from seqgnn.report.plots.style import style, tidy

SIZE = (3.85, 3.0)  # inches: the width of a column, so that text has about the same size on a phone and on a desktop
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


def scores_page_figure(comparison: Comparison, name: str) -> PageFigure | None:
    """Return the headline score against size or, for a single size, by model; None without a finished run."""
    if not comparison.runs:
        return None
    axis, metric = comparison.problem.size, f"test {METRICS[comparison.metric].label}"
    if len(comparison.sizes) > 1:
        figure, panel = column_figure()
        draw_against_size(panel, comparison)
        title = f"{_first_capital(metric)} against {axis.name}"
        points = "Marks are means, bars are one standard deviation, and dashes are the seeds."
        legend = _legend(comparison)
    else:
        count = len(comparison.labels) + len(comparison.baselines)
        figure, panel = column_figure((SIZE[0], 0.9 + 0.32 * count))
        draw_one_size(panel, comparison)
        title = f"{_first_capital(metric)} at {comparison.at(comparison.sizes[0])}"
        points = f"There is only one {axis.name}. Marks are means, bars are one standard deviation, and "
        points += "gray lines are the baselines."
        legend = []
    seeds = "One seed, so no spread." if len(comparison.seeds) == 1 else f"{seeds_of(comparison).capitalize()}."
    return PageFigure(title, inline(figure, name, title, scores_description(comparison)), f"{points} {seeds}", legend)


def curves_page_figures(comparison: Comparison, name: str) -> list[PageFigure]:
    """Return training curves, a figure for each size with runs."""
    figures = []
    for size in sorted({size for _, size, _ in comparison.runs}):
        figure, panel = column_figure()
        draw_curves(panel, comparison, size, MOST)
        panel.set_ylabel(CURVES[comparison.metric])
        title = f"{CURVES[comparison.metric].capitalize()} at {comparison.at(size)}"
        svg = inline(figure, f"{name}-{size}", title, curves_description(comparison, size))
        caption = (
            f"Running mean over 21 steps, from step {first_step(comparison, size)} on, one line per seed; a dot "
            "marks the step whose weights were saved and tested. Logarithmic step axis."
        )
        figures.append(PageFigure(title, svg, caption, []))
    return figures


def solved_page_figure(comparison: Comparison, name: str) -> PageFigure | None:
    """Return steps until solved against length; None unless a model solved the task at two lengths."""
    times = Counter(
        label for label in comparison.labels for n in comparison.sizes if solved_steps(comparison, label, n)
    )
    if not times or max(times.values()) < 2:
        return None
    figure, panel = column_figure()
    draw_solved(panel, comparison)
    title = "Steps until solved against length"
    caption = "Marks are means over the seeds that reached the target accuracy, hollow if some seeds did not, and "
    caption += "dashes are the seeds; logarithmic axis. A model without a mark at a length did not solve the task."
    legend = [(swatch(*style(label, comparison.labels)), label) for label in times]
    return PageFigure(title, inline(figure, name, title, solved_description(comparison)), caption, legend)


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
        panel.set_ylabel(f"norm of {AXES[quantity]}")
        panel.set_xlabel(distance_label(study))
        title = f"{NAMES[quantity]}, T = {study.settings['length']}"
        description = " ".join(line + "." for line in sentences if line.startswith(f"{quantity}, "))
        size = study.settings["batch_size"]
        caption = f"Seed {study.seeds[0]}; the norm of each of {size} sequences, then their mean"
        if quantity != "influence":
            caption += ", since gradients of sequences can cancel, especially near an optimum, and norms cannot"
        caption += ". Logarithmic axis, which omits zeros."
        legend = [(_line_swatch(line), curve.label) for line, curve in zip(panel.lines, curves)]
        figures.append(PageFigure(title, inline(figure, f"{name}-{number}", title, description), caption, legend))
    return figures


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


def _legend(comparison: Comparison) -> list[tuple[str, str]]:
    labels_with_runs = {label for label, _, _ in comparison.runs}
    labels = [label for label in comparison.labels if label in labels_with_runs]
    return [(swatch(*style(label, comparison.labels)), label) for label in labels]


def curves_legend(comparison: Comparison) -> list[tuple[str, str]]:
    """Return swatches without markers, each with its label."""
    labels_with_runs = {label for label, _, _ in comparison.runs}
    labels = [label for label in comparison.labels if label in labels_with_runs]
    return [(swatch(*_line_style(label, list(comparison.labels))), label) for label in labels]


def _line_swatch(line: Any) -> str:
    """Return the swatch of a plotted line, with or without markers."""
    return swatch(line.get_color(), line.get_marker(), line.get_linestyle())


def _line_style(label: str, labels: list[str]) -> tuple[str, str, str]:
    color, _, line = style(label, labels)
    return color, "none", line


def _first_capital(text: str) -> str:
    """Return the text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
