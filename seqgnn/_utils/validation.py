"""Argument checks whose messages have the form "caller: expected ..., got ...".

Checks of tensors use ranks, sizes, dtypes and devices only, which need no device synchronization; values are checked
where data and graphs are prepared.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.torch_internals import EDGE_MASK

SIZES = ("input_size", "hidden_size", "hidden_channels", "out_channels", "num_layers")
OPTIONAL_FLAGS = ("peephole", "add_self_loops")  # None: depends on other options
LINEAR_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
DEVICE_ERRORS = (RuntimeError, AssertionError, TypeError, ValueError, OverflowError)  # of torch, for unusable devices
FLAGS = ("bias", "recurrent_bias", "batch_first", "bidirectional", "improved", "cached", "normalize", *OPTIONAL_FLAGS)


def one_of(caller: str, name: str, value: object, options: Iterable[str]) -> str:
    """Return `value` if it is one of `options`.

    Raises:
        ValueError: if it is not; the message suggests the closest option.

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
    close = get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{caller}: expected {name} to be one of {', '.join(map(repr, names))}, got {shown(value)}{hint}")


def check_count(caller: str, name: str, value: object, least: int) -> int:
    """Return `value` if it is an integer from `least` to below 2**63, else raise a ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{caller}: expected {name} to be an integer of at least {least}, got {shown(value)}")
    if value >= 2**63:
        raise ValueError(f"{caller}: expected {name} to be an integer below 2**63, got {shown(value)}")
    return value


def checked_device(caller: str, device: str | torch.device) -> torch.device:
    """Return the device if this torch can use it.

    Raises:
        ValueError: if it cannot, with the reason.

    Example:
        >>> checked_device("fit", "cpu")
        device(type='cpu')
    """
    try:
        checked = torch.device(device)
        if torch.empty(0, device=checked).device.type == "meta":
            raise RuntimeError("it stores no values")
    except DEVICE_ERRORS as error:
        got = f"{shown(device)} ({str(error).splitlines()[0]})"
        raise ValueError(f"{caller}: expected a device that this torch can use, got {got}") from error
    return checked


def check_options(caller: str, options: Mapping[str, Any]) -> None:
    """Check the arguments of a layer's constructor that mean the same in all layers.

    Raises:
        ValueError: for sizes that are no positive integers, other values where a number is expected, flags other than
            True and False, a device that this torch does not have, or a dtype that is not a floating one.

    Example:
        >>> check_options("LSTM", {"hidden_size": 3, "bidirectional": "3"})
        Traceback (most recent call last):
        ValueError: LSTM: expected bidirectional to be True or False, got '3'
    """
    check_sizes(caller, **{name: options[name] for name in SIZES if name in options})
    for name in FLAGS:
        value = options.get(name, False)
        if not isinstance(value, bool) and not (value is None and name in OPTIONAL_FLAGS):
            raise ValueError(f"{caller}: expected {name} to be True or False, got {shown(value)}")
    if "proj_size" in options:
        check_count(caller, "proj_size", options["proj_size"], 0)
    if options.get("checkpoint_every") is not None:
        check_sizes(caller, checkpoint_every=options["checkpoint_every"])
    dropout, forget_bias = options.get("dropout", 0.0), options.get("forget_bias")
    if not _is_number(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"{caller}: expected dropout in [0, 1], got {shown(dropout)}")
    if not (forget_bias is None or _is_number(forget_bias)):
        raise ValueError(f"{caller}: expected forget_bias to be a number, got {shown(forget_bias)}")
    device, dtype = options.get("device"), options.get("dtype")
    try:
        torch.empty(0, device=device)
    except DEVICE_ERRORS as error:
        got = f"{shown(device)} ({str(error).splitlines()[0]})"
        raise ValueError(f"{caller}: expected a device that this torch can use, got {got}") from error
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"{caller}: expected dtype to be a floating one, such as torch.float32, got {shown(dtype)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # also numpy's numbers, as in torch


def check_input(
    caller: str, x: Any, ranks: tuple[int, ...], size: int, weight: Tensor, *, sparse: bool = False
) -> None:
    """Check the input of a layer, which is a dense tensor, or also a sparse one if `sparse`.

    Raises:
        ValueError: unless `x` is a tensor with `size` channels in the last dimension and a rank between the first and
            the last of `ranks`, with the device and dtype of `weight` (autocast may change the dtype).
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"{caller}: expected a tensor, got {type(x).__name__}")
    check_dense(caller, "the input", x, sparse=sparse)
    if not ranks[0] <= x.dim() <= ranks[-1] or x.size(-1) != size:  # dynamo misreads `in` of an argument
        rank = " or ".join(map(str, ranks))
        raise ValueError(f"{caller}: expected input of rank {rank} with {size} channels at the end, got {describe(x)}")
    check_like(caller, "input", x, weight)


