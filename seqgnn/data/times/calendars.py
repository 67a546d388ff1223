"""Calendars: the regular times of a time series, numbered 0, 1, 2, ... from its first step.

A calendar maps each time to a number and back. Steps whose numbers follow each other have no gap between them, the
times after the end are those of the next numbers, and a season is a difference of numbers.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqgnn._utils.text import count
from seqgnn.data.times.timestamps import Times

DAY, WEEK, YEAR = "day", "week", "year"
SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
FRACTIONS = {"millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
MONDAY = np.datetime64("1970-01-05")


class Calendar(Protocol):
    """The regular times of a time series."""

    @property
    def words(self) -> str:
        """The frequency in words, e.g. "every 5 minutes"."""

    @property
    def cycle(self) -> str:
        """What the steps are parts of: "day", "week" or "year"."""

    def numbers(self, times: Times) -> np.ndarray:
        """Return the numbers of times, `[T]`, int64; of a time between two of the calendar, the nearest number."""

    def times(self, numbers: np.ndarray) -> tuple[Times, np.ndarray]:
        """Return the times of numbers, and False for each that clocks skip."""

    def season(self) -> tuple[int, str] | str:
        """Return the number of steps of a season and its length in words, or why there is none."""

    def duration(self, steps: int) -> str:
        """Return the length of a number of steps in words, e.g. "30 minutes"."""


def span_in_words(seconds: float) -> str:
    """Return a length of time in the largest unit that it is a whole number of.

    Example:
        >>> span_in_words(300), span_in_words(86_400), span_in_words(1.5), span_in_words(0.1)
        ('5 minutes', 'day', '1.5 seconds', '100 milliseconds')
    """
    for name, whole in SECONDS.items():
        if seconds % whole == 0 and seconds:
            return counted(int(seconds // whole), name)
    for name, fraction in FRACTIONS.items():
        number = seconds / fraction
        if seconds >= 1:
            break
        if number >= 1 and abs(number - round(number)) < 1e-6 * number:
            return counted(round(number), name)
    return f"{seconds:.9g} seconds"


def counted(number: int, noun: str) -> str:
    """Return "day" for one, otherwise "2 days"."""
    return noun if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True, eq=False)
class FixedStep:
    """Times at equal distances.

    Attributes:
        origin: the first time.
        step: time between two steps, in the unit of the times; whole unless clocks of the data divide no unit.
        jitter: the largest distance of a time from the calendar, in the same unit.
        by_clock: whether distances are those of clocks, as for days, which may have 23 hours; otherwise those of UTC.
    """

    origin: Times
    step: float
    jitter: float = 0.0
    by_clock: bool = False

    @property
    def seconds(self) -> float:
        """Time between two steps in seconds."""
        return self.step / self.origin.per_second

    @property
    def words(self) -> str:
        within = ""
        if self.jitter:
            within = f", within {_with_article(span_in_words(self._rounded(self.jitter)))}"
        return f"every {span_in_words(self.seconds)}{within}"

    def _rounded(self, length: float) -> float:
        return float(f"{length * self.seconds / self.step:.1g}")

    @property
    def cycle(self) -> str:
        return DAY if self.seconds < SECONDS[DAY] else WEEK if self.seconds < SECONDS[WEEK] else YEAR

    def numbers(self, times: Times) -> np.ndarray:
        start, now = (item.wall_clock if self.by_clock else item.instants for item in (self.origin, times))
        distances = (now - start[0].astype(now.dtype)).astype(np.int64)
        if not self.jitter and float(self.step).is_integer() and not (distances % int(self.step)).any():
            return distances // int(self.step)
        return np.rint(distances / self.step).astype(np.int64)

    def times(self, numbers: np.ndarray) -> tuple[Times, np.ndarray]:
        if float(self.step).is_integer():
            distances = numbers * int(self.step)
        else:
            distances = np.rint(numbers * self.step).astype(np.int64)
        if self.by_clock:
            whole_days = self.seconds % SECONDS[DAY] == 0
            return self.origin.at_wall_clock(self.origin.wall_clock[0] + distances, by_day=whole_days)
        return self.origin.at_instants(self.origin.instants[0] + distances), np.ones(len(numbers), dtype=bool)

    def season(self) -> tuple[int, str] | str:
        length = {DAY: 1, WEEK: 7, YEAR: 364}[self.cycle] * SECONDS[DAY]
        whole = round(self.seconds * 10**6)
        if abs(whole - self.seconds * 10**6) > 1e-6 * whole:
            return f"steps of {span_in_words(self.seconds)} are no whole number of microseconds"
        total = length * 10**6 if self.cycle == YEAR else math.lcm(whole, length * 10**6)
        if total % whole or total == whole:
            return f"a year is no whole number of steps of {span_in_words(self.seconds)}"
        if total > 366 * SECONDS[DAY] * 10**6:
            return f"no number of days up to a year is a whole number of steps of {span_in_words(self.seconds)}"
        seconds = total / 10**6
        return total // whole, "52 weeks" if self.cycle == YEAR else _with_article(span_in_words(seconds))

    def duration(self, steps: int) -> str:
        return one(span_in_words(self.seconds * steps))


@dataclass(frozen=True, eq=False)
class Months:
    """Times on certain days of months: month starts and ends, quarters, years, twice a month.

    Attributes:
        origin: the first time.
        every: number of months between two months of the calendar.
        days: increasing; a positive day counts from the start of the month (1: the first), a negative one from its end
            (-1: the last day).
        business: whether days are counted in business days, Monday to Friday.
    """

    origin: Times
    every: int
    days: tuple[int, ...]
    business: bool = False

    @property
    def words(self) -> str:
        kind = "business day" if self.business else "day"
        names = [f"the first {kind}" if day == 1 else f"the last {kind}" if day == -1 else f"day {day}"
                 for day in self.days]  # fmt: skip
        span, month = {1: "month", 3: "quarter"}.get(self.every, f"{self.every} months"), ""
        if self.every % 12 == 0:
            span, month = counted(self.every // 12, "year"), f" of {self._first_month}"
        return f"every {span}, on {' and '.join(names)}{month}"

    @property
    def _first_month(self) -> str:
        return MONTHS[self.origin.wall_clock[0].astype("datetime64[M]").astype(np.int64) % 12]

    @property
    def cycle(self) -> str:
        return YEAR

    def numbers(self, times: Times) -> np.ndarray:
        first, months = (item.wall_clock.astype("datetime64[M]").astype(np.int64) for item in (self.origin, times))
        places = self.place(times.wall_clock)
        rank = np.argmax(places[:, None] == np.array(self.days), axis=1)
        origin = int(np.argmax(self.place(self.origin.wall_clock)[0] == np.array(self.days)))
        return (months - first[0]) // self.every * len(self.days) + rank - origin

    def place(self, wall_clock: np.ndarray) -> np.ndarray:
        """Return the day of each time in its month, as one of `days`; 0 where it is none of them."""
        places = np.zeros(len(wall_clock), dtype=np.int64)
        for day in self.days:
            on = self._dates(wall_clock.astype("datetime64[M]"), day) == wall_clock.astype("datetime64[D]")
            places[on] = day
        return places

    def _dates(self, months: np.ndarray, day: int) -> np.ndarray:
        """Return the dates of a day in each month."""
        start, end = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
        if self.business:
            return np.busday_offset(start, 0, "forward") if day > 0 else np.busday_offset(end, -1, "forward")
        return np.minimum(start + (day - 1), end - 1) if day > 0 else end + day

    def times(self, numbers: np.ndarray) -> tuple[Times, np.ndarray]:
        origin = int(np.argmax(self.place(self.origin.wall_clock)[0] == np.array(self.days)))
        cycles, ranks = np.divmod(numbers + origin, len(self.days))
        months = self.origin.wall_clock[0].astype("datetime64[M]") + cycles * self.every
        dates = np.choose(ranks, [self._dates(months, day) for day in self.days])
        time_of_day = self.origin.wall_clock[0] - self.origin.wall_clock[0].astype("datetime64[D]")
        return self.origin.at_wall_clock(dates.astype(self.origin.wall_clock.dtype) + time_of_day, by_day=True)

    def season(self) -> tuple[int, str] | str:
        if self.every >= 12 or 12 % self.every:
            return f"a year is no season of steps of {self.duration(1)}"
        return 12 // self.every * len(self.days), "a year"

    def duration(self, steps: int) -> str:
        if len(self.days) > 1:
            return count(steps, "step")
        months = self.every * steps
        return count(months // 12, "year") if months % 12 == 0 else count(months, "month")


@dataclass(frozen=True, eq=False)
class Timetable:
    """Times at certain hours of each day, or on certain days or hours of each week: opening hours, business days.

    Attributes:
        origin: the first time.
        slots: increasing, the distances of the times from the start of the day or week, in the unit of the times.
        period: "day" or "week", which begins on Monday.
        step: the distance of neighboring times in one stretch, in the same unit.
    """

    origin: Times
    slots: np.ndarray
    period: str
    step: int

    @property
    def _length(self) -> int:
        return SECONDS[self.period] * self.origin.per_second

    @property
    def weekdays(self) -> np.ndarray:
        """The days of the week with a time, 0 for Monday."""
        return np.unique(self.slots // (SECONDS[DAY] * self.origin.per_second))

    @property
    def _hours(self) -> list[np.ndarray]:
        """The times of each day, from midnight."""
        length = SECONDS[DAY] * self.origin.per_second
        return [self.slots[self.slots // length == day] % length for day in self.weekdays]

    @property
    def cycle(self) -> str:
        return DAY if self.step < SECONDS[DAY] * self.origin.per_second else WEEK

    @property
    def words(self) -> str:
        days = self.weekdays.tolist()
        if self.period == DAY:
            on = ""
        elif days == list(range(5)):
            on = ", Monday to Friday"
        else:
            on = f", on {', '.join(WEEKDAYS[day] for day in days)}"
        if self.cycle == WEEK:
            return f"every {'business day' if days == list(range(5)) else 'day'}{on}"
        first = self._hours[0]
        every = f"every {span_in_words(self.step / self.origin.per_second)}"
        if not all(np.array_equal(hours, first) for hours in self._hours):
            return f"{every}, at {len(self.slots)} times of each week"
        if (np.diff(first) == self.step).all():
            return f"{every}, {self._clock(first[0])} to {self._clock(first[-1])}{on}"
        if len(first) <= 6 and (np.diff(first) > self.step).all():
            return f"at {', '.join(map(self._clock, first))}{on or ' of each day'}"
        return f"{every}, at {len(first)} times of each day{on}"

    def _clock(self, time: int) -> str:
        minutes = int(time) // (60 * self.origin.per_second)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def phases(self, wall_clock: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each time's day or week, and its distance from the start of that."""
        distances = (wall_clock - MONDAY.astype(wall_clock.dtype)).astype(np.int64)
        return np.divmod(distances, self._length)

    def _absolute(self, wall_clock: np.ndarray) -> np.ndarray:
        cycles, phases = self.phases(wall_clock)
        return cycles * len(self.slots) + np.searchsorted(self.slots, phases)

    def numbers(self, times: Times) -> np.ndarray:
        return self._absolute(times.wall_clock) - self._absolute(self.origin.wall_clock)[0]

    def times(self, numbers: np.ndarray) -> tuple[Times, np.ndarray]:
        absolute = numbers + self._absolute(self.origin.wall_clock)[0]
        cycles, ranks = np.divmod(absolute, len(self.slots))
        start = MONDAY.astype(self.origin.wall_clock.dtype)
        wall_clock = start + (cycles * self._length + self.slots[ranks])
        return self.origin.at_wall_clock(wall_clock, by_day=self.cycle == WEEK)

    def season(self) -> tuple[int, str] | str:
        first = self._hours[0]
        if self.cycle == DAY and len(first) > 1 and all(np.array_equal(hours, first) for hours in self._hours):
            return len(first), "a day"
        if self.period == WEEK and len(self.slots) > 1:
            return len(self.slots), "a week"
        return "steps have one time in each day or week"

    def duration(self, steps: int) -> str:
        if self.cycle == WEEK and self.weekdays.tolist() == list(range(5)):
            return count(steps, "business day")
        return count(steps, "step")


def one(words: str) -> str:
    """Return "one day" for "day"."""
    return words if words[0].isdigit() else f"one {words}"


def _with_article(words: str) -> str:
    return words if words[0].isdigit() else f"{'an' if words == 'hour' else 'a'} {words}"
