import numpy as np
import pandas
import pytest

from seqgnn.data import read_signal

HEADER = """# Dataset Information
# a comment
#
@relation Tiny
@attribute series_name string
@attribute start_timestamp date
@frequency {frequency}
@horizon 2
@missing true
@equallength false
@data
"""


@pytest.fixture
def read(write):
    def read(frequency, *lines, header=HEADER):
        return read_signal(write(header.format(frequency=frequency) + "\n".join(lines) + "\n", "tiny.tsf"))

    return read


def values(graph):
    """Returns the values with NaN where they are not observed."""
    signal = graph.signal[..., 0].numpy().astype(np.float64)
    return signal if graph.mask is None else np.where(graph.mask[..., 0].numpy(), signal, np.nan)


@pytest.mark.parametrize(
    ("frequency", "start", "offset"),
    [
        ("4_seconds", "2019-08-01 00-00-03", "4s"),
        ("minutely", "2019-12-31 23-57-00", "min"),
        ("10_minutes", "2020-01-01 00-00-00", "10min"),
        ("half_hourly", "2012-10-13 00-30-00", "30min"),
        ("hourly", "2015-07-01 12-00-00", "h"),
        ("daily", "2016-02-27 00-00-00", "D"),
        ("weekly", "2012-01-03 00-00-00", "7D"),
        ("monthly", "1999-11-01 00-00-00", "MS"),
        ("monthly", "2000-01-31 00-00-00", "ME"),
        ("monthly", "2000-01-15 12-00-00", pandas.DateOffset(months=1)),
        ("quarterly", "1999-10-01 00-00-00", "QS"),
        ("quarterly", "1999-12-31 00-00-00", "QE"),
        ("half_yearly", "1999-07-01 00-00-00", pandas.DateOffset(months=6)),
        ("yearly", "1979-01-01 12-00-00", "YS"),
        ("yearly", "1979-06-30 00-00-00", pandas.offsets.YearEnd(month=6)),
    ],
)
def test_read_tsf_frequency_gives_the_times_of_pandas(read, frequency, start, offset):
    graph = read(frequency, f"T1:{start}:1,2,3,4,5,6")
    first = pandas.to_datetime(start, format="%Y-%m-%d %H-%M-%S")
    expected = pandas.date_range(first, periods=6, freq=offset)
    assert graph.timestamps.astype("datetime64[s]").tolist() == expected.to_pydatetime().tolist()
    assert graph.nodes == ("T1",) and graph.mask is None and graph.name == "tiny"
    assert graph.signal.flatten().tolist() == [1, 2, 3, 4, 5, 6]


def test_read_tsf_missing_values_are_masked(read):
    graph = read("daily", "T1:2020-01-01 00-00-00:1.5,?,3,-4e2", "T2:2020-01-01 00-00-00:10,20,?,NaN")
    np.testing.assert_array_equal(values(graph), [[1.5, 10], [np.nan, 20], [3, np.nan], [-400, np.nan]])
    assert graph.nodes == ("T1", "T2")


def test_read_tsf_series_stand_at_their_own_times(read):
    graph = read(
        "hourly",
        "late:2020-02-28 23-00-00:1,2,3,4",
        "early:2020-02-28 21-00-00:10,20,30",
        "short:2020-02-29 00-00-00:7",
    )
    series = {
        "late": pandas.Series([1, 2, 3, 4], pandas.date_range("2020-02-28 23:00", periods=4, freq="h")),
        "early": pandas.Series([10, 20, 30], pandas.date_range("2020-02-28 21:00", periods=3, freq="h")),
        "short": pandas.Series([7], pandas.date_range("2020-02-29", periods=1, freq="h")),
    }
    expected = pandas.DataFrame(series).asfreq("h")
    np.testing.assert_array_equal(values(graph), expected.to_numpy())
    assert graph.nodes == ("late", "early", "short")
    assert graph.timestamps.astype("datetime64[s]").tolist() == expected.index.to_pydatetime().tolist()


def test_read_tsf_spans_without_overlap_leave_a_gap_missing(read):
    graph = read("yearly", "a:1990-01-01 00-00-00:1,2", "b:1995-01-01 00-00-00:5")
    assert [str(time)[:4] for time in graph.timestamps] == ["1990", "1991", "1992", "1993", "1994", "1995"]
    assert np.isnan(values(graph)[2:5]).all() and values(graph)[5].tolist()[1] == 5


