"""How norms change with distance, in a few numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decay:
    r"""How norms change with the distance d: the least squares of :math:`\log n_d = a + d \log r`.

    Attributes:
        rate: r, the factor of each step back.
        r2: the share of the variance of log n that the line explains; 1 where there is none.
        lowest: the distance of the smallest norm.
        spread: the largest norm over the smallest.
        fall: the first norm over the smallest.
        rise: the factor from the smallest norm to the farthest by the least squares of those between and at these
            ends; 1 where they are fewer than three.
        rise_r2: the share of their variance that this second line explains.
        farthest: the distance of the farthest norm that is looked at.
        count: how many norms are looked at.
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
    """How the norms ``[D]`` change with distance; None with fewer than three to look at.

    What is zero or, in the dtype of the norms, too small for full precision (subnormal) is not looked at.

    Args:
        norms: from distance 0 on, at least 0.
        start: the first distance that is looked at.

    Raises:
        ValueError: if norms are not floating, negative, NaN or infinite.

    Example:
        >>> import torch
        >>> found = decay(torch.tensor([8.0, 4.0, 2.0, 1.0]))
        >>> round(found.rate, 6), round(found.r2, 6), found.lowest, round(found.fall, 6), found.rise
        (0.5, 1.0, 3, 8.0, 1.0)
        >>> found = decay(torch.tensor([4.0, 1.0, 2.0, 4.0, 8.0]))
        >>> found.lowest, round(found.fall, 6), round(found.rise, 6), found.rise_r2
        (1, 4.0, 8.0, 1.0)
    """
    if norms.dim() != 1 or not norms.is_floating_point():
        raise ValueError(f"decay: expected floating norms of shape [D], got {norms.dtype} {tuple(norms.shape)}")
    wrong = norms[~(norms.isfinite() & (norms >= 0))]
    if len(wrong):
        raise ValueError(f"decay: expected finite norms of at least 0, got {len(wrong)} others, the first {wrong[0]:g}")
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
    """Its exponential, or the greatest finite number."""
    return float(log.exp().clamp(max=torch.finfo(log.dtype).max))


def _line(d: Tensor, log: Tensor) -> tuple[Tensor, float]:
    """The slope of the least squares, and R²; 0 and 1 of fewer than three."""
    if len(d) < 3:
        return log.new_zeros(()), 1.0
    x, y = d.double() - d[0], log - log[0]  # so that of equal ones exactly nothing is left
    x, y = x - x.mean(), y - y.mean()
    slope = (x * y).sum() / x.square().sum()
    left, all_of_it = (y - slope * x).square().sum().item(), y.square().sum().item()
    return slope, 1 - left / all_of_it if all_of_it > 0 else 1.0
