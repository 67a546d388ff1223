"""The arguments of a temporal graph as tensors: arrays, and tables of pandas and polars."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqgnn.data._temporal_validation import CALLER
from seqgnn.data.io.frames import is_frame, read_frame
from seqgnn.data.names import names_of
from seqgnn.data.precision import float32_or_64


class Series(NamedTuple):
    """Values `[T, N, F]` of a signal, and what a table says about them."""

    values: Any
    observed: Tensor | None = None
    timestamps: Any = None
    nodes: Sequence[str] | None = None
    features: Sequence[str] | None = None


def read_series(name: str, values: Any) -> Series:
    """Return a signal or targets as a tensor `[T, N, F]`.

    Args:
        name: name of the argument.
        values: tensor or array `[T, N]` or `[T, N, F]`, or a table with a column per node, whose empty cells and NaN
            are missing. Numbers of arrays and tables become float32, or float64 if that would merge some.

    Raises:
        ValueError: if a column of a table is neither times nor numbers.
    """
    if not is_frame(values):
        tensor = as_tensor(values)
        return Series(tensor[..., None] if isinstance(tensor, Tensor) and tensor.dim() == 2 else tensor)
    label = f"{name} ({type(values).__name__})"
    columns = read_frame(CALLER, label, values)
    if columns.doubt is not None:
        raise ValueError(columns.doubt)
    table = columns.values if columns.values.ndim == 3 else columns.values[..., None]
    observed = np.isfinite(table if name == "targets" else table[..., :1])
    tensor = torch.from_numpy(float32_or_64(table))
    mask = None if observed.all() else torch.from_numpy(observed)
    return Series(tensor, mask, columns.timestamps, columns.nodes, columns.features)


def as_tensor(values: Any) -> Any:
    """Return an array or a table as a tensor, numbers with fractions as float32 or float64; others as they are."""
    if is_frame(values):
        values = values.to_numpy()
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        return values
    if values.dtype.kind == "b":
        return torch.from_numpy(np.ascontiguousarray(values))
    if values.ndim not in (2, 3) or not values.size:
        return torch.from_numpy(values.astype(np.float32))
    stored = float32_or_64(values.reshape(*values.shape[:2], -1)).reshape(values.shape)
    return torch.from_numpy(np.ascontiguousarray(stored))


def as_edges(values: Any) -> Any:
    """Return edges as int64, in a tensor or a list of tensors, one per step; others as they are."""
    return _as_tensors(values, "iu", np.int64)


def as_weights(values: Any) -> Any:
    """Return numbers as float32, in a tensor or a list of tensors, one per step; others as they are."""
    return _as_tensors(values, "iuf", np.float32)


def _as_tensors(values: Any, kinds: str, dtype: type) -> Any:
    """Return an array of some kinds of numbers, or each of a list, as a tensor."""
    if isinstance(values, list | tuple) and any(isinstance(item, np.ndarray) for item in values):
        return type(values)(_as_tensors(item, kinds, dtype) for item in values)
    if isinstance(values, np.ndarray) and values.dtype.kind in kinds:
        return torch.from_numpy(np.ascontiguousarray(values.astype(dtype)))
    return values


def as_names(values: Any, noun: str) -> tuple[str, ...] | None:
    """Return names as text."""
    return None if values is None else tuple(names_of(CALLER, values, noun))