def check_dense(caller: str, name: str, x: Tensor, *, sparse: bool = False) -> None:
    """Check that a tensor is dense, or, with `sparse`, a sparse one that linear maps take.

    Raises:
        ValueError: if it is nested or of another layout.
    """
    if x.is_nested:
        raise ValueError(f"{caller}: expected {name} to be a dense tensor, got a nested one; pass a padded tensor")
    if x.layout != torch.strided and not (sparse and x.layout in LINEAR_LAYOUTS and x.dense_dim() == 0):
        raise ValueError(f"{caller}: expected {name} to be a dense tensor, got {x.layout}; pass it with .to_dense()")


def check_steps(caller: str, x: Tensor, dim: int = 0) -> None:
    """Check that a sequence has at least one time step in dimension `dim`; other dimensions may be empty, as in torch.

    Raises:
        ValueError: if it has none.
    """
    if x.size(dim) == 0:
        raise ValueError(f"{caller}: expected at least one time step, got {describe(x)}")


def check_state(caller: str, state: Any, shapes: tuple[tuple[int, ...], ...], like: Tensor) -> None:
    """Check that a state, h or (h, c), has the given shapes and the device and dtype of `like`.

    Raises:
        ValueError: if it does not.
    """
    names = "(h, c)" if len(shapes) == 2 else "h"
    parts = state if isinstance(state, (tuple, list)) else (state,)
    for part in parts:
        if isinstance(part, Tensor):
            check_dense(caller, "a state", part)
    actual = tuple(tuple(part.shape) if isinstance(part, Tensor) else None for part in parts)
    if actual != shapes or (len(shapes) == 1) != isinstance(state, Tensor):
        shape = ", ".join(map(str, shapes))
        raise ValueError(f"{caller}: expected a state {names} of shape {shape}, got {describe(state)}")
    for part in parts:
        check_like(caller, "a state", part, like)


def check_sizes(caller: str, **sizes: Any) -> None:
    """Check that sizes are integers of at least 1.

    Raises:
        ValueError: if one is not.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{caller}: expected {name} to be an integer of at least 1, got {shown(size)}")
        if size >= 2**63:
            raise ValueError(f"{caller}: expected {name} to be an integer below 2**63, got {shown(size)}")


def check_channels(caller: str, in_channels: Any) -> int:
    """Return the number of input channels, -1 for lazy initialization.

    PyG passes a pair, for sources and targets, to layers for bipartite graphs; here both must be equal.

    Raises:
        ValueError: for anything else.
    """
    pair = isinstance(in_channels, tuple | list) and len(in_channels) == 2 and in_channels[0] == in_channels[1]
    size = in_channels[0] if pair else in_channels
    if size != -1:
        check_sizes(caller, in_channels=size)
    return size


def check_like(caller: str, name: str, x: Tensor, weight: Tensor) -> None:
    """Check that a tensor has the device of the weights, and their dtype or, under autocast, any floating dtype.

    Raises:
        ValueError: if it is not.
    """
    if x.device != weight.device:
        raise ValueError(f"{caller}: expected {name} on {weight.device}, where the weights are, got {x.device}")
    if x.dtype == weight.dtype:
        return
    device = x.device.type
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if not (autocast and x.is_floating_point()):
        raise ValueError(f"{caller}: expected {name} of {weight.dtype}, as the weights are, got {x.dtype}")


def first_parameter(layer: nn.Module, default: Tensor) -> Tensor:
    """Return a parameter of a layer to compare inputs with, other than an edge mask of PyG's explainers."""
    return next((p for name, p in layer.named_parameters() if not name.endswith(EDGE_MASK)), default)


def shown(value: Any, longest: int = 80) -> str:
    """Return the repr of a value in one line, cut if it is longer than `longest` characters.

    Example:
        >>> shown(torch.ones(2, 2))
        'tensor([[1., 1.], [1., 1.]])'
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of other libraries' objects, and of integers of more than 4,300 digits
        text = type(value).__name__
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def describe(value: Any) -> str:
    """Return a short description: the shape of a tensor, the parts of a tuple, otherwise the type."""
    if isinstance(value, Tensor):
        return "a nested tensor" if value.is_nested else f"shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(describe, value)) + ")"
    return type(value).__name__
