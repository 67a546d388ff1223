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
        return values.astype(np.float32, copy=False)
    wide = values.astype(np.float64, copy=False)
    return wide if _merges(wide) else wide.astype(np.float32)


def _merges(values: np.ndarray) -> bool:
    observed = np.isfinite(values)
    complete = bool(observed.all())
    values = values if complete else np.where(observed, values, 0.0)
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    if largest.max() > np.finfo(np.float32).max:
        return True
    count = len(values) if complete else np.maximum(observed.sum(axis=0), 1)
    deviations = values - values.sum(axis=0) / count
    if not complete:
        deviations[~observed] = 0.0
    deviation = np.sqrt(np.einsum("tnf,tnf->nf", deviations, deviations) / count)
    is_coarse = np.spacing(largest.astype(np.float32)) > SPACING * deviation
    is_large = largest > 2**24  # float32 holds all whole numbers up to this one
    if not (suspect := is_coarse | is_large).any():
        return False
    series = values[:, suspect]
    rounded = series.astype(np.float32) != series
    varies = (series.max(axis=0) > series.min(axis=0)) & is_coarse[suspect]
    return bool((rounded & (varies | (series == np.rint(series)))).any())
