"""The calendar of a time series, from its timestamps, of which some may be missing."""

import numpy as np

from seqgnn._utils.arrays import distinct
from seqgnn.data.times.calendars import DAY, SECONDS, WEEK, Calendar, FixedStep, Months, Timetable
from seqgnn.data.times.timestamps import Times

JITTER = 0.1  # largest distance from a calendar of equal steps, as a part of the step
OFTEN = 0.8  # part of a calendar's times that must be present, for opening hours and days of months
SELDOM = 0.4  # the same if there are many times, and each hour or day is about equally often present
CHANCE = 0.01  # largest probability that a time of the day or week is left out by chance, if others are missing
SPARSE = 0.1  # part of the times at the greatest common step that must be present, if most steps are longer
MANY = 12  # number of times on two or three days of months that cannot be by chance
PERIODS = 3  # how often a time of the day or week must have been left out to be no part of the calendar


def infer_calendar(times: Times) -> Calendar:
    """Return the calendar of at least two times; some of them may be off it, see `uneven_step`.

    Tried in turn: days of months, equal steps (in UTC; from a day on by the clock), and, if times are missing at equal
    steps, hours of the day or week that are always left out.
    """
    times = _at_usual_time(times)
    time_of_day = _time_of_day(times.wall_clock)
    daily = bool((time_of_day == time_of_day[0]).all())
    if daily and (months := _months(times)) is not None:
        return months
    fixed = _fixed(times, by_clock=daily)
    if times.offset is not None and not _is_exact(fixed, times) and _is_exact(clock := _fixed(times, True), times):
        fixed = clock  # e.g. midnight and noon, also when clocks change between them
    numbers = fixed.numbers(times)
    if uneven_step(fixed, times, numbers) is not None:
        return _timetable(times, _greatest_step(times.wall_clock)) or fixed
    if numbers[-1] + 1 > len(times) and not fixed.jitter and float(fixed.step).is_integer():
        return _timetable(times, int(fixed.step)) or fixed
    return fixed


def uneven_step(calendar: Calendar, times: Times, numbers: np.ndarray) -> int | None:
    """Return the first step whose time is not in its calendar; None: all are."""
    if not isinstance(calendar, FixedStep):
        return None
    distances, step = _distances(calendar, times), calendar.step
    off = np.abs(distances - numbers * step) > JITTER * step if calendar.jitter else distances % step != 0
    if calendar.by_clock and times.zone is not None and off.any():
        off &= calendar.times(numbers)[0].wall_clock != times.wall_clock  # where clocks skip midnight
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
    common, greatest = int(lengths[counts.argmax()]), _greatest_step(moments)
    exact = FixedStep(times[:1], common, by_clock=by_clock)
    sparse = len(times) * greatest < SPARSE * distances[-1]
    if common == greatest and (counts.max() * 4 >= len(steps) or not sparse):
        return exact
    if greatest == lengths[0] and not sparse:
        return FixedStep(times[:1], greatest, by_clock=by_clock)
    scale = times.per_second
    for near in (float(np.median(steps)), float(np.median(steps[steps <= 1.5 * np.quantile(steps, 0.1)]))):
        if (step := _round_step(distances, near, scale)) is not None:
            residuals = _residuals(distances, step)
            if not residuals.any():  # a step that few times follow
                continue
            jitter = max(float(np.ptp(residuals)) / 2, 1.0)
            middle = round(float(residuals.min() + residuals.max()) / 2)
            first = times[:1] if np.abs(residuals).max() <= JITTER * step else times[:1].shifted(middle)
            return FixedStep(_round_origin(first, step, 2 * jitter), step, jitter, by_clock=by_clock)
    median = int(np.quantile(steps, 0.5, method="lower"))
    return exact if counts.max() * 2 >= len(steps) else FixedStep(times[:1], median, by_clock=by_clock)


def _greatest_step(moments: np.ndarray) -> int:
    """Return the greatest step of which all distances between the times are multiples."""
    return int(np.gcd.reduce(np.diff(moments).astype(np.int64)))


def _round_origin(first: Times, step: float, tolerance: float) -> Times:
    """Return the first time as a whole number of steps from midnight, if it is near one."""
    elapsed = float(_time_of_day(first.wall_clock)[0].astype(np.int64))
    rounded = round(elapsed / step) * step
    if abs(rounded - elapsed) > tolerance or not float(step).is_integer():
        return first
    return first.shifted(int(rounded - elapsed))


