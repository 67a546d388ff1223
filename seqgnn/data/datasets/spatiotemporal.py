"""Loaders for the time series of the catalog."""

import json
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.catalog import fetch_files
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.data.io.graphs import read_graph
from seqgnn.data.io.positions import read_positions
from seqgnn.data.io.time_series import read_signal
from seqgnn.data.temporal_graph import TemporalGraph


def load_temporal_graph(
    name: Any,
    graph: Any = None,
    *,
    folder: str | PathLike[str] | None = None,
    **options: Any,
) -> TemporalGraph:
    """Return a time series on a graph: one of the catalog, downloaded if necessary, or a custom file.

    "metr-la" and "pems-bay" are read from the user's own download of `metr-la.h5` and `pems-bay.h5`, with the graphs of
    DCRNN; zeros are missing values.

    Args:
        name: one of `SIGNALS`, or a file, folder, table or array for `read_signal`.
        graph: file or object for `read_graph`, instead of the graph of the catalog; for "metr-la-week" also
            "adj_mx.pkl", the graph of DCRNN instead of that of T-GCN.
        folder: data folder of the catalog; see `catalog.fetch_files`.
        options: options of `read_signal`; for a time series of the catalog only `graph_kind`, `graph_nodes` and
            `threshold`.

    Raises:
        ValueError: if the name is unknown or a file is invalid.
    """
    if not isinstance(name, str | PathLike):
        return read_signal(name, graph, **options)
    path = Path(name)
    if fspath(name) not in SIGNALS:
        if not path.suffix and not path.exists():
            one_of("load_temporal_graph", "name (or the path of a file)", name, SIGNALS)
        return read_signal(path, graph, **options)
    if unknown := set(options) - {"graph_kind", "graph_nodes", "threshold"}:
        names = ", ".join(sorted(unknown))
        raise ValueError(
            f"load_temporal_graph: expected only the options graph_kind, graph_nodes and threshold for {name}, got "
            f"{names}"
        )
    files = fetch_files(fspath(name), folder)
    signal = _READERS[fspath(name)](files, fspath(name))
    if graph is None:
        if options:
            raise ValueError(f"load_temporal_graph: expected a graph (--graph) with {next(iter(options))}, got none")
        return signal
    if isinstance(graph, str | PathLike):
        graph = next((file for file in files[1:] if file.name == fspath(graph)), Path(graph))
    nodes = signal.nodes or tuple(map(str, range(signal.num_nodes)))
    edges, weights = read_graph(graph, nodes, kind=options.pop("graph_kind", None), **options)
    return TemporalGraph(
        signal.signal,
        edges,
        weights,
        mask=signal.mask,
        timestamps=signal.time,
        nodes=nodes,
        positions=signal.positions,
        name=signal.name,
        units=signal.units,
    )


def _timestamps(first: str, step: np.timedelta64, count: int) -> np.ndarray:
    return np.datetime64(first, "s") + step * np.arange(count)


def _content(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if missing := [key for key in keys if key not in content]:
        raise ValueError(f"load_temporal_graph: expected {', '.join(keys)} in {path}, got no {missing[0]}")
    return content


def _edges(pairs: Any) -> torch.Tensor:
    return torch.tensor(pairs, dtype=torch.long).view(-1, 2).T.contiguous()


def _floats(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _chickenpox(files: Sequence[Path], name: str) -> TemporalGraph:
    content = _content(files[0], ("FX", "edges", "node_ids"))
    nodes = sorted(content["node_ids"], key=content["node_ids"].get)
    signal = _floats(content["FX"])[..., None]
    times = _timestamps("2005-01-10", np.timedelta64(7, "D"), len(signal))
    return TemporalGraph(
        signal, _edges(content["edges"]), timestamps=times, nodes=nodes, name=name, units=SIGNALS[name].units
    )


def _pedalme(files: Sequence[Path], name: str) -> TemporalGraph:
    content = _content(files[0], ("X", "edges", "weights"))
    return TemporalGraph(
        _floats(content["X"])[..., None],
        _edges(content["edges"]),
        _floats(content["weights"]),
        name=name,
        units=SIGNALS[name].units,
    )


def _metr_la_week(files: Sequence[Path], name: str) -> TemporalGraph:
    speeds, adjacency, _, positions = files
    series = read_signal(speeds, adjacency, name=name)
    return TemporalGraph(
        series.signal,
        series.edge_index,
        series.edge_weight,
        timestamps=_timestamps("2012-03-01", np.timedelta64(5, "m"), len(series)),
        nodes=series.nodes,
        positions=read_positions(positions, series.nodes or ()),
        name=name,
        units=SIGNALS[name].units,
    )


def _metr_la_or_pems_bay(files: Sequence[Path], name: str) -> TemporalGraph:
    speeds, adjacency, positions = files
    source = SIGNALS[name]
    graph = read_signal(speeds, adjacency, positions=positions, missing_value=0, name=name, units=source.units)
    if (len(graph), graph.num_nodes) != (source.steps, source.nodes):
        raise ValueError(
            f"load_temporal_graph: expected {source.steps} steps x {source.nodes} sensors, as published, in {speeds}, "
            f"got {len(graph)} x {graph.num_nodes}; read a part of them by its path"
        )
    return graph


def _england_covid(files: Sequence[Path], name: str) -> TemporalGraph:
    content = _content(files[0], ("y", "edge_mapping", "time_periods"))
    signal = _floats(content["y"])[..., None]
    graphs = content["edge_mapping"]
    days = [str(day) for day in range(len(signal))]  # the file has them in no order
    return TemporalGraph(
        signal,
        [_edges(graphs["edge_index"][day]) for day in days],
        [_floats(graphs["edge_weight"][day]) for day in days],
        timestamps=_timestamps("2020-03-13", np.timedelta64(1, "D"), len(signal)),
        name=name,
        units=SIGNALS[name].units,
    )


def _montevideo_bus(files: Sequence[Path], name: str) -> TemporalGraph:
    content = _content(files[0], ("nodes", "links"))
    stops = content["nodes"]
    indices = {stop["bus_stop"]: i for i, stop in enumerate(stops)}
    signal = _floats([stop["y"] for stop in stops]).T.contiguous()[..., None]
    return TemporalGraph(
        signal,
        _edges([(indices[link["source"]], indices[link["target"]]) for link in content["links"]]),
        _floats([link["weight"] for link in content["links"]]),
        timestamps=_timestamps("2020-10-01", np.timedelta64(1, "h"), len(signal)),
        nodes=[str(stop["bus_stop"]) for stop in stops],
        positions=_floats([(stop["lon"], stop["lat"]) for stop in stops]),
        name=name,
        units=SIGNALS[name].units,
    )


_READERS: dict[str, Callable[[Sequence[Path], str], TemporalGraph]] = {
    "chickenpox": _chickenpox,
    "pedalme": _pedalme,
    "metr-la-week": _metr_la_week,
    "metr-la": _metr_la_or_pems_bay,
    "pems-bay": _metr_la_or_pems_bay,
    "england-covid": _england_covid,
    "montevideo-bus": _montevideo_bus,
}
