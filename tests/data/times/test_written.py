"""Timestamps as people and loggers write them, against pandas with the format given."""

import numpy as np
import pandas
import pyarrow
import pytest

from seqgnn.data.times import is_timestamp, parse_times
from seqgnn.data.times.written import in_iso

HALF_HOURS = pandas.date_range("2012-02-28 11:30", periods=60, freq="30min")
MINUTES = "datetime64[m]"


@pytest.mark.parametrize(
    "written",
    [
        "%m/%d/%Y %I:%M:%S %p",
        "%d.%m.%Y %H:%M",
        "%d.%m.%Y, %H:%M",
        "%Y.%m.%d %H:%M",
        "%b %d, %Y %I:%M %p",
        "%B %d %Y %H:%M:%S",
        "%d-%b-%Y %H:%M:%S",
        "%a %b %d %H:%M:%S %Y",
        "%A, %d %B %Y %H:%M",
        "%H:%M %Y-%m-%d",
        "%I:%M %p %m/%d/%Y",
        "%a %d/%m/%Y %H:%M",
        "%Y-%m-%dT%H:%M:%S,000",
        "%Y%m%d%H%M",
        "%Y%m%d%H%M%S",
        "%Y%m%d%H%M00",
    ],
)
def test_written_times_are_those_of_their_format(written):
    times = parse_times("test", HALF_HOURS.strftime(written).tolist())
    assert times.offset is None
    np.testing.assert_array_equal(times.wall_clock, HALF_HOURS.values)


@pytest.mark.parametrize(
    "written, instant",
    [
        ("3/13/2012 10:00:00 PM -08:00", "2012-03-14T06:00"),
        ("Mar 13, 2012 10:00 PM +0100", "2012-03-13T21:00"),
        ("Tue, 13 Mar 2012 22:00:00 GMT", "2012-03-13T22:00"),
        ("Tue Mar 13 2012 22:00:00 GMT+0100 (CET)", "2012-03-13T21:00"),
        ("2012-03-13 22:00 UTC+1", "2012-03-13T21:00"),
        ("2012-03-13 22:00:00.000Z", "2012-03-13T22:00"),
    ],
)
def test_offsets_follow_every_form_of_time(written, instant):
    times = parse_times("test", [written])
    assert times.wall_clock.astype(MINUTES).astype(str).tolist() == ["2012-03-13T22:00"]
    assert times.instants.astype(MINUTES).astype(str).tolist() == [instant]


def test_midnight_is_also_the_end_of_a_day():
    cells = ["31.12.2012 23:00", "31.12.2012 24:00", "01.01.2013 01:00"]
    expected = pandas.date_range("2012-12-31 23:00", periods=3, freq="h").values
    np.testing.assert_array_equal(parse_times("test", cells, day_first=True).wall_clock, expected)
    np.testing.assert_array_equal(parse_times("test", ["2012-12-31T24:00:00"]).wall_clock, expected[1:2])


@pytest.mark.parametrize(
    "cells",
    [
        ["1 2 2012 10:00"],
        ["2012-03-01 13:05 PM"],
        ["2012-03-01 10:00+25:00"],
        ["2012-03-01 10:00+01:60"],
        ["2012-03-01 24:30"],
        ["1 Room 2012 10:00"],
        ["2012-03-01-08:00"],
    ],
)
def test_text_that_is_not_certain_is_refused(cells):
    with pytest.raises(ValueError, match=r"test: expected a timestamp as 2012-03-01 00:05, got '.*' at step 0"):
        parse_times("test", cells)
    assert not is_timestamp(cells[0])


@pytest.mark.parametrize("cell", ["00:05 1/3/2012", "Thu 1/3/2012 10:00", "1/3/2012 1:00 PM"])
def test_order_of_day_and_month_is_asked_for_in_every_form(cell):
    with pytest.raises(ValueError, match="day and month are certain, got '1/3/2012'"):
        parse_times("test", [cell])


def test_offset_in_some_lines_is_refused_with_both_lines():
    with pytest.raises(ValueError, match=r"expected an offset .*, got one at step 1 and none at step 0"):
        parse_times("test", ["2012-03-01 00:05", "2012-03-01 00:10Z"])


def test_hours_written_as_integers_are_no_seconds():
    hours = pandas.date_range("2012-03-01", periods=50, freq="h")
    integers = hours.strftime("%Y%m%d%H").astype("int64")
    np.testing.assert_array_equal(parse_times("test", integers).wall_clock, hours.values)
    seconds = pandas.date_range("2033-10-04 09:15", periods=50, freq="h")
    values = seconds.values.astype("datetime64[s]").astype("int64")
    np.testing.assert_array_equal(parse_times("test", values).wall_clock, seconds.values)


@pytest.mark.parametrize(
    "unit, integer, expected",
    [
        ("yyyymm", 201203, "2012-03-01"),
        ("yyyymmddhh", 2012030124, "2012-03-02"),
        ("yyyymmddhhmm", 197003010005, "1970-03-01T00:05"),
    ],
)
def test_named_unit_of_written_integers(unit, integer, expected):
    assert parse_times("test", [integer], unit=unit).wall_clock[0] == np.datetime64(expected)
    invalid = int(str(integer)[:4] + "13" + str(integer)[6:])
    with pytest.raises(
        ValueError, match=f"expected a date as {'20120301000000'[: len(unit)]}, got {invalid} at step 0"
    ):
        parse_times("test", [invalid], unit=unit)


def test_fractions_in_text_are_seconds():
    times = parse_times("test", ["1330588800.5", "1.330588801e9"])
    assert times.wall_clock.astype(str).tolist() == ["2012-03-01T08:00:00.500", "2012-03-01T08:00:01.000"]


def test_arrays_of_pyarrow_keep_their_zone():
    index = pandas.date_range("2012-03-01 08:00", periods=3, freq="h", tz="America/Los_Angeles")
    array = pyarrow.array(pandas.Series(index))
    for values in (array, pyarrow.chunked_array([array])):
        times = parse_times("test", values)
        np.testing.assert_array_equal(times.wall_clock, index.tz_localize(None).values)
        assert times.zone == "America/Los_Angeles"


def test_periods_in_a_list_are_at_their_start():
    periods = pandas.period_range("2012-01", periods=3, freq="M")
    np.testing.assert_array_equal(parse_times("test", list(periods)).wall_clock, periods.to_timestamp().values)


def test_text_instead_of_a_list_is_refused():
    with pytest.raises(ValueError, match="expected timestamps as a list or array, got '2012-03-01'"):
        parse_times("test", "2012-03-01")


@pytest.mark.parametrize("text", ["abc", "Marx 1 2012", "3/2012", ""])
def test_other_text_is_not_rewritten(text):
    assert in_iso(text) == text
