"""Edges of a graph matched with the nodes of a time series, by name or, where there are no names, by position."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from seqgnn.data.io.graphs.edge_data import CALLER, EdgeData
from seqgnn.data.io.graphs.node_names import are_numbers, whole
from seqgnn.data.io.graphs.notes import Notes

REMEDY = "pass graph_nodes (--graph-nodes)"


@dataclass(frozen=True)
class Nodes:
    """The nodes of a time series, and what is known about those of its graph.

    Attributes:
        series: names of the nodes of the time series.
        among: names of all nodes of its file, of which the series may have a part.
        listed: names given by the user, to which the graph is restricted; None: not given.
        source: where they are listed.
    """

    series: Sequence[str]
    among: Sequence[str]
    listed: Sequence[str] | None = None
    source: str = ""

    @cached_property
    def expected(self) -> Sequence[str]:
        """Names of the nodes that the graph may have, in the order of their positions."""
        return self.among if self.listed is None else self.listed

    @property
    def text(self) -> str:
        """These nodes in words."""
        where = "of the signal" if self.listed is None else f"of {self.source}"
        return f"the {len(self.expected)} nodes {where}"


def match(data: EdgeData, nodes: Nodes, notes: Notes) -> tuple[EdgeData, Sequence[str]]:
    """Return edges whose indices are positions in the names that are returned with them.

    Raises:
        ValueError: if a node is unknown, or positions might begin at 1.
    """
    if data.pairs is not None:
        return _match_list(data, data.pairs, nodes, notes)
    if data.names is not None:
        return _match_named(data, data.names, nodes, notes)
    names = nodes.expected
    if data.size is not None and data.size != len(names):
        if nodes.listed is not None or data.size != len(nodes.series):
            shape = f"{data.size} x {data.size}"
            raise ValueError(f"{CALLER}: expected a matrix between {nodes.text}, got {shape} in {data.origin}")
        names = nodes.series
    _check_positions(data, names, nodes)
    return data, names


def positions_of(names: Sequence[str], nodes: Nodes, origin: str, notes: Notes) -> np.ndarray:
    """Return the position in the time series of each node of the graph, -1 for nodes that it does not have.

    Raises:
        ValueError: if a node of the time series is not in the graph.
    """
    positions = {name: i for i, name in enumerate(names)}
    missing = [node for node in nodes.series if node not in positions]
    found = np.full(len(names), -1)
    if not missing:
        found[[positions[node] for node in nodes.series]] = np.arange(len(nodes.series))
    elif (
        nodes.listed is not None
        and len(names) == len(nodes.series)
        and (len(missing) == len(names) or are_numbers(nodes.series))
    ):
        notes.add(f"{nodes.source}: the names of the nodes of the time series, in order")
        found = np.arange(len(names))
    else:
        remedy = ""
        if are_numbers(nodes.series) and nodes.listed is None:
            remedy = f"; the time series has no names: {REMEDY} with those of its columns, in order"
        where = origin if nodes.listed is None else nodes.source
        actual = f"none called {missing[0]!r}{remedy}"
        raise ValueError(f"{CALLER}: expected the nodes of the signal in {where}, got {actual}")
    if dropped := int((found < 0).sum()):
        notes.add(f"{dropped} of {len(names)} nodes are not in the time series and are left out")
    return found


def _match_named(data: EdgeData, names: Sequence[str], nodes: Nodes, notes: Notes) -> tuple[EdgeData, Sequence[str]]:
    """Return the edges between the nodes that the user listed, in that order, or else all."""
    assert data.indices is not None
    if nodes.listed is None:
        return data, names
    positions = {name: i for i, name in enumerate(nodes.listed)}
    if missing := [name for name in nodes.listed if name not in names]:
        raise ValueError(f"{CALLER}: expected the nodes of {nodes.source} in {data.origin}, got none of {missing[0]!r}")
    renumbered = np.array([positions.get(name, -1) for name in names])[data.indices]
    is_listed = (renumbered >= 0).all(0)
    if not is_listed.all():
        notes.add(f"{(~is_listed).sum()} of {len(is_listed)} edges have nodes that are not in {nodes.source}")
    return replace(data, indices=renumbered).select(is_listed), nodes.listed


def _match_list(
    data: EdgeData, pairs: Sequence[Sequence[str]], nodes: Nodes, notes: Notes
) -> tuple[EdgeData, Sequence[str]]:
    names = nodes.expected
    positions = {name: i for i, name in enumerate(names)}
    cells = {cell for pair in pairs for cell in pair}
    by_name = any(cell in positions or whole(cell) in positions for cell in cells)
    if not by_name:
        positions = {str(i): i for i in range(len(names))}
    of_cell = {cell: positions.get(cell, positions.get(whole(cell), -1)) for cell in cells}
    indices = np.array([[of_cell[cell] for cell in pair] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    numbered = not by_name or are_numbers(names)
    unknown = indices < 0
    if unknown.any() and (numbered or nodes.listed is None):
        edge, end = np.argwhere(unknown)[0].tolist()
        remedy = _remedy(list(map(whole, cells)), names, numbered, nodes)
        raise ValueError(
            f"{CALLER}: expected edges between {nodes.text}, got {pairs[edge][end]!r} in {data.location(edge)}{remedy}"
        )
    if numbered and nodes.listed is None and len(indices) and indices.min() > 0:
        _check_first_number(data, names, by_name, notes)
    if not by_name:
        notes.add(f"{data.origin}: nodes are numbered from 0: 0 is {names[0]!r}, {len(names) - 1} is {names[-1]!r}")
    matched = replace(data, pairs=None, indices=indices.T)
    if unknown.any():
        known = np.flatnonzero(~unknown.any(axis=1))
        dropped = len(unknown) - len(known)
        notes.add(f"{data.origin}: {dropped} of {len(unknown)} edges have nodes that are not in {nodes.source}")
        matched = matched.select(known)
    return matched, names


def _check_first_number(data: EdgeData, names: Sequence[str], by_name: bool, notes: Notes) -> None:
    """Refuse, or if the nodes have these numbers as names warn of, a list without a node 0, which might begin at 1."""
    text = f"no edge has node 0, so that its numbers might begin at 1; if so, {REMEDY} with the numbers in order"
    if by_name:
        notes.warn(f"{data.origin}: {text}")
    else:
        raise ValueError(f"{CALLER}: expected names of nodes or numbers from 0 in {data.origin}, got {text}")


def _remedy(cells: list[str], names: Sequence[str], numbered: bool, nodes: Nodes) -> str:
    """Return what to do about an unknown node."""
    present = set(cells)
    if numbered and str(len(names)) in present and "0" not in present:
        one, last = names[0], names[-1]
        return (
            f"; numbers begin at 0 ({one!r}) and end at {len(names) - 1} ({last!r}): if these begin at 1, {REMEDY} "
            f"with the numbers of the columns, 1 to {len(names)}"
        )
    if nodes.listed is None:
        return f"; {REMEDY} with the nodes of the graph, to leave out all others"
    return ""


def _check_positions(data: EdgeData, names: Sequence[str], nodes: Nodes) -> None:
    indices = data.indices
    assert indices is not None
    invalid = (indices < 0) | (indices >= len(names))
    if not invalid.any():
        return
    end, edge = np.argwhere(invalid)[0].tolist()
    remedy = ""
    if indices.min() == 1 and indices.max() == len(names):
        remedy = "; if they begin at 1, subtract 1"
    raise ValueError(
        f"{CALLER}: expected edges between {nodes.text}, numbered from 0, got {indices[end, edge]} in "
        f"{data.location(edge)}{remedy}"
    )
