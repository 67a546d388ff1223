"""Scores over seeds: intervals, and differences between models on the same seeds, corrected for their number; and
intervals over a series, whose neighbors tell of each other."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

RESAMPLES = 9999
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Scores of one model over seeds.

    Attributes:
        mean, sd: of the scores; sd is NaN for a single one.
        t: the 95% interval of the mean by Student's t, low and high, which supposes that scores are about normal; None
            for a single score.
        bootstrap: the same by resampling the seeds (percentiles), which supposes nothing, but is too narrow of few: of
            normal scores it holds the mean in 68% of cases with 3 seeds, in 84% with 5; None for a single score.
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
        interval: its 95% interval by Student's t, low and high, of this pair alone: not corrected for the others.
        p: of the sign-flip test that the difference is symmetric about zero, two-sided.
        corrected: p times what Holm's correction for all pairs looked at asks for, at most 1.
        least: the least that `corrected` could have been with so many seeds that differ, and so many pairs.
        seeds: how many pairs of scores.
    """

    first: str
    second: str
    mean: float
    interval: tuple[float, float]
    p: float
    corrected: float
    least: float
    seeds: int

    @property
    def shown(self) -> bool:
        """Whether the corrected test rejects at 5%."""
        return self.corrected < 1 - LEVEL

    @property
    def testable(self) -> bool:
        """Whether the corrected test could have rejected at 5% at all."""
        return self.least < 1 - LEVEL

    @property
    def figures(self) -> str:
        """Mean, interval, p and seeds in words."""
        mean, low, high = map(signed, (self.mean, *self.interval))
        return f"{mean}, its own 95% interval {low} to {high}; corrected p = {self.corrected:.3f}, {self.seeds} seeds"

    def turned(self) -> "Difference":
        """The same as `second - first`."""
        low, high = self.interval
        return replace(self, first=self.second, second=self.first, mean=-self.mean, interval=(-high, -low))

    def __str__(self) -> str:
        verdict = "differ" if self.shown else "no difference shown"
        return f"{self.first} and {self.second}: {verdict} ({self.figures})"


def signed(value: float) -> str:
    """A figure with its sign, to three decimals or, where these would all be zeros, two digits.

    Example:
        >>> signed(0.1234), signed(-0.00012), signed(0.0)
        ('+0.123', '-0.00012', '+0.000')
    """
    return f"{value:+z.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:+.2g}"


