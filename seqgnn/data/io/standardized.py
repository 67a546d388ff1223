"""Values in their own units, from files that hold standardized ones with their mean and standard deviation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqgnn.data.io.columns import CALLER
from seqgnn.data.io.graphs.notes import Notes


def undo_scaling(values: np.ndarray, scaler: Mapping[str, Any], num_scaled: int, path: Path) -> np.ndarray:
    """Return values `[T, N, F]` whose first features are in their own units again, in double precision.

    Args:
        values: standardized values, or values scaled to -1 to 1.
        scaler: `mean` and `std`, or `min_value` and `max_value`: numbers, or arrays of one number per node or per node
            and feature.
        num_scaled: number of features that were scaled, if the scaler has a single number or one per node.
        path: file of the scaler, for errors.

    Raises:
        ValueError: if the scaler has other names or shapes.

    Example:
        >>> undo_scaling(np.array([[[-1.0, 7.0]], [[1.0, 7.0]]]), {"mean": 3, "std": 2}, 1, Path("his.npz")).tolist()
        [[[1.0, 7.0]], [[5.0, 7.0]]]
    """
    nodes = values.shape[1]
    if {"mean", "std"} <= scaler.keys():
        shift, factor = np.asarray(scaler["mean"], dtype=np.float64), np.asarray(scaler["std"], dtype=np.float64)
    elif {"min_value", "max_value"} <= scaler.keys():
        low, high = (np.asarray(scaler[name], dtype=np.float64) for name in ("min_value", "max_value"))
        shift, factor = (high + low) / 2, (high - low) / 2
    else:
        raise ValueError(f"{CALLER}: expected mean and std in {path}, got {', '.join(map(str, scaler))}")
    if shift.shape == (nodes,):
        shift, factor = shift[:, None], factor[:, None] if factor.ndim else factor
    elif shift.ndim == 3 and shift.shape[:2] == (1, nodes):
        num_scaled = shift.shape[2]
    elif shift.size != 1:
        raise ValueError(f"{CALLER}: expected one mean, or {nodes} for the nodes, in {path}, got {list(shift.shape)}")
    result = values.astype(np.float64)
    scaled = result[..., :num_scaled]
    scaled *= factor
    scaled += shift
    # zeros often mark missing values, and rounding errors would hide them
    tolerance = 8 * np.finfo(values.dtype).eps * max(np.abs(shift).max(), np.nanmax(np.abs(scaled)))
    scaled[np.abs(scaled) <= tolerance] = 0
    Notes(CALLER).add(f"standardized values are in their own units again, by {path}")
    return result
