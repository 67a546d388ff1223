"""Graphs in tables of text: matrices and lists of edges."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgnn._utils.numbers import LARGEST, is_plain, parse_number
from seqgnn.data.io.csv_tables import check_distinct, numbers
from seqgnn.data.io.graphs.edge_data import CALLER, DISTANCES, WEIGHTS, EdgeData, from_dense
from seqgnn.data.io.graphs.matching import Nodes
from seqgnn.data.io.graphs.node_names import whole
from seqgnn.data.io.graphs.notes import Notes

SOURCES = {"from", "source", "src", "start", "origin", "from_node", "origin_id", "source_id", "node1", "u"}
TARGETS = {"to", "target", "dst", "end", "destination", "to_node", "destination_id", "target_id", "node2", "v"}
Rows = list[list[str]]


def from_table(rows: Rows, path: str, nodes: Nodes, kind: str | None) -> EdgeData:
    """Return the edges of a table: a matrix, or a list of from, to and optionally a value.

    Raises:
        ValueError: if it may be either, or is neither.
    """
    columns = _columns(rows[0], path, kind)
    if columns is None and (kind is None or kind == "distances"):
        lines, width = len(rows), len(rows[0])
        is_list, is_matrix = _may_be_list(rows, nodes), _may_be_matrix(rows, nodes)
        if kind == "distances" and width == 2:  # from,to without distances
            is_list = False
        is_either = is_list and is_matrix and (kind is not None or not _agree(rows, path, nodes))
        if is_either and width == 2:
            Notes(CALLER).warn(f"{path}: taken as a list of edges; for a matrix, pass kind='adjacency' (--graph-kind)")
        elif is_either:
            remedy = "pass kind='edges' or kind='adjacency' (--graph-kind)"
            if kind == "distances":
                remedy = "begin it with a line from,to,distance or with the names of the nodes"
            raise ValueError(
                f"{CALLER}: expected a list of edges or a matrix, got {lines} lines of {width} values in {path}, which "
                f"may be either; {remedy}"
            )
        if not is_list and (is_matrix or _has_shape_of_matrix(rows, nodes)):
            return _matrix(rows, path, kind)
    elif kind == "adjacency":
        if columns is not None:
            actual = f"a list with the columns {', '.join(rows[0])} in {path}"
            raise ValueError(f"{CALLER}: expected a matrix, got {actual}; pass kind='edges' or kind='distances'")
        return _matrix(rows, path, kind)
    return _list(rows, path, nodes, columns)


def _agree(rows: Rows, path: str, nodes: Nodes) -> bool:
    """Return True if a table is the same graph as a list and as a matrix."""
    edges, entries = _list(rows, path, nodes, None), _matrix(rows, path, None)
    assert edges.pairs is not None and entries.indices is not None and entries.values is not None
    values = np.ones(len(edges.pairs)) if edges.values is None else edges.values
    listed = {(whole(source), whole(target), value) for (source, target), value in zip(edges.pairs, values)}
    stored = {(str(i), str(j), value) for i, j, value in zip(*entries.indices.tolist(), entries.values)}
    return entries.names is None and listed == stored


def _columns(header: Sequence[str], path: str, kind: str | None) -> list[int] | None:
    """Return the columns of source, target and, if there is one, of the value, by a header; None if it has no such
    names.

    Raises:
        ValueError: if there are several values of the kind.
    """
    names = [cell.lower() for cell in header]
    ends = [next((i for i, name in enumerate(names) if name in known), None) for known in (SOURCES, TARGETS)]
    if None in ends:
        return None
    columns = [end for end in ends if end is not None]
    others = [i for i in range(len(names)) if i not in columns]
    if others != [2]:  # a single column after the others is the value, whatever its name
        others = [i for i in others if names[i] in DISTANCES | WEIGHTS]
    if len(others) > 1 and kind in ("edges", "distances"):
        others = [i for i in others if names[i] in (WEIGHTS if kind == "edges" else DISTANCES)]
    if len(others) > 1 and kind != "adjacency":
        actual = f"{', '.join(header[i] for i in others)} in {path}; see kind (--graph-kind)"
        raise ValueError(f"{CALLER}: expected one column of weights or distances, got {actual}")
    return [*columns, *others]


def _list(rows: Rows, path: str, nodes: Nodes, columns: list[int] | None) -> EdgeData:
    header = 1
    if columns is None:
        if len(rows[0]) not in (2, 3):
            actual = f"{len(rows)} lines of {len(rows[0])} values in {path}"
            raise ValueError(f"{CALLER}: expected lines from,to or from,to,weight, or a square matrix, got {actual}")
        columns = list(range(len(rows[0])))
        header = int(_is_header(rows[0], nodes))
    body = rows[header:]
    if not body:
        raise ValueError(f"{CALLER}: expected edges between {nodes.text}, got none in {path}")
    source, target, *value = columns
    values = heading = None
    if value:
        heading = rows[0][value[0]] if header else None
        name = str(value[0] + 1) if heading is None else heading
        values = _numbers([row[value[0]] for row in body], name, path, 1 + header)
    pairs = [(row[source], row[target]) for row in body]
    return EdgeData(path, pairs, values=values, heading=heading, place=lambda edge: f"line {edge + 1 + header}")


def _numbers(cells: Sequence[str], name: str, path: str, first_line: int) -> np.ndarray:
    """Return a column of numbers, NaN where a cell is empty."""
    try:
        if not is_plain("".join(cells)):
            raise ValueError
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        values = np.array([np.inf])
    if (np.abs(values) > LARGEST).any():  # or not a number, which is found cell by cell
        return numbers(CALLER, [[cell] for cell in cells], [name], Path(path), first_line)[:, 0]
    return values


def _is_header(row: Sequence[str], nodes: Nodes) -> bool:
    """Return True if the first line of a list is a header, not an edge, which might be between unknown nodes."""
    if any(cell in nodes.expected or _is_number(cell) for cell in row[:2]):
        return False
    return row[0].lower() in SOURCES or (len(row) == 3 and not _is_number(row[2]))


def _may_be_list(rows: Rows, nodes: Nodes) -> bool:
    if len(rows[0]) not in (2, 3):
        return False
    known = set(nodes.expected)
    body = rows[_is_header(rows[0], nodes) :]
    if not any(cell in known and not _is_number(cell) for row in body for cell in row[:2]):
        known |= {str(i) for i in range(len(known) + 1)}  # also of nodes that are numbered from 1
    pairs = {(row[0], row[1]): row[2:] for row in body}
    return len(body) > 0 and all(
        all(whole(cell) in known for cell in row[:2])
        and all(_is_number(cell) for cell in row[2:])
        and pairs[row[0], row[1]] == row[2:]
        for row in body
    )


def _may_be_matrix(rows: Rows, nodes: Nodes) -> bool:
    try:
        names, cells = _parts(rows, "")
    except ValueError:
        return False
    if names is None:
        fits = len(cells) == len(cells[0]) and len(cells) in (len(nodes.expected), len(nodes.series))
    else:
        fits = set(nodes.expected) <= set(names) or set(nodes.series) <= set(names)
    return fits and all(_is_number(cell) or not cell for row in cells for cell in row)


def _has_shape_of_matrix(rows: Rows, nodes: Nodes) -> bool:
    """Return True for a table that is reported as a matrix if it cannot be read."""
    width = len(rows[0])
    return width > 3 or (width == len(nodes.expected) <= len(rows) <= width + 1 and not _is_header(rows[0], nodes))


def _matrix(rows: Rows, path: str, kind: str | None) -> EdgeData:
    names, cells = _parts(rows, path)
    columns = [str(column) for column in range(1, len(cells[0]) + 1)]
    first_line = 1 + (len(rows) - len(cells))
    return from_dense(numbers(CALLER, cells, columns, Path(path), first_line), path, kind, names)


def _parts(rows: Rows, path: str) -> tuple[list[str] | None, Rows]:
    """Return the names of a matrix, if it has any, and its cells with rows in the order of columns."""
    height, width = len(rows), len(rows[0])
    if height == width and height > 1 and not _is_number(rows[0][0]):  # names above and on the left
        names, row_names = rows[0][1:], [row[0] for row in rows[1:]]
        cells = [row[1:] for row in rows[1:]]
    elif height == width + 1:  # names above
        names, row_names, cells = rows[0], rows[0], rows[1:]
    elif width == height + 1 and not any(_is_number(row[0]) for row in rows):  # names on the left
        names = row_names = [row[0] for row in rows]
        cells = [row[1:] for row in rows]
    else:
        return None, rows
    for labels in (names, row_names):
        check_distinct(CALLER, labels, Path(path), "node")
    if names == row_names:
        return names, cells
    by_name = dict(zip(row_names, cells))
    if missing := [name for name in names if name not in by_name]:
        raise ValueError(
            f"{CALLER}: expected a row for every column of the matrix in {path}, got none called {missing[0]!r}"
        )
    return names, [by_name[name] for name in names]


def _is_number(cell: str) -> bool:
    return parse_number(cell) is not None
