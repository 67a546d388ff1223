"""The times of a series: gaps, times after the end and seasons are those of pandas' calendars."""

import numpy as np
import pandas
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.data.times import TimeAxis, parse_times
from seqgnn.models.baselines.forecasting import fit_baseline
from seqgnn.tasks import Forecasting, Protocol
from tests.support.temporal_graphs import opening_hours

LOS_ANGELES = "America/Los_Angeles"
FREQUENCIES = {
    "MS": (12, "every month, on the first day"),
    "ME": (12, "every month, on the last day"),
    "QS": (4, "every quarter, on the first day"),
    "QE": (4, "every quarter, on the last day"),
    "QS-FEB": (4, "every quarter, on the first day"),
    "BQE": (4, "every quarter, on the last business day"),
    "2MS": (6, "every 2 months, on the first day"),
    "YS": (None, "every year, on the first day of January"),
    "YE-MAR": (None, "every year, on the last day of March"),
    "SMS": (24, "every month, on the first day and day 15"),
    "SME": (24, "every month, on day 15 and the last day"),
    "BMS": (12, "every month, on the first business day"),
    "BME": (12, "every month, on the last business day"),
    "B": (5, "every business day, Monday to Friday"),
    "W": (52, "every week"),
    "2W": (26, "every 2 weeks"),
    "D": (7, "every day"),
    "2D": (7, "every 2 days"),
    "10D": (None, "every 10 days"),
    "h": (24, "every hour"),
    "90min": (16, "every 90 minutes"),
    "5h": (24, "every 5 hours"),
    "12h": (2, "every 12 hours"),
    "7min": (None, "every 7 minutes"),
    "1500ms": (None, "every 1.5 seconds"),
    "100ms": (None, "every 100 milliseconds"),
    "ns": (None, "every nanosecond"),
}


def axis_of(times) -> TimeAxis:
    return TimeAxis(parse_times("test", times))


def wall_clock(index: pandas.DatetimeIndex, axis: TimeAxis) -> np.ndarray:
    return np.asarray(index.tz_localize(None)).astype(axis.times.wall_clock.dtype)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_calendar_of_a_pandas_frequency_continues_it(frequency):
    index = pandas.date_range("2010-01-01 ", periods=130, freq=frequency)
    axis = axis_of(index[:120])
    season, words = FREQUENCIES[frequency]
    assert (axis.words, axis.season().steps, len(axis.gaps())) == (words, season, 0)
    assert np.array_equal(axis.ahead(10, "test")[0].wall_clock, wall_clock(index[120:], axis))


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_filled_inserts_the_times_that_pandas_has(frequency, seed):
    index = pandas.date_range("2010-01-01", periods=120, freq=frequency)
    kept = np.sort(np.random.default_rng(seed).choice(np.arange(1, 119), 100, replace=False))
    kept = np.array([0, *kept, 119])
    axis = axis_of(index[kept])
    filled, places = axis.filled("test")
    assert np.array_equal(filled.times.wall_clock, wall_clock(index, filled)) and np.array_equal(places, kept)
    assert np.array_equal(axis.gaps(), np.flatnonzero(np.diff(kept) > 1)) and not len(filled.gaps())


def test_opening_hours_are_a_calendar_without_gaps():
    axis = axis_of(opening_hours(100))
    assert axis.words == "every hour, 08:00 to 17:00" and not len(axis.gaps())
    ahead = axis.ahead(12, "test")[0].wall_clock
    assert np.array_equal(ahead, np.asarray(opening_hours(102)[1000:1012]).astype(ahead.dtype))
    shop = axis_of(index := opening_hours(40)[opening_hours(40).day_of_week < 5])
    assert shop.words == "every hour, 08:00 to 17:00, Monday to Friday" and shop.season().steps == 10
    monday = shop.ahead(1, "test")[0].wall_clock[0]  # the last day of the file is a Friday
    assert index[-1] == pandas.Timestamp("2012-02-10 17:00") and monday == np.datetime64("2012-02-13T08:00")


