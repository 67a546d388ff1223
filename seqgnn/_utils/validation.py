"""Checks whose messages name the caller, what it expected and what it got.

Those of tensors read ranks, sizes, dtypes and devices alone, which cost nothing in a forward; values are checked where
data and graphs are prepared.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn


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


def check_input(who: str, x: Any, ranks: tuple[int, ...], size: int, weight: Tensor) -> None:
    """Checks an input against the weights that will meet it.

    Raises:
        ValueError: if `x` is no tensor with `size` channels at the end and a rank from the first of `ranks` to the
            last, or is of another device or dtype than `weight` (autocast may change the dtype).
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"{who}: expected a tensor, got {type(x).__name__}")
    if not ranks[0] <= x.dim() <= ranks[-1] or x.size(-1) != size:  # dynamo misreads `in` of an argument
        rank = " or ".join(map(str, ranks))
        raise ValueError(f"{who}: expected input of rank {rank} with {size} channels at the end, got {describe(x)}")
    check_like(who, "input", x, weight)


def check_steps(who: str, x: Tensor, dim: int = 0) -> None:
    """Checks that a sequence has a time step, its `dim`-th dimension; it may be empty otherwise, as in torch.

    Raises:
        ValueError: if it has none.
    """
    if x.size(dim) == 0:
        raise ValueError(f"{who}: expected at least one time step, got {describe(x)}")


def check_state(who: str, state: Any, shapes: tuple[tuple[int, ...], ...], like: Tensor) -> None:
    """Checks a state, h or (h, c), against the shapes it must have and the device and dtype of `like`.

    Raises:
        ValueError: if anything differs.
    """
    names = "(h, c)" if len(shapes) == 2 else "h"
    parts = state if isinstance(state, (tuple, list)) else (state,)
    found = tuple(tuple(part.shape) if isinstance(part, Tensor) else None for part in parts)
    if found != shapes or (len(shapes) == 1) != isinstance(state, Tensor):
        shape = ", ".join(map(str, shapes))
        raise ValueError(f"{who}: expected a state {names} of shape {shape}, got {describe(state)}")
    for part in parts:
        check_like(who, "a state", part, like)


def check_sizes(who: str, **sizes: Any) -> None:
    """Checks that sizes are integers of at least 1.

    Raises:
        ValueError: naming the one that is not.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{who}: expected {name} to be an integer of at least 1, got {size!r}")


def check_channels(who: str, in_channels: Any) -> int:
    """Returns the number of input channels, -1 where the first input tells.

    PyG gives a pair, for sources and targets, to layers that take bipartite graphs; ours take equal ones.

    Raises:
        ValueError: for anything else.
    """
    pair = isinstance(in_channels, tuple | list) and len(in_channels) == 2 and in_channels[0] == in_channels[1]
    size = in_channels[0] if pair else in_channels
    if size != -1:
        check_sizes(who, in_channels=size)
    return size


def check_like(who: str, what: str, x: Tensor, weight: Tensor) -> None:
    """Checks that a tensor is where the weights are, and of their dtype or, under autocast, which casts for itself, of
    any floating one.

    Raises:
        ValueError: if it is not.
    """
    if x.device != weight.device:
        raise ValueError(f"{who}: expected {what} on {weight.device}, where the weights are, got {x.device}")
    if x.dtype == weight.dtype:
        return
    device = x.device.type
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if not (autocast and x.is_floating_point()):
        raise ValueError(f"{who}: expected {what} of {weight.dtype}, as the weights are, got {x.dtype}")


def first_parameter(layer: nn.Module, default: Tensor) -> Tensor:
    """A parameter of a layer to compare inputs with: not a mask of edges, which PyG's explainers may have put there."""
    return next((p for name, p in layer.named_parameters() if not name.endswith("_edge_mask")), default)


def describe(value: Any) -> str:
    """A tensor by its shape, a tuple by its parts, anything else by its type."""
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(describe, value)) + ")"
    return type(value).__name__
