"""The sentences of a page: the task, the summary, and descriptions of the figures."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from seqgnn._utils.text import count, listed, span
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import (
    against_baseline,
    all_solved,
    at_chance,
    candidates,
    differences_at,
    ranked,
    resolution,
    tied_with_best,
)
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.metrics.significance import Difference, mean_sd, summary
from seqgnn.report.footnotes import apart
from seqgnn.report.plots.comparison import metric_label, running_mean, solved_steps, training_curve


def question(comparison: Comparison) -> list[str]:
    """Return the task, the models and the score in words."""
    cells = Counter(key[:2] for key in (*comparison.runs, *comparison.failures) if key[0] in comparison.labels)
    seeds = list(cells.values()) or [len(comparison.seeds)]
    axis = comparison.problem.size
    complete = len(cells) in (0, len(comparison.labels) * len(comparison.sizes))
    some = "" if complete else f", not all at all {axis.name}s"
    who = "One model" if len(comparison.labels) == 1 else f"{len(comparison.labels)} models"
    each = "each with" if max(seeds) == min(seeds) and len(cells) > 1 else "with"
    number = "one seed" if max(seeds) == 1 else f"{span(seeds)} seeds"
    grid = f"{who} at {axis.all(comparison.sizes)}{some}, {each} {number}"
    score = metric_label(comparison) + ("" if comparison.higher_is_better else ", lower is better")
    said = [comparison.problem.question, f"{grid}; the score is {score}."]
    if comparison.data_id is not None:
        said.append(f"The {comparison.problem.data_kind} is {comparison.data_id}.")
    left_out = apart(comparison)
    return said if left_out is None else [*said, left_out]


def answer(comparison: Comparison) -> list[str]:
    """Return the summary in three sentences, or why there is none."""
    sizes = [size for _, size, _ in comparison.runs]
    if not sizes:
        failed = f", and {len(comparison.failures)} failed" if comparison.failures else ""
        return [f"No run of a model is finished{failed}, so there is no result yet."]
    size = max(sizes)
    level = tied_with_best(comparison, size)
    return [_first(comparison, size, level), _second(comparison, size, level), _third(comparison)]


def _first(comparison: Comparison, size: int, level: list[str]) -> str:
    """Return the sentence on the best models, their uncertainty, and their comparison with the best baseline."""
    means = dict(ranked(comparison, size))
    name = f"test {METRICS[comparison.metric].label}"
    which = ", the longest" if len(comparison.sizes) > 1 else ""
    low, high = (f"{score:.3f}" for score in sorted((means[level[0]], means[level[-1]])))
    if len(means) == 1:
        who = f"{level[0]} has a mean {name} of {low}{_spread(comparison, level[0], size)}"
    elif len(level) == 1:
        who = f"{level[0]} has the best mean {name}: {low}{_spread(comparison, level[0], size)}"
    elif low == high:
        who = f"{listed(level, 4)} share the best mean {name}: {low}"
    else:
        error = max(resolution(comparison, level[0], label, size) for label in level)
        who = f"{listed(level, 4)} share the best mean {name}, {low} to {high}, too close for the test set "
        who += f"to distinguish (± {error:.3f} at 95%)"
    return f"At {comparison.at(size)}{which}, {who}{_against(comparison, level, size)}."


def _spread(comparison: Comparison, label: str, size: int) -> str:
    scores = comparison.scores(label, size)
    found = summary(scores)
    failed = sum((label, size, seed) in comparison.failures for seed in comparison.seeds)
    said = f" ({failed} of its runs failed)" if failed else ""
    if found.t is None:
        return said
    if min(scores) == max(scores):
        return f", the same with all {len(scores)} seeds{said}"
    return f", 95% interval {interval(*found.t, comparison.metric)} over {len(scores)} seeds{said}"


def _against(comparison: Comparison, level: list[str], size: int) -> str:
    """Return the comparison of the best models with the best baseline; with one seed by the test set's size only."""
    found = [against_baseline(comparison, label, size) for label in level]
    if found[0] is None:
        return ""
    how = {verdict.how for verdict in found if verdict is not None}
    stand = how.pop() if len(how) == 1 else "not all distinguishable from"
    seeds = min(len(comparison.scores(label, size)) for label in level)
    doubt = ", with this one seed" if seeds == 1 and stand in ("ahead of", "behind") else ""
    others = any(name == "linear" for name in candidates(comparison, size).excluded)
    best = "the best baseline that is compared" if others else "the best baseline"
    said = f"; {stand} {best}, {found[0].baseline} with {found[0].score:.3f}{doubt}"
    return said if stand == "not distinguishable from" else said + _over_windows(comparison, level[0], size)


def _over_windows(comparison: Comparison, label: str, size: int) -> str:
    """Return whether the difference from the best baseline is significant over test windows; "" without windows."""
    found = [pair.over_windows for pair in window_pairs(comparison, size) if pair.first == label][:1]
    return "".join(
        f", {'' if over.shown else 'not '}significant over {count(over.windows, 'test window')}" for over in found
    )