def test_gaps_in_opening_hours_are_gaps():
    index = opening_hours(30)
    kept = np.delete(np.arange(300), [55, 56, 123])
    axis = axis_of(index[kept])
    assert axis.gaps().tolist() == [54, 120]
    filled, _ = axis.filled("test")
    assert np.array_equal(filled.times.wall_clock, wall_clock(index, filled))


def test_a_daily_outage_that_ends_is_a_gap():
    index = pandas.date_range("2012-01-02", periods=2400, freq="h")
    axis = axis_of(index[~((index.hour < 3) & (index < "2012-01-30"))])
    assert axis.words == "every hour" and len(axis.gaps()) == 27


def test_jitter_of_milliseconds_is_no_gap():
    exact = pandas.date_range("2012-01-02", periods=900, freq="5min")
    jitter = np.random.default_rng(0).integers(-10, 11, 900)
    axis = axis_of(exact + pandas.to_timedelta(jitter, unit="ms"))
    assert axis.words == "every 5 minutes, within 10 milliseconds" and not len(axis.gaps())
    assert axis.season().steps == 288
    ahead = axis.ahead(2, "test")[0].wall_clock
    assert ahead.tolist() == [exact[-1] + pandas.Timedelta(minutes=5 * i) for i in (1, 2)]
    kept = axis_of((exact + pandas.to_timedelta(jitter, unit="ms"))[np.delete(np.arange(900), 17)])
    assert kept.gaps().tolist() == [16] and len(kept.filled("test")[0]) == 900


def test_thirds_of_a_second_do_not_drift():
    instants = np.datetime64("2012-01-01", "ms") + np.rint(np.arange(100_000) * 1000 / 3).astype(np.int64)
    axis = axis_of(instants)
    assert not len(axis.gaps()) and axis.uneven is None
    assert axis.ahead(3, "test")[0].wall_clock[-1] == np.datetime64("2012-01-01", "ms") + round(100_002 * 1000 / 3)


@pytest.mark.parametrize("day, hours", [("2012-03-10", 48), ("2012-11-03", 48), ("2012-11-03", 30)])
@pytest.mark.parametrize("kind", ["index", "series", "timestamps", "datetimes", "text"])
def test_changes_of_clocks_are_neither_gaps_nor_repetitions(day, hours, kind):
    index = pandas.date_range(day, periods=hours + 5, freq="h", tz=LOS_ANGELES)
    forms = {
        "index": index[:hours],
        "series": pandas.Series(index[:hours]),
        "timestamps": list(index[:hours]),
        "datetimes": [time.to_pydatetime() for time in index[:hours]],
        "text": [time.isoformat() for time in index[:hours]],
    }
    axis = axis_of(forms[kind])
    assert axis.words == "every hour" and not len(axis.gaps())
    assert np.array_equal(axis.times.wall_clock, wall_clock(index[:hours], axis))
    assert np.array_equal(axis.times.instants, wall_clock(index[:hours].tz_convert("UTC"), axis))
    ahead, _ = axis.ahead(5, "test")
    assert np.array_equal(ahead.instants, wall_clock(index[hours:].tz_convert("UTC"), axis))
    if kind != "text":  # offsets alone name no zone, so clocks keep the last one
        assert np.array_equal(ahead.wall_clock, wall_clock(index[hours:], axis))


def test_days_of_a_zone_have_23_or_25_hours():
    index = pandas.date_range("2012-03-01", periods=300, freq="D", tz=LOS_ANGELES)
    axis = axis_of(index[:290])
    assert axis.words == "every day" and not len(axis.gaps())
    assert np.array_equal(axis.ahead(10, "test")[0].instants, wall_clock(index[290:].tz_convert("UTC"), axis))


def test_midnight_and_noon_of_a_zone_are_every_12_hours():
    index = pandas.date_range("2012-03-01", periods=60, freq="12h").tz_localize(LOS_ANGELES)
    axis = axis_of(index[:50])
    assert axis.words == "every 12 hours" and not len(axis.gaps()) and axis.season().steps == 2
    assert np.array_equal(axis.ahead(10, "test")[0].instants, wall_clock(index[50:].tz_convert("UTC"), axis))


