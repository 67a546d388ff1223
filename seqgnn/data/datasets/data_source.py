"""The data that an experiment reads: a data set of the catalog or a file, and how to read it."""

import hashlib
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from seqgnn.data._temporal_validation import checked_units
from seqgnn.data.datasets.spatiotemporal import load_temporal_graph
from seqgnn.data.io.table_format import TableFormat
from seqgnn.data.temporal_graph import TemporalGraph


@dataclass(frozen=True)
class DataSource(TableFormat):
    """The data that an experiment reads, and how the tables in its file are written.

    Args:
        data: name of a data set in the catalog, or path of a file (for text, also of a folder).
        graph: path of a graph file; None: the graph of the catalog, or no edges.
        graph_kind: content of the graph file: "adjacency", "edges" or "distances"; None: detected.
        missing_value: value that marks missing values, such as 0 in METR-LA and PEMS-BAY; None: only empty cells and
            NaN.
        positions: path of a CSV file with columns sensor_id, latitude and longitude, for maps; None: no maps.
        fill_gaps: whether steps are inserted where timestamps have gaps, with missing values.
        threshold: smallest weight of an edge that is calculated from a distance; None: 0.1.
        graph_nodes: path of a file with the names of the graph's nodes, one per line, in the order of the sensors or
            the names of these; None: those in the graph file.
        sensors: names of the sensors to read, in this order; None: all.
        target: name of the feature to forecast, such as speed, or its number from 0; None: the first one.
        units: units of the values, in words, e.g. miles per hour; not part of a run's identity.
    """

    data: str
    graph: str | None = None
    graph_kind: str | None = None
    missing_value: float | None = None
    positions: str | None = None
    fill_gaps: bool = False
    threshold: float | None = None
    graph_nodes: str | None = None
    sensors: tuple[str, ...] | None = None
    target: str | None = None
    units: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.sensors, list):
            object.__setattr__(self, "sensors", tuple(self.sensors))
        checked_units(self.units)

    @classmethod
    def of(cls, data: "str | os.PathLike[str] | DataSource | None") -> "DataSource | None":
        """Return the source of a name or a path; a source and None are returned as they are.

        Example:
            >>> DataSource.of("chickenpox").data
            'chickenpox'
        """
        return data if data is None or isinstance(data, DataSource) else cls(os.fspath(data))

    @property
    def path(self) -> Path:
        """Path of the file or folder."""
        return Path(self.data)

    def load(self) -> TemporalGraph:
        """Return the time series, read once per process as long as the files do not change."""
        paths = (self.data, self.graph, self.graph_nodes, self.positions)
        files = tuple((path, Path(path).stat().st_mtime_ns) for path in paths
                      if path is not None and Path(path).exists())  # fmt: skip
        return _load_cached(self, files)

    def read(self) -> TemporalGraph:
        """Return the time series, read again at each call."""
        graph = load_temporal_graph(self.data, **self.arguments())
        try:
            return graph.fill_gaps() if self.fill_gaps else graph
        except ValueError as error:
            raise ValueError(f"{error} in {self.data}") from error

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by the names of `seqgnn compare`."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) != item.default}

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of `load_temporal_graph`, without the data and whether gaps are filled."""
        table_format = TableFormat(**{item.name: getattr(self, item.name) for item in fields(TableFormat)})
        others = {"data", "fill_gaps", *vars(table_format)}
        arguments = {name: value for name, value in self.options().items() if name not in others}
        return arguments | ({"table_format": table_format} if table_format.changed() else {})

    def identity(self) -> str:
        """Return the name of the time series and a hash of its content, wherever its files are."""
        graph = self.load()
        return f"{graph.name or self.path.name} ({content_hash(graph)})"


@lru_cache(maxsize=4)
def _load_cached(source: DataSource, files: tuple[tuple[str, int], ...]) -> TemporalGraph:
    return source.read()


def content_hash(graph: TemporalGraph) -> str:
    """Return a hash of the content of a time series, which does not depend on its name."""
    digest = hashlib.sha256()
    known = None if graph.known is None or graph.known.all() else graph.known
    for part in (graph.signal, graph.targets, graph.mask, graph.edge_index, graph.edge_weight, known):
        for tensor in part if isinstance(part, tuple) else (part,):
            if tensor is not None:
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
