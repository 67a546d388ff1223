"""The ranking of models and baselines at one size.

Where the first token is the target, models that see all tokens at once need no memory and are not ranked.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from seqgnn.experiments.results.records import ComparisonRecords
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.metrics.significance import LEVEL, Difference, sampling_error, summary

BLIND = ("chance", "majority")  # baselines that ignore their input
NORMAL = 1.96  # standard errors on each side that hold 95%


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
    """Return the compared models and baselines at a size. Where the first token is the target, models with a mean
    or max readout and the linear baseline are excluded, unless there are no other models.

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


def differences_at(comparison: ComparisonRecords, size: int) -> list[Difference]:
    """Return the differences of all pairs of candidates, with p corrected for their number."""
    return comparison.differences(size, candidates(comparison, size).models)


def ranked(comparison: ComparisonRecords, size: int) -> list[tuple[str, float]]:
    """Return the candidates and their mean scores, the best first."""
    means = [(label, _mean(comparison.scores(label, size))) for label in candidates(comparison, size).models]
    return sorted(means, key=lambda pair: pair[1], reverse=comparison.higher_is_better)


def standard_error(comparison: ComparisonRecords, name: str, size: int) -> float:
    """Return the standard error that the size of the test set gives the mean accuracy of a model or baseline; 0 for a
    loss, where it is unknown."""
    if comparison.metric != "accuracy":
        return 0.0
    baseline = comparison.baselines.get((name, size))
    runs = [baseline] if baseline else comparison.of(name, size)
    scores = [baseline_score(comparison, name, size)] if baseline else comparison.scores(name, size)
    return sampling_error(_mean(scores), runs[0].result.test.count)


def resolution(comparison: ComparisonRecords, first: str, second: str, size: int) -> float:
    """Return the resolution of the test set: the half width of a 95% interval of the difference of two mean accuracies
    on independent test sets. It is conservative, since the models share one test set."""
    return NORMAL * math.hypot(standard_error(comparison, first, size), standard_error(comparison, second, size))


def tied_with_best(comparison: ComparisonRecords, size: int) -> list[str]:
    """Return the best candidate and all that are tied with it: within the resolution of the test set and without a
    significant difference."""
    means = ranked(comparison, size)
    best, score = means[0]
    differ = {name for pair in differences_at(comparison, size) if pair.shown for name in (pair.first, pair.second)
              if best in (pair.first, pair.second)} - {best}  # fmt: skip
    return [
        label
        for label, mean in means
        if label not in differ and (mean == score or abs(mean - score) <= resolution(comparison, best, label, size))
    ]


@dataclass(frozen=True)
class AgainstBaseline:
    """The comparison of a model with a baseline.

    Attributes:
        baseline: its name.
        score: its score.
        relation: "ahead of", "behind" or "not distinguishable from".
    """

    baseline: str
    score: float
    relation: str


def against_baseline(comparison: ComparisonRecords, label: str, size: int) -> AgainstBaseline | None:
    """Return the comparison of a model with the best compared baseline; None without one.

    It is ahead or behind if the difference is larger than the half width of the 95% interval over seeds, by Student's
    t, and the resolution of the test set together: the root of the sum of their squares.
    """
    names = candidates(comparison, size).baselines
    if not names:
        return None
    higher = comparison.higher_is_better
    scores = {name: baseline_score(comparison, name, size) for name in names}
    name = (max if higher else min)(scores, key=scores.__getitem__)
    score = summary(comparison.scores(label, size))
    gain = (score.mean - scores[name]) * (1 if higher else -1)
    low, high = score.t or (score.mean, score.mean)
    margin = math.hypot((high - low) / 2, resolution(comparison, label, name, size))
    relation = "not distinguishable from" if abs(gain) <= margin else "ahead of" if gain > 0 else "behind"
    return AgainstBaseline(name, scores[name], relation)


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
    baseline_error = standard_error(comparison, name, size)
    for run in runs:
        value = run.result.test.values[comparison.metric]
        if value is None:
            continue
        error = sampling_error(value, run.result.test.count) if comparison.metric == "accuracy" else 0.0
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


def baseline_score(comparison: ComparisonRecords, name: str, size: int) -> float:
    """Return the headline score of a baseline."""
    score = comparison.baselines[name, size].result.test.values[comparison.metric]
    return math.nan if score is None else score


def _mean(scores: list[float]) -> float:
    return math.fsum(scores) / len(scores)