def test_no_time_ahead_is_skipped_by_clocks():
    index = pandas.date_range("2012-02-20", periods=580, freq="h", tz=LOS_ANGELES)
    index = index[index.hour < 4]  # the hours from 0 to 3 of each day, of which one does not exist on 11 March
    axis = axis_of(index[index < "2012-03-11"])
    assert axis.words == "every hour, 00:00 to 03:00"
    ahead = axis.ahead(5, "test")[0].wall_clock
    assert np.array_equal(ahead, wall_clock(index[index >= "2012-03-11"][:5], axis))
    assert not len(axis_of(index).gaps())


EIGHT_THOUSAND_YEARS = ["1000-01-01 00:00:00", "1000-01-01 00:00:01", "1000-01-01 00:00:02", "9000-01-01 00:00:00"]


@pytest.mark.parametrize("zone", ["", "Z"])
def test_gaps_of_thousands_of_years_are_found_without_their_times(zone):
    axis = axis_of([time + zone for time in EIGHT_THOUSAND_YEARS])
    assert axis.gaps().tolist() == [2] and axis.words == "every second"
    actual = "252,455,616,001 every second, with none between 1000-01-01 00:00:02 and 9000-01-01 00:00"
    with pytest.raises(ValueError, match=f"test: expected at most 99 steps when gaps are filled, got {actual}$"):
        axis.filled("test", 99)


def test_seasons_without_any_step_are_skipped_at_once():
    steps = np.concatenate([np.arange(100), 10**12 + np.arange(100), 2 * 10**12 + 3 + np.arange(90)])
    axis = axis_of(np.datetime64("1000-01-01", "s") + steps)
    numbers = axis.numbers.tolist()
    assert numbers == steps.tolist()
    earlier = axis.earlier(np.arange(len(axis)), 7, np.arange(len(axis)))
    for step, found in enumerate(earlier.tolist()):
        before = [i for i in range(step) if (numbers[step] - numbers[i]) % 7 == 0]
        assert found == (before[-1] if before else -1)


def test_uneven_times_are_named():
    axis = axis_of(np.datetime64("2012-01-01", "s") + np.array([0, 60, 120, 205, 265]))
    assert axis.words == "uneven, mostly every minute" and axis.uneven == 3 and axis.season().steps is None
    with pytest.raises(ValueError, match="test: expected timestamps every minute, got 2012-01-01 00:03:25 at step 3"):
        axis.filled("test")
    assert str(axis.ahead(1, "test")[0].wall_clock[0]) == "2012-01-01T00:05:25"


def test_a_part_keeps_the_calendar_of_the_whole():
    index = pandas.date_range("2012-01-31", periods=40, freq="ME")
    part = axis_of(index).part(slice(37, 39))
    assert part.words == "every month, on the last day"
    assert part.part(slice(1, 2)).ahead(1, "test")[0].wall_clock[0] == index[39].to_datetime64()
    with pytest.raises(ValueError, match="test: expected at least two timestamps to extrapolate, got 1"):
        axis_of(index[:1]).ahead(1, "test")


SIGNALS = {
    "MS": lambda t: t.month,
    "ME": lambda t: t.month,
    "QS": lambda t: t.quarter,
    "B": lambda t: t.weekday(),
    "SMS": lambda t: 10 * t.month + t.day,
    "5h": lambda t: t.hour,
    "2D": lambda t: t.weekday(),
    "h": lambda t: t.hour,
    "W": lambda t: 1,
}


def error_of_seasonal(index, value, horizon=1) -> float | None:
    """Return the MAE of the seasonal baseline on the test part; None without a season."""
    values = torch.tensor([10.0 * value(time) for time in index])[:, None, None].expand(-1, 2, 1)
    graph = TemporalGraph(values, torch.zeros(2, 0, dtype=torch.long), timestamps=index)
    task = Forecasting(graph, Protocol(lags=3, horizon=horizon, split=(0.6, 0.2, 0.2), scale="none"))
    if (season := graph.time.season().steps) is None:
        return None
    fitted = fit_baseline("seasonal", task.train_windows, period=season)
    errors = []
    for batch in task.test(64):
        steps = (batch.start + 3)[None] + torch.arange(horizon)[:, None]
        errors.append((fitted(batch)[..., 0] - values[steps][..., 0]).abs().mean().item())
    return max(errors)


