"""Positions of sensors from csv files."""

import pytest
import torch

from seqgnn.data import read_signal
from tests.support.temporal_graphs import SIGNAL_CSV


def test_read_signal_positions_are_in_order_of_sensors(write):
    path = write("index,sensor_id,latitude,longitude\n0,b,34.1,-118.2\n1,a,34.2,-118.3\n2,c,34.3,-118.4\n", "at.csv")
    expected = torch.tensor([[-118.3, 34.2], [-118.2, 34.1], [-118.4, 34.3]])
    assert torch.equal(read_signal(write(SIGNAL_CSV), positions=path).positions, expected)
    bare = write("b,34.1,-118.2\na,34.2,-118.3\nc,34.3,-118.4\n", "at.csv")
    assert torch.equal(read_signal(write(SIGNAL_CSV), positions=bare).positions, expected)
    for content, match in (
        ("id,lat\na,1\n", "expected columns sensor_id, latitude and longitude"),
        ("id,lat,lon\na,1,2\na,1,2\n", "distinct sensors, got 'a'"),
        ("id,lat,lon\na,1,2\nb,1,2\n", "a position of every sensor, got none of 'c'"),
        ("id,lat,lon\na,1,2\nb,,3\nc,1,2\n", "a position of every sensor, got an empty cell in line 3 of"),
        ("a,-118.2,34.1\nb,-118.3,34.2\nc,-118.4,34.3\n", "latitudes of -90 to 90 degrees, got -118.2 in line 1 of"),
        ("id,lat,lon\na,1,2\nb,1,9999\nc,1,2\n", "longitudes of -360 to 360 degrees, got 9999 in line 3 of"),
        ("id,lat,lon\na,north,2\n", "got 'north' in line 2, column 'latitude'"),
    ):
        with pytest.raises(ValueError, match=f"read_positions: .*{match}"):
            read_signal(write(SIGNAL_CSV), positions=write(content, "at.csv"))
