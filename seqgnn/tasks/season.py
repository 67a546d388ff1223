"""The value one season earlier, whose error on the training part is the unit of MASE."""

import numpy as np
import torch
from torch import Tensor

from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.metrics.forecasting import naive_error


def season_earlier(graph: TemporalGraph) -> tuple[Tensor, int]:
    """Return for each step the one that the baseline `seasonal` takes, one season earlier in time, -1 where there is
    none, and the number of steps of a season, see `seqgnn.data.times.TimeAxis.season`. Where there is no season, it is
    1, the step before.

    Shapes:
        steps ``[T]``.

    Example:
        >>> days = np.datetime64("2024-01-01") + np.arange(9)
        >>> graph = TemporalGraph(torch.zeros(9, 1, 1), torch.empty(2, 0, dtype=torch.long), timestamps=days)
        >>> season_earlier(graph)
        (tensor([-1, -1, -1, -1, -1, -1, -1,  0,  1]), 7)
    """
    season = None if graph.time is None else graph.time.season().steps
    if graph.time is None or season is None:
        return torch.arange(-1, len(graph) - 1), 1
    steps = np.arange(len(graph))
    return torch.from_numpy(graph.time.earlier(steps, season, steps)), season


def training_naive_error(graph: TemporalGraph, steps: range) -> tuple[Tensor, int]:
    """Return the error of the naive forecast by node and target over the steps of the training part, `[N, C]`, and the
    number of steps in its season: 1 where the training part is no longer than a season."""
    training = graph.steps(steps.start, steps.stop)
    earlier, season = season_earlier(graph)
    earlier = earlier[steps.start : steps.stop] - steps.start
    if not (earlier >= 0).any():
        earlier, season = torch.arange(-1, len(training) - 1), 1
    return naive_error(training.targets, earlier.to(training.targets.device), training.mask), season
