"""Small time series on a graph of three nodes."""

import numpy as np
import torch

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
NAN = float("nan")
SIGNAL_CSV = "time,a,b,c\n2012-03-01 00:00,1,10,0\n2012-03-01 00:05,2,,0\n2012-03-01T00:15:00,3,30,0\n"


def signal(steps=10, nodes=3, features=2):
    return torch.arange(float(steps * nodes * features)).view(steps, nodes, features)


def minutes(steps, every=5):
    return np.datetime64("2012-03-01T00:00") + every * np.arange(steps) * np.timedelta64(1, "m")


def opening_hours(days: int):
    """Return the hours from 8 to 17 o'clock of each day from Monday, 2 January 2012, as a pandas index."""
    import pandas

    index = pandas.date_range("2012-01-02", periods=24 * days, freq="h")
    return index[(index.hour >= 8) & (index.hour < 18)]
