"""The type of floats in which time series are stored."""

import numpy as np

SPACING = 1e-4  # largest distance of float32's numbers, as a fraction of the standard deviation


def float32_or_64(values: np.ndarray) -> np.ndarray:
    """Return values as float32, or as float64 if float32 would merge different values.

    It would if the series of a node and feature has whole numbers that float32 cannot hold, such as 123,456,789, or
    numbers that it rounds although its numbers at their magnitude are more than 1e-4 standard deviations apart.

    Shapes:
        values ``[T, N, F]``, NaN where missing.

    Example:
        >>> float32_or_64(np.array([[[60.5]], [[61.1]]])).dtype, float32_or_64(np.array([[[123_456_789.0]]])).dtype
        (dtype('float32'), dtype('float64'))
    """
    if values.dtype in (np.float32, np.float16):
        return np.ascontiguousarray(values, dtype=np.float32)
    wide = values.astype(np.float64, copy=False)
    return np.ascontiguousarray(wide, dtype=np.float64 if _merges(wide) else np.float32)


def _merges(values: np.ndarray) -> bool:
    largest = np.maximum(np.fmax.reduce(values, axis=0), -np.fmin.reduce(values, axis=0))
    if not np.isfinite(largest).all():
        values = np.where(np.isfinite(values), values, np.nan)
        largest = np.maximum(np.fmax.reduce(values, axis=0), -np.fmin.reduce(values, axis=0))
        largest = np.where(np.isnan(largest), 0.0, largest)  # never observed
    if largest.max() > np.finfo(np.float32).max:
        return True
    with np.errstate(over="ignore"):  # no number follows the largest one
        spacing = np.spacing(largest.astype(np.float32)).astype(np.float64)
    is_large = largest > 2**24  # float32 holds all whole numbers up to this one
    # the deviation of all steps is at least a quarter of that of every sixteenth step
    is_suspect = is_large | (spacing > SPACING * _deviation(values[::16]) / 4)
    if not is_suspect.any():
        return False
    series, spacing = values[:, is_suspect], spacing[is_suspect]
    series = np.where(np.isnan(series), 0.0, series)
    rounded = series.astype(np.float32) != series
    is_coarse = spacing > SPACING * _deviation(values[:, is_suspect])
    varies = np.fmax.reduce(values[:, is_suspect], axis=0) > np.fmin.reduce(values[:, is_suspect], axis=0)
    return bool((rounded & ((varies & is_coarse) | (series == np.rint(series)))).any())


def _deviation(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each series over its observed steps; 0 if there are none."""
    observed = ~np.isnan(values)
    count = np.maximum(observed.sum(axis=0), 1)
    zeroed = np.where(observed, values, 0.0)
    deviations = np.where(observed, zeroed - zeroed.sum(axis=0) / count, 0.0)
    return np.sqrt(np.square(deviations).sum(axis=0) / count)
