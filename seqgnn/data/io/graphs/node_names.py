"""Names of nodes: as text, from files, and matched between a graph and a time series."""

import re
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from seqgnn._utils.numbers import is_whole
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.graphs.edge_data import CALLER
from seqgnn.data.names import names_of

GraphNodes = str | PathLike[str] | Sequence[str]


def node_names(names: Iterable[Any], origin: str) -> list[str]:
    """Return distinct names as text.

    Raises:
        ValueError: if a name is missing, empty or repeated.
    """
    texts = names_of(CALLER, names, origin=origin)
    check_distinct(CALLER, texts, Path(origin), "node")
    return texts


def read_names(nodes: GraphNodes) -> tuple[list[str], str]:
    """Return names of nodes, from a file with one per line or all in one line, separated by commas; and where they are.

    Raises:
        ValueError: if the file cannot be read or has other content, or a name is repeated.
    """
    if not isinstance(nodes, str | PathLike):
        return node_names(nodes, "graph_nodes"), "graph_nodes"
    origin = fspath(nodes)
    try:
        text = Path(nodes).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{CALLER}: expected a readable file of names, got {origin}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{CALLER}: expected a text file of names, got {origin}, which is not UTF-8") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    names = [name.strip() for name in re.split("[,;\t]", lines[0])] if len(lines) == 1 else lines
    if not names or any(re.search("[,;\t]", name) for name in names):
        actual = "an empty file" if not names else f"{lines[0]!r}"
        raise ValueError(f"{CALLER}: expected one name of a node per line of {origin}, got {actual}")
    return node_names(names, origin), origin


def are_numbers(names: Sequence[str]) -> bool:
    """Return True for the names 0 to N - 1, those of nodes without names."""
    return all(name == str(i) for i, name in enumerate(names))


def whole(cell: str) -> str:
    """Return a cell such as "12.0" or "1.2e1" as a whole number, and any other cell as it is.

    Example:
        >>> whole("12.0"), whole("0012"), whole("a1")
        ('12', '0012', 'a1')
    """
    if is_whole(cell):
        return cell
    if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,2})?", cell, re.ASCII) and float(cell).is_integer():
        return str(int(float(cell)))
    return cell
