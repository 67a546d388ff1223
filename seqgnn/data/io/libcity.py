"""Reader for LibCity's folders of atomic files: sensors (.geo), relations between them (.rel) and states (.dyna)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgnn._utils.numbers import LARGEST, size_hint
from seqgnn.data.io.array_files import read_json, reading
from seqgnn.data.io.columns import CALLER, Columns
from seqgnn.data.io.csv_tables import check_distinct
from seqgnn.data.io.graphs.notes import Notes
from seqgnn.data.io.libcity_relations import Relations
from seqgnn.data.io.libcity_tables import read_atomic_table
from seqgnn.data.io.limits import check_cells
from seqgnn.data.io.table_format import TableFormat

if TYPE_CHECKING:
    import pandas

OTHER_STATES = {".grid": "cells of a grid", ".od": "pairs of origin and destination", ".gridod": "pairs of grid cells"}


@dataclass(frozen=True)
class _Folder:
    """The files of a data set, and the settings of its config.json."""

    geo: Path
    dyna: tuple[Path, ...]
    relations: Path | None
    info: dict[str, Any] = field(default_factory=dict)

    def setting(self, name: str) -> list[str]:
        """Return a setting of one or several names as a list; empty: not given."""
        value = self.info.get(name) or []
        return [value] if isinstance(value, str) else list(value)


def is_libcity(path: Path) -> bool:
    """Return True for a folder with states of LibCity, of any kind."""
    suffixes = {".dyna", *OTHER_STATES}
    return path.is_dir() and any(item.suffix in suffixes for item in path.iterdir())


def read_libcity(path: Path, table_format: TableFormat) -> Columns:
    """Return the states of the sensors of a LibCity folder, with its relations as the graph.

    - Sensors are those of the .geo file, in its order; states are matched to them by name, in any order.
    - Features are the columns of the .dyna file after `entity_id`, or `data_col` of config.json; the first one is the
      target. Several `data_files` follow each other in time.
    - Times are local: the converters of LibCity append a "Z" to local times, which is ignored here as in LibCity.
      Records that are missing are missing values.
    - Positions are the coordinates of sensors of type Point.

    Args:
        path: folder, or one of its files.

    Raises:
        ValueError: if a file or column is missing, a record has another entity, or is repeated; the message names the
            file and line.
    """
    path.stat()  # an error if there is none
    folder = _find_files(path if path.is_dir() else path.parent)
    geo = read_atomic_table(CALLER, folder.geo, ("geo_id",))
    nodes = geo["geo_id"].tolist()
    check_distinct(CALLER, nodes, folder.geo)
    states = [_read_states(file, nodes, folder) for file in folder.dyna]
    first = states[0]
    for file, state in zip(folder.dyna[1:], states[1:]):
        if state.features != first.features or (state.times is None) != (first.times is None):
            raise ValueError(f"{CALLER}: expected the columns of {folder.dyna[0]} in {file}, got {state.features}")
    return Columns(
        np.concatenate([state.values for state in states]),
        nodes,
        None if first.times is None else [time for state in states for time in state.times or ()],
        first.features,
        [place for file, state in zip(folder.dyna, states) for place in state.places(file)].__getitem__,
        positions=_positions(geo, folder.geo),
        graph=None if folder.relations is None else Relations(folder.relations, nodes, folder.info),
    )


def _find_files(folder: Path) -> _Folder:
    info = _read_config(folder / "config.json")
    by_suffix: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        by_suffix.setdefault(file.suffix, []).append(file)
    if ".dyna" not in by_suffix:
        for suffix, content in OTHER_STATES.items():
            if suffix in by_suffix:
                raise ValueError(
                    f"{CALLER}: expected states of sensors (.dyna) in {folder}, got states of {content} "
                    f"({by_suffix[suffix][0].name}), which are not read; save them as npz [T, N, F]"
                )

    def choose(suffix: str, setting: str) -> list[Path]:
        names = info.get(setting) or []
        names = [names] if isinstance(names, str) else names
        files = [folder / f"{name}{suffix}" for name in names] if names else by_suffix.get(suffix, [])
        return [file for file in files if suffix != ".dyna" or not file.stem.endswith("_truth")]

    geo, dyna, relations = choose(".geo", "geo_file"), choose(".dyna", "data_files"), choose(".rel", "rel_file")
    for suffix, files, setting in ((".geo", geo, "geo_file"), (".dyna", dyna, "data_files")):
        if not files or (len(files) > 1 and not info.get(setting)):
            actual = ", ".join(file.name for file in files) or "none"
            raise ValueError(
                f"{CALLER}: expected one {suffix} file in {folder}, or their names as {setting} in its config.json, "
                f"got {actual}"
            )
    if len(relations) > 1:
        actual = ", ".join(file.name for file in relations)
        raise ValueError(f"{CALLER}: expected at most one .rel file in {folder}, got {actual}")
    with reading(CALLER, folder / "config.json", "names of files"):
        present = next((file for file in relations if file.exists()), None)
    if relations and present is None and ".rel" in by_suffix:
        actual = ", ".join(file.name for file in by_suffix[".rel"])
        config = folder / "config.json"
        raise ValueError(f"{CALLER}: expected {relations[0].name}, the rel_file of {config}, got only {actual}")
    return _Folder(geo[0], tuple(dyna), present, info)


def _read_config(path: Path) -> dict[str, Any]:
    content = read_json(CALLER, path) if path.exists() else {}
    info = content.get("info") or {} if isinstance(content, dict) else content
    if not isinstance(info, dict):
        raise ValueError(f"{CALLER}: expected settings under the name info in {path}, got {info!r}")
    for name in ("geo_file", "data_files", "rel_file", "data_col"):
        setting = info.get(name) or []
        items = setting if isinstance(setting, list) else [setting]
        if not all(isinstance(item, str) for item in items) or len(set(items)) < len(items):
            raise ValueError(f"{CALLER}: expected {name} as a name or different names in {path}, got {setting!r}")
    return info


@dataclass(frozen=True)
class _States:
    """The records of a .dyna file as `[T, N, F]`, NaN where there is none; times in order with the first line of each,
    None if it has none."""

    values: np.ndarray
    features: list[str]
    times: list[str] | None
    lines: list[int]

    def places(self, file: Path) -> list[str]:
        """Return where the time of each step is."""
        return [f"line {line} of {file}" for line in self.lines]


def _read_states(path: Path, nodes: Sequence[str], folder: _Folder) -> _States:
    import pandas

    data_columns = folder.setting("data_col")
    table = read_atomic_table(CALLER, path, ("time", "entity_id", *data_columns))
    if "type" in table.columns and (kinds := set(table["type"].unique()) - {"state"}):
        actual = ", ".join(sorted(kinds))
        raise ValueError(f"{CALLER}: expected records of type state in {path}, got {actual}, which are not read")
    features = list(data_columns) or [
        name for name in table.columns if name not in ("dyna_id", "type", "time", "entity_id")
    ]
    if not features or not len(table):
        raise ValueError(f"{CALLER}: expected records with a column after entity_id in {path}, got none")
    indices = {node: i for i, node in enumerate(nodes)}
    codes, names = pandas.factorize(table["entity_id"])
    columns = np.array([indices.get(name, -1) for name in names], dtype=np.int64)[codes]
    if (unknown := columns < 0).any():
        row = int(unknown.argmax())
        actual = f"{table['entity_id'].iloc[row]!r} in line {row + 2} of {path}"
        raise ValueError(f"{CALLER}: expected entities of {folder.geo}, got {actual}")
    rows, times, lines = _steps(table, columns, path)
    shape = (int(rows.max()) + 1 if times is None else len(times), len(nodes), len(features))
    check_cells(CALLER, path, len(table), shape)
    values = np.full(shape, np.nan)
    places = rows * len(nodes) + columns
    is_recorded = np.zeros(values.shape[0] * values.shape[1], dtype=bool)
    is_recorded[places] = True
    if int(is_recorded.sum()) < len(places):
        row = int(pandas.Series(places).duplicated().to_numpy().argmax())
        actual = f"{table['entity_id'].iloc[row]!r} at {table['time'].iloc[row]!r} again in line {row + 2} of {path}"
        raise ValueError(f"{CALLER}: expected one record per entity and time, got {actual}")
    for feature, name in enumerate(features):
        values[rows, columns, feature] = _numbers(table[name], path)
    return _States(values, features, times, lines)


def _steps(
    table: "pandas.DataFrame", columns: np.ndarray, path: Path
) -> tuple[np.ndarray, list[str] | None, list[int]]:
    """Return the step of each record, and the times of the steps, all that occur in order, with their first lines."""
    import pandas

    codes, uniques = pandas.factorize(table["time"])
    cells = list(uniques)
    if cells == [""]:  # records without times follow each other
        return table.groupby(columns).cumcount().to_numpy(), None, []
    if "" in cells:
        line = int((codes == cells.index("")).argmax()) + 2
        raise ValueError(f"{CALLER}: expected a time, got none in line {line} of {path}")
    if any(cell.endswith("Z") for cell in cells):  # which the converters append to local times
        cells = [cell.removesuffix("Z") for cell in cells]
        Notes(CALLER).add(f"times of {path} are local, although they end with Z")
    instants = pandas.to_datetime(pandas.Series(cells), utc=True, errors="coerce", format="ISO8601")
    if instants.isna().any():
        row = int((codes == int(instants.isna().to_numpy().argmax())).argmax())
        actual = f"{table['time'].iloc[row]!r} in line {row + 2} of {path}"
        raise ValueError(f"{CALLER}: expected a time as 2012-03-01T00:05:00Z, got {actual}")
    order = instants.argsort().to_numpy()
    steps = np.empty(len(order), dtype=np.int64)
    steps[order] = np.arange(len(order))
    lines = 2 + np.unique(codes, return_index=True)[1]
    return steps[codes], [cells[i] for i in order], lines[order].tolist()


def _numbers(column: "pandas.Series[Any]", path: Path) -> np.ndarray:
    """Return a column as doubles, NaN where missing."""
    import pandas

    values = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    invalid = (np.abs(values) > LARGEST) | (np.isnan(values) & column.notna().to_numpy())
    if invalid.any():
        row = int(invalid.argmax())
        location = f"line {row + 2}, column {column.name!r} of {path}"
        cell = str(column.iloc[row])
        hint = size_hint(cell)
        raise ValueError(f"{CALLER}: expected a number or an empty cell, got {cell!r} in {location}{hint}")
    return values


def _positions(geo: "pandas.DataFrame", path: Path) -> np.ndarray | None:
    """Return longitude and latitude of each sensor; None unless all are points."""
    if "coordinates" not in geo.columns:
        return None
    positions = []
    for row, cell in enumerate(geo["coordinates"]):
        try:
            point = json.loads(cell or "[]")
        except ValueError as error:
            location = f"line {row + 2} of {path}"
            raise ValueError(
                f"{CALLER}: expected coordinates as [longitude, latitude], got {cell!r} in {location}"
            ) from error
        if not (isinstance(point, list) and len(point) == 2 and all(isinstance(item, int | float) for item in point)):
            return None
        if not all(abs(item) <= LARGEST for item in point):
            location = f"line {row + 2} of {path}"
            raise ValueError(f"{CALLER}: expected coordinates that float32 holds, got {cell!r} in {location}")
        positions.append(point)
    return np.array(positions, dtype=np.float64)
