"""What costs nothing to check in a forward: ranks, sizes, dtypes, devices. Values are checked elsewhere."""

from typing import Any

import torch
from torch import Tensor, nn


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