def test_read_tsf_other_attributes_and_orders_are_allowed(read, write):
    header = "@relation x\n@attribute start_timestamp date\n@attribute id numeric\n@attribute state string\n"
    lines = ["2002-01-01 00-00-00:7:NSW:100.5,200", "2002-01-01 00-00-00:8:VIC:300,400"]
    graph = read("half_hourly", *lines, header=header + "@frequency {frequency}\n@data\n")
    assert graph.nodes == ("7", "8") and graph.signal[..., 0].tolist() == [[100.5, 300], [200, 400]]
    latin = "# Préparé\n@attribute series_name string\n@data\nÉté:1,2\n".encode("cp1252")
    graph = read_signal(write(latin, "latin.tsf"))
    assert graph.nodes == ("Été",) and graph.timestamps is None
    unnamed = read_signal(write("@data\r\n1,2,3\r\n4,5,6\r\n\r\n", "unnamed.tsf"))
    assert unnamed.nodes == ("0", "1") and unnamed.signal[..., 0].tolist() == [[1, 4], [2, 5], [3, 6]]


NO_DATE = "@attribute series_name string\n@frequency {frequency}\n@data\n"


@pytest.mark.parametrize(
    ("header", "lines", "match"),
    [
        (NO_DATE, ["a:1,2", "b:1,2,3"], "series of one length, or .*, got 2 values of 'a' and 3 of 'b' in line 5"),
        (HEADER, ["a:2020-01-01 00-00-00:1", "a:2020-01-01 00-00-00:2"], "distinct sensors, got 'a' as number 1 and 2"),
        (HEADER, ["a:2020-01-01 00-00-00:1,x,3"], "a number or [?], got 'x' as value 2 of series 'a' in line 12"),
        (HEADER, ["a:2020-01-01 00-00-00:"], "values of series 'a', got none in line 12"),
        (HEADER, ["a:01/02/2020:1,2"], "a start time as 2012-03-01 00-05-00, got '01/02/2020' in line 12"),
        (HEADER, ["a:now:1,2"], "a start time as 2012-03-01 00-05-00, got 'now' in line 12"),
        (HEADER, ["a:999999999-01-01 00-00-00:1,2"], "a start time as .*, got '999999999-01-01 00-00-00' in line 12"),
        (HEADER, ["a:1,2"], "series_name:start_timestamp:values, got 2 parts in line 12"),
        (HEADER, [], "series after a line @data, got none"),
        ("@attribute x string y\n@data\n", ["a:1"], "@attribute NAME TYPE, .*got '@attribute x string y' in line 1"),
        ("@attribute x date\n@attribute y date\n@data\n", ["a:1"], "one attribute of type date, got x, y"),
        ("@attribute series_name string\n", ["a:1,2"], "@data before the series, got 'a:1,2' in line 2"),
        (
            "@attribute s string\n@attribute t date\n@data\n",
            ["a:2020-01-01 00-00-00:1"],
            "a line @frequency, such as .*got none in .*; add it",
        ),
    ],
)  # fmt: skip
def test_read_tsf_invalid_files_are_refused_by_line(read, header, lines, match):
    with pytest.raises(ValueError, match=f"read_signal: expected {match}") as error:
        read("daily", *lines, header=header)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frequency", "second", "match"),
    [
        ("fortnightly", "2020-01-01 00-00-00", "@frequency in words, such as .*, got 'fortnightly'"),
        ("half_hourly", "2020-01-01 00-10-00", "start times that fit the frequency half_hourly, .* of 'b' in line 13"),
        ("weekly", "2020-01-09 00-00-00", "got 2020-01-01T00:00:00 of 'a' and 2020-01-09T00:00:00 of 'b'"),
        ("monthly", "2020-02-02 00-00-00", "series without common steps need files of their own"),
        ("monthly", "2020-02-01 06-00-00", "series without common steps"),
        ("quarterly", "2020-02-01 00-00-00", "series without common steps"),
    ],
)
def test_read_tsf_starts_between_steps_are_refused(read, frequency, second, match):
    with pytest.raises(ValueError, match=match):
        read(frequency, "a:2020-01-01 00-00-00:1,2", f"b:{second}:3,4")


@pytest.mark.parametrize(
    ("frequency", "first", "second", "match"),
    [
        ("secondly", "1000-01-01 00-00-00", "9999-01-05 00-00-00",
         "start times that are near each other, got 'a' at 1000-01-01 00:00 and 'b' at 9999-01-05 00:00 in line 13 of"
         " .*tiny.tsf, which are 283,981,334,402 steps of the frequency secondly"),
        ("secondly", "1980-01-01 00-00-00", "2019-01-05 00-00-00", "which are 1,231,113,602 steps"),
        ("999999999_yearly", "2020-01-01 00-00-00", "2020-01-01 00-00-00",
         "the years -100,000 to 100,000, got the year 1,000,002,019 at step 1 of .*tiny.tsf"),
        ("999999999_weekly", "2020-01-01 00-00-00", "2020-01-01 00-00-00", "the years .* at step 1 of .*tiny.tsf"),
    ],
)  # fmt: skip
def test_read_tsf_calendars_that_nothing_holds_are_refused(read, frequency, first, second, match):
    with pytest.raises(ValueError, match=f"read_signal: expected .*{match}"):
        read(frequency, f"a:{first}:1,2", f"b:{second}:3,4")
