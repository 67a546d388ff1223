"""The content of a file of time series, as each reader returns it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from torch import Tensor

CALLER = "read_signal"
FilePath = str | PathLike[str]


@dataclass
class Columns:
    """The content of a file of time series.

    Attributes:
        values: numbers `[T, N]` or `[T, N, F]`, NaN where missing.
        nodes: names of the N sensors; None: the file has none.
        timestamps: times of the T steps as the file has them: cells, an array, an index of pandas; None: none.
        features: names of the F features; None: the file has none.
        where: returns the location of a step in words, such as "line 3, column 1 of my.csv", for errors in timestamps;
            None: unknown.
        graph: returns edges and weights between all nodes, for a kind and a threshold as in `read_graph`; None: the
            file has no graph.
        positions: longitude and latitude of the nodes, `[N, 2]`; None: the file has none.
        unit: unit of integer timestamps, see :func:`seqgnn.data.times.parse_times`; None: unknown.
        doubt: error message about a column that may be no sensor, unless the sensors to read are named; None: none.
        missing_value: value of the first feature that means missing, as the file says; None: it says none.
    """

    values: np.ndarray
    nodes: Sequence[str] | None = None
    timestamps: Any = None
    features: Sequence[str] | None = None
    where: Callable[[int], str] | None = None
    graph: Callable[[str | None, float], tuple[Tensor, Tensor]] | None = None
    positions: np.ndarray | None = None
    missing_value: float | None = None
    unit: str | None = None
    doubt: str | None = None
