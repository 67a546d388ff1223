"""Timestamps of files and users, against pandas."""

import datetime

import numpy as np
import pandas
import polars
import pytest

from seqgnn.data.times import is_timestamp, parse_times

NOON = pandas.date_range("2012-03-01 12:00", periods=4, freq="5min")


def walls(values, **options) -> list[str]:
    return [str(time) for time in parse_times("test", values, **options).wall_clock]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("named", [True, False])
def test_integers_have_the_unit_named_or_of_their_size(unit, named):
    integers = NOON.values.astype(f"datetime64[{unit}]").astype("int64")
    expected = NOON.values.astype("datetime64[s]").astype(str).tolist()
    assert walls(integers, unit=unit if named else None) == expected
    assert walls([str(i) for i in integers], unit=unit if named else None) == expected
    assert walls(integers.astype(object)) == expected


@pytest.mark.parametrize(
    "values, unit, first",
    [
        ([20120301, 20120302], None, "2012-03-01T00:00:00"),
        (["20120301", "20120302"], None, "2012-03-01T00:00:00"),
        ([2001, 2002], "Y", "2001-01-01T00:00:00"),
        ([15400, 15401], "D", "2012-03-01T00:00:00"),
        ([1330603200.25, 1330603201.25], None, "2012-03-01T12:00:00.250"),
        (np.array(["2012-03", "2012-04"], "datetime64[M]"), None, "2012-03-01T00:00:00"),
        (np.array([b"2012-03-01 12:00", b"2012-03-01 12:05"]), None, "2012-03-01T12:00:00"),
        ([datetime.date(2012, 3, 1), datetime.date(2012, 3, 2)], None, "2012-03-01T00:00:00"),
        (pandas.period_range("2012-03", periods=3, freq="M"), None, "2012-03-01T00:00:00"),
        (pandas.Series(pandas.period_range("2012Q1", periods=3, freq="Q")), None, "2012-01-01T00:00:00"),
        (polars.Series([datetime.datetime(2012, 3, 1, 12), datetime.datetime(2012, 3, 1, 13)]), None,
         "2012-03-01T12:00:00"),
        (["2012Q1", "2012Q2"], None, "2012-01-01T00:00:00"),
        (["1/3/2012", "13/3/2012"], None, "2012-03-01T00:00:00"),
        (["1/3/2012 12:05", "1/13/2012 12:05"], None, "2012-01-03T12:05:00"),
        (["01.03.2012", "02.03.2012"], None, "2012-03-01T00:00:00"),
        (["1 Mar 2012", "2 Mar 2012"], None, "2012-03-01T00:00:00"),
        (["2012/03/01 1:05:00 PM", "2012/03/01 1:10:00 PM"], None, "2012-03-01T13:05:00"),
        (["2012-03-01 12:00:00.1", "2012-03-01 12:00:00.2"], None, "2012-03-01T12:00:00.100"),
        (["1900-01-01", "2300-01-01"], None, "1900-01-01T00:00:00"),
    ],
)  # fmt: skip
def test_first_time_of_each_form(values, unit, first):
    assert walls(values, unit=unit)[0] == first


def test_order_of_day_and_month_is_asked_for():
    assert walls(["1/3/2012", "2/3/2012"], day_first=True)[0] == "2012-03-01T00:00:00"
    assert walls(["1/3/2012", "2/3/2012"], day_first=False)[0] == "2012-01-03T00:00:00"
    with pytest.raises(ValueError, match="day and month are certain, got '1/3/2012' at step 0; pass day_first"):
        walls(["1/3/2012", "2/3/2012"])


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "UTC", "Asia/Kolkata", "+05:30"])
def test_zones_keep_the_clock_and_the_instant(zone):
    index = NOON.tz_localize("UTC").tz_convert(zone)
    for values in (index, pandas.Series(index), list(index), [time.isoformat() for time in index]):
        times = parse_times("test", values)
        assert np.array_equal(times.wall_clock, np.asarray(index.tz_localize(None)).astype("datetime64[s]"))
        assert np.array_equal(times.instants, NOON.values.astype("datetime64[s]"))


def test_polars_zones_are_kept():
    series = polars.Series([time.to_pydatetime() for time in NOON]).dt.replace_time_zone("America/Los_Angeles")
    times = parse_times("test", series)
    assert times.zone == "America/Los_Angeles" and str(times.wall_clock[0]) == "2012-03-01T12:00:00"
    assert str(times.instants[0]) == "2012-03-01T20:00:00"


