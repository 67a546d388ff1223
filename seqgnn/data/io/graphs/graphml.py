"""Graphs in GraphML files."""

from pathlib import Path
from typing import Any
from xml.parsers import expat

from seqgnn._utils.numbers import is_plain
from seqgnn.data.io.graphs.edge_data import CALLER, EdgeData
from seqgnn.data.io.graphs.matching import Nodes
from seqgnn.data.io.graphs.objects import from_networkx

NUMBERS = {"int", "integer", "long", "float", "double"}


def read_graphml(path: Path, nodes: Nodes, kind: str | None) -> EdgeData:
    """Return the edges of a GraphML file.

    Raises:
        ValueError: if it is damaged, defines entities, or has numbers in other than plain digits or edges of nodes that
            it does not list, which networkx would add.
    """
    import networkx

    try:
        with path.open("rb") as file:
            _Checks().parse(file)
        graph = networkx.read_graphml(path)
    except OSError as error:
        raise ValueError(f"{CALLER}: expected a readable file, got {path}: {error.strerror}") from error
    except Exception as error:  # of the parser of XML, or of networkx, of many kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{CALLER}: expected a GraphML file, got {path} ({reason})") from error
    return from_networkx(graph, nodes, kind, str(path))


class _Checks:
    """Checks of what networkx would read: entities could become too much text, and `float` accepts more than digits."""

    def __init__(self) -> None:
        self.parser: Any = expat.ParserCreate(namespace_separator=" ")
        self.parser.EntityDeclHandler = self.refuse_entity
        self.parser.StartElementHandler = self.start
        self.parser.CharacterDataHandler = self.add
        self.parser.EndElementHandler = self.end
        self.number_keys: set[str] = set()
        self.cell: list[str] | None = None
        self.nodes: set[str | None] = set()
        self.ends: dict[str | None, int] = {}

    def parse(self, file: Any) -> None:
        """Parse a file and raise an error for what is not expected."""
        self.parser.ParseFile(file)
        if unknown := [end for end in self.ends if end not in self.nodes]:
            raise ValueError(f"no node of the id {unknown[0]!r}, which an edge has in line {self.ends[unknown[0]]}")

    def refuse_entity(self, name: str, *_: Any) -> None:
        """Refuse entities, which GraphML does not need."""
        raise ValueError(f"it defines the entity {name}")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Read the type of a key, a node, an edge, or the beginning of a value."""
        tag = tag.rpartition(" ")[2]
        if tag == "key" and attributes.get("attr.type", "").lower() in NUMBERS:
            self.number_keys.add(attributes.get("id", ""))
        if tag == "node":
            self.nodes.add(attributes.get("id"))
        if tag == "edge":
            for end in ("source", "target"):
                self.ends.setdefault(attributes.get(end), self.parser.CurrentLineNumber)
        if tag == "data":
            self.cell = [] if attributes.get("key") in self.number_keys else None

    def add(self, text: str) -> None:
        """Read a part of a value."""
        if self.cell is not None:
            self.cell.append(text)

    def end(self, tag: str) -> None:
        """Check a value."""
        if self.cell is not None and not is_plain(text := "".join(self.cell)):
            raise ValueError(f"expected a number, got {text!r} in line {self.parser.CurrentLineNumber}")
        self.cell = None
