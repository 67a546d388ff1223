"""Calendars found when times are missing, irregular or not exact, against pandas and the times that were drawn."""

import numpy as np
import pandas
import pytest

from seqgnn.data.times import TimeAxis, parse_times

AHEAD = 8


def hourly(keep, periods=3000, start="2012-01-02", freq="h", **zone) -> pandas.DatetimeIndex:
    index = pandas.date_range(start, periods=periods, freq=freq, **zone)
    return index[[keep(time) for time in index]]


def axis_of(index) -> TimeAxis:
    return TimeAxis(parse_times("test", index))


def instants(times) -> list[str]:
    return times.instants.astype("datetime64[s]").astype(str).tolist()


def utc(index) -> list[str]:
    index = index if index.tz is None else index.tz_convert("UTC").tz_localize(None)
    return index.values.astype("datetime64[s]").astype(str).tolist()


CALENDARS = {
    "business days": pandas.bdate_range("2012-01-02", periods=300),
    "Monday, Wednesday and Friday": hourly(lambda t: t.day_of_week in (0, 2, 4), 600, freq="D"),
    "7, 14 and 21 h": hourly(lambda t: t.hour in (7, 14, 21), 2000),
    "8 to 18 h": hourly(lambda t: 8 <= t.hour < 18, 2000),
    "1st and 15th": pandas.date_range("2010-01-01", periods=132, freq="SMS"),
    "1st, 11th and 21st": pandas.DatetimeIndex(
        [
            pandas.Timestamp(year, month, day)
            for year in range(2010, 2014)
            for month in range(1, 13)
            for day in (1, 11, 21)
        ]
    ),
    "10th, 20th and last day": pandas.DatetimeIndex(
        [
            pandas.Timestamp(year, month, min(day, pandas.Timestamp(year, month, 1).days_in_month))
            for year in range(2010, 2014)
            for month in range(1, 13)
            for day in (10, 20, 31)
        ]
    ),
    "days in Brazil, where clocks skip midnight": pandas.date_range("2010-01-01", periods=800, freq="D").tz_localize(
        "America/Sao_Paulo", nonexistent="shift_forward", ambiguous=np.ones(800, bool)
    ),
}


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("name", CALENDARS)
def test_missing_times_are_gaps_in_the_same_calendar(name, part):
    index, ahead = CALENDARS[name][:-AHEAD], CALENDARS[name][-AHEAD:]
    keep = np.random.default_rng(0).random(len(index)) >= part
    keep[[0, -1]] = True
    axis = axis_of(index[keep])
    assert not axis.words.startswith("uneven")
    assert instants(axis.filled("test")[0].times) == utc(index)
    assert instants(axis.ahead(AHEAD, "test")[0]) == utc(ahead)
    np.testing.assert_array_equal(axis.gaps(), np.flatnonzero(np.diff(np.flatnonzero(keep)) > 1))


@pytest.mark.parametrize("seed", range(20))
def test_hours_missing_by_chance_are_no_opening_hours(seed):
    index = pandas.date_range("2012-01-02", periods=24 * 7 * 4, freq="h")
    keep = np.random.default_rng(seed).random(len(index)) >= 0.18
    assert axis_of(index[keep]).words == "every hour"


def test_rare_readings_at_other_hours_are_no_opening_hours():
    index = hourly(lambda time: time.hour == 8, 24 * 365)
    other = pandas.date_range("2012-01-02", periods=20, freq="421h").difference(index)
    assert axis_of(index.union(other)).words == "uneven, mostly every day"


def test_words_of_times_at_the_same_hours_of_each_day():
    assert axis_of(CALENDARS["7, 14 and 21 h"]).words == "at 07:00, 14:00, 21:00 of each day"
    assert axis_of(CALENDARS["7, 14 and 21 h"]).season().steps == 3


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_events_at_any_time_have_no_frequency(unit):
    distances = np.random.default_rng(1).exponential(300, 400) * {"s": 1, "ms": 1000}[unit]
    index = np.datetime64("2012-01-02", unit) + np.cumsum(np.maximum(distances.astype(int), 1))
    axis, median = axis_of(index), np.quantile(np.diff(index), 0.5, method="lower")
    assert axis.words.startswith("uneven, at the median every ")
    assert axis.season().steps is None
    assert (np.diff(axis.ahead(3, "test")[0].wall_clock) == median).all()


def test_events_on_few_days_have_no_frequency():
    days = np.datetime64("2012-01-02") + np.cumsum(np.random.default_rng(0).integers(1, 30, 40))
    assert axis_of(days).words.startswith("uneven, at the median every ")


def test_half_of_the_steps_twice_as_long_are_gaps():
    steps = np.random.default_rng(0).choice([5, 10], 60, p=[0.4, 0.6])
    axis = axis_of(np.datetime64("2012-01-02") + np.cumsum(steps))
    assert axis.words == "every 5 days"
    np.testing.assert_array_equal(axis.gaps(), np.flatnonzero(steps[1:] == 10))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_jitter_is_measured_from_the_middle(seed, part):
    generator = np.random.default_rng(seed)
    numbers = np.flatnonzero(generator.random(2000) >= part)
    seconds = numbers * 300 + generator.integers(-28, 29, len(numbers))
    axis = axis_of(np.datetime64("2012-03-01T12:00:00") + seconds)
    assert axis.words in ("every 5 minutes, within 30 seconds", "every 5 minutes, within 28 seconds")
    np.testing.assert_array_equal(axis.gaps(), np.flatnonzero(np.diff(numbers) > 1))


def test_months_of_another_zone_are_no_mean_step():
    index = pandas.date_range("2012-02-01", periods=40, freq="MS", tz="America/Los_Angeles").tz_convert("UTC")
    assert axis_of(index).words.startswith("uneven")


def test_drifting_clocks_have_no_season():
    index = np.datetime64("2012-03-01", "ms") + np.arange(2000) * 300_300
    season = axis_of(index).season()
    assert (season.steps, season.words) == (
        None, "no number of days up to a year is a whole number of steps of 300.3 seconds"
    )  # fmt: skip


def test_day_exists_where_clocks_skip_its_midnight():
    index = pandas.date_range("2011-09-01", "2011-10-14", freq="D", tz="America/Sao_Paulo")
    times = axis_of(index).ahead(3, "test")[0]
    assert times.wall_clock.astype("datetime64[m]").astype(str).tolist() == [
        "2011-10-15T00:00", "2011-10-16T01:00", "2011-10-17T00:00"
    ]  # fmt: skip


def test_day_that_a_zone_left_out_is_not_forecast():
    index = pandas.date_range("2011-12-01 12:00", "2011-12-29 12:00", freq="D", tz="Pacific/Apia")
    days = axis_of(index).ahead(2, "test")[0].wall_clock.astype("datetime64[D]")
    assert days.astype(str).tolist() == ["2011-12-31", "2012-01-01"]
