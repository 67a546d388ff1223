"""What is known about npz files of traffic: channels and times of PEMS03 to PEMS08, histories of LargeST."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seqgnn.data.io.array_files import read_arrays
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.graphs.notes import Notes
from seqgnn.data.io.numpy_series import columns_of_arrays
from seqgnn.data.io.standardized import undo_scaling
from seqgnn.data.io.table_format import TableFormat

CHANNELS = ("flow", "occupancy", "speed")
PUBLISHED = {(16_992, 307), (17_856, 170), (26_208, 358), (28_224, 883)}  # steps and sensors of PEMS04, 08, 03, 07
# name, steps, sensors and first day of data whose authors publish a period of exactly so many steps
PERIODS = (
    (r"pemsd?0?3", 26_208, 358, "2018-09-01"),
    (r"pemsd?0?4", 16_992, 307, "2018-01-01"),
    (r"pemsd?0?8", 17_856, 170, "2016-07-01"),
    (r"metrla", 34_272, 207, "2012-03-01"),
)


def read_npz(path: Path, table_format: TableFormat) -> Columns:
    """Return the arrays of an npz file, as `columns_of_arrays`, with the channels of PEMS by name, the times that its
    authors give, and LargeST's histories in their own units."""
    arrays = read_arrays(CALLER, path)
    columns = columns_of_arrays(path, arrays, table_format)
    scaler = {name: array for name, array in arrays.items() if name in ("mean", "std")}
    columns.values = in_own_units(columns.values, scaler, path)
    if columns.features is None:
        columns.features = channel_names(columns.values, path)
    if columns.timestamps is None and columns.values.ndim == 3 and table_format.time_column is None:
        columns.timestamps = published_times(path.stem, *columns.values.shape[:2])
    return columns


def published_times(name: str, steps: int, sensors: int) -> np.ndarray | None:
    """Return the times of data that is published without times, each 5 minutes from the first day that the authors
    give; None unless it has the name and the size of such data.

    Example:
        >>> published_times("PEMS08", 17_856, 170)[[0, -1]].astype(str).tolist()
        ['2016-07-01T00:00:00', '2016-08-31T23:55:00']
        >>> published_times("PEMS08", 17_855, 170)
    """
    text = re.sub(r"[-_ ]", "", name.lower())
    for pattern, count, width, first in PERIODS:
        if (steps, sensors) == (count, width) and re.search(rf"{pattern}(?!\d)", text):
            Notes(CALLER).add(f"{name} has no times; they are every 5 minutes from {first}, as its authors publish")
            return np.datetime64(first, "s") + np.arange(steps) * np.timedelta64(300, "s")
    return None


def channel_names(values: np.ndarray, path: Path) -> tuple[str, ...] | None:
    """Return the names of the features of a PEMS file, which has none itself; None for other files.

    A file is one of PEMS by its name or by the published number of steps and sensors, and only if its second of three
    features lies between 0 and 1, as an occupancy does.

    Example:
        >>> channel_names(np.array([[[300.0, 0.07, 65.5]]]), Path("PEMS08.npz"))
        ('flow', 'occupancy', 'speed')
        >>> channel_names(np.array([[[300.0, 7.0, 65.5]]]), Path("PEMS08.npz"))
    """
    if values.ndim != 3 or not ("pems" in path.stem.lower() or values.shape[:2] in PUBLISHED):
        return None
    if values.shape[2] == 1:
        return CHANNELS[:1]
    low, high = (function.reduce(values[..., 1], axis=None) for function in (np.fmin, np.fmax))  # NaN if all are
    is_fraction = bool(values.shape[2] == 3 and low >= 0 and high <= 1)
    if is_fraction:
        Notes(CALLER).add(f"{path} has no names of features; they are those of PEMS: {', '.join(CHANNELS)}")
    return CHANNELS if is_fraction else None


def in_own_units(values: np.ndarray, scaler: Mapping[str, np.ndarray], path: Path) -> np.ndarray:
    """Return the values of a history of LargeST (`data`, `mean` and `std`), whose first feature is standardized, in
    their own units; other values as they are.

    Raises:
        ValueError: if it is not certain whether the values are standardized.
    """
    if values.ndim != 3 or not {"mean", "std"} <= scaler.keys():
        return values
    target, mean, std = values[..., 0], scaler["mean"].mean(), scaler["std"].mean()
    if np.isnan(target).all():
        return values
    is_standardized = _has_scale(target, 0, 1)
    if is_standardized == _has_scale(target, mean, std):
        actual = f"mean {mean:g} and std {std:g} for values with {np.nanmean(target):g} and {np.nanstd(target):g}"
        raise ValueError(
            f"{CALLER}: expected values either standardized or in their own units in {path}, got {actual}; save data "
            "alone"
        )
    return undo_scaling(values, scaler, 1, path) if is_standardized else values


def _has_scale(values: np.ndarray, mean: float, std: float) -> bool:
    """Return True if values have roughly a mean and a standard deviation, which are those of a part of them."""
    return abs(float(np.nanmean(values)) - mean) < std and 0.2 * std < float(np.nanstd(values)) < 5 * std
