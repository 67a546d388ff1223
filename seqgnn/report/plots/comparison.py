"""The figures of a comparison: scores, training curves, and the steps until the task was solved."""

import math
from collections.abc import Sequence
from typing import Any

from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import baseline_score
from seqgnn.experiments.runs.problem import METRICS, ForecastProblem
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.metrics.significance import mean_sd
from seqgnn.report.footnotes import seeds_of
from seqgnn.report.plots.style import GRAY, plain, short, style, tidy

STEP_TICKS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
CURVES = {"accuracy": "training accuracy", "loss": "training loss (nats)"} | dict.fromkeys(
    ForecastProblem.metrics, "training loss (scaled)"
)


def metric_label(comparison: Comparison, metric: str | None = None) -> str:
    """Return the name of a metric, by default the headline, with its units where they are known: "test MAE (cases)"."""
    metric = metric or comparison.metric
    units = comparison.units_of(metric)
    return f"test {METRICS[metric].label}" + ("" if units is None else f" ({units})")


def scores_figure(comparison: Comparison) -> Any:
    """Return a matplotlib figure: the headline score against size or, for a single size, a line for each model."""
    return _against_size(comparison) if len(comparison.sizes) > 1 else _one_size(comparison)


def curves_figure(comparison: Comparison) -> Any:
    """Return a matplotlib figure: training curves, running means over 21 steps; a panel per size, a line per seed."""
    from matplotlib.figure import Figure

    sizes = sorted(comparison.sizes)
    figure = Figure(figsize=(min(4.2 * len(sizes), 12.6) + 1.9, 3.9), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for panel, size in zip(panels, sizes):
        draw_curves(panel, comparison, size)
        panel.set_title(comparison.at(size), fontsize=10)
    panels[0].set_ylabel(CURVES[comparison.metric])
    _chance(panels, comparison)
    _legend(figure, comparison, markers=False)
    figure.suptitle(f"{comparison.task}: training curves, running mean of 21 steps, one line per seed", fontsize=11)
    return figure


def draw_curves(panel: Any, comparison: Comparison, size: int, most: int | None = None) -> None:
    """Draw the training curves of one size, each with at most `most` points, which are densest at the beginning, and
    a dot at the step whose weights were saved."""
    for label in comparison.labels:
        color, _, line = style_of(label, comparison)
        for run in comparison.of(label, size):
            curve = running_mean(training_curve(comparison, run))
            steps = _steps(len(curve), most)
            panel.plot(steps, [curve[step - 1] for step in steps], line, color=color, linewidth=1.3, alpha=0.9)
            best_step = run.result.best_step
            panel.plot(best_step, curve[best_step - 1], "o", color=color, markersize=4)
    low, high = first_step(comparison, size), 1.2 * longest_curve(comparison, size)
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    _step_ticks(panel.xaxis, low, high)
    panel.set_xlabel("step")
    if comparison.metric == "accuracy":
        panel.set_ylim(-0.02, 1.04)
    tidy(panel)


def training_curve(comparison: Comparison, run: RunRecord) -> Sequence[float]:
    """Return the training accuracy of every step if accuracy is the headline metric, else the training loss."""
    return run.result.accuracies or () if comparison.metric == "accuracy" else run.result.losses


def longest_curve(comparison: Comparison, size: int) -> int:
    """Return the largest number of steps among the runs of one size."""
    return max((run.result.steps for (_, run_size, _), run in comparison.runs.items() if run_size == size), default=1)


def first_step(comparison: Comparison, size: int) -> int:
    """Return the first step of training curves; up to step 10, running means are over almost the same steps."""
    return min(10, max(1, longest_curve(comparison, size) // 2))


def _step_ticks(axis: Any, low: float, high: float) -> None:
    """Label steps with plain numbers on a logarithmic axis."""
    from matplotlib.ticker import NullLocator

    axis.set_ticks([step for step in STEP_TICKS if low <= step <= high])
    axis.set_major_formatter("{x:,.0f}")
    axis.set_minor_locator(NullLocator())


def _steps(count: int, most: int | None) -> list[int]:
    """Return the steps from 1 to `count`, or `most` of them, evenly spaced on a logarithmic axis."""
    if most is None or count <= most:
        return list(range(1, count + 1))
    return sorted({round(count ** (place / (most - 1))) for place in range(most)})


def style_of(label: str, comparison: Comparison) -> tuple[str, str, str]:
    """Return color, marker and line of a model, see `seqgnn.report.plots.style.style`."""
    return style(label, comparison.labels)


def _against_size(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    draw_against_size(figure.subplots(), comparison)
    _legend(figure, comparison, markers=True)
    figure.suptitle(f"{comparison.task}: test {METRICS[comparison.metric].label}, {seeds_of(comparison)}", fontsize=11)
    return figure


def draw_against_size(panel: Any, comparison: Comparison) -> None:
    """Draw the headline score against size, with the chance level."""
    sizes = sorted(comparison.sizes)
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        shift = _shift(label, comparison)
        points = [(i + shift, scores) for i, n in enumerate(sizes) if (scores := comparison.scores(label, n))]
        if not points:
            continue
        x, means = [x for x, _ in points], [mean_sd(scores)[0] for _, scores in points]
        spreads = list(zip(*(_spread_within_range(scores, comparison.metric) for _, scores in points)))
        panel.errorbar(x, means, spreads, fmt=marker + line, color=color, markersize=6, linewidth=1.5, capsize=3)
        for place, scores in points:
            panel.plot([place] * len(scores), scores, "_", color=color, markersize=9, alpha=0.6)
    _size_ticks(panel, sizes, comparison.problem.size.axis)
    panel.set_ylabel(plain(metric_label(comparison)))
    if comparison.metric == "accuracy":
        panel.set_ylim(-0.02, 1.04)
    tidy(panel)
    _chance([panel], comparison)


def _shift(label: str, comparison: Comparison) -> float:
    """Return positions slightly apart, so that equal scores do not hide each other."""
    count = len(comparison.labels)
    return min(0.05, 0.3 / count) * (comparison.labels.index(label) - (count - 1) / 2)


def _size_ticks(panel: Any, sizes: Sequence[int], name: str = "length T") -> None:
    panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    panel.set_xlim(-0.4, len(sizes) - 0.6)
    panel.set_xlabel(name)


def _one_size(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    size = comparison.sizes[0]
    names = [name for name, _ in comparison.baselines]
    labels = [label for label in comparison.labels if comparison.scores(label, size)]
    figure = Figure(figsize=(7.6, 1.2 + 0.36 * (len(labels) + len(names))), layout="constrained")
    draw_one_size(figure.subplots(), comparison)
    description = f"test {METRICS[comparison.metric].label}, {seeds_of(comparison)}"
    figure.suptitle(f"{comparison.task}, {comparison.at(size)}: {description}", fontsize=11)
    return figure


def draw_one_size(panel: Any, comparison: Comparison) -> None:
    """Draw the headline scores at the only size, one line for each model and baseline."""
    size = comparison.sizes[0]
    labels = [label for label in comparison.labels if comparison.scores(label, size)]
    names = [name for name, _ in comparison.baselines]
    for place, label in enumerate(labels):
        color, marker, _ = style_of(label, comparison)
        scores = comparison.scores(label, size)
        mean, sd = mean_sd(scores)
        panel.errorbar(
            mean, place, xerr=None if math.isnan(sd) else sd, fmt=marker, color=color, markersize=7, capsize=3
        )
        panel.annotate(f"{mean:.3f}", (mean, place), (10, 5), textcoords="offset points", fontsize=9)
    for place, name in enumerate(names, start=len(labels)):
        score = baseline_score(comparison, name, size)
        panel.plot(score, place, "|", color=GRAY, markersize=14, markeredgewidth=2)
        panel.annotate(f"{score:.3f}", (score, place), (10, 5), textcoords="offset points", fontsize=9, color=GRAY)
    panel.set_yticks(range(len(labels) + len(names)), [plain(short(name)) for name in labels + names])
    panel.set_ylim(len(labels) + len(names) - 0.5, -0.7)
    panel.margins(x=0.12)
    panel.set_xlabel(plain(metric_label(comparison)))
    tidy(panel, axis="x")


def draw_solved(panel: Any, comparison: Comparison) -> None:
    """Draw the steps until each model solved the task against size: the mean over the seeds that did, hollow if some
    seeds did not, and a dash for each seed."""
    sizes = sorted(comparison.sizes)
    every: list[float] = []
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        shift = _shift(label, comparison)
        points = [(i + shift, n, steps) for i, n in enumerate(sizes) if (steps := solved_steps(comparison, label, n))]
        panel.plot([x for x, _, _ in points], [mean_sd(steps)[0] for *_, steps in points], line, color=color)
        for x, size, steps in points:
            all_solved = len(steps) == len(comparison.of(label, size))
            inside = color if all_solved else "white"
            panel.plot([x] * len(steps), steps, "_", color=color, markersize=9, alpha=0.6)
            panel.plot(x, mean_sd(steps)[0], marker, color=color, markerfacecolor=inside, markersize=6)
            every += steps
    low, high = min(every) / 1.3, max(every) * 1.3
    panel.set_yscale("log")
    panel.set_ylim(low, high)
    _step_ticks(panel.yaxis, low, high)
    _size_ticks(panel, sizes)
    panel.set_ylabel("steps until solved")
    tidy(panel)


def solved_steps(comparison: Comparison, label: str, size: int) -> list[float]:
    """Return the steps until the seeds of a model reached the target accuracy, for those that did."""
    return [float(at[0]) for at in comparison.solved_at(label, size) if at is not None]


def _spread_within_range(scores: list[float], metric: str) -> tuple[float, float]:
    """Return the lengths of an error bar, down and up: the standard deviation, clipped to the range of the score."""
    mean, sd = mean_sd(scores)
    sd = 0.0 if math.isnan(sd) else sd
    return min(sd, mean), min(sd, 1 - mean) if metric == "accuracy" else sd


def _chance(panels: Any, comparison: Comparison) -> None:
    chance = [run for (name, _), run in comparison.baselines.items() if name == "chance"]
    if chance and comparison.metric == "accuracy":
        level = chance[0].result.test.values["accuracy"]
        for panel in panels:
            panel.axhline(level, color=GRAY, linestyle=(0, (4, 3)), linewidth=1)
        panels[0].annotate(
            "chance",
            (0, level),
            (4, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=9,
            color=GRAY,
            verticalalignment="top",
        )


def _legend(figure: Any, comparison: Comparison, markers: bool) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        shape = marker if markers else "none"
        handles.append(Line2D([], [], color=color, marker=shape, linestyle=line, linewidth=1.5, label=plain(label)))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)


def running_mean(values: Sequence[float], width: int = 21) -> list[float]:
    """Return the centered mean over `width` values; at the ends, over the available values.

    Example:
        >>> running_mean([0.0, 3.0, 6.0, 3.0], width=3)
        [1.5, 3.0, 4.0, 4.5]
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"running_mean: expected an odd width of at least 1, got {width}")
    half = width // 2
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    spans = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[stop] - sums[start]) / (stop - start) for start, stop in spans]
