"""Training curves of a comparison, and what its figures share: labels, styles and ids."""

from collections.abc import Sequence
from typing import Any

from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import baseline_score
from seqgnn.experiments.results.verdict import finding, verdicts
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.report.plots.style import GRAY, TAG, plain, style, tag, tidy

STEP_TICKS = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]


def metric_label(comparison: Comparison, metric: str | None = None) -> str:
    """Return the name of a metric, by default the headline, with its units where they are known: "test MAE (cases)"."""
    metric = metric or comparison.metric
    units = comparison.units_of(metric)
    return f"test {METRICS[metric].label}" + ("" if units is None else f" ({units})")


def curve_label(comparison: Comparison) -> str:
    """Return what training curves show: the accuracy if it is the headline metric, else the loss."""
    return "training " + ("accuracy" if comparison.metric == "accuracy" else comparison.problem.loss)


def row_id(comparison: Comparison, name: str, size: int, part: str | int = "") -> str:
    """Return the id of the row of a model or baseline in the table, or of a mark in a figure that stands for it."""
    names = [*comparison.labels, *comparison.problem.baselines, *(name for name, _ in comparison.baselines)]
    return f"{TAG}{names.index(name)}-{size}" + (f"-{part}" if part != "" else "")


def curves_figure(comparison: Comparison, titles: Sequence[str] | None = None) -> Any:
    """Return a matplotlib figure: training curves, running means over 21 steps; a panel per size, a line per seed.

    Args:
        comparison: with at least one finished run.
        titles: of the panels; None: the sizes.
    """
    from matplotlib.figure import Figure

    sizes = sorted(comparison.sizes)
    figure = Figure(figsize=(min(4.2 * len(sizes), 12.6) + 1.9, 3.9), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for place, (panel, size) in enumerate(zip(panels, sizes)):
        draw_curves(panel, comparison, size)
        panel.set_title(comparison.at(size) if titles is None else plain(titles[place]), fontsize=10, loc="left")
    panels[0].set_ylabel(curve_label(comparison))
    _legend(figure, comparison)
    figure.suptitle(f"{comparison.task}: training curves, running mean of 21 steps, one line per seed", fontsize=11)
    return figure


def draw_curves(panel: Any, comparison: Comparison, size: int, most: int | None = None) -> None:
    """Draw the training curves of one size, each with at most `most` points, which are densest at the beginning, the
    model's mark at the step whose weights were saved, and the chance level of an accuracy."""
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        for run in comparison.of(label, size):
            curve = running_mean(training_curve(comparison, run))
            steps, seed, best_step = _steps(len(curve), most), run.config.seed, run.result.best_step
            (drawn,) = panel.plot(
                steps, [curve[step - 1] for step in steps], line, color=color, linewidth=1.3, alpha=0.9
            )
            (mark,) = panel.plot(best_step, curve[best_step - 1], marker, color=color, markersize=5)
            text = f"{label}, {comparison.at(size)}, seed {seed}: "
            text += f"{run.result.steps:,} steps, weights of step {best_step:,}"
            tag(drawn, row_id(comparison, label, size, f"curve-{seed}"), text)
            tag(mark, row_id(comparison, label, size, f"best-{seed}"), text)
    low, high = first_step(comparison, size), 1.2 * longest_curve(comparison, size)
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    step_ticks(panel.xaxis, low, high)
    panel.set_xlabel("step")
    if comparison.metric == "accuracy":
        panel.set_ylim(-0.02, 1.04)
        if ("chance", size) in comparison.baselines:
            _draw_chance(panel, baseline_score(comparison, "chance", size))
    tidy(panel)


def curve_rows(comparison: Comparison, most: int | None = None) -> list[dict[str, Any]]:
    """Return the points that `draw_curves` draws, a dictionary for each: model, size, seed, step, and the running mean
    of the training accuracy or loss with five significant digits."""
    quantity = "training_accuracy" if comparison.metric == "accuracy" else "training_loss"
    rows: list[dict[str, Any]] = []
    for (label, size, seed), run in comparison.runs.items():
        curve, first = running_mean(training_curve(comparison, run)), first_step(comparison, size)
        for step in _steps(len(curve), most):
            if step >= first:
                value = float(f"{curve[step - 1]:.5g}")
                rows.append({"model": label, "size": size, "seed": seed, "step": step, quantity: value})
    return rows


def curves_title(comparison: Comparison, size: int) -> str:
    """Return the finding at a size if it says which models learn and which stay at chance, as curves of the accuracy
    show it; else what the curves are."""
    shown = [verdict for verdict in verdicts(comparison, size).values() if verdict.is_solved or verdict.at_chance]
    if comparison.metric == "accuracy" and shown and (found := finding(comparison, size)) is not None:
        return found
    name = curve_label(comparison)
    return f"{name[:1].upper()}{name[1:]} at {comparison.at(size)}"


def _draw_chance(panel: Any, level: float) -> None:
    panel.axhline(level, color=GRAY, linestyle=(0, (4, 3)), linewidth=1)
    panel.annotate("chance", (1, level), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                   fontsize=9, color=GRAY, va="center", annotation_clip=False)  # fmt: skip


def training_curve(comparison: Comparison, run: RunRecord) -> Sequence[float]:
    """Return the training accuracy of every step if accuracy is the headline metric, else the training loss."""
    return run.result.accuracies or () if comparison.metric == "accuracy" else run.result.losses


def longest_curve(comparison: Comparison, size: int) -> int:
    """Return the largest number of steps among the runs of one size."""
    return max((run.result.steps for (_, run_size, _), run in comparison.runs.items() if run_size == size), default=1)


def first_step(comparison: Comparison, size: int) -> int:
    """Return the first step of training curves; up to step 10, running means are over almost the same steps."""
    return min(10, max(1, longest_curve(comparison, size) // 2))


def step_ticks(axis: Any, low: float, high: float) -> None:
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


def solved_steps(comparison: Comparison, label: str, size: int) -> list[float]:
    """Return the steps until the seeds of a model reached the target accuracy, for those that did."""
    return [float(at[0]) for at in comparison.solved_at(label, size) if at is not None]


def _legend(figure: Any, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    labels_with_runs = {label for label, _, _ in comparison.runs}
    handles = []
    for label in comparison.labels:
        color, marker, line = style_of(label, comparison)
        if label in labels_with_runs:
            handles.append(Line2D([], [], color=color, marker=marker, markersize=5, linestyle=line, label=plain(label)))
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
