"""The sentences of a page: the task, the summary, and descriptions of the figures."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from seqgnn._utils.text import count, listed, span
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import (
    against_baseline,
    all_solved,
    blind_baseline,
    candidates,
    differences_at,
    is_at_chance,
    ranked,
    resolution,
    tied_with_best,
)
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.metrics.significance import Difference, mean_sd, summary
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
    position = ", the longest" if len(comparison.sizes) > 1 else ""
    low, high = (f"{score:.3f}" for score in sorted((means[level[0]], means[level[-1]])))
    if len(means) == 1:
        clause = f"{level[0]} has a mean {name} of {low}{_spread(comparison, level[0], size)}"
    elif len(level) == 1:
        clause = f"{level[0]} has the best mean {name}: {low}{_spread(comparison, level[0], size)}"
    elif low == high:
        clause = f"{listed(level, 4)} share the best mean {name}: {low}"
    else:
        error = max(resolution(comparison, level[0], label, size) for label in level)
        clause = f"{listed(level, 4)} share the best mean {name}, {low} to {high}, too close for the test set "
        clause += f"to distinguish (± {error:.3f} at 95%)"
    return f"At {comparison.at(size)}{position}, {clause}{_against(comparison, level, size)}."


def _spread(comparison: Comparison, label: str, size: int) -> str:
    scores = comparison.scores(label, size)
    statistics = summary(scores)
    failed = sum((label, size, seed) in comparison.failures for seed in comparison.seeds)
    failures = f" ({failed} of its runs failed)" if failed else ""
    if statistics.t is None:
        return failures
    if min(scores) == max(scores):
        return f", the same with all {len(scores)} seeds{failures}"
    return f", 95% interval {interval(*statistics.t, comparison.metric)} over {len(scores)} seeds{failures}"


def _against(comparison: Comparison, level: list[str], size: int) -> str:
    """Return the comparison of the best models with the best baseline; with one seed by the test set's size only."""
    verdicts = [against_baseline(comparison, label, size) for label in level]
    if verdicts[0] is None:
        return ""
    relations = {verdict.relation for verdict in verdicts if verdict is not None}
    relation = relations.pop() if len(relations) == 1 else "not all distinguishable from"
    seeds = min(len(comparison.scores(label, size)) for label in level)
    doubt = " (one seed only)" if seeds == 1 and relation in ("ahead of", "behind") else ""
    linear_excluded = any(name == "linear" for name in candidates(comparison, size).excluded)
    best = "the best compared baseline" if linear_excluded else "the best baseline"
    clause = f"; {relation} {best}, {verdicts[0].baseline} with {verdicts[0].score:.3f}{doubt}"
    return clause if relation == "not distinguishable from" else clause + _over_windows(comparison, level[0], size)


def _over_windows(comparison: Comparison, label: str, size: int) -> str:
    """Return whether the difference from the best baseline is significant over test windows; "" without windows."""
    comparisons = [pair.over_windows for pair in window_pairs(comparison, size) if pair.first == label][:1]
    return "".join(
        f", {'' if over.shown else 'not '}significant over {count(over.windows, 'test window')}" for over in comparisons
    )


def _second(comparison: Comparison, size: int, level: list[str]) -> str:
    """Return the sentence on the next best model and its difference, or on why there is none."""
    means = dict(ranked(comparison, size))
    quantifier = "All" if len(means) > 2 else "Both"
    chance_baseline = blind_baseline(comparison, size)
    if chance_baseline is not None and all(is_at_chance(comparison, label, size) for label in means):
        name, score = chance_baseline
        baseline = f"the baseline {name} ({score:.3f}), which ignores its input: no learning is measurable"
        if len(means) == 1:
            return f"It is the only model, and not ahead of {baseline}."
        at_it = all(abs(mean - score) <= resolution(comparison, label, name, size) for label, mean in means.items())
        return f"{quantifier} are indistinguishable from {baseline}." if at_it else f"No model is ahead of {baseline}."
    if len(means) == 1:
        only = "It is the only model" + " that is compared" * (len(comparison.labels) > 1)
        return f"{only}, so it can only be compared with the baselines."
    if all_solved(comparison, size):
        return f"{quantifier} solved the task with every seed, so their scores do not distinguish them."
    worse = [label for label in means if label not in level]
    if not worse:
        return "No model is behind the others: their scores do not distinguish them."
    next_best = f"{worse[0]} is next with {means[worse[0]]:.3f}"
    pair = difference_from(comparison, size, level[0], worse[0])
    if pair is None:
        return f"{next_best}; with one seed in common, no test is possible, and another seed could reverse the order."
    if pair.shown:
        return f"{next_best}, and the difference is significant: {pair.figures}."
    pairs = len(differences_at(comparison, size))
    among = f" among {pairs} pairs" if pairs > 1 else ""
    hint = "" if pair.testable else f", which are too few for significance{among}"
    between = f"the difference between {level[0]} and {worse[0]}"
    return f"{next_best}, and {between} is not significant: {pair.figures}{hint}."


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
    thresholds = {run.config.train.target_accuracy for run in runs}
    failed = f"; {count(len(comparison.failures), 'run')} failed" if comparison.failures else ""
    if thresholds == {None}:
        slow = max(run.measured.seconds for run in runs)
        if "accuracy" not in comparison.metrics:
            return f"The longest run took {slow:.0f} s{failed}."
        return f"No target accuracy was set, and the longest run took {slow:.0f} s{failed}."
    solved = sum(run.result.stopped == "solved" for run in runs)
    reachable = sorted(threshold for threshold in thresholds if threshold is not None)
    listed_thresholds = " or ".join(f"{threshold:g}" for threshold in reachable)
    target = f"a validation accuracy of {listed_thresholds}, which counts as solved"
    if not solved:
        return f"No run reached {target}{failed}."
    return f"{solved} of {count(len(runs), 'run')} reached {target}{failed}."


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
