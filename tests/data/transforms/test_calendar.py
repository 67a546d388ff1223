"""Features of the calendar, by hand."""

import numpy as np
import pytest

from seqgnn.data.transforms.calendar import calendar_features


def times(*texts):
    return np.array(texts, "datetime64[s]")


def close(found, *expected):
    assert found.tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


def test_calendar_time_of_day_is_a_fraction_of_the_day():
    found = calendar_features(times("2012-03-01", "2012-03-01T06:00", "2012-03-01T12:00"), "time-of-day")
    close(found, [0, 1], [1, 0], [0, -1])


def test_calendar_day_of_week_starts_on_monday():
    # Monday, and Thursday after three of seven days, whatever the time.
    found = calendar_features(times("2012-03-05T23:59", "2012-03-01T06:00"), ["day-of-week"])
    close(found, [0, 1], [np.sin(6 * np.pi / 7), np.cos(6 * np.pi / 7)])


def test_calendar_day_of_year_knows_leap_years():
    # 1 July is after 182 of 366 days in 2012, after 181 of 365 in 2013.
    found = calendar_features(times("2012-07-01", "2013-07-01", "2013-01-01"), ["day-of-year"])
    angles = 2 * np.pi * np.array([182 / 366, 181 / 365, 0])
    close(found, *np.stack([np.sin(angles), np.cos(angles)], axis=1).tolist())


def test_calendar_columns_follow_the_order_of_names():
    two = calendar_features(times("2012-03-01T06:00"), ["day-of-week", "time-of-day"])
    assert two.shape == (1, 4)
    close(two[:, 2:], [1, 0])
    with pytest.raises(ValueError, match="calendar: expected distinct names, got"):
        calendar_features(times("2012-03-01"), [])