@pytest.mark.parametrize("horizon", [1, 9])
@pytest.mark.parametrize("frequency", SIGNALS)
def test_seasonal_is_exact_on_signals_of_the_calendar(frequency, horizon):
    index = pandas.date_range("2000-01-03", periods=400, freq=frequency)
    assert error_of_seasonal(index, SIGNALS[frequency], horizon) == 0
    kept = np.sort(np.random.default_rng(0).choice(400, 320, replace=False))
    assert error_of_seasonal(index[kept], SIGNALS[frequency], horizon) == 0


@pytest.mark.parametrize("start", ["2012-02-20", "2012-10-15"])
def test_seasonal_follows_clocks_that_change(start):
    index = pandas.date_range(start, periods=960, freq="h", tz=LOS_ANGELES)
    assert error_of_seasonal(index, lambda time: time.hour, horizon=30) == 0


def test_seasonal_is_exact_on_opening_hours():
    assert error_of_seasonal(opening_hours(40), lambda time: time.hour, horizon=12) == 0


def test_seasonal_looks_further_back_in_filled_gaps():
    index = pandas.date_range("2012-01-02", periods=300, freq="D")
    kept = index[np.sort(np.random.default_rng(0).choice(300, 280, replace=False))]
    values = torch.tensor([10.0 * time.day_of_week for time in kept])[:, None, None]
    graph = TemporalGraph(values, torch.zeros(2, 0, dtype=torch.long), timestamps=kept).fill_gaps()
    task = Forecasting(graph, Protocol(lags=3, horizon=9, split=(0.6, 0.2, 0.2), scale="none"))
    fitted, sums = fit_baseline("seasonal", task.train_windows, period=7), task.objective.sums()
    for batch in task.test(64):
        task.objective.add(sums, fitted(batch), batch)
    assert sums.result().scores.mae == 0


def test_seasonal_needs_a_season():
    years = pandas.date_range("1970-01-01", periods=60, freq="YS")
    assert error_of_seasonal(years, lambda time: time.year) is None
    season = axis_of(years).season()
    assert season.words == "a year is no season of steps of one year"
    assert axis_of(years[:1]).season().words == "there is one time only"
    short = pandas.date_range("2012-01-01", periods=20, freq="h")
    assert axis_of(short).season().words == "the time series is shorter than a day"


@pytest.mark.parametrize("start", ["2012-03-10 12:00", "2012-11-03 12:00"])
def test_offsets_without_a_zone_stay_as_they_were_before_each_time(start):
    index = pandas.date_range(start, periods=60, freq="h", tz=LOS_ANGELES)  # clocks change in the first 24 hours
    kept = np.delete(np.arange(48), [5, 20, 21, 40])
    axis = axis_of([time.isoformat() for time in index[kept]])
    ahead = axis.ahead(12, "test")[0]
    assert np.array_equal(ahead.wall_clock, wall_clock(index[48:], axis))
    assert (ahead.offset == ahead.wall_clock - np.asarray(index[48:].tz_convert("UTC").tz_localize(None))).all()
    filled = axis.filled("test")[0]
    assert np.array_equal(filled.times.wall_clock, wall_clock(index[:48], filled)) and not len(filled.gaps())


def test_days_with_offsets_without_a_zone_stay_at_midnight():
    index = pandas.date_range("2012-03-01", periods=40, freq="D", tz=LOS_ANGELES)
    axis = axis_of([time.isoformat() for time in np.delete(index[:30], 20)])
    assert np.array_equal(axis.filled("test")[0].times.wall_clock, wall_clock(index[:30], axis))
    ahead = axis.ahead(10, "test")[0]
    assert np.array_equal(ahead.wall_clock, wall_clock(index[30:], axis))
    assert np.array_equal(ahead.instants, wall_clock(index[30:].tz_convert("UTC"), axis))
