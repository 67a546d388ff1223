"""A report on a time series on a graph: steps, gaps, missing values and edges."""

import numpy as np
import torch
from torch import Tensor

from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.times.calendars import one, span_in_words
from seqgnn.data.times.parse import in_words

WORST = 5
FIRST = 3


def describe_signal(graph: TemporalGraph) -> list[str]:
    """Return lines about the steps, timestamps, values and edges of a temporal graph.

    Example:
        >>> graph = TemporalGraph(torch.tensor([[[1.0], [5.0]], [[2.0], [5.0]]]), torch.tensor([[0], [1]]))
        >>> print("\\n".join(describe_signal(graph)))
        2 steps, 2 sensors, 1 feature
        no timestamps
        values from 1 to 5, nothing missing
        constant: 1
        1 edge, 0 isolated nodes, 0 self-loops, not symmetric
    """
    lines = [_shape(graph), _time(graph), _values(graph), *_other_features(graph)]
    observed = _observed(graph)
    low = graph.targets.masked_fill(~observed, torch.inf).amin((0, 2))
    high = graph.targets.masked_fill(~observed, -torch.inf).amax((0, 2))
    if len(constant := (low == high).nonzero()[:, 0]):
        lines.append(f"constant: {_listed([_name(graph, i) for i in constant.tolist()])}")
    return [*lines, _edges(graph)]


def _shape(graph: TemporalGraph) -> str:
    sensors, features = _count(graph.num_nodes, "sensor"), _count(graph.num_features, "feature")
    if graph.nodes is not None and graph.nodes != tuple(map(str, range(graph.num_nodes))):
        more = ", ..." if graph.num_nodes > FIRST else ""
        sensors = f"{sensors} ({', '.join(graph.nodes[:FIRST])}{more})"
    if graph.features is not None:
        target, *others = graph.features
        rest = f"; others: {', '.join(others)}" if others else ""
        features = f"{features} (target: {target}{rest})"
    return f"{_count(len(graph), 'step')}, {sensors}, {features}"


def _time(graph: TemporalGraph) -> str:
    axis = graph.time
    if axis is None:
        return "no timestamps"
    clock, instants = axis.times.wall_clock, axis.times.instants
    zone = "" if axis.times.offset is None else f" ({axis.times.zone or 'offsets from UTC'})"
    span = f"{axis.words}, {in_words(clock[0])} to {in_words(clock[-1])}{zone}"
    gaps = axis.gaps()
    if not len(gaps):
        return f"{span}, no gaps"
    lengths = (instants[gaps + 1] - instants[gaps]) / np.timedelta64(1, "s")
    order = np.argsort(-lengths, kind="stable")
    durations = [f"{one(span_in_words(lengths[i]))} after {in_words(clock[gaps[i]])}" for i in order]
    remedy = "`seqgnn compare forecast --fill-gaps` and TemporalGraph.fill_gaps insert the missing steps"
    return f"{span}, {_count(len(gaps), 'gap')}: {_listed(durations)}; {remedy}"


def _values(graph: TemporalGraph) -> str:
    observed = _observed(graph)
    if not observed.any():
        return "no observed values"
    values = graph.targets[observed]
    low, high = _number(values.min().item()), _number(values.max().item())
    units = "" if graph.units is None else f" {graph.units}"
    text = f"values from {low} to {high}{units}"
    missing = (~observed).double().mean((0, 2))
    if not missing.any():
        text += ", nothing missing"
    else:
        worst = [i for i in missing.argsort(descending=True, stable=True).tolist() if missing[i] > 0]
        fractions = [f"{_name(graph, i)} {missing[i].item():.1%}" for i in worst]
        text += f", missing {missing.mean().item():.1%}: {_listed(fractions)}"
    zeros = (values == 0).double().mean().item()
    return text + (f", zeros {zeros:.1%}" if zeros else "")


def _other_features(graph: TemporalGraph) -> list[str]:
    """Return a line about missing values of features other than the target, if there are any."""
    if graph.known is None:
        return []
    missing = (~graph.known).double().mean((0, 1)).tolist()
    names = map(str, range(graph.num_features)) if graph.features is None else graph.features
    fractions = [f"{name} {part:.1%}" for name, part in list(zip(names, missing))[1:] if part]
    return [f"missing in other features: {_listed(fractions)}"] if fractions else []


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"


def _edges(graph: TemporalGraph) -> str:
    if isinstance(graph.edge_index, Tensor):
        edges, weights = graph.edge_index, graph.edge_weight
        assert not isinstance(weights, tuple)
        return _graph(edges, weights, graph)
    counts = [edges.size(1) for edges in graph.edge_index]
    weights = None if graph.edge_weight is None else torch.cat(list(graph.edge_weight))
    total = _graph(torch.cat(list(graph.edge_index), dim=1), weights, graph).split(", ", 1)[1]
    return f"a graph per step with {min(counts)} to {max(counts)} edges; all steps together: {total}"


def _graph(edges: Tensor, weights: Tensor | None, graph: TemporalGraph) -> str:
    num_nodes = graph.num_nodes
    loops = edges[0] == edges[1]
    connected = edges[:, ~loops].unique()
    values = torch.ones(edges.size(1)) if weights is None else weights
    shape = (num_nodes, num_nodes)
    matrix = torch.sparse_coo_tensor(edges, values, shape, check_invariants=True).coalesce()
    transposed = torch.sparse_coo_tensor(edges.flip(0), values, shape, check_invariants=True).coalesce()
    same_edges = torch.equal(matrix.indices(), transposed.indices())
    symmetric = same_edges and torch.allclose(matrix.values(), transposed.values())
    parts = [_count(edges.size(1), "edge")]
    if weights is not None and len(weights):
        parts.append(f"weights from {weights.min().item():g} to {weights.max().item():g}")
    isolated = sorted(set(range(num_nodes)) - set(connected.tolist()))
    names = f" ({_listed([_name(graph, i) for i in isolated])})" if 0 < len(isolated) < num_nodes else ""
    parts.append(_count(len(isolated), "isolated node") + names)
    parts.append(_count(int(loops.sum()), "self-loop"))
    if not isinstance(graph.edge_index, tuple) and (repeated := edges.size(1) - edges.unique(dim=1).size(1)):
        parts.append(_count(repeated, "repeated edge"))
    if weights is not None and (negative := int((weights < 0).sum())):
        parts.append(_count(negative, "negative weight"))
    parts.append("symmetric" if symmetric else "not symmetric")
    return ", ".join(parts)


def _observed(graph: TemporalGraph) -> Tensor:
    return torch.ones_like(graph.targets, dtype=torch.bool) if graph.mask is None else graph.mask


def _name(graph: TemporalGraph, node: int) -> str:
    return str(node) if graph.nodes is None else graph.nodes[node]


def _listed(items: list[str]) -> str:
    suffix = f" and {len(items) - WORST} more" if len(items) > WORST else ""
    return ", ".join(items[:WORST]) + suffix


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
