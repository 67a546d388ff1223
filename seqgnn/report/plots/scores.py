"""The scores of a comparison as rows of marks, a panel per size: each mark is at its value, and no mark hides another.

Models are rows, the best at the largest size first, then models that are not compared, then baselines, whose lines
cross the rows of the models.
"""

import itertools
import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any

from seqgnn._utils.text import listed
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import baseline_score, candidates
from seqgnn.experiments.results.verdict import finding, verdicts
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.metrics.significance import mean_sd
from seqgnn.report.footnotes import seeds_of
from seqgnn.report.plots.comparison import metric_label, row_id, solved_steps, step_ticks, style_of
from seqgnn.report.plots.style import GRAY, plain, short, tag, tidy

FAR = 1.25  # largest error shown of a baseline, as a multiple of the largest error of a model
ROW, PANEL = 0.3, 2.75  # inches: height of a row, width of a panel
PER_LINE = 3  # panels next to each other
NAME, WIDE_NAME = 24, 34  # characters of a name, in a column of a page and in a figure of its own
CHARACTERS = 12  # of a title per inch
GAP = 0.45  # rows between models, models that are not compared, and baselines
UNRANKED = " *"  # after the names of models that are not compared


@dataclass(frozen=True)
class Row:
    """A model or a baseline in a figure.

    Attributes:
        name: its label.
        place: its distance from the top, in rows.
        is_baseline, is_compared: whether it is a baseline; and a model or baseline that is compared with the others.
    """

    name: str
    place: float
    is_baseline: bool
    is_compared: bool


def scores_figure(comparison: Comparison) -> Any:
    """Return a matplotlib figure of a comparison with at least one finished run: the headline score by model, a panel
    per size with the finding at that size as title."""
    columns = min(len(comparison.sizes), PER_LINE)
    figure = panels_figure(comparison, 2.6 + PANEL * columns if columns > 1 else 7.6)
    heading = f"{comparison.task}: test {METRICS[comparison.metric].label}, {seeds_of(comparison)}"
    figure.suptitle(plain(heading), fontsize=11)
    figure.supxlabel(legend(comparison), fontsize=9, color=GRAY)
    return figure


def legend(comparison: Comparison) -> str:
    """Return what the marks of scores stand for."""
    entries = rows(comparison)
    parts = ["marks: means"]
    if len(comparison.seeds) > 1:
        parts.append("dashes: seeds, bars: one standard deviation")
    if any(row.is_baseline for row in entries):
        parts.append("gray: baselines")
    if any(not row.is_compared for row in entries):
        parts.append(f"{UNRANKED.strip()}: not compared")
    return "; ".join(parts)