def summary(scores: Sequence[float]) -> Summary:
    """Summarizes the scores of one model over seeds.

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


def block_bootstrap(
    series: Sequence[Sequence[float]], block: int, statistic: Callable[[Any], Any]
) -> tuple[float, float]:
    """The 95% interval, by percentiles, of a statistic of sums over series that run beside each other, by resampling
    blocks of neighbors, which stay together, the series closed to a ring so that its ends count as much as its middle
    (Politis and Romano 1992, after the moving blocks of Künsch 1989).

    It is too narrow where blocks are few or the series goes on longer than they do. Of independent normal values it
    holds the mean in 83% of cases with 3 blocks, 91% with 10 and 93% with 27; of an autoregression with coefficient
    0.5, in blocks of 5, in 72%, 85% and 90%.

    Args:
        series: K of n values each.
        block: how many neighbors, from 1 to n.
        statistic: of sums `[K, R]` of R resampled series, R figures.

    Raises:
        ValueError: if the series differ in length, hold what is no number, or are shorter than a block.

    Example:
        >>> low, high = block_bootstrap([[1.0, 2.0, 3.0, 2.0] * 5, [1.0] * 20], 4, lambda sums: sums[0] / sums[1])
        >>> low, high
        (2.0, 2.0)
    """
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 2 or not 1 <= block <= values.shape[1] or not np.isfinite(values).all():
        found = f"{values.shape} and block={block}"
        raise ValueError(f"block_bootstrap: expected finite series [K, n] and a block from 1 to n, got {found}")
    ring = np.concatenate([values, values[:, : block - 1]], axis=1)
    blocks = np.lib.stride_tricks.sliding_window_view(ring, block, axis=1).sum(-1)
    size = values.shape[1]
    drawn = np.random.default_rng(0).integers(size, size=(RESAMPLES, size // block))
    sums = np.stack([of_one[drawn].sum(1) for of_one in blocks])
    low, high = np.quantile(statistic(sums), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p of the test that differences are symmetric about zero: how often flipping the sign of each, all
    ways or some thousand drawn ones, gives a mean as far from zero (Fisher 1935). With n differences it is at least
    2 / 2^n: with fewer than six nothing is below 0.05.

    Raises:
        ValueError: if a difference is NaN or infinite.

    Example:
        >>> sign_flip([0.1, 0.2, 0.3])
        0.25
    """
    import numpy as np
    from scipy.stats import permutation_test

    if not all(map(math.isfinite, differences)):
        raise ValueError(f"sign_flip: expected finite differences, got {list(differences)}")
    if len(differences) < 2 or not any(differences):
        return 1.0
    found = permutation_test(
        (np.asarray(differences),), np.mean, permutation_type="samples", n_resamples=RESAMPLES,
        random_state=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of several p (1979): the smallest times their number n, the next times n - 1, and so on, none
    below one before it.

    Raises:
        ValueError: if one is not in [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"holm: expected values of p in [0, 1], got {list(values)}")
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def sampling_error(accuracy: float, answers: int) -> float:
    """The standard error that so many test answers give an accuracy, √(p (1 - p) / n). Seeds that share a test set do
    not make it smaller.

    Raises:
        ValueError: if the accuracy is not in [0, 1] or there is no answer.

    Example:
        >>> sampling_error(0.5, 2500)
        0.01
    """
    if not 0 <= accuracy <= 1 or answers < 1:
        raise ValueError(f"sampling_error: expected an accuracy in [0, 1] of answers, got {accuracy} of {answers}")
    return math.sqrt(accuracy * (1 - accuracy) / answers)


def seeds_needed(models: int) -> int:
    """The fewest seeds with which a difference between two of so many models can be shown at 5%, if the sign-flip test
    is corrected for all pairs.

    Example:
        >>> [seeds_needed(models) for models in (2, 3, 4, 5, 6, 8)]
        [6, 7, 8, 9, 10, 11]
    """
    return next(seeds for seeds in itertools.count(2) if math.comb(models, 2) * _least(seeds) < 1 - LEVEL)


def _least(seeds: int) -> float:
    """The least p of a sign-flip test on so many differences that are not zero."""
    return min(1.0, 2.0 ** (1 - seeds))


def differences(scores: Mapping[str, Mapping[int, float]]) -> list[Difference]:
    """All pairs of models that share two seeds or more.

    Args:
        scores: by label and seed.

    Raises:
        ValueError: if a score is NaN or infinite.

    Example:
        >>> a, b = {0: 0.9, 1: 0.8, 2: 1.0}, {0: 0.5, 1: 0.6, 2: 0.7}
        >>> print(differences({"A": a, "B": b})[0])
        A and B: no difference shown (+0.300, its own 95% interval +0.052 to +0.548; corrected p = 0.250, 3 seeds)
    """
    found = []
    for first, second in itertools.combinations(scores, 2):
        seeds = [seed for seed in scores[first] if seed in scores[second]]
        if len(seeds) < 2:
            continue
        ours, theirs = ([scores[label][seed] for seed in seeds] for label in (first, second))
        mean, half = paired_difference(ours, theirs)
        apart = [a - b for a, b in zip(ours, theirs)]
        p, least = sign_flip(apart), _least(sum(map(bool, apart)))
        found.append(Difference(first, second, mean, (mean - half, mean + half), p, p, least, len(seeds)))
    corrected = zip(found, holm([pair.p for pair in found]), holm([pair.least for pair in found]))
    return [replace(pair, corrected=p, least=least) for pair, p, least in corrected]



def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the sample standard deviation (n - 1; NaN for a single value).

    Example:
        >>> mean_sd([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    if not values:
        raise ValueError("mean_sd: expected at least one value, got none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Returns the mean of `first - second`, seed by seed, and the half width of its Student t interval.

    Args:
        first: scores of one model, one a seed.
        second: scores of the other, for the same seeds in the same order.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: if the numbers of seeds differ or are below two.

    Example:
        >>> mean, half = paired_difference([0.9, 0.8, 1.0], [0.5, 0.6, 0.7])
        >>> round(mean, 3), round(half, 3)
        (0.3, 0.248)
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "paired_difference: expected two equally long lists of at least 2 scores, "
            f"got {len(first)} and {len(second)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"paired_difference: expected level in (0, 1), got {level!r}")
    from scipy.stats import t

    mean, sd = mean_sd([a - b for a, b in zip(first, second)])
    return mean, float(t.ppf((1 + level) / 2, len(first) - 1)) * sd / math.sqrt(len(first))
