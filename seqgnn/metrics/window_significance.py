"""Differences between forecasters over the windows of the test part, which are a sample of time as seeds are one of
chance: how far another stretch of time could have given another answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqgnn.metrics.significance import LEVEL, block_bootstrap, sign_flip

FEWEST_WINDOWS, FEWEST_BLOCKS = 10, 3


@dataclass(frozen=True)
class OverWindows:
    """The difference of two errors on the same test windows, means over seeds, the seeds taken as they are.

    Attributes:
        mean: of `first - second`; below zero the first errs less.
        interval: its 95% interval over windows, low and high, by `block_bootstrap`, of this pair alone; None where
            there are fewer than 10 windows or 3 blocks, of which it would be far too short.
        p: of the test, where there is no interval, that the sign of each window's difference is chance (`sign_flip`),
            which supposes that windows are independent; None where they share steps that are forecast.
        better: in how many windows the first errs less.
        windows: how many there are with something observed.
        block: how many neighbors a block holds.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None
    better: int
    windows: int
    block: int

    @property
    def shown(self) -> bool:
        """Whether the windows show a difference: by the interval or, without one, by p."""
        if self.interval is not None:
            return not self.interval[0] <= 0 <= self.interval[1]
        return self.p is not None and self.p < 1 - LEVEL

    @property
    def least(self) -> float:
        """The least that p could have been with so many windows."""
        return min(1.0, 2.0 ** (1 - self.windows))


def over_windows(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    counts: Sequence[int],
    *,
    lags: int,
    horizon: int,
    root: bool = False,
) -> OverWindows:
    """Compares two forecasters window by window.

    Windows lags + horizon apart share no step. So long is a block or, if that is longer, the cube root of the number of
    windows, the order at which the variance is met best (Hall, Horowitz and Jing 1995); at most half of all windows.

    Args:
        first, second: sums of errors, by seed and window, windows in time and a step apart.
        counts: of how many values each window's sums are, the same for both.
        lags, horizon: of the windows, in steps.
        root: whether the error is the root of the mean, as RMSE is. Windows are then told better by their squares.

    Raises:
        ValueError: if sums and counts do not fit each other, or nothing was observed.

    Example:
        >>> found = over_windows([[1.0, 2.0, 3.0, 4.0]], [[2.0, 4.0, 2.0, 8.0]], [2, 2, 2, 2], lags=4, horizon=1)
        >>> found.mean, found.better, found.windows, found.p, found.least
        (-0.75, 3, 4, 0.375, 0.125)
    """
    lengths = [len(row) for row in (*first, *second, counts)]
    if not first or not second or len(set(lengths)) > 1 or not any(counts):
        found = f"{len(first)} and {len(second)} seeds, windows {lengths}, {sum(counts)} values"
        raise ValueError(f"over_windows: expected sums of each seed over the same windows, some observed, got {found}")
    sums = np.array([*first, *second, counts], dtype=np.float64)
    sums = sums[:, sums[-1] > 0]

    def difference(sums: Any) -> Any:
        means = sums[:-1] / sums[-1]
        means = np.sqrt(means) if root else means
        return means[: len(first)].mean(0) - means[len(first) :].mean(0)

    windows = sums.shape[1]
    block = max(1, min(max(lags + horizon, math.ceil(windows ** (1 / 3))), windows // 2))
    few = windows < FEWEST_WINDOWS or windows // block < FEWEST_BLOCKS
    apart = sums[: len(first)].mean(0) - sums[len(first) : -1].mean(0)
    return OverWindows(
        mean=float(difference(sums.sum(1))),
        interval=None if few else block_bootstrap(sums.tolist(), block, difference),
        p=sign_flip(apart.tolist()) if few and horizon == 1 else None,
        better=int((apart < 0).sum()),
        windows=windows,
        block=block,
    )
