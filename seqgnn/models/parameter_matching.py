"""Hidden sizes for a number of parameters."""

from collections.abc import Callable

import torch
from torch import nn


def width_for(who: str, name: str, parameters: int, make: Callable[[int], nn.Module]) -> int:
    """The hidden size whose parameter count is nearest; any two models of so chosen sizes are within 10% of each other.

    Args:
        who, name: the caller and the model, for the error.
        parameters: to come as near to as can be.
        make: the model of a hidden size, with the more parameters the greater it is; it is made on the meta device.

    Raises:
        ValueError: if no size comes near enough.

    Example:
        >>> width_for("build", "lstm", 1000, lambda hidden: nn.LSTM(4, hidden))
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
    width = min((low, high), key=lambda hidden: abs(count(hidden) - parameters))
    if abs(count(width) - parameters) > 0.047 * parameters:  # 1.047 / 0.953 < 1.1
        nearest = f"{count(width)} with hidden={width}"
        raise ValueError(f"{who}: expected parameters that {name!r} can have, such as {nearest}, got {parameters}")
    return width
