"""Checks whose messages name who complains, what was expected and what was found."""

from collections.abc import Iterable
from difflib import get_close_matches

import torch


def one_of(who: str, what: str, value: object, options: Iterable[str]) -> str:
    """Returns `value` if it is one of `options`.

    Raises:
        ValueError: naming the options and the nearest one, if there is one.

    Example:
        >>> one_of("fit", "optimizer", "adam", ["adam", "sgd"])
        'adam'
        >>> one_of("fit", "optimizer", "adan", ["adam", "sgd"])
        Traceback (most recent call last):
        ValueError: fit: expected optimizer to be one of 'adam', 'sgd', got 'adan'; did you mean 'adam'?
    """
    names = list(options)
    if isinstance(value, str) and value in names:
        return value
    near = get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{who}: expected {what} to be one of {', '.join(map(repr, names))}, got {value!r}{hint}")


def check_count(who: str, name: str, value: object, least: int) -> int:
    """Returns `value` if it is an integer of at least `least` that 64 bits hold; else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{who}: expected {name} to be an integer of at least {least}, got {value!r}")
    if value >= 2**63:
        raise ValueError(f"{who}: expected {name} to be an integer below 2**63, got {value}")
    return value


def checked_device(who: str, device: str | torch.device) -> torch.device:
    """Returns the device of that name, if this torch can compute there.

    Raises:
        ValueError: naming the device and why not.

    Example:
        >>> checked_device("fit", "cpu")
        device(type='cpu')
    """
    try:
        place = torch.device(device)
        if torch.empty(0, device=place).device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{who}: expected a device that this torch can use, got {device!r} ({reason})") from error
    return place
