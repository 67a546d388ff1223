"""How norms change with distance, in a few numbers."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Decay:
    r"""How norms change with the distance d: the least squares of :math:`\log n_d = a + d \log r`, over those not zero.

    Attributes:
        rate: r, the factor of each step back.
        r2: the share of the variance of log n that the line explains; 1 where there is none.
        lowest: the distance of the smallest norm.
        rise: the farthest norm over the smallest.
        farthest: the distance of the farthest norm that is not zero.
    """

    rate: float
    r2: float
    lowest: int
    rise: float
    farthest: int


def decay(norms: Tensor, start: int = 0) -> Decay | None:
    """How the norms ``[D]`` change with distance; None with fewer than three that are not zero.

    Args:
        norms: from distance 0 on.
        start: the first distance that is looked at.

    Example:
        >>> import torch
        >>> found = decay(torch.tensor([8.0, 4.0, 2.0, 1.0]))
        >>> round(found.rate, 6), round(found.r2, 6), found.lowest, found.rise
        (0.5, 1.0, 3, 1.0)
    """
    d = norms[start:].nonzero().flatten() + start
    if len(d) < 3:
        return None
    log = norms[d].double().log()
    x, y = d.double() - d.double().mean(), log - log.mean()
    slope = (x * y).sum() / x.square().sum()
    left, all_of_it = (y - slope * x).square().sum().item(), y.square().sum().item()
    low = int(log.argmin())
    r2 = 1 - left / all_of_it if all_of_it > 0 else 1.0
    return Decay(float(slope.exp()), r2, int(d[low]), float((log[-1] - log[low]).exp()), int(d[-1]))
