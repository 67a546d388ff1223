"""What is read in place of what was not observed."""

import torch
from torch import Tensor


def carry_forward(values: Tensor, observed: Tensor, before: Tensor | float) -> Tensor:
    """Values with the last that was observed of the same node and feature wherever one was not.

    Args:
        values: a signal.
        observed: True where a value was observed.
        before: what to take before the first that was.

    Shapes:
        values and observed ``[T, N, F]``; before a number, ``[F]`` or ``[N, F]``.

    Example:
        >>> values = torch.tensor([0.0, 5.0, 0.0, 7.0]).view(4, 1, 1)
        >>> carry_forward(values, values != 0, 6.0).flatten()
        tensor([6., 5., 5., 7.])
    """
    steps = torch.arange(len(values), device=values.device)[:, None, None]
    last = torch.where(observed, steps, -1).cummax(0).values
    return torch.where(last < 0, before, values.gather(0, last.clamp(min=0)))
