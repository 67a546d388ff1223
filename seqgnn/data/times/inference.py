"""The calendar of a time series, from its timestamps, of which some may be missing."""

import numpy as np

from seqgnn._utils.arrays import distinct
from seqgnn.data.times.calendars import DAY, SECONDS, WEEK, Calendar, FixedStep, Months, Timetable
from seqgnn.data.times.timestamps import Times

JITTER = 0.1  # largest distance from a calendar of equal steps, as a part of the step
OFTEN = 0.8  # part of a calendar's times that must be present, for opening hours and days of months
PERIODS = 3  # how often a time of the day or week must have been left out to be no part of the calendar
SCALE = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def infer_calendar(times: Times) -> Calendar:
    """Return the calendar of at least two times; some of them may be off it, see `uneven_step`.

    Tried in turn: days of months, equal steps (in UTC; from a day on by the clock), and, if times are missing at equal
    steps, hours of the day or week that are always left out.
    """
    wall = times.wall_clock
    time_of_day = wall - wall.astype("datetime64[D]")
    daily = bool((time_of_day == time_of_day[0]).all())
    if daily and (months := _months(times)) is not None:
        return months
    fixed = _fixed(times, by_clock=daily)
    if times.offset is not None and not _is_exact(fixed, times) and _is_exact(clock := _fixed(times, True), times):
        fixed = clock  # e.g. midnight and noon, also when clocks change between them
    numbers = fixed.numbers(times)
    if uneven_step(fixed, times, numbers) is None and numbers[-1] + 1 > len(times):
        return _timetable(times, fixed) or fixed
    return fixed


def uneven_step(calendar: Calendar, times: Times, numbers: np.ndarray) -> int | None:
    """Return the first step whose time is not in its calendar; None: all are."""
    if not isinstance(calendar, FixedStep):
        return None
    distances, step = _distances(calendar, times), calendar.step
    off = np.abs(distances - numbers * step) > JITTER * step if calendar.jitter else distances % step != 0
    off[1:] |= np.diff(numbers) < 1
    return int(off.argmax()) if off.any() else None


def _is_exact(fixed: FixedStep, times: Times) -> bool:
    return not fixed.jitter and uneven_step(fixed, times, fixed.numbers(times)) is None


def _distances(fixed: FixedStep, times: Times) -> np.ndarray:
    first, now = (item.wall_clock if fixed.by_clock else item.instants for item in (fixed.origin, times))
    return (now - first[0]).astype(np.int64)


def _fixed(times: Times, by_clock: bool) -> FixedStep:
    """Return equal steps: the most common one, or, if timestamps are not exact, the nearest round one."""
    moments = times.wall_clock if by_clock else times.instants
    distances = (moments - moments[0]).astype(np.int64)
    steps = np.diff(distances)
    lengths, counts = np.unique(steps, return_counts=True)
    exact = FixedStep(times[:1], int(lengths[counts.argmax()]), by_clock=by_clock)
    if not (distances % int(exact.step)).any():
        return exact
    step = _round_step(distances, float(np.median(steps)), SCALE[times.unit])
    residuals = distances - np.rint(distances / step) * step
    if np.abs(residuals).max() > JITTER * step:
        return exact
    jitter = max(float(np.ptp(residuals)) / 2, 1.0)
    return FixedStep(_round_origin(times[:1], step, 2 * jitter), step, jitter, by_clock=by_clock)


def _round_origin(first: Times, step: float, tolerance: float) -> Times:
    """Return the first time as a whole number of steps from midnight, if it is near one."""
    wall = first.wall_clock
    midnight = wall.astype("datetime64[D]").astype(wall.dtype)
    elapsed = float((wall - midnight)[0].astype(np.int64))
    rounded = round(elapsed / step) * step
    if abs(rounded - elapsed) > tolerance or not float(step).is_integer():
        return first
    return Times(midnight + int(rounded), first.offset, first.zone)


def _round_step(distances: np.ndarray, step: float, scale: int) -> float:
    """Return a step near the given one that fits all distances: a round one if possible, otherwise the mean."""
    for unit in (86_400.0, 3_600.0, 60.0, 1.0, 0.1, 0.01, 0.001):
        length = unit * scale
        rounded = round(step / length) * length
        if rounded and abs(rounded - step) <= JITTER * step and _fits(distances, rounded):
            return rounded
    return distances[-1] / max(np.rint(np.diff(distances) / step).sum(), 1)


def _fits(distances: np.ndarray, step: float) -> bool:
    return bool((np.abs(distances - np.rint(distances / step) * step) <= JITTER * step).all())


def _months(times: Times) -> Months | None:
    """Return the days of months that the times are on, if those are one or several days of each month."""
    wall = times.wall_clock
    days = wall.astype("datetime64[D]")
    steps = np.diff(days).astype(np.int64)
    if len(wall) < 3 or steps.min() < 9:
        return None
    months = wall.astype("datetime64[M]")
    day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    from_end = (days - (months + 1).astype("datetime64[D]")).astype(np.int64)
    distances = np.diff(months).astype(np.int64)
    if distances.min() >= 1:
        every = int(np.gcd.reduce(distances))
        if (day == day[0]).all() and day[0] <= 28:
            return Months(times[:1], every, (int(day[0]),))
        if (from_end == -1).all():
            return Months(times[:1], every, (-1,))
        for position in (1, -1):
            business = Months(times[:1], every, (position,), business=True)
            if business.place(wall).all():
                return business
        if (day == np.minimum(day.max(), day - from_end - 1)).all():  # the 30th, or the last day of February
            return Months(times[:1], every, (int(day.max()),))
        return None
    place = np.where((from_end == -1) & (day >= 28), -1, day)
    days_of_months = sorted(set(place.tolist()), key=lambda item: item if item > 0 else 31)
    if not 2 <= len(days_of_months) <= 3 or len(wall) < 2 * len(days_of_months):
        return None
    twice = Months(times[:1], 1, tuple(days_of_months))
    return twice if len(wall) >= OFTEN * (twice.numbers(times)[-1] + 1) else None


def _timetable(times: Times, fixed: FixedStep) -> Timetable | None:
    """Return the times of the day or week that are always there, if the others are always left out."""
    scale = SCALE[times.unit]
    step = fixed.step
    if fixed.jitter or not float(step).is_integer() or SECONDS[WEEK] * scale % int(step) or step > SECONDS[DAY] * scale:
        return None
    if SECONDS[DAY] * scale % int(step):
        return None
    candidates = []
    for period in (DAY, WEEK):
        length = SECONDS[period] * scale
        table = Timetable(times[:1], np.zeros(0, dtype=np.int64), period, int(step))
        cycles, phases = table._cycles(times.wall_clock)
        slots = distinct(phases)
        total = length // int(step)
        if len(slots) == total:
            continue
        table = Timetable(times[:1], slots, period, int(step))
        numbers = table.numbers(times)
        if (np.diff(numbers) < 1).any():  # an hour that clocks show twice
            continue
        present = len(times) / (numbers[-1] + 1)
        if present >= OFTEN and _left_out_often(cycles, table, numbers):
            candidates.append((present, table))
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _left_out_often(cycles: np.ndarray, table: Timetable, numbers: np.ndarray) -> bool:
    """Return True if the series lasts long enough to tell times that are always left out from gaps."""
    whole = int(cycles[-1] - cycles[0]) - 1  # days or weeks between the first and the last
    weekdays = table._weekdays.tolist()
    if table.period == WEEK and weekdays == list(range(5)) and len(table.slots) == 5:
        return whole >= 0 and bool((np.diff(numbers) == 1).all() or whole >= PERIODS)
    return whole >= PERIODS
