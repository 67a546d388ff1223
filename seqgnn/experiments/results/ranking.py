"""The ranking of models and baselines at one size.

Where the target needs memory, models that see all tokens at once need none and are not ranked.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from seqgnn.experiments.results.records import ComparisonRecords
from seqgnn.experiments.results.sampling import compare_windows, difference_error, score_error
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.metrics.model_differences import Difference, differences
from seqgnn.metrics.significance import LEVEL, margin
from seqgnn.metrics.window_significance import OverWindows

BLIND = ("chance", "majority", "constant", "memoryless")  # baselines that ignore their input
BEST, TIED, UNDECIDED, WORSE, ONLY, UNTESTED = "best", "tied", "undecided", "worse", "only", "untested"


@dataclass(frozen=True)
class Candidates:
    """The models and baselines that are compared at one size.

    Attributes:
        models: labels of the models that have runs.
        baselines: names.
        excluded: labels of models, and names of baselines, that see all tokens at once where the others need memory.
    """

    models: tuple[str, ...]
    baselines: tuple[str, ...]
    excluded: tuple[str, ...] = ()


def candidates(comparison: ComparisonRecords, size: int) -> Candidates:
    """Return the compared models and baselines at a size. Where the target needs memory, models with a mean or max
    readout and the linear baseline are excluded, unless there are no other models.

    Example:
        >>> from seqgnn.experiments.compare import compare
        >>> options = {"seeds": [0], "steps": 1, "hidden": 4, "progress": False}
        >>> candidates(compare("recall", models=["rnn", "gcn-mean"], sizes=[3], **options), 3)
        Candidates(models=('RNN',), baselines=('chance', 'majority'), excluded=('GCN, mean readout', 'linear'))
    """
    models = tuple(label for label in comparison.labels if comparison.of(label, size))
    baselines = tuple(name for name, baseline_size in comparison.baselines if baseline_size == size)
    problem = comparison.problem
    if not isinstance(problem, SequenceProblem) or not problem.sequential or problem.data_kind:
        return Candidates(models, baselines)
    comparable = tuple(label for label in models if _readout(comparison, label, size) == problem.readout)
    if not comparable:
        return Candidates(models, baselines)
    linear = tuple(name for name in baselines if name == "linear")
    excluded = (*(label for label in models if label not in comparable), *linear)
    return Candidates(comparable, tuple(name for name in baselines if name != "linear"), excluded)


def _readout(comparison: ComparisonRecords, label: str, size: int) -> str | None:
    return getattr(comparison.of(label, size)[0].config, "readout", None)


def ranked(comparison: ComparisonRecords, size: int) -> list[tuple[str, float]]:
    """Return the candidates and their mean scores, the best first; those without a finite score are left out."""
    scores = {label: comparison.scores(label, size) for label in candidates(comparison, size).models}
    means = [(label, math.fsum(values) / len(values)) for label, values in scores.items() if values]
    return sorted(means, key=lambda pair: pair[1], reverse=comparison.higher_is_better)


def differences_from_best(comparison: ComparisonRecords, size: int) -> dict[str, Difference]:
    """Return the difference between the candidate with the best mean and each other one, by label, corrected for their
    number; without those for which no error is known."""
    labels = [label for label, _ in ranked(comparison, size)]
    if not labels:
        return {}
    return {pair.second: pair for pair in comparison.differences_from(labels[0], size, labels)}


def standings(comparison: ComparisonRecords, size: int) -> dict[str, str]:
    """Return whether each candidate is the best, tied with the best, significantly worse, or undecided, the best mean
    first.

    A model is tied if the joint interval of its difference from the best lies within `tie_margin`, and undecided if it
    is neither that nor significantly worse. The one with the best mean is the best only if every other is worse. Models
    that solved the task with every seed are tied with a best one that did, whatever their scores. Without any known
    error, as for the losses of one seed, models are untested.
    """
    labels = [label for label, _ in ranked(comparison, size)]
    if len(labels) == 1:
        return {labels[0]: ONLY}
    pairs = differences_from_best(comparison, size)
    solved = [label for label in labels if solved_seeds(comparison, label, size) == len(comparison.of(label, size))]
    width = tie_margin(comparison, size)
    found = {}
    for label in labels[1:]:
        if labels[0] in solved and label in solved:
            found[label] = TIED
        elif label not in pairs:
            found[label] = UNTESTED
        elif pairs[label].shown:
            found[label] = WORSE
        else:
            within = width is not None and max(map(abs, pairs[label].joint)) <= width
            found[label] = TIED if within else UNDECIDED
    others = set(found.values())
    alone = next(iter(others)) if len(others) == 1 else UNDECIDED
    first = TIED if TIED in others else BEST if alone == WORSE else alone
    return {label: found.get(label, first) for label in labels}


def tie_margin(comparison: ComparisonRecords, size: int) -> float | None:
    """Return the difference below which models are tied, the width to which `AutoSeeds` draws seeds; None for a loss or
    an error without a baseline."""
    baseline = best_baseline(comparison, size)
    score = None if baseline is None else baseline_score(comparison, baseline, size)
    return margin(comparison.higher_is_better, score)


@dataclass(frozen=True)
class AgainstBaseline:
    """The comparison of the trained runs of a model with a baseline.

    Attributes:
        baseline: its name.
        score: its score.
        relation: "ahead of", "behind" or "not distinguishable from".
        difference: mean score of the model minus that of the baseline.
        interval: the 95% interval of the difference for these runs over test sets, or over test windows, low and high;
            None where the error of the test set is not known.
        windows: the difference over test windows, for forecasts.
        over_seeds: the 95% interval of the difference over seeds by Student's t; None for a single seed.
    """

    baseline: str
    score: float
    relation: str
    difference: float
    interval: tuple[float, float] | None
    windows: OverWindows | None = None
    over_seeds: tuple[float, float] | None = None


def against_baseline(comparison: ComparisonRecords, label: str, size: int) -> AgainstBaseline | None:
    """Return the comparison of a model with the best compared baseline; None without one that has a finite score.

    It is ahead or behind if it is with every seed and the interval of the difference excludes zero, or if the
    difference is significant over seeds. Where the error of the test set is not known, the scores of all seeds decide.
    """
    name, scores = best_baseline(comparison, size), comparison.scores(label, size)
    if name is None or not scores:
        return None
    value, sign = baseline_score(comparison, name, size), 1 if comparison.higher_is_better else -1
    gains = [sign * (score - value) for score in scores]
    difference = math.fsum(scores) / len(scores) - value
    runs, baseline = comparison.of(label, size), [comparison.baselines[name, size]]
    error = difference_error(runs, baseline, comparison.metric, size)
    windows = compare_windows(runs, baseline, comparison.metric, size)
    interval = None if windows is None else windows.interval
    if interval is None and error is not None:
        half = error.quantile((1 - LEVEL) / 2)
        interval = difference - half, difference + half
    by_seed = comparison.scores_by_seed(label, size)
    over_seeds = differences({label: by_seed, name: dict.fromkeys(by_seed, value)}, lambda *_: error)
    same_side = min(gains) > 0 or max(gains) < 0
    excludes_zero = interval is None or not interval[0] <= 0 <= interval[1]
    shown = (same_side and excludes_zero) or any(pair.shown and pair.seeds > 1 for pair in over_seeds)
    relation = "not distinguishable from" if not shown else "ahead of" if sum(gains) > 0 else "behind"
    seeds_interval = next((pair.interval for pair in over_seeds if pair.seeds > 1), None)
    return AgainstBaseline(name, value, relation, difference, interval, windows, seeds_interval)


def blind_baseline(comparison: ComparisonRecords, size: int) -> tuple[str, float] | None:
    """Return the best baseline that ignores its input, and its score; None without one, and for forecasts."""
    names = [name for name in BLIND if (name, size) in comparison.baselines]
    if not names:
        return None
    scores = {name: baseline_score(comparison, name, size) for name in names}
    name = (max if comparison.higher_is_better else min)(scores, key=scores.__getitem__)
    return name, scores[name]


def is_at_chance(comparison: ComparisonRecords, label: str, size: int) -> bool:
    """Return True if with no seed a model is ahead of the best baseline that ignores its input by more than the test
    set resolves, at 97.5% for all seeds together."""
    blind = blind_baseline(comparison, size)
    if blind is None:
        return False
    name, score = blind
    sign = 1 if comparison.higher_is_better else -1
    runs = comparison.of(label, size)
    steps = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / len(runs))
    baseline_error = score_error([comparison.baselines[name, size]], comparison.metric) or 0.0
    for run in runs:
        value = run.result.test.values[comparison.metric]
        if value is None:
            continue
        error = score_error([run], comparison.metric) or 0.0
        if sign * (value - score) > steps * math.hypot(error, baseline_error):
            return False
    return True


def solved_seeds(comparison: ComparisonRecords, label: str, size: int) -> int:
    """Return how many runs of a model reached the target accuracy, or made no error on the test set."""
    results = [run.result for run in comparison.of(label, size)]
    return sum(result.stopped == "solved" or result.test.values.get("accuracy") == 1 for result in results)


def all_solved(comparison: ComparisonRecords, size: int) -> bool:
    """Return True if every run of every compared model solved the task."""
    if any(failed_size == size for _, failed_size, _ in comparison.failures):
        return False
    models = candidates(comparison, size).models
    return all(solved_seeds(comparison, label, size) == len(comparison.of(label, size)) for label in models)


def best_baseline(comparison: ComparisonRecords, size: int) -> str | None:
    """Return the best compared baseline at a size; None without one."""
    scores = {name: baseline_score(comparison, name, size) for name in candidates(comparison, size).baselines}
    finite = {name: score for name, score in scores.items() if math.isfinite(score)}
    return (max if comparison.higher_is_better else min)(finite, key=finite.__getitem__) if finite else None


def baseline_score(comparison: ComparisonRecords, name: str, size: int) -> float:
    """Return the headline score of a baseline."""
    score = comparison.baselines[name, size].result.test.values[comparison.metric]
    return math.nan if score is None else score
