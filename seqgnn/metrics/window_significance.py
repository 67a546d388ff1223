"""Significance of differences between forecasters over test windows: windows are a sample of time, as seeds are a
sample of random initializations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from seqgnn.metrics.model_differences import SamplingError
from seqgnn.metrics.significance import LEVEL, block_bootstrap, check_finite, sign_flip

FEWEST_WINDOWS, FEWEST_BLOCKS = 10, 3


@dataclass(frozen=True)
class OverWindows:
    """The difference between the errors of two forecasters on the same test windows, averaged over seeds.

    Attributes:
        mean: mean of `first - second`; negative if the first is better.
        interval: its 95% interval over windows, low and high, by `block_bootstrap`, for this pair only; None with fewer
            than 10 windows or 3 blocks, for which it would be far too narrow.
        p: without an interval, the p-value of `sign_flip` over windows, which assumes independent windows; None if
            windows have targets in common.
        better: number of windows in which the first is better.
        windows: number of windows with observed targets.
        block: number of windows in a block.
        error: the standard error over windows, with as many degrees of freedom as there are blocks, or independent
            windows, less one; None where windows overlap and are too few for an interval.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None
    better: int
    windows: int
    block: int
    error: SamplingError | None = None

    @property
    def shown(self) -> bool:
        """True if the difference is significant: by the interval or, without one, by p."""
        if self.interval is not None:
            return not self.interval[0] <= 0 <= self.interval[1]
        return self.p is not None and self.p < 1 - LEVEL

    @property
    def least(self) -> float:
        """The smallest possible p with this number of windows."""
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
    """Return the difference between two forecasters, paired by window.

    Windows that are lags + horizon steps apart have no step in common. The block length is this distance or, if larger,
    the cube root of the number of windows, which is the optimal order for the variance (Hall, Horowitz and Jing 1995);
    at most half of all windows.

    Args:
        first, second: sums of errors by seed and window, in order of time at stride 1.
        counts: numbers of values in each window, the same for both.
        lags, horizon: of the windows, in steps.
        root: True if the error is the root of a mean, as RMSE. Windows are then compared by their squared errors.

    Raises:
        ValueError: if the numbers of windows differ, nothing was observed, or a sum is NaN or infinite.

    Example:
        >>> result = over_windows([[1.0, 2.0, 3.0, 4.0]], [[2.0, 4.0, 2.0, 8.0]], [2, 2, 2, 2], lags=4, horizon=1)
        >>> result.mean, result.better, result.windows, result.p, result.least
        (-0.75, 3, 4, 0.375, 0.125)
    """
    lengths = [len(row) for row in (*first, *second, counts)]
    if not first or not second or len(set(lengths)) > 1 or not any(counts):
        got = f"{len(first)} and {len(second)} seeds, windows {lengths}, {sum(counts)} values"
        raise ValueError(f"over_windows: expected sums of each seed over the same windows, some observed, got {got}")
    for row in (*first, *second):
        check_finite("over_windows", "sums", row)
    sums = np.array([*first, *second, counts], dtype=np.float64)
    sums = sums[:, sums[-1] > 0]

    def difference(sums: Any) -> Any:
        means = sums[:-1] / sums[-1]
        means = np.sqrt(means) if root else means
        return means[: len(first)].mean(0) - means[len(first) :].mean(0)

    windows = sums.shape[1]
    block = max(1, min(max(lags + horizon, math.ceil(windows ** (1 / 3))), windows // 2))
    few = windows < FEWEST_WINDOWS or windows // block < FEWEST_BLOCKS
    paired = sums[: len(first)].mean(0) - sums[len(first) : -1].mean(0)
    interval = None if few else block_bootstrap(sums.tolist(), block, difference)
    error = None
    if interval is not None:
        blocks = windows / block
        spread = (interval[1] - interval[0]) / 2 / NormalDist().inv_cdf((1 + LEVEL) / 2)
        error = SamplingError(spread * math.sqrt(blocks / (blocks - 1)), blocks - 1)
    elif horizon == 1 and windows > 1:
        without_one = difference(sums.sum(1, keepdims=True) - sums)
        error = SamplingError(float(without_one.std() * math.sqrt(windows - 1)), windows - 1)  # jackknife
    return OverWindows(
        mean=float(difference(sums.sum(1))),
        interval=interval,
        p=sign_flip(paired.tolist()) if few and horizon == 1 else None,
        better=int((paired < 0).sum()),
        windows=windows,
        block=block,
        error=error,
    )