def _second(comparison: Comparison, size: int, level: list[str]) -> str:
    """Return the sentence on the next best model and its difference, or on why there is none."""
    means = dict(ranked(comparison, size))
    everyone = "All" if len(means) > 2 else "Both"
    floor = at_chance(comparison, size)
    if floor is not None:
        name, score = floor
        where = f"the baseline {name}, which ignores its input ({score:.3f}): no learning is measurable"
        if len(means) == 1:
            return f"It is the only model, and not ahead of {where}."
        at_it = all(abs(mean - score) <= resolution(comparison, label, name, size) for label, mean in means.items())
        return f"{everyone} are level with {where}." if at_it else f"No model is ahead of {where}."
    if len(means) == 1:
        only = "It is the only model" + " that is compared" * (len(comparison.labels) > 1)
        return f"{only}, so it can only be compared with the baselines."
    if all_solved(comparison, size):
        return f"{everyone} solved the task with every seed, so their scores do not distinguish them."
    rest = [label for label in means if label not in level]
    if not rest:
        return "So no model is behind the others: their scores do not distinguish them."
    next_best = f"{rest[0]} is next with {means[rest[0]]:.3f}"
    pair = difference_from(comparison, size, level[0], rest[0])
    if pair is None:
        return f"{next_best}; with one seed in common no test is possible, and another seed could reverse the order."
    if pair.shown:
        return f"{next_best}, and the difference is significant: {pair.figures}."
    pairs = len(differences_at(comparison, size))
    among = f" among {pairs} pairs" if pairs > 1 else ""
    hint = "" if pair.testable else f", which are too few for significance{among}"
    return f"{next_best}, and its difference from {level[0]} is not significant: {pair.figures}{hint}."


def difference_from(comparison: Comparison, size: int, first: str, second: str) -> Difference | None:
    """Return the difference `first - second` with p corrected for all pairs; None without two seeds in common."""
    for pair in differences_at(comparison, size):
        if (pair.first, pair.second) == (first, second):
            return pair
        if (pair.first, pair.second) == (second, first):
            return pair.turned()
    return None


def _third(comparison: Comparison) -> str:
    runs = list(comparison.runs.values())
    bars = {run.config.train.target_accuracy for run in runs}
    failed = f"; {count(len(comparison.failures), 'run')} failed" if comparison.failures else ""
    if bars == {None}:
        slow = max(run.measured.seconds for run in runs)
        if "accuracy" not in comparison.metrics:
            return f"The longest run took {slow:.0f} s{failed}."
        return f"No target accuracy was set, and the longest run took {slow:.0f} s{failed}."
    solved = sum(run.result.stopped == "solved" for run in runs)
    bar = " or ".join(f"{bar:g}" for bar in sorted(bar for bar in bars if bar is not None))
    what = f"a validation accuracy of {bar}, which counts as solved"
    if not solved:
        return f"No run reached {what}{failed}."
    return f"{solved} of {count(len(runs), 'run')} reached {what}{failed}."


def interval(low: float, high: float, metric: str) -> str:
    """Return an interval in words, clipped to [0, 1] for an accuracy."""
    if metric == "accuracy":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{low:.3f} to {high:.3f}"


def scores_described(comparison: Comparison) -> str:
    """Return a description of the figure of scores."""
    parts = []
    for label in comparison.labels:
        means = [(n, mean_sd(scores)[0]) for n in comparison.sizes if (scores := comparison.scores(label, n))]
        if means:
            parts.append(f"{label}: " + ", ".join(f"{mean:.3f} at {comparison.at(size)}" for size, mean in means))
    return "; ".join(parts) + "."


def curves_described(comparison: Comparison, size: int) -> str:
    """Return a description of the training curves: where they end."""
    parts = []
    for label in comparison.labels:
        runs = comparison.of(label, size)
        if runs:
            ends = mean_sd([running_mean(training_curve(comparison, run))[-1] for run in runs])[0]
            steps = mean_sd([run.result.steps for run in runs])[0]
            parts.append(f"{label} ends at {ends:.3f} after {steps:.0f} steps")
    return "; ".join(parts) + "."


def solved_described(comparison: Comparison) -> str:
    """Return a description of the figure of steps until solved."""
    parts = []
    for label in comparison.labels:
        found = [(n, steps) for n in comparison.sizes if (steps := solved_steps(comparison, label, n))]
        if found:
            said = (f"{mean_sd(steps)[0]:,.0f} steps at T = {size}" for size, steps in found)
            parts.append(f"{label}: " + ", ".join(said))
    return "; ".join(parts) + "."


def missing_lines(reasons: dict[str, str]) -> list[str]:
    """Return a line for each reason with the labels of the models that are missing for it."""
    by_reason: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        by_reason.setdefault(reason, []).append(label)
    return [f"{listed(labels)}: {reason}." for reason, labels in by_reason.items()]


def cells(comparison: Comparison, chosen: Iterable[tuple[str, int]]) -> str:
    """Return labels in words, with their sizes where these are not all sizes of the model."""
    where: dict[str, list[int]] = defaultdict(list)
    for label, size in chosen:
        where[label].append(size)
    at: dict[str, list[str]] = defaultdict(list)
    for label, sizes in where.items():
        all_sizes = len(sizes) == len({size for name, size, _ in comparison.runs if name == label})
        named = "" if all_sizes else f" at {comparison.problem.size.all(sorted(sizes))}"
        at[named].append(label)
    return " – also ".join(listed(labels) + named for named, labels in at.items())
