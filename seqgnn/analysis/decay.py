"""Summary of norms as a function of distance."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decay:
    r"""Change of norms with the distance d: the least-squares fit of :math:`\log n_d = a + d \log r`.

    Attributes:
        rate: r, the factor per step back.
        r2: the fraction of the variance of log n that the line explains; 1 where there is none.
        lowest: the distance of the smallest norm.
        spread: the largest norm divided by the smallest.
        fall: the first norm divided by the smallest.
        rise: the factor from the smallest norm to the farthest, by a second least-squares fit over this range; 1 for
            fewer than three norms.
        rise_r2: the fraction of the variance that the second fit explains.
        farthest: the largest distance included.
        count: the number of norms included.
    """

    rate: float
    r2: float
    lowest: int
    spread: float
    fall: float
    rise: float
    rise_r2: float
    farthest: int
    count: int


def decay(norms: Tensor, start: int = 0) -> Decay | None:
    """Return the change of the norms ``[D]`` with distance; None if fewer than three norms are left to fit.

    Norms that are zero or subnormal in their dtype are excluded.

    Args:
        norms: norms at least 0, from distance 0 on.
        start: the first distance included.

    Raises:
        ValueError: if norms have no floating dtype, or one is negative, NaN or infinite.

    Example:
        >>> import torch
        >>> fit = decay(torch.tensor([8.0, 4.0, 2.0, 1.0]))
        >>> round(fit.rate, 6), round(fit.r2, 6), fit.lowest, round(fit.fall, 6), fit.rise
        (0.5, 1.0, 3, 8.0, 1.0)
        >>> fit = decay(torch.tensor([4.0, 1.0, 2.0, 4.0, 8.0]))
        >>> fit.lowest, round(fit.fall, 6), round(fit.rise, 6), fit.rise_r2
        (1, 4.0, 8.0, 1.0)
    """
    if norms.dim() != 1 or not norms.is_floating_point():
        raise ValueError(f"decay: expected floating norms of shape [D], got {norms.dtype} {tuple(norms.shape)}")
    invalid = norms[~(norms.isfinite() & (norms >= 0))]
    if len(invalid):
        raise ValueError(f"decay: expected finite norms of at least 0, got {len(invalid)} others, first {invalid[0]:g}")
    d = (norms[start:] >= torch.finfo(norms.dtype).tiny).nonzero().flatten() + start
    if len(d) < 3:
        return None
    log = norms[d].double().log()
    low = int(log.argmin())
    slope, r2 = _line(d, log)
    slope_after, rise_r2 = _line(d[low:], log[low:])
    spread, fall = _factor(log.max() - log[low]), _factor(log[0] - log[low])
    rise = _factor(slope_after * (d[-1] - d[low]))
    return Decay(_factor(slope), r2, int(d[low]), spread, fall, rise, rise_r2, int(d[-1]), len(d))


def _factor(log: Tensor) -> float:
    """Return the exponential, at most the largest finite number."""
    return float(log.exp().clamp(max=torch.finfo(log.dtype).max))


def _line(d: Tensor, log: Tensor) -> tuple[Tensor, float]:
    """Return the slope of the least-squares line and R²; 0 and 1 for fewer than three points."""
    if len(d) < 3:
        return log.new_zeros(()), 1.0
    x, y = d.double() - d[0], log - log[0]  # so that equal norms become exact zeros
    x, y = x - x.mean(), y - y.mean()
    slope = (x * y).sum() / x.square().sum()
    residual, total = (y - slope * x).square().sum().item(), y.square().sum().item()
    return slope, 1 - residual / total if total > 0 else 1.0
