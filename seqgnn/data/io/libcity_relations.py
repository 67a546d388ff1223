"""Relations between the sensors of a LibCity folder (.rel), as edges."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.numbers import LARGEST
from seqgnn._utils.validation import one_of
from seqgnn.data.io.array_files import reading
from seqgnn.data.io.csv_tables import is_number
from seqgnn.data.io.graphs import CALLER, DISTANCES, gaussian_kernel
from seqgnn.data.io.graphs.notes import Notes
from seqgnn.data.io.libcity_tables import read_atomic_table

if TYPE_CHECKING:
    import pandas

KINDS = ("edges", "distances")
WEIGHTS = {"weight", "link_weight", "edge_weight"}
THRESHOLD = 0.1  # the default of `read_graph`
IDS = ("rel_id", "type", "origin_id", "destination_id")


@dataclass(frozen=True)
class Relations:
    """The relations of a .rel file, which become edges between sensors.

    Args:
        path: the .rel file.
        entities: names of all sensors of the .geo file.
        info: settings of config.json: `weight_col`, `set_weight_link_or_dist`, `calculate_weight_adj`,
            `weight_adj_epsilon` and `bidir_adj_mx`.
    """

    path: Path
    entities: Sequence[str]
    info: dict[str, Any]

    def __call__(self, kind: str | None, threshold: float) -> tuple[Tensor, Tensor]:
        """Return edges and weights between all sensors.

        Relations without a property, or with `set_weight_link_or_dist` "link", have weight 1. Otherwise the weight is
        the property `weight_col`, or the only one: a distance with `calculate_weight_adj` or by its name (such as
        cost), from which the weight is calculated as in `read_graph`; a weight if its name is one.

        Args:
            kind: "edges" or "distances"; None: by config.json or the name of the property.
            threshold: smallest weight of an edge, for distances; if it is the default, `weight_adj_epsilon` of
                config.json replaces it.

        Shapes:
            edge_index ``[2, E]``, edge_weight ``[E]``.

        Raises:
            ValueError: if an entity is unknown, a relation occurs twice with different properties, or its property may
                be a weight or a distance; the message names the file and line.
        """
        with reading(CALLER, self.path, "relations, and settings of config.json that apply to them"):
            return self._weighted(kind, threshold)

    def _weighted(self, kind: str | None, threshold: float) -> tuple[Tensor, Tensor]:
        table = self._read()
        name = self._weight_column(table)
        values = np.ones(len(table)) if name is None else table[name].to_numpy(dtype=np.float64)
        kind = self._kind(name) if kind is None else one_of(CALLER, f"kind of {self.path}", kind, KINDS)
        is_link = name is None or (self.info.get("set_weight_link_or_dist") == "link" and kind == "edges")
        if is_link:
            values = np.where(np.isnan(values), np.nan, 1.0)
        edges, values = self._edges(table, values)
        how = "all weights are 1" if is_link else f"{name!r} is the weight"
        if kind == "distances" and name is not None and len(values):
            epsilon = float(self.info.get("weight_adj_epsilon", threshold)) if threshold == THRESHOLD else threshold
            values, is_edge = gaussian_kernel(values, epsilon, self.path)
            values, edges = values[is_edge], edges[:, is_edge]
            how = (
                f"{name!r} is a distance; {len(values)} of {len(is_edge)} relations have a weight of at least "
                f"{epsilon:g} (Gaussian kernel)"
            )
        Notes(CALLER).add(f"{self.path}: {how}")
        return torch.from_numpy(edges.copy()), torch.from_numpy(values.astype(np.float32))

    def _read(self) -> "pandas.DataFrame":
        table = read_atomic_table(CALLER, self.path, ("origin_id", "destination_id"))
        kinds = set(table["type"].astype(str)) if "type" in table.columns else set()
        if kinds - {"geo"}:
            actual = ", ".join(sorted(kinds))
            raise ValueError(f"{CALLER}: expected relations of type geo in {self.path}, got {actual}")
        return table

    def _weight_column(self, table: "pandas.DataFrame") -> str | None:
        properties = [str(name) for name in table.columns if name not in IDS]
        setting = self.info.get("weight_col") or None
        if isinstance(setting, list):
            setting = setting[0] if len(setting) == 1 else None
        if setting is not None:
            config = self.path.with_name("config.json")
            name: str | None = one_of(CALLER, f"weight_col of {config}, a column of {self.path},", setting, properties)
        elif len(properties) > 1:
            actual = ", ".join(properties)
            raise ValueError(
                f"{CALLER}: expected one property in {self.path}, or its name as weight_col in config.json, got "
                f"{actual}"
            )
        else:
            name = properties[0] if properties else None
        if name is not None and table[name].dtype.kind not in "biuf":
            cells = table[name].astype(str).tolist()
            line = next((i for i, cell in enumerate(cells, start=2) if not is_number(cell)), 2)
            actual = f"{cells[line - 2]!r} in line {line}"
            raise ValueError(f"{CALLER}: expected numbers in column {name!r} of {self.path}, got {actual}")
        return name

    def _kind(self, name: str | None) -> str:
        if name is None or self.info.get("set_weight_link_or_dist") == "link":
            return "edges"
        if self.info.get("calculate_weight_adj") or name.lower() in DISTANCES:
            return "distances"
        if name.lower() in WEIGHTS:
            return "edges"
        raise ValueError(
            f"{CALLER}: expected weights or distances in column {name!r} of {self.path}; set graph_kind (edges or "
            "distances)"
        )

    def _edges(self, table: "pandas.DataFrame", values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distinct edges `[2, E]` and their values, without relations that have no value."""
        indices = {name: i for i, name in enumerate(self.entities)}
        origins, destinations = table["origin_id"].tolist(), table["destination_id"].tolist()
        edges: dict[tuple[int, int], tuple[float, int]] = {}
        for line, (origin, destination, value) in enumerate(zip(origins, destinations, values), start=2):
            if unknown := [name for name in (origin, destination) if name not in indices]:
                actual = f"{unknown[0]!r} in line {line} of {self.path}"
                raise ValueError(f"{CALLER}: expected relations between the entities of the .geo file, got {actual}")
            if np.isnan(value):
                continue
            if not abs(value) <= LARGEST:
                raise ValueError(
                    f"{CALLER}: expected a number that float32 holds, got {value:g} in line {line} of {self.path}"
                )
            pair = indices[origin], indices[destination]
            if pair in edges and edges[pair][0] != value:
                raise ValueError(
                    f"{CALLER}: expected one value for each relation, got {edges[pair][0]:g} in line {edges[pair][1]} "
                    f"and {value:g} in line {line} of {self.path}"
                )
            edges[pair] = value, line
        if self.info.get("bidir_adj_mx"):
            edges |= {pair[::-1]: edges[pair] for pair in edges if pair[::-1] not in edges}
        pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2).T
        return pairs, np.array([value for value, _ in edges.values()], dtype=np.float64)