def panels_figure(comparison: Comparison, width: float, titled: bool = True) -> Any:
    """Return the panels of `scores_figure` without a heading, in a figure of a width in inches."""
    from matplotlib.figure import Figure

    sizes = sorted(comparison.sizes)
    columns = min(len(sizes), PER_LINE)
    lines = -(-len(sizes) // columns)
    titles = [panel_title(comparison, size) if titled else "" for size in sizes]
    room = int((width - 2.2) / columns * CHARACTERS)
    titles = [textwrap.fill(title, room) for title in titles]
    rest = 0.2 + 0.15 * max(title.count("\n") for title in titles)
    figure = Figure(figsize=(width, lines * (rest + figure_height(rows(comparison)))), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten().tolist()
    for panel in panels[len(sizes) :]:
        panel.remove()
    for place, (panel, size) in enumerate(zip(panels, sizes)):
        draw_scores(panel, comparison, size, WIDE_NAME)
        panel.set_title(plain(titles[place]), fontsize=10, loc="left")
        panel.tick_params(labelleft=place % columns == 0)
    return figure


def panel_title(comparison: Comparison, size: int) -> str:
    """Return the finding at a size, or the size if there is none."""
    return finding(comparison, size) or comparison.at(size)


def figure_height(entries: list[Row]) -> float:
    """Return the inches that the rows of a panel, its title and its axis need."""
    return 0.9 + ROW * (entries[-1].place + 1)


def rows(comparison: Comparison) -> list[Row]:
    """Return the rows of all panels: models, models that are not compared, and baselines, each by their mean at the
    largest size, ties by that at smaller ones."""
    sizes = sorted(comparison.sizes, reverse=True)
    with_runs = {label for label, _, _ in comparison.runs}
    models = [label for label in comparison.labels if label in with_runs]
    baselines = list(dict.fromkeys(name for name, _ in comparison.baselines))
    excluded = {name for size in sizes for name in candidates(comparison, size).excluded}
    worst = -math.inf if comparison.higher_is_better else math.inf

    def scores(name: str, size: int) -> list[float]:
        if (name, size) in comparison.baselines:
            return [score for score in [baseline_score(comparison, name, size)] if math.isfinite(score)]
        return comparison.scores(name, size)

    def by_score(name: str) -> list[float]:
        means = [mean_sd(values)[0] if (values := scores(name, size)) else worst for size in sizes]
        return [-mean for mean in means] if comparison.higher_is_better else means

    ordered = sorted(models, key=by_score)
    groups = [
        [(label, False, True) for label in ordered if label not in excluded],
        [(label, False, False) for label in ordered if label in excluded],
        [(name, True, name not in excluded) for name in sorted(baselines, key=by_score)],
    ]
    result: list[Row] = []
    for group in filter(None, groups):
        start = result[-1].place + 1 + GAP if result else 0.0
        result += [Row(name, start + i, *kind) for i, (name, *kind) in enumerate(group)]
    return result


def draw_scores(panel: Any, comparison: Comparison, size: int, most: int = NAME) -> None:
    """Draw the headline score of each model at one size: the mean, a bar of one standard deviation, and a dash for each
    seed; a line for each baseline. Means are written next to the panel."""
    entries, found = rows(comparison), verdicts(comparison, size)
    low, high = _limits(comparison, size)
    for row in entries:
        if row.is_baseline:
            _draw_baseline(panel, comparison, row, size, (low, high))
        else:
            _draw_model(panel, comparison, row, size, found[row.name].text if row.name in found else None)
    panel.set_xlim(low, high)
    _name_rows(panel, entries, most)
    panel.set_xlabel(plain(metric_label(comparison)))


def _draw_model(panel: Any, comparison: Comparison, row: Row, size: int, verdict: str | None) -> None:
    color, marker, _ = style_of(row.name, comparison)
    scores = comparison.scores(row.name, size)
    if not scores:
        failed = any(key[:2] == (row.name, size) for key in comparison.failures)
        _write(panel, row, "failed" if failed else "no run", GRAY)
        return
    mean, _ = mean_sd(scores)
    text = tooltip(comparison, row.name, size) + ("" if verdict is None else f"; {verdict}")
    if len(scores) > 1:
        down, up = _spread_within_range(scores, comparison.metric)
        (bar,) = panel.plot([mean - down, mean + up], [row.place] * 2, "-", color=color, linewidth=2, alpha=0.55)
        (seeds,) = panel.plot(scores, [row.place] * len(scores), "|", color=color, markersize=10, clip_on=False)
        tag(bar, row_id(comparison, row.name, size, "sd"), text)
        tag(seeds, row_id(comparison, row.name, size, "seeds"), text)
    (mark,) = panel.plot(mean, row.place, marker, color=color, markersize=7, clip_on=False)
    tag(mark, row_id(comparison, row.name, size), text)
    _write(panel, row, f"{mean:.3f}", "#000000" if row.is_compared else GRAY)


def _draw_baseline(panel: Any, comparison: Comparison, row: Row, size: int, limits: tuple[float, float]) -> None:
    if (row.name, size) not in comparison.baselines:
        return
    score = baseline_score(comparison, row.name, size)
    if not math.isfinite(score):
        _write(panel, row, "not finite", GRAY)
        return
    low, high = limits
    if low <= score <= high:
        if row.is_compared:
            panel.plot([score] * 2, [-0.6, row.place], color=GRAY, linestyle=(0, (1, 2)), linewidth=1, zorder=0.9)
        (mark,) = panel.plot(score, row.place, "|", color=GRAY, markersize=12, markeredgewidth=2, clip_on=False)
        tag(mark, row_id(comparison, row.name, size), f"{row.name}, {comparison.at(size)}: {score:.3f}")
        _write(panel, row, f"{score:.3f}", GRAY)
    else:
        panel.annotate("outside →" if score > high else "← outside", (1 if score > high else 0, row.place),
                       xycoords=("axes fraction", "data"), ha="right" if score > high else "left", va="center",
                       fontsize=9, color=GRAY)  # fmt: skip
        _write(panel, row, f"{score:.3f}", GRAY)


def tooltip(comparison: Comparison, label: str, size: int) -> str:
    """Return the text of a mark: the model, its mean, and the score of each seed."""
    scores = comparison.scores(label, size)
    mean, sd = mean_sd(scores)
    head = f"{label}, {comparison.at(size)}: {mean:.3f}"
    if len(scores) == 1:
        return f"{head}, one seed"
    return f"{head} ± {sd:.3f}, {len(scores)} seeds: {', '.join(f'{score:.3f}' for score in scores)}"


def _limits(comparison: Comparison, size: int) -> tuple[float, float]:
    """Return the range of the axis: 0 to 1 for accuracies, else all models and all baselines but those with far larger
    errors, so that a poor baseline does not compress the rest."""
    if comparison.metric == "accuracy":
        return 0.0, 1.0
    edges: list[float] = []
    for label in comparison.labels:
        if scores := comparison.scores(label, size):
            down, up = _spread_within_range(scores, comparison.metric)
            mean = mean_sd(scores)[0]
            edges += [mean - down, mean + up, *scores]
    worst = max(edges, default=math.inf)
    baselines = [baseline_score(comparison, name, n) for name, n in comparison.baselines if n == size]
    far = FAR * worst if worst > 0 else worst
    edges += [score for score in baselines if math.isfinite(score) and score <= far]
    if not edges:
        edges = [score for score in baselines if math.isfinite(score)] or [0.0, 1.0]
    low, high = min(edges), max(edges)
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - margin, high + margin


def _name_rows(panel: Any, entries: list[Row], most: int) -> None:
    names = [short(row.name, most) + ("" if row.is_compared else UNRANKED) for row in entries]
    panel.set_yticks([row.place for row in entries], [plain(name) for name in names], fontsize=9)
    for label, row in zip(panel.get_yticklabels(), entries):
        label.set_color(GRAY if row.is_baseline or not row.is_compared else "#000000")
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(entries[-1].place + 0.6, -0.6)
    tidy(panel, axis="x")
    panel.spines["left"].set_visible(False)
    for above, below in itertools.pairwise(entries):
        if below.place - above.place > 1:
            panel.axhline((above.place + below.place) / 2, color="#e4e4e4", linewidth=0.8)


def _write(panel: Any, row: Row, text: str, color: str) -> None:
    """Write next to a row, to the right of the panel."""
    panel.annotate(text, (1, row.place), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                   va="center", fontsize=9, color=color, annotation_clip=False)  # fmt: skip


def _spread_within_range(scores: list[float], metric: str) -> tuple[float, float]:
    """Return the lengths of a bar, down and up: the standard deviation, clipped to the range of the score."""
    mean, sd = mean_sd(scores)
    sd = 0.0 if math.isnan(sd) else sd
    return min(sd, mean), min(sd, 1 - mean) if metric == "accuracy" else sd


def solved_rows(comparison: Comparison, size: int) -> list[Row]:
    """Return the rows of `draw_solved`: the models that have runs at a size."""
    models = [row for row in rows(comparison) if not row.is_baseline]
    missing = [row.name for row in models if not comparison.of(row.name, size)]
    without = replace(comparison, runs={key: run for key, run in comparison.runs.items() if key[0] not in missing})
    return [row for row in rows(without) if not row.is_baseline]


def draw_solved(panel: Any, comparison: Comparison, size: int) -> None:
    """Draw the steps until each model solved the task at one size, on a logarithmic axis: the mean over the seeds that
    did, hollow if some seeds did not, and a dash for each seed; models that did not are named with their steps."""
    entries = solved_rows(comparison, size)
    every = [step for row in entries for step in solved_steps(comparison, row.name, size)]
    steps_run = max(run.result.steps for row in entries for run in comparison.of(row.name, size))
    for row in entries:
        color, marker, _ = style_of(row.name, comparison)
        runs, steps = comparison.of(row.name, size), solved_steps(comparison, row.name, size)
        if not steps:
            _write(panel, row, "–", GRAY)
            text = f"not in {max(run.result.steps for run in runs):,} steps"
            panel.annotate(text, (1, row.place), xycoords=("axes fraction", "data"), ha="right", va="center",
                           fontsize=9, color=GRAY)  # fmt: skip
            continue
        mean, all_solved = mean_sd(steps)[0], len(steps) == len(runs)
        text = f"{row.name}, {comparison.at(size)}: solved by {len(steps)} of {len(runs)} seeds, "
        text += f"at step {', '.join(f'{step:.0f}' for step in steps)}"
        (seeds,) = panel.plot(steps, [row.place] * len(steps), "|", color=color, markersize=10)
        (mark,) = panel.plot(mean, row.place, marker, color=color, markersize=7,
                             markerfacecolor=color if all_solved else "#ffffff")  # fmt: skip
        tag(seeds, row_id(comparison, row.name, size, "seeds"), text)
        tag(mark, row_id(comparison, row.name, size), text)
        _write(panel, row, f"{mean:,.0f}", "#000000")
    low, high = min(every) / 1.3, max(max(every), steps_run) * 1.3
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    step_ticks(panel.xaxis, low, high)
    _name_rows(panel, entries, NAME)
    panel.set_xlabel("steps until solved")


def solved_title(comparison: Comparison, size: int) -> str:
    """Return which of the compared models that solved a size with all seeds did so in the fewest steps, on average."""
    means = {
        row.name: mean_sd(steps)[0]
        for row in rows(comparison)
        if row.is_compared and not row.is_baseline
        if (steps := solved_steps(comparison, row.name, size)) and len(steps) == len(comparison.of(row.name, size))
    }
    fastest = [label for label, mean in means.items() if mean == min(means.values())]
    if len(means) < 2 or len(fastest) == len(means):
        return f"Steps until solved at {comparison.at(size)}"
    verb = "solves" if len(fastest) == 1 else "solve"
    return f"{listed(fastest, 4)} {verb} {comparison.at(size)} in the fewest steps: {means[fastest[0]]:,.0f}"
