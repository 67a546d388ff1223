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
