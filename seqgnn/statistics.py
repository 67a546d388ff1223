"""Scores over seeds: intervals, and differences between models on the same seeds, corrected for their number."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seqgnn.metrics import mean_sd, paired_difference

RESAMPLES = 9999
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Scores of one model over seeds.

    Attributes:
        mean, sd: of the scores; sd is NaN for a single one.
        t: the 95% interval of the mean by Student's t, low and high; None for a single score.
        bootstrap: the same by resampling the seeds (percentiles); None for a single score.
        seeds: how many scores.
    """

    mean: float
    sd: float
    t: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    seeds: int


@dataclass(frozen=True)
class Difference:
    """Two models, seed by seed.

    Attributes:
        first, second: their labels.
        mean: of `first - second`.
        interval: its 95% interval by Student's t, low and high.
        p: of the sign-flip test that the difference is symmetric about zero, two-sided.
        corrected: p times what Holm's correction for all pairs looked at asks for, at most 1.
        seeds: how many pairs of scores.
    """

    first: str
    second: str
    mean: float
    interval: tuple[float, float]
    p: float
    corrected: float
    seeds: int

    @property
    def shown(self) -> bool:
        """Whether the corrected test rejects at 5%."""
        return self.corrected < 1 - LEVEL

    def __str__(self) -> str:
        low, high = self.interval
        figures = (
            f"{self.mean:+.3f}, 95% interval {low:+.3f} to {high:+.3f}, p = {self.corrected:.3f} of {self.seeds} seeds"
        )
        verdict = "differ" if self.shown else "no difference shown"
        return f"{self.first} and {self.second}: {verdict} ({figures})"


def summary(scores: Sequence[float]) -> Summary:
    """Summarises the scores of one model over seeds.

    Raises:
        ValueError: if there is none.

    Example:
        >>> found = summary([0.9, 0.8, 1.0])
        >>> round(found.mean, 3), [round(edge, 3) for edge in found.t]
        (0.9, [0.652, 1.148])
    """
    mean, sd = mean_sd(scores)
    if len(scores) == 1:
        return Summary(mean, sd, None, None, 1)
    _, half = paired_difference(scores, [0.0] * len(scores))
    return Summary(mean, sd, (mean - half, mean + half), _bootstrap(scores), len(scores))


def _bootstrap(scores: Sequence[float]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    if len(set(scores)) == 1:
        return scores[0], scores[0]
    found = bootstrap(
        (np.asarray(scores),), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p of the test that differences are symmetric about zero: how often flipping the sign of each, all
    ways or some thousand drawn ones, gives a mean as far from zero (Fisher 1935). With n differences it is at least
    2 / 2^n: with fewer than six nothing is below 0.05.

    Example:
        >>> sign_flip([0.1, 0.2, 0.3])
        0.25
    """
    import numpy as np
    from scipy.stats import permutation_test

    if not any(differences):
        return 1.0
    found = permutation_test(
        (np.asarray(differences),), np.mean, permutation_type="samples", n_resamples=RESAMPLES,
        random_state=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of several p (1979): the smallest times their number n, the next times n - 1, and so on, none
    below one before it.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def differences(scores: Mapping[str, Mapping[int, float]]) -> list[Difference]:
    """All pairs of models that share two seeds or more.

    Args:
        scores: by label and seed.

    Example:
        >>> a, b = {0: 0.9, 1: 0.8, 2: 1.0}, {0: 0.5, 1: 0.6, 2: 0.7}
        >>> print(differences({"A": a, "B": b})[0])
        A and B: no difference shown (+0.300, 95% interval +0.052 to +0.548, p = 0.250 of 3 seeds)
    """
    found = []
    for first, second in itertools.combinations(scores, 2):
        seeds = [seed for seed in scores[first] if seed in scores[second]]
        if len(seeds) < 2:
            continue
        ours, theirs = ([scores[label][seed] for seed in seeds] for label in (first, second))
        mean, half = paired_difference(ours, theirs)
        p = sign_flip([a - b for a, b in zip(ours, theirs)])
        found.append(Difference(first, second, mean, (mean - half, mean + half), p, math.nan, len(seeds)))
    return [replace(pair, corrected=p) for pair, p in zip(found, holm([pair.p for pair in found]))]
