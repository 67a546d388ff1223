"""The figures of a page, each small enough for a telephone, with its legend apart."""

from dataclasses import dataclass
from typing import Any

from seqgnn.figures import style
from seqgnn.gradients import Study
from seqgnn.gradients_report import draw, verdicts
from seqgnn.outcome import Comparison
from seqgnn.page.svg import inline, swatch
from seqgnn.page.words import curves_described, scores_described
from seqgnn.report import CURVES, METRICS, draw_against_length, draw_curves, draw_one_length, seeds_of
from seqgnn.runs import TASKS

SIZE = (4.7, 3.3)  # inches: text of ten points is about that on a telephone
MOST = 240  # points of a curve
AXES = {"dL/dh": "dL/dh", "dL/dc": "dL/dc", "influence": "dp/dx"}
NAMES = {"dL/dh": "Gradient at the state h", "dL/dc": "Gradient at the memory c", "influence": "Influence"}


@dataclass(frozen=True)
class Picture:
    """A figure: its title, the SVG, what stands below it, and its legend of swatches and labels."""

    title: str
    svg: str
    caption: str
    legend: list[tuple[str, str]]


def scores_picture(comparison: Comparison, name: str) -> Picture | None:
    """The headline score against length, or of one length side by side; None without a finished run."""
    if not comparison.runs:
        return None
    metric = METRICS[comparison.metric]
    if len(comparison.lengths) > 1:
        sheet, panel = _sheet()
        draw_against_length(panel, comparison)
        title = f"{metric.capitalize()} against length"
        points = "Marks are means, bars one standard deviation, dashes the seeds."
        legend = _legend(comparison)
    else:
        count = len(comparison.labels) + len(comparison.baselines)
        sheet, panel = _sheet((SIZE[0], 0.9 + 0.32 * count))
        draw_one_length(panel, comparison)
        title = f"{metric.capitalize()} at T = {comparison.lengths[0]}"
        points = "There is one length, so nothing to draw against it: marks are means, bars one standard deviation, "
        points += "grey lines the baselines."
        legend = []
    seeds = "One seed, so no spread." if len(comparison.seeds) == 1 else f"{seeds_of(comparison).capitalize()}."
    return Picture(title, inline(sheet, name, title, scores_described(comparison)), f"{points} {seeds}", legend)


def curves_pictures(comparison: Comparison, name: str) -> list[Picture]:
    """Training curves, a figure for each length that has runs."""
    found = []
    for length in sorted({length for _, length, _ in comparison.runs}):
        sheet, panel = _sheet()
        draw_curves(panel, comparison, length, MOST)
        panel.set_ylabel(CURVES[comparison.metric])
        title = f"{CURVES[comparison.metric].capitalize()} at T = {length}"
        svg = inline(sheet, f"{name}-{length}", title, curves_described(comparison, length))
        caption = "Running mean of 21 steps, one line a seed, a dot where it ends; steps on a logarithmic axis."
        found.append(Picture(title, svg, caption, []))
    return found


def study_pictures(study: Study, name: str, comparison: Comparison) -> list[Picture]:
    """Norms against the distance from the answer, on a logarithmic axis."""
    found = []
    labels = list(comparison.labels)
    labels += [curve.label for curves in study.panels.values() for curve in curves if curve.label not in labels]
    said = verdicts(study)
    for number, (what, curves) in enumerate(study.panels.items()):
        if not any(bool(curve.norms.any()) for curve in curves) or max(curve.norms.size(1) for curve in curves) < 2:
            continue
        sheet, panel = _sheet()
        draw(panel, curves, labels, "log")
        panel.set_ylabel(f"norm of {AXES[what]}")
        panel.set_xlabel(_distance(what, comparison))
        title = f"{NAMES[what]}, T = {study.settings['length']}"
        about = " ".join(line + "." for line in said if line.startswith(f"{what}, "))
        size = study.settings["batch_size"]
        caption = f"Seed {study.seeds[0]}; the norm of each of {size} sequences, then their mean"
        if what != "influence":
            caption += ", since the gradients of sequences may cancel where norms do not, near an optimum above all"
        caption += ". Logarithmic axis, on which what is zero is not there."
        legend = [(swatch(*_line(curve.label, labels)), curve.label) for curve in curves]
        found.append(Picture(title, inline(sheet, f"{name}-{number}", title, about), caption, legend))
    return found


def _distance(what: str, comparison: Comparison) -> str:
    in_steps = TASKS[comparison.task].on_path or what != "influence"
    return "steps back from the last element" if in_steps else "edges to the last element, the root"


def _sheet(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    sheet = Figure(figsize=size, layout="constrained")
    return sheet, sheet.subplots()


def _legend(comparison: Comparison) -> list[tuple[str, str]]:
    shown = {label for label, _, _ in comparison.runs}
    labels = [label for label in comparison.labels if label in shown]
    return [(swatch(*style(label, comparison.labels)), label) for label in labels]


def curves_legend(comparison: Comparison) -> list[tuple[str, str]]:
    """Swatches without markers."""
    shown = {label for label, _, _ in comparison.runs}
    return [(swatch(*_line(label, list(comparison.labels))), label) for label in comparison.labels if label in shown]


def _line(label: str, labels: list[str]) -> tuple[str, str, str]:
    color, _, line = style(label, labels)
    return color, "none", line