@pytest.mark.parametrize(
    "values, match",
    [
        ([0, 1, 2], r"unit is certain, got the number 0 at step 0; pass time_unit \(--time-unit\), one of s, ms"),
        ([5000, 5001], "unit is certain, got the number 5000"),
        ([20120301, 20120399], "unit is certain, got the number 20120301"),
        (["2012-03-01", "soon"], "expected a timestamp as 2012-03-01 00:05, got 'soon' at step 1"),
        (["2012-03-01", "2012-02-30"], "got '2012-02-30' at step 1"),
        (["2012-03-01 00:00+01:00", "2012-03-01 01:00"], "in every timestamp or in none, got one at step 0 and none"),
        (["2012-03-02", "2012-03-01"], "increasing timestamps, got 2012-03-01 00:00 after 2012-03-02 00:00 at step 1"),
        (["2012-11-04 01:00", "2012-11-04 01:00"], "got 2012-11-04 01:00 again at step 1; if clocks were set back"),
        ([None, datetime.date(2012, 3, 1)], "expected a timestamp, got None at step 0"),
        ([1.5, 2.5], "unit is certain, got the number 1.5"),
        ([True, False], "expected timestamps as datetime64, text or integers, got list of bool"),
        (np.zeros((2, 2), "datetime64[s]"), r"expected one timestamp per step, got shape \(2, 2\)"),
        (pandas.DatetimeIndex(["2012-03-01", None]), "expected a timestamp at every step, got none at step 1"),
        (np.array([0, 2**60], "M8[Y]"), r"of the years -100,000 to 100,000, got the year 1,152,921,504,606,848,946 at"),
        (np.array([0, 2**62], "M8[D]"), r"of the years -100,000 to 100,000, got the year .* at step 1"),
        (np.array([-(2**63) + 1, 2**63 - 1], "M8[ns]"), "in nanoseconds to be within 292 years, got 1677-09-21 .*2262"),
        (np.array([b"\xff\xfe", b"2012"]), "expected a timestamp as 2012-03-01 00:05, got .* at step 0"),
    ],
)
def test_invalid_times_raise_value_error(values, match):
    with pytest.raises(ValueError, match=f"test: .*{match}"):
        parse_times("test", values)


@pytest.mark.parametrize(
    ("unit", "value", "year"),
    [("D", 10**17, "273,790,700,700,820"), ("Y", 10**17, "100,000,000,000,000,000"), ("Y", -(2**63), "-9,223,372"),
     ("s", 9 * 10**18, "285,198,648,531"), ("us", 9 * 10**18, "287,168"), ("yyyymm", 9 * 10**16, "900,000,000,000,000"),
     ("yyyymmddhh", 9 * 10**18, "9,000,000,000,000")],
)  # fmt: skip
def test_integers_beyond_all_calendars_are_refused(unit, value, year):
    with pytest.raises(ValueError, match=f"expected a timestamp of the years -100,000 to 100,000, got the year {year}"):
        parse_times("test", [value], unit=unit)


def test_years_before_christ_are_times():
    years = parse_times("test", [-3000, -2999, 1], unit="Y").wall_clock
    assert years.astype("M8[Y]").astype(int).tolist() == [-4970, -4969, -1969]


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_zones_have_times_of_years_up_to_9999(zone):
    index = pandas.DatetimeIndex(np.array(["9000-01-01", "20000-01-01"], "M8[us]"), tz="UTC").tz_convert(zone)
    assert parse_times("test", index[:1]).zone == zone
    with pytest.raises(ValueError, match="of the years 1 to 9,999, got the year 20,000 at step 1"):
        parse_times("test", index)


def test_unit_of_integers_is_checked():
    with pytest.raises(ValueError, match=r"the unit of timestamps to be one of .*'yyyymmdd', .* got 'h'"):
        parse_times("test", [1, 2], unit="h")
    with pytest.raises(ValueError, match="expected a date as 20120301, got 20121301 at step 0"):
        parse_times("test", [20121301], unit="yyyymmdd")
    with pytest.raises(ValueError, match="integer as timestamp, in units of 's', got 'x' in line 3"):
        parse_times("test", ["1", "x"], unit="s", where=lambda step: f"in line {step + 2}")


@pytest.mark.parametrize("cell", ["2012-03-01", "2012-03-01T00:05Z", "1/3/2012", "2012Q1", "2012-03", "1 Mar 2012"])
def test_is_timestamp_is_true_for_dates(cell):
    assert is_timestamp(cell)


@pytest.mark.parametrize("cell", ["", "2012", "20120301", "1330603200", "1.5", "-3", "abc", "sensor 1", "12:30", "1e5"])
def test_is_timestamp_is_false_for_numbers_and_names(cell):
    assert not is_timestamp(cell)
