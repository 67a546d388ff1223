"""Calendar features: periodic encodings of timestamps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import one_of

CALENDAR = ("time-of-day", "day-of-week", "day-of-year")


def calendar_features(timestamps: np.ndarray, names: Sequence[str] = CALENDAR[:2]) -> Tensor:
    r"""Return sine and cosine of :math:`2 \pi p`, where :math:`p \in [0, 1)` is the elapsed fraction of the day, week
    or year.

    Args:
        timestamps: `[T]`, numpy datetime64, in local time.
        names: some of `CALENDAR`: "time-of-day" (to the second), "day-of-week" (whole days, from Monday), "day-of-year"
            (whole days).

    Shapes:
        ``[T]`` -> ``[T, 2 * len(names)]``, float32: for each name its sine, then its cosine.

    Raises:
        ValueError: if a name is unknown or repeated, or there is none.

    Example:
        >>> calendar_features(np.array(["2012-03-01T06:00"], "datetime64[s]"), ["time-of-day"]).round().tolist()
        [[1.0, 0.0]]
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"calendar: expected distinct names, got {names}")
    phases = [_phase(timestamps, one_of("calendar", "name", name, CALENDAR)) for name in names]
    angles = 2 * np.pi * np.stack(phases, axis=1)
    return torch.from_numpy(np.stack([np.sin(angles), np.cos(angles)], axis=2)).flatten(1).float()


def calendar_names(names: Sequence[str]) -> list[str]:
    """Return the names of the features of `calendar_features`.

    Example:
        >>> calendar_names(["time-of-day"])
        ['time-of-day, sine', 'time-of-day, cosine']
    """
    names = [names] if isinstance(names, str) else names
    return [f"{name}, {function}" for name in names for function in ("sine", "cosine")]


def _phase(timestamps: np.ndarray, name: str) -> np.ndarray:
    days = timestamps.astype("datetime64[D]")
    if name == "time-of-day":
        return (timestamps - days) / np.timedelta64(1, "D")
    if name == "day-of-week":
        return (days.astype(np.int64) + 3) % 7 / 7  # 1 January 1970 was a Thursday
    years = timestamps.astype("datetime64[Y]")
    first, next_first = years.astype("datetime64[D]"), (years + np.timedelta64(1, "Y")).astype("datetime64[D]")
    return (days - first) / (next_first - first)
