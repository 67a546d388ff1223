"""Significance over seeds: intervals, tests and corrections for multiple comparisons, and block-bootstrap intervals for
autocorrelated series."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

RESAMPLES = 9999
LEVEL = 0.95
ACCURACY_MARGIN, RELATIVE_MARGIN = 0.05, 0.02


@dataclass(frozen=True)
class Summary:
    """Scores of one model over seeds.

    Attributes:
        mean, sd: of the scores; sd is NaN for a single one.
        t: the 95% interval of the mean by Student's t, low and high, which assumes roughly normal scores; None for a
            single score.
        bootstrap: the same by resampling the seeds (percentiles), which assumes no distribution but is too narrow for
            few seeds: for normal scores its coverage is 68% with 3 seeds and 84% with 5; None for a single score.
        seeds: number of scores.
    """

    mean: float
    sd: float
    t: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    seeds: int


def signed(value: float) -> str:
    """Return a number with its sign, to three decimals or, if these would all be zeros, two digits.

    Example:
        >>> signed(0.1234), signed(-0.00012), signed(0.0)
        ('+0.123', '-0.00012', '+0.000')
    """
    return f"{value:+z.3f}" if value == 0 or abs(value) >= 0.0005 else f"{value:+.2g}"


def p_value(p: float) -> str:
    """Return a p-value to three decimals, and very small ones as a bound.

    Example:
        >>> p_value(0.0347), p_value(0.0002)
        ('= 0.035', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def summary(scores: Sequence[float]) -> Summary:
    """Return a summary of the scores of one model over seeds.

    Raises:
        ValueError: if there is none, or one is NaN or infinite.

    Example:
        >>> scores = summary([0.9, 0.8, 1.0])
        >>> round(scores.mean, 3), [round(edge, 3) for edge in scores.t]
        (0.9, [0.652, 1.148])
    """
    check_finite("summary", "scores", scores)
    mean, sd = mean_sd(scores)
    if len(scores) == 1:
        return Summary(mean, sd, None, None, 1)
    _, half = paired_difference(scores, [0.0] * len(scores))
    return Summary(mean, sd, (mean - half, mean + half), _bootstrap(tuple(scores)), len(scores))


@lru_cache(maxsize=1024)  # a report asks for the same scores many times
def _bootstrap(scores: tuple[float, ...]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    if len(set(scores)) == 1:
        return scores[0], scores[0]
    interval = bootstrap(
        (np.asarray(scores),), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def margin(higher_is_better: bool, best_baseline: float | None) -> float | None:
    """Return the difference below which two models count as equal, fixed before any run: 0.05 for an accuracy, 2% of
    the score of the best baseline for a loss or an error; None if that is not known.

    Example:
        >>> margin(True, None), margin(False, 4.0), margin(False, None)
        (0.05, 0.08, None)
    """
    if higher_is_better:
        return ACCURACY_MARGIN
    return None if best_baseline is None else RELATIVE_MARGIN * abs(best_baseline)


def block_bootstrap(
    series: Sequence[Sequence[float]], block: int, statistic: Callable[[Any], Any]
) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic of sums over parallel series, by the circular block bootstrap
    (Politis and Romano 1992, after the moving blocks of Künsch 1989). Each resampled series has n values: where the
    block does not divide n, its last block is cut.

    The interval is too narrow with few blocks, or if autocorrelation extends beyond a block. For independent normal
    values its coverage of the mean is 83% with 3 blocks, 91% with 10 and 93% with 27; for an autoregression with
    coefficient 0.5 and blocks of 5 it is 72%, 85% and 90%.

    Args:
        series: K series of n values each.
        block: length of a block, from 1 to n.
        statistic: maps sums `[K, R]` of R resampled series to R values.

    Raises:
        ValueError: if the series differ in length, contain NaN or infinite values, or are shorter than a block.

    Example:
        >>> low, high = block_bootstrap([[1.0, 2.0, 3.0, 2.0] * 5, [1.0] * 20], 4, lambda sums: sums[0] / sums[1])
        >>> low, high
        (2.0, 2.0)
    """
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 2 or not 1 <= block <= values.shape[1] or not np.isfinite(values).all():
        got = f"{values.shape} and block={block}"
        raise ValueError(f"block_bootstrap: expected finite series [K, n] and a block from 1 to n, got {got}")
    size = values.shape[1]
    ring = np.concatenate([values, values[:, : block - 1]], axis=1)
    num_blocks = -(-size // block)
    drawn = np.random.default_rng(0).integers(size, size=(RESAMPLES, num_blocks))
    sums = np.zeros((len(values), RESAMPLES))
    for length, starts in ((block, drawn[:, :-1]), (size - (num_blocks - 1) * block, drawn[:, -1:])):
        blocks = np.lib.stride_tricks.sliding_window_view(ring, length, axis=1).sum(-1)
        sums += np.stack([of_one[starts].sum(1) for of_one in blocks])
    low, high = np.quantile(statistic(sums), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the test that differences are symmetric about zero (Fisher 1935): the fraction of
    sign assignments, all of them or several thousand random ones, whose mean is at least as far from zero. With n
    differences it is at least 2 / 2^n, so with fewer than six it is never below 0.05.

    Raises:
        ValueError: if a difference is NaN or infinite.

    Example:
        >>> sign_flip([0.1, 0.2, 0.3])
        0.25
    """
    check_finite("sign_flip", "differences", differences)
    if len(differences) < 2 or not any(differences):
        return 1.0
    return fraction_beyond(math.fsum(differences) / len(differences), flipped(differences)[0])


def flipped(differences: Sequence[float]) -> tuple[Any, Any]:
    """Return the mean of the differences under each sign assignment, and the mean of its signs; the first assignment
    changes no sign."""
    import numpy as np

    number = len(differences)
    if 2**number <= RESAMPLES + 1:
        bits = np.arange(2**number)[:, None] >> np.arange(number) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(RESAMPLES + 1, number))
        bits[0] = 0
    signs = 1.0 - 2.0 * bits
    return signs @ np.asarray(differences, dtype=np.float64) / number, signs.mean(1)


def fraction_beyond(mean: float, means: Any) -> float:
    """Return the fraction of means that are at least as far from zero as this one, apart from rounding."""
    import numpy as np

    return float((np.abs(means) >= abs(mean) * (1 - 1e-12)).mean())


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's correction (1979): the smallest times their number n, the next times n - 1, and so
    on, in non-decreasing order.

    Raises:
        ValueError: if one is not in [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"holm: expected p-values in [0, 1], got {list(values)}")
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def sampling_error(accuracy: float, count: int) -> float:
    """Return the standard error of an accuracy on `count` test targets, √(p (1 - p) / n). More seeds with the same test
    set do not reduce it.

    Raises:
        ValueError: if the accuracy is not in [0, 1] or the count is below 1.

    Example:
        >>> sampling_error(0.5, 2500)
        0.01
    """
    if not 0 <= accuracy <= 1 or not 1 <= count < math.inf:
        raise ValueError(f"sampling_error: expected accuracy in [0, 1] and count >= 1, got {accuracy} and {count}")
    return math.sqrt(accuracy * (1 - accuracy) / count)


def smoothed_error(accuracy: float, count: int) -> float:
    """Return the standard error of an accuracy on `count` test targets as if one more were right and one more wrong
    (Agresti and Caffo 2000), so that an accuracy of 0 or 1 has an error as well.

    Raises:
        ValueError: as of `sampling_error`.

    Example:
        >>> smoothed_error(0.5, 2498), round(smoothed_error(1.0, 2498), 5)
        (0.01, 0.0004)
    """
    sampling_error(accuracy, count)
    smoothed = (accuracy * count + 1) / (count + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (count + 2))


def seeds_needed(models: int) -> int:
    """Return the smallest number of seeds, at least 6, with which a sign-flip test between the best of this many models
    and each other one, corrected for their number, can be significant at 5%.

    Raises:
        ValueError: for less than two models.

    Example:
        >>> [seeds_needed(models) for models in (2, 3, 4, 5, 6, 8)]
        [6, 7, 7, 8, 8, 9]
    """
    if isinstance(models, bool) or not isinstance(models, int) or models < 2:
        raise ValueError(f"seeds_needed: expected a number of models of at least 2, got {models!r}")
    return next(seeds for seeds in itertools.count(2) if (models - 1) * least_p(seeds) < 1 - LEVEL)


def least_p(seeds: int) -> float:
    """Return the smallest p-value of a sign-flip test on this number of nonzero differences."""
    return min(1.0, 2.0 ** (1 - seeds))


def check_finite(caller: str, name: str, values: Sequence[float]) -> None:
    """Raise a ValueError if one of the values is NaN or infinite."""
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{caller}: expected finite {name}, got {list(values)}")


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation (n - 1; NaN for a single value).

    Raises:
        ValueError: if there is no value, or one is NaN or infinite.

    Example:
        >>> mean_sd([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    if not values:
        raise ValueError("mean_sd: expected at least one value, got none")
    check_finite("mean_sd", "values", values)
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the mean of `first - second`, paired by seed, and the half width of its Student t interval.

    Args:
        first: scores of one model, one per seed.
        second: scores of the other, for the same seeds in the same order.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: if the numbers of seeds differ or are below two, or a score is NaN or infinite.

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
    check_finite("paired_difference", "scores", [*first, *second])
    if not 0 < level < 1:
        raise ValueError(f"paired_difference: expected level in (0, 1), got {level!r}")
    from scipy.stats import t

    mean, sd = mean_sd([a - b for a, b in zip(first, second)])
    return mean, float(t.ppf((1 + level) / 2, len(first) - 1)) * sd / math.sqrt(len(first))
