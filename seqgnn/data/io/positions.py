"""Reader for positions of sensors."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqgnn.data.io.csv_tables import check_distinct, numbers, read_table

CALLER = "read_positions"
NAMES = {"sensor_id", "sensor", "node", "id", "name", "station"}
LONGITUDES, LATITUDES = {"longitude", "lon", "lng", "x"}, {"latitude", "lat", "y"}


def read_positions(path: str | PathLike[str], nodes: Sequence[str]) -> Tensor:
    """Return longitude and latitude of nodes, from a csv file with one line per node.

    Args:
        path: file with the columns sensor_id (or sensor, node, id, name), latitude (lat, y) and longitude (lon, lng, x)
            and a header of these names; or without a header, in this order.
        nodes: names of the nodes whose positions to return, in this order; other nodes in the file are ignored.

    Shapes:
        ``[N, 2]``.

    Raises:
        ValueError: if a column or node is missing, a node is repeated, a value is not a number, or a latitude is above
            90 or a longitude above 360 degrees.
    """
    path = Path(path)
    rows = read_table(CALLER, path)
    header = [cell.lower() for cell in rows[0]]
    columns = [
        next((i for i, name in enumerate(header) if name in names), None) for names in (NAMES, LONGITUDES, LATITUDES)
    ]
    has_header = any(column is not None for column in columns)
    columns = columns if has_header else [0, 2, 1]
    if None in columns or max(column for column in columns if column is not None) >= len(header):
        raise ValueError(f"{CALLER}: expected columns sensor_id, latitude and longitude in {path}, got {rows[0]}")
    sensor, longitude, latitude = (column for column in columns if column is not None)
    lines = rows[1:] if has_header else rows
    ids = [row[sensor] for row in lines]
    check_distinct(CALLER, ids, path)
    cells = [[row[longitude], row[latitude]] for row in lines]
    values = numbers(CALLER, cells, ["longitude", "latitude"], path, 1 + has_header)
    indices = {name: i for i, name in enumerate(ids)}
    missing = [node for node in nodes if node not in indices]
    if missing:
        raise ValueError(f"{CALLER}: expected a position of every sensor, got none of {missing[0]!r} in {path}")
    chosen = values[[indices[node] for node in nodes]]
    unknown = [node for node, place in zip(nodes, chosen) if np.isnan(place).any()]
    if unknown:
        line = 1 + has_header + indices[unknown[0]]
        raise ValueError(f"{CALLER}: expected a position of every sensor, got an empty cell in line {line} of {path}")
    if header[latitude] not in ("x", "y") and (abs(chosen[:, 1]) > 90).any():
        line = 1 + has_header + indices[nodes[int((abs(chosen[:, 1]) > 90).argmax())]]
        remedy = "a header of the names sensor_id, latitude and longitude tells their order"
        actual = f"{chosen[abs(chosen[:, 1]) > 90][0, 1]:g} in line {line} of {path}"
        raise ValueError(f"{CALLER}: expected latitudes of -90 to 90 degrees, got {actual}; {remedy}")
    if header[longitude] not in ("x", "y") and (abs(chosen[:, 0]) > 360).any():
        node = int((abs(chosen[:, 0]) > 360).argmax())
        actual = f"{chosen[node, 0]:g} in line {1 + has_header + indices[nodes[node]]} of {path}"
        raise ValueError(f"{CALLER}: expected longitudes of -360 to 360 degrees, got {actual}")
    return torch.from_numpy(chosen.astype(np.float32))
