"""Imputation of missing values."""

import torch
from torch import Tensor


def carry_forward(values: Tensor, observed: Tensor, before: Tensor | float) -> Tensor:
    """Return the values with missing ones replaced by the last observed value of the same node and feature.

    Args:
        values: time series.
        observed: True where a value was observed.
        before: replacement for values before the first observed one.

    Shapes:
        values and observed ``[T, N, F]``; before a number, ``[F]`` or ``[N, F]``.

    Example:
        >>> values = torch.tensor([0.0, 5.0, 0.0, 7.0]).view(4, 1, 1)
        >>> carry_forward(values, values != 0, 6.0).flatten()
        tensor([6., 5., 5., 7.])
    """
    steps = torch.arange(len(values), device=values.device)[:, None, None]
    last_observed = torch.where(observed, steps, -1).cummax(0).values
    return torch.where(last_observed < 0, before, values.gather(0, last_observed.clamp(min=0)))
