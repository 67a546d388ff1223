"""The sentences of a page: the task, and descriptions of the figures."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from seqgnn._utils.text import listed, span
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.metrics.significance import mean_sd
from seqgnn.report.footnotes import excluded_note
from seqgnn.report.plots.comparison import metric_label, running_mean, solved_steps, training_curve


def question(comparison: Comparison) -> list[str]:
    """Return the task, the models and the score in words."""
    cells = Counter(key[:2] for key in (*comparison.runs, *comparison.failures) if key[0] in comparison.labels)
    seeds = list(cells.values()) or [len(comparison.seeds)]
    axis = comparison.problem.size
    complete = len(cells) in (0, len(comparison.labels) * len(comparison.sizes))
    coverage = "" if complete else f", not every model at every {axis.name}"
    models = "One model" if len(comparison.labels) == 1 else f"{len(comparison.labels)} models"
    preposition = "each with" if max(seeds) == min(seeds) and len(cells) > 1 else "with"
    number = "one seed" if max(seeds) == 1 else f"{span(seeds)} seeds"
    grid = f"{models} at {axis.all(comparison.sizes)}{coverage}, {preposition} {number}"
    score = metric_label(comparison) + ("" if comparison.higher_is_better else ", lower is better")
    sentences = [comparison.problem.question, f"{grid}; the score is {score}."]
    if comparison.data_id is not None:
        sentences.append(f"The {comparison.problem.data_kind} is {comparison.data_id}.")
    excluded = excluded_note(comparison)
    return sentences if excluded is None else [*sentences, excluded]


def interval(low: float, high: float, metric: str) -> str:
    """Return an interval in words, clipped to [0, 1] for an accuracy."""
    if metric == "accuracy":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{low:.3f} to {high:.3f}"


def scores_description(comparison: Comparison) -> str:
    """Return a description of the figure of scores."""
    parts = []
    for label in comparison.labels:
        means = [(n, mean_sd(scores)[0]) for n in comparison.sizes if (scores := comparison.scores(label, n))]
        if means:
            parts.append(f"{label}: " + ", ".join(f"{mean:.3f} at {comparison.at(size)}" for size, mean in means))
    return "; ".join(parts) + "."


def curves_description(comparison: Comparison, size: int) -> str:
    """Return a description of the training curves: where they end."""
    parts = []
    for label in comparison.labels:
        runs = comparison.of(label, size)
        if runs:
            ends = mean_sd([running_mean(training_curve(comparison, run))[-1] for run in runs])[0]
            steps = mean_sd([run.result.steps for run in runs])[0]
            parts.append(f"{label} ends at {ends:.3f} after {steps:.0f} steps")
    return "; ".join(parts) + "."


def solved_description(comparison: Comparison) -> str:
    """Return a description of the figure of steps until solved."""
    parts = []
    for label in comparison.labels:
        points = [(n, steps) for n in comparison.sizes if (steps := solved_steps(comparison, label, n))]
        if points:
            texts = (f"{mean_sd(steps)[0]:,.0f} steps at T = {size}" for size, steps in points)
            parts.append(f"{label}: " + ", ".join(texts))
    return "; ".join(parts) + "."


def missing_lines(reasons: dict[str, str]) -> list[str]:
    """Return a line for each reason, with the labels of the models that it applies to."""
    by_reason: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        by_reason.setdefault(reason, []).append(label)
    return [f"{listed(labels)}: {reason}." for reason, labels in by_reason.items()]


def cells(comparison: Comparison, chosen: Iterable[tuple[str, int]]) -> str:
    """Return labels in words, each with its sizes unless these are all sizes of the model."""
    sizes_by_label: dict[str, list[int]] = defaultdict(list)
    for label, size in chosen:
        sizes_by_label[label].append(size)
    labels_by_suffix: dict[str, list[str]] = defaultdict(list)
    for label, sizes in sizes_by_label.items():
        all_sizes = len(sizes) == len({size for name, size, _ in comparison.runs if name == label})
        suffix = "" if all_sizes else f" at {comparison.problem.size.all(sorted(sizes))}"
        labels_by_suffix[suffix].append(label)
    return "; ".join(listed(labels) + suffix for suffix, labels in labels_by_suffix.items())
