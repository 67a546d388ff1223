"""Differences between models, paired by seed: the spread of the seeds and the error of the test set together."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from seqgnn._utils.text import count
from seqgnn.metrics.significance import (
    LEVEL,
    check_finite,
    flipped,
    fraction_beyond,
    holm,
    least_p,
    mean_sd,
    p_value,
    sign_flip,
    signed,
)

FEWEST_FLIPS = 6  # seeds; with fewer, sign flips cannot give p below 5%
T_TEST, SIGN_FLIPS = "t", "t and sign flips"
BISECTIONS = 60


@dataclass(frozen=True)
class SamplingError:
    """The standard error that the test set gives a difference of two models, with its degrees of freedom."""

    standard_error: float
    df: float = math.inf

    def quantile(self, tail: float) -> float:
        """Return the error that is exceeded with this probability."""
        from scipy.special import ndtri, stdtrit  # as of scipy.stats, but without its checks of many microseconds

        steps = ndtri(tail) if math.isinf(self.df) else stdtrit(self.df, tail)
        return -float(steps) * self.standard_error


@dataclass(frozen=True)
class Difference:
    """The difference between two models, paired by seed.

    Attributes:
        first, second: labels of the models.
        mean: mean of `first - second`.
        interval: its 95% interval, low and high, for this pair only.
        joint: the same for all compared pairs together (Bonferroni).
        p: two-sided p-value.
        corrected: p-value after correction for all compared pairs, at most 1.
        least: the smallest possible value of `corrected` with this number of different seeds and pairs; 0 for t alone.
        seeds: number of pairs of scores.
        test: "t" or "t and sign flips", see `differences`.
        test_set: True if intervals and p-values include the sampling error of the test set.
    """

    first: str
    second: str
    mean: float
    interval: tuple[float, float]
    joint: tuple[float, float]
    p: float
    corrected: float
    least: float
    seeds: int
    test: str = T_TEST
    test_set: bool = False

    @property
    def shown(self) -> bool:
        """True if the corrected test is significant at 5%."""
        return self.corrected < 1 - LEVEL

    @property
    def figures(self) -> str:
        """Mean, interval, p-value and seeds as text."""
        mean, low, high = map(signed, (self.mean, *self.interval))
        test = f"corrected p {p_value(self.corrected)} by {self.test}, {count(self.seeds, 'seed')}"
        return f"{mean}, uncorrected 95% interval {low} to {high}; {test}"

    def turned(self) -> "Difference":
        """Return the difference as `second - first`."""
        (low, high), (joint_low, joint_high) = self.interval, self.joint
        return replace(self, first=self.second, second=self.first, mean=-self.mean, interval=(-high, -low),
                       joint=(-joint_high, -joint_low))  # fmt: skip

    def __str__(self) -> str:
        verdict = "differ" if self.shown else "no significant difference"
        return f"{self.first} and {self.second}: {verdict} ({self.figures})"


Errors = Callable[[str, str], SamplingError | None]


def differences(scores: Mapping[str, Mapping[int, float]], errors: Errors | None = None) -> list[Difference]:
    """Return the differences of all pairs of models with common seeds, with p-values corrected for their number (Holm
    1979). With a single common seed, the difference is that of two trained models, whose error is that of the test set;
    pairs without any known error are left out.

    With few seeds, the test is a paired t test, which assumes that differences are roughly normal over seeds. The half
    width of its interval is the root of the sum of two squares: that of the t interval over seeds, and that of the
    error of the test set. (One standard error of both, with degrees of freedom by Welch and Satterthwaite, is too small
    too often with few seeds.) From six seeds on, as soon as it can be significant after correction, a test by sign
    flips, which assumes only that differences are symmetric if there is no difference, has to agree: p is the larger of
    both, and the interval contains both.

    Args:
        scores: scores by label and seed.
        errors: for two labels the error of the test set; None, also as its value: not known, and not included.

    Raises:
        ValueError: if a score is NaN or infinite.

    Example:
        >>> a, b = {0: 0.9, 1: 0.8, 2: 1.0}, {0: 0.5, 1: 0.6, 2: 0.7}
        >>> print(differences({"A": a, "B": b})[0].figures)
        +0.300, uncorrected 95% interval +0.052 to +0.548; corrected p = 0.035 by t, 3 seeds
    """
    pairs = _compared(scores, list(itertools.combinations(scores, 2)), errors)
    corrected = zip(pairs, holm([pair.p for pair in pairs]), holm([pair.least for pair in pairs]))
    return [replace(pair, corrected=p, least=least) for pair, p, least in corrected]


def differences_from(
    best: str, scores: Mapping[str, Mapping[int, float]], errors: Errors | None = None
) -> list[Difference]:
    """Return the differences `best - other` for each other model with common seeds, with p-values times their number
    (Bonferroni); pairs without any known error are left out.

    For k models whose differences are roughly normal over seeds, the chance that the truly best one is called worse
    than the one with the best mean, which the same scores selected, is then at most 2.5%: it has to lose
    a two-sided test at 5% / (k - 1) against one of k - 1 others (comparisons with the best, Hsu 1981).

    Args:
        best: label of the model with the best mean.
        scores, errors: as of `differences`.

    Raises:
        ValueError: if a score is NaN or infinite.
    """
    pairs = _compared(scores, [(best, label) for label in scores if label != best], errors)
    number = len(pairs)
    return [replace(pair, corrected=min(1.0, number * pair.p), least=min(1.0, number * pair.least)) for pair in pairs]


def _compared(
    scores: Mapping[str, Mapping[int, float]], labels: Sequence[tuple[str, str]], errors: Errors | None
) -> list[Difference]:
    """Return the differences of pairs of models, without correction of p."""
    paired = {}
    for first, second in labels:
        seeds = [seed for seed in scores[first] if seed in scores[second]]
        check_finite("differences", "scores", [scores[label][seed] for label in (first, second) for seed in seeds])
        error = errors(first, second) if errors is not None and seeds else None
        if len(seeds) >= 2 or error is not None:
            paired[first, second] = [scores[first][seed] - scores[second][seed] for seed in seeds], error
    return [_difference(*pair, values, error, len(paired)) for pair, (values, error) in paired.items()]


def _difference(
    first: str, second: str, values: Sequence[float], error: SamplingError | None, comparisons: int
) -> Difference:
    mean, sd = mean_sd(values)
    least = least_p(sum(map(bool, values)))
    parts = [] if error is None else [error]
    if len(values) > 1:
        parts.append(SamplingError(sd / math.sqrt(len(values)), len(values) - 1))
    intervals = []
    flips = len(values) >= FEWEST_FLIPS and least * comparisons < 1 - LEVEL
    for tail in ((1 - LEVEL) / 2, (1 - LEVEL) / 2 / comparisons):
        half = half_width(parts, tail)
        low, high = _flip_interval(values, 2 * tail) if flips else (mean, mean)
        intervals.append((min(low, mean - half), max(high, mean + half)))
    p, test = _t_p_value(mean, parts), T_TEST
    if flips:
        p, test = max(p, sign_flip(values)), SIGN_FLIPS
    else:
        least = 0.0
    return Difference(first, second, mean, intervals[0], intervals[1], p, p, least, len(values), test,
                      error is not None)  # fmt: skip


def half_width(parts: Sequence[SamplingError], tail: float) -> float:
    """Return the half width of an interval of a sum of independent errors: the root of the sum of the squares of
    theirs.

    Example:
        >>> half_width([SamplingError(3.0), SamplingError(4.0)], 0.025) / SamplingError(5.0).quantile(0.025)
        1.0
    """
    return math.hypot(*(part.quantile(tail) for part in parts))


def _t_p_value(mean: float, parts: Sequence[SamplingError]) -> float:
    """Return the two-sided p-value for which the interval just includes zero."""
    low, high = 0.0, 0.5
    if mean == 0:
        return 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(parts, middle) > abs(mean) else (low, middle)
    return 2 * high


def _flip_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Return the interval of the differences that sign flips do not reject at a level, low and high."""
    means, mean_signs = flipped(values)
    center = math.fsum(values) / len(values)

    def p_value(difference: float) -> float:
        return fraction_beyond(center - difference, means - difference * mean_signs)

    edges = []
    for sign in (-1, 1):
        inside, outside = 0.0, max(abs(value - center) for value in values) + 1e-12 * abs(center)
        while p_value(center + sign * outside) > level:
            outside *= 2
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if p_value(center + sign * middle) > level else (inside, middle)
        edges.append(center + sign * inside)
    return edges[0], edges[1]
