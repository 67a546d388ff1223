"""Hidden sizes for a given number of parameters."""

from collections.abc import Callable

import torch
from torch import nn


def hidden_size_for(caller: str, name: str, parameters: int, make: Callable[[int], nn.Module]) -> int:
    """Return the hidden size with which a model has the number of parameters closest to `parameters`.

    The parameter counts of any two models matched in this way are within 10% of each other.

    Args:
        caller, name: the calling function and the model, for error messages.
        parameters: the target number of parameters.
        make: returns a model for a hidden size; called on the meta device. The count must grow with the size.

    Raises:
        ValueError: if no size is close enough.

    Example:
        >>> hidden_size_for("build", "lstm", 1000, lambda hidden: nn.LSTM(4, hidden))
        13
    """

    def count(hidden: int) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in make(hidden).parameters())

    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    hidden_size = min((low, high), key=lambda hidden: abs(count(hidden) - parameters))
    if abs(count(hidden_size) - parameters) > 0.047 * parameters:  # 1.047 / 0.953 < 1.1
        nearest = f"{count(hidden_size)} with hidden={hidden_size}"
        raise ValueError(f"{caller}: expected parameters that {name!r} can have, such as {nearest}, got {parameters}")
    return hidden_size
