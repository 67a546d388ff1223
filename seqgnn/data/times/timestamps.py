"""Timestamps as a clock on the wall shows them, with their offsets from UTC where these are known."""

from dataclasses import dataclass

import numpy as np

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
UNITS = tuple(PER_SECOND)


@dataclass(frozen=True, eq=False)
class Times:
    """Timestamps of T steps.

    Attributes:
        wall_clock: `[T]`, datetime64, what a clock shows: the time for calendar features.
        offset: `[T]`, timedelta64, the clock minus UTC; None: unknown, as in most files.
        zone: time zone, e.g. "America/Los_Angeles"; None: unknown.
    """

    wall_clock: np.ndarray
    offset: np.ndarray | None = None
    zone: str | None = None

    @property
    def instants(self) -> np.ndarray:
        """Times in UTC, in which an hour is an hour whenever clocks change; without offsets, those of the clock."""
        return self.wall_clock if self.offset is None else self.wall_clock - self.offset

    @property
    def unit(self) -> str:
        """Unit of the timestamps, one of `UNITS`."""
        return np.datetime_data(self.wall_clock.dtype)[0]

    @property
    def per_second(self) -> int:
        """Number of units in a second."""
        return PER_SECOND[self.unit]

    def __len__(self) -> int:
        return len(self.wall_clock)

    def __getitem__(self, part: "slice | np.ndarray") -> "Times":
        return Times(self.wall_clock[part], None if self.offset is None else self.offset[part], self.zone)

    def at_instants(self, instants: np.ndarray) -> "Times":
        """Return other times of the same zone; without a zone, clocks keep the last offset."""
        if self.offset is None:
            return Times(instants)
        if self.zone is None:
            offset = np.full(len(instants), self.offset[-1])
        else:
            import pandas

            index = pandas.DatetimeIndex(instants, tz="UTC").tz_convert(self.zone)
            offset = np.asarray(index.tz_localize(None)).astype(instants.dtype) - instants
        return Times(instants + offset, offset, self.zone)

    def shifted(self, distance: int) -> "Times":
        """Return times that are later by a distance in their unit, with the same offsets."""
        return Times(self.wall_clock + distance, self.offset, self.zone)

    def at_wall_clock(self, wall_clock: np.ndarray, by_day: bool = False) -> tuple["Times", np.ndarray]:
        """Return other times of the same zone, and False for each that its clocks skip; of a time that they show twice
        it is the first. By day, a time that they skip is the next one that they show on that day."""
        exists = np.ones(len(wall_clock), dtype=bool)
        if self.offset is None:
            return Times(wall_clock), exists
        if self.zone is None:
            return Times(wall_clock, np.full(len(wall_clock), self.offset[-1])), exists
        import pandas

        index = pandas.DatetimeIndex(wall_clock).tz_localize(
            self.zone, ambiguous=exists, nonexistent="shift_forward" if by_day else "NaT"
        )
        if by_day:
            days, shown = wall_clock.astype("datetime64[D]"), np.asarray(index.tz_localize(None))
            exists = shown.astype("datetime64[D]") == days
            wall_clock = np.where(exists, shown.astype(wall_clock.dtype), wall_clock)
            index = index.where(exists)
        instants = np.asarray(index.tz_convert("UTC").tz_localize(None)).astype(wall_clock.dtype)
        exists = ~np.isnat(instants)
        offset = wall_clock - instants
        offset[~exists] = 0
        return Times(wall_clock, offset, self.zone), exists


def offset_in_words(offset: np.timedelta64) -> str:
    """Return an offset from UTC as text.

    Example:
        >>> offset_in_words(np.timedelta64(-8, "h"))
        '-08:00'
    """
    minutes = int(offset / np.timedelta64(1, "m"))
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def coarsest(times: np.ndarray) -> np.ndarray:
    """Return times in the coarsest of `UNITS` that holds them exactly.

    Example:
        >>> coarsest(np.array(["2012-03-01T00:00:00.100000"], "datetime64[us]")).dtype
        dtype('<M8[ms]')
    """
    unit = np.datetime_data(times.dtype)[0]
    if unit not in UNITS:
        return times.astype("M8[s]" if unit in ("Y", "M", "W", "D", "h", "m") else "M8[ns]")
    for coarser in UNITS[: UNITS.index(unit)]:
        converted = times.astype(f"M8[{coarser}]")
        if (converted == times)[~np.isnat(times)].all():
            return converted
    return times
