"""Norms of what may be very small."""

from torch import Tensor


def safe_norm(x: Tensor) -> Tensor:
    """The Euclidean norm over the last dimension, in float64.

    Entries are divided by the largest before they are squared, since squares of those below 1e-162 would be zero.

    Args:
        x: floating.

    Shapes:
        x ``[..., F]``, result ``[...]``.

    Example:
        >>> import torch
        >>> safe_norm(torch.tensor([3e-200, 4e-200], dtype=torch.float64))
        tensor(5.0000e-200, dtype=torch.float64)
    """
    x = x.double()
    largest = x.abs().amax(-1, keepdim=True)
    largest = largest.masked_fill(largest == 0, 1)
    return largest.squeeze(-1) * (x / largest).norm(dim=-1)
