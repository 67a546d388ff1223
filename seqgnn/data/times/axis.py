"""The times of a time series: calendar, gaps, times after the end, and the step one season earlier."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from seqgnn.data.times.calendars import Calendar, FixedStep
from seqgnn.data.times.inference import JITTER, infer_calendar, uneven_step
from seqgnn.data.times.parse import in_words
from seqgnn.data.times.timestamps import Times

CHUNK = 4096  # times of a calendar that are calculated at once, in search of one that exists


@dataclass(frozen=True, eq=False)
class Season:
    """A season: the shortest part of the calendar after which the time of day, weekday or month is the same.

    Attributes:
        steps: its number of steps; None: no season fits.
        words: its length in words, or why there is none.
    """

    steps: int | None
    words: str


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The increasing times of T steps, and the calendar that they follow.

    Attributes:
        times: the times of the steps.
        source: the axis that this one is a part of, whose calendar it follows; None: its own.
    """

    times: Times
    source: "TimeAxis | None" = None

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def calendar(self) -> Calendar | None:
        """The regular times that the steps follow; None for a single step."""
        if self.source is not None:
            return self.source.calendar
        return infer_calendar(self.times) if len(self) > 1 else None

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numbers of the steps in the calendar, `[T]`: two steps follow each other if theirs do."""
        return np.arange(len(self)) if self.calendar is None else self.calendar.numbers(self.times)

    @cached_property
    def uneven(self) -> int | None:
        """The first step whose time is not in the calendar; None: all are."""
        return None if self.calendar is None else uneven_step(self.calendar, self.times, self.numbers)

    @property
    def words(self) -> str:
        """The frequency in words, e.g. "every 5 minutes", for steps of which most are at equal distances."""
        if self.calendar is None:
            return "a single time"
        if self.uneven is None:
            return self.calendar.words
        return f"uneven, {'mostly' if self._is_mostly_even else 'at the median'} {self.calendar.words}"

    @property
    def _is_mostly_even(self) -> bool:
        """True if at least half of the steps have the length of the calendar's, up to jitter."""
        assert isinstance(self.calendar, FixedStep)
        steps = np.diff(self.times.wall_clock if self.calendar.by_clock else self.times.instants).astype(np.int64)
        return bool(np.mean(np.abs(steps - self.calendar.step) <= JITTER * self.calendar.step) >= 0.5)

    def part(self, steps: slice) -> "TimeAxis":
        """Return a part of the steps."""
        return TimeAxis(self.times[steps], self if self.source is None else self.source)

    def gaps(self) -> np.ndarray:
        """Return the steps after which times of the calendar are missing, increasing."""
        if self.calendar is None:
            return np.zeros(0, dtype=np.int64)
        if self.uneven is not None:
            return np.flatnonzero(np.diff(self.numbers) > 1)
        gaps = np.flatnonzero(np.diff(self.numbers) > 1)
        return np.array([gap for gap in gaps.tolist() if self._is_gap(gap)], dtype=np.int64)

    def _is_gap(self, step: int) -> bool:
        """Return True if a time of the calendar is missing after a step; clocks may skip all that have a number."""
        assert self.calendar is not None
        first, end = int(self.numbers[step]) + 1, int(self.numbers[step + 1])
        parts = (np.arange(start, min(start + CHUNK, end)) for start in range(first, end, CHUNK))
        return any(self.calendar.times(part)[1].any() for part in parts)

    def filled(self, caller: str, most: int | None = None) -> tuple["TimeAxis", np.ndarray]:
        """Return the axis without gaps, and the place of each step of this one in it, `[T]`.

        Args:
            caller: name used in error messages.
            most: largest number of steps of the result; None: any.

        Raises:
            ValueError: if the time of a step is not in the calendar, or there would be more steps than `most`.
        """
        if self.calendar is None:
            raise ValueError(f"{caller}: expected at least two timestamps to find gaps, got {len(self)}")
        if self.uneven is not None:
            actual = f"{in_words(self.times.wall_clock[self.uneven])} at step {self.uneven}"
            raise ValueError(f"{caller}: expected timestamps {self.calendar.words}, got {actual}")
        steps = int(self.numbers[-1]) - int(self.numbers[0]) + 1
        if most is not None and steps > most:
            gap = int(np.diff(self.numbers).argmax())
            first, last = (in_words(time) for time in self.times.wall_clock[gap : gap + 2])
            actual = f"{steps:,} {self.calendar.words}, with none between {first} and {last}"
            raise ValueError(f"{caller}: expected at most {most:,} steps when gaps are filled, got {actual}")
        numbers = np.arange(self.numbers[0], self.numbers[-1] + 1)
        times, exists = self.calendar.times(numbers)
        exists[self.numbers - numbers[0]] = True
        places = (np.cumsum(exists) - 1)[self.numbers - numbers[0]]
        times = self._at_known_offsets(times[exists])
        wall_clock, offset = times.wall_clock.copy(), None if times.offset is None else times.offset.copy()
        wall_clock[places] = self.times.wall_clock  # as they are, within their jitter
        if offset is not None and self.times.offset is not None:
            offset[places] = self.times.offset
        source = self if self.source is None else self.source
        return TimeAxis(replace(times, wall_clock=wall_clock, offset=offset), source), places

    def ahead(self, count: int, caller: str) -> tuple[Times, np.ndarray]:
        """Return the next times of the calendar after the last step, and their numbers.

        Raises:
            ValueError: for a single step, which has no calendar.
        """
        if self.calendar is None:
            raise ValueError(f"{caller}: expected at least two timestamps to extrapolate, got {len(self)}")
        last = self.calendar if self.uneven is None else replace(self.calendar, origin=self.times[-1:])  # type: ignore[type-var]
        numbers = np.arange(1, 2 * count + 2) + (self.numbers[-1] if self.uneven is None else 0)
        numbers = numbers[last.times(numbers)[1]][:count]
        times = self._at_known_offsets(last.times(numbers)[0])
        return times, numbers + (0 if self.uneven is None else self.numbers[-1])

    def _at_known_offsets(self, times: Times) -> Times:
        """Return times with the offset of the last step before each, if the series has offsets but no zone."""
        known = self.times
        if known.offset is None or known.zone is not None:
            return times
        by_clock = getattr(self.calendar, "by_clock", True)
        before, moments = (known.wall_clock, times.wall_clock) if by_clock else (known.instants, times.instants)
        offset = known.offset[np.maximum(np.searchsorted(before, moments, side="right") - 1, 0)]
        return Times(times.wall_clock if by_clock else times.instants + offset, offset)

    def season(self) -> Season:
        """Return the season of the calendar, if the series is longer than one."""
        if self.calendar is None:
            return Season(None, "there is one time only")
        if self.uneven is not None:
            return Season(None, f"time steps are {self.words}")
        found = self.calendar.season()
        if isinstance(found, str):
            return Season(None, found)
        steps, words = found
        if self.numbers[-1] - self.numbers[0] < steps:
            return Season(None, f"the time series is shorter than {words}")
        return Season(steps, words)

    def earlier(self, steps: np.ndarray, season: int, before: np.ndarray) -> np.ndarray:
        """Return, for each step, the last one that is whole seasons earlier and before another step; -1: none.

        Seasons are those of the clock: where clocks change within one, the step with the same time of day is taken.

        Args:
            steps: steps of the series, or ahead of its end, any shape.
            season: number of steps of the calendar.
            before: first step that is not known, broadcast to `steps`.
        """
        known = self._clock_numbers
        ahead = int(steps.max()) + 1 - len(self)
        numbers = known if ahead <= 0 else np.concatenate([known, self._on_clock(*self.ahead(ahead, "Seasonal"))])
        earlier, result = numbers[steps], np.full(steps.shape, -1)
        order = np.argsort(known, kind="stable")
        ordered = known[order]
        remaining = np.ones(steps.shape, dtype=bool)
        while remaining.any():
            earlier = earlier - season
            remaining &= earlier >= ordered[0]
            place = np.searchsorted(ordered, earlier, side="right") - 1
            step = order[np.maximum(place, 0)]
            fits = remaining & (place >= 0) & (known[step] == earlier) & (step < before)
            result[fits] = step[fits]
            remaining &= ~fits
            skipped = -(-(earlier - ordered[np.maximum(place, 0)]) // season) - 1  # seasons without any step
            earlier = earlier - np.maximum(skipped, 0) * season
        return result

    @cached_property
    def _clock_numbers(self) -> np.ndarray:
        return self._on_clock(self.times, self.numbers)

    def _on_clock(self, times: Times, numbers: np.ndarray) -> np.ndarray:
        """Return numbers shifted by the changes of clocks since the first step, as far as those are whole steps."""
        step = getattr(self.calendar, "step", None)
        if times.offset is None or step is None or getattr(self.calendar, "by_clock", True):
            return numbers
        first = (self if self.source is None else self.source).times.offset
        assert first is not None
        return numbers + np.rint((times.offset - first[0]).astype(np.int64) / step).astype(np.int64)