def _round_step(distances: np.ndarray, near: float, scale: int) -> float | None:
    """Return a step near the given one that fits all distances: a round one, or below a day the mean; None: none."""
    for unit in (86_400.0, 3_600.0, 60.0, 1.0, 0.1, 0.01, 0.001):
        length = unit * scale
        rounded = round(near / length) * length
        if rounded and abs(rounded - near) <= JITTER * near and _fits(distances, rounded):
            return rounded
    mean = distances[-1] / max(np.rint(np.diff(distances) / near).sum(), 1)
    return mean if mean < 86_400 * scale and _fits(distances, mean) else None


def _residuals(distances: np.ndarray, step: float) -> np.ndarray:
    return distances - np.rint(distances / step) * step


def _fits(distances: np.ndarray, step: float) -> bool:
    return bool(np.ptp(_residuals(distances, step)) <= 2 * JITTER * step)


def _time_of_day(wall_clock: np.ndarray) -> np.ndarray:
    return wall_clock - wall_clock.astype("datetime64[D]")


def _at_usual_time(times: Times) -> Times:
    """Return daily times with the most common time of day where clocks skipped it, as midnight in Brazil."""
    values, counts = np.unique(_time_of_day(times.wall_clock), return_counts=True)
    if times.zone is None or times.offset is None or counts.max() * 2 < len(times):
        return times
    usual = times.wall_clock.astype("datetime64[D]") + values[counts.argmax()]
    shifted = times.at_wall_clock(usual, by_day=True)[0]
    if len(values) == 1 or (shifted.wall_clock != times.wall_clock).any():
        return times
    return Times(usual, usual - times.instants, times.zone)


def _months(times: Times) -> Months | None:
    """Return the days of months that the times are on, if those are one or several days of each month."""
    wall = times.wall_clock
    days = wall.astype("datetime64[D]")
    steps = np.diff(days).astype(np.int64)
    if len(wall) < 3 or steps.min() < 8:
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
    often = OFTEN if len(wall) < MANY else SELDOM
    return twice if len(wall) >= often * (twice.numbers(times)[-1] + 1) else None


def _timetable(times: Times, step: int) -> Timetable | None:
    """Return the times of the day or week that are always there, if the others are always left out."""
    scale = times.per_second
    if SECONDS[DAY] * scale % step:
        return None
    candidates = []
    for period in (DAY, WEEK):
        total = SECONDS[period] * scale // step
        table = Timetable(times[:1], np.zeros(0, dtype=np.int64), period, step)
        cycles, phases = table.phases(times.wall_clock)
        slots = distinct(phases)
        if len(slots) == total or ((slots - slots[0]) % step).any():
            continue
        table = Timetable(times[:1], slots, period, step)
        numbers = table.numbers(times)
        if (np.diff(numbers) < 1).any():  # an hour that clocks show twice
            continue
        present = len(times) / (numbers[-1] + 1)
        if (present >= OFTEN or (present >= SELDOM and _are_alike(slots, phases))) and _left_out_often(
            cycles, table, numbers, total
        ):
            candidates.append((present, table))
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _are_alike(slots: np.ndarray, phases: np.ndarray) -> bool:
    """Return True if no time of the day or week is far less often present than the mean."""
    counts = np.bincount(np.searchsorted(slots, phases))
    return bool(counts.min() >= counts.mean() / 2 - np.sqrt(counts.mean()))


def _left_out_often(cycles: np.ndarray, table: Timetable, numbers: np.ndarray, total: int) -> bool:
    """Return True if the series lasts long enough to tell times that are always left out from gaps."""
    whole = int(cycles[-1] - cycles[0]) - 1  # days or weeks between the first and the last
    weekdays = table.weekdays.tolist()
    if table.period == WEEK and weekdays == list(range(5)) and len(table.slots) == 5 and (np.diff(numbers) == 1).all():
        return whole >= 0
    missing = 1 - len(numbers) / (numbers[-1] + 1)
    return whole >= PERIODS and total * missing ** len(distinct(cycles)) <= CHANCE
