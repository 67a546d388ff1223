"""The table of `seqgnn bench`: as many rows as there is time for, in order of worth."""

import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqgnn._utils.validation import checked_device, one_of
from seqgnn.profile.cases import Pace, engines_of, graph_case, plain_case
from seqgnn.profile.plain_layers import KINDS, PlainSize
from seqgnn.profile.reference_layers import Peer, Size, alone, peers
from seqgnn.profile.timing import machine, versions

PLAIN_ENGINES = ("auto", "fused", "reference")
ROUNDS = 9
WORTH: list[Size | PlainSize] = [
    (12, 207, 16, 2, 64),
    (30, 64, 64, 128),
    (4, 20, 1, 4, 32),
    (30, 64, 512, 512),
    (12, 10000, 1, 8, 32),
    (100, 50, 8, 8, 64),
    (12, 207, 64, 2, 64),
    (12, 325, 64, 2, 64),
]


@dataclass(frozen=True)
class Row:
    """A row: `layer`, at a `size` of T, N, B, F, H, or T, B, F, H of plain layers, beside a `peer`, if there is one."""

    layer: str
    size: Any
    peer: Peer | None

    @property
    def numbers(self) -> int:
        """Of the output, to which times are about proportional."""
        *shape, _, hidden = self.size
        return math.prod(shape) * hidden

    def case(self, device: str, pace: Pace) -> dict[str, Any]:
        if self.peer is None:
            return plain_case(self.layer, self.size, device, PLAIN_ENGINES, pace)
        return graph_case(self.peer, self.size, device, engines_of(device), pace)


@dataclass
class Bench:
    """What was measured: `cases`, as :mod:`seqgnn.profile.cases` has them, `left_out` for want of time, and where."""

    config: dict[str, Any]
    versions: dict[str, str] = field(default_factory=versions)
    machine: dict[str, Any] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)

    def to_json(self) -> str:
        about = {"config": self.config, "versions": self.versions, "machine": self.machine}
        left_out = [{"layer": row.layer, "size": row.size} for row in self.left_out]
        return json.dumps({**about, "cases": self.cases, "left_out": left_out}, indent=1, allow_nan=False) + "\n"


def rows_at(size: Size | PlainSize) -> list[Row]:
    """Every layer of a size: graph-recurrent ones at T, N, B, F, H, plain ones at T, B, F, H."""
    if len(size) == 4:
        return [Row(kind, size, None) for kind in KINDS]
    return [Row(peer.same, size, peer) for peer in (*alone(), *peers())]


def bench(
    seconds: float = 150.0, device: str = "cpu", rows: list[Row] | None = None, say: Callable[[str], object] = len
) -> Bench:
    """Measures for about so many seconds.

    What remains of them is divided evenly among the rows that remain; a row that needs more takes it from those after
    it. Where that would be more than there is, it is left out, and with it all of its kind that are as large.

    Args:
        seconds: what there is.
        device: "cpu" or "cuda".
        rows: default: all, in order of worth.
        say: called with the name of each row as it begins.

    Raises:
        ValueError: for another device, or one that this torch cannot use, and for seconds that are not positive.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"bench: expected seconds to be a positive number, got {seconds}")
    checked_device("bench", one_of("bench", "device", device, ("cpu", "cuda")))
    end = time.perf_counter() + seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sparse tensors, that they are in beta, and what others say at import
        rows = [row for size in WORTH for row in rows_at(size)] if rows is None else rows
        found = Bench({"seconds": seconds, "device": device, "rounds": ROUNDS, "dtype": "float32"})
        found.machine = machine(device)
        too_large: dict[int, float] = {}
        for place, row in enumerate(rows):
            left = end - time.perf_counter()
            if left <= 0 or row.numbers >= too_large.get(len(row.size), math.inf):
                found.left_out.append(row)
                continue
            say(f"{row.layer}, {', '.join(map(str, row.size))}")
            case = row.case(device, Pace(ROUNDS, left / (len(rows) - place), left))
            if case["same"] and not case["timed"]:
                too_large[len(row.size)] = row.numbers
                found.left_out.append(row)
            else:
                found.cases.append(case)
    return found


def folder_for(out: str | os.PathLike[str]) -> Path:
    """Makes the folder that results go to.

    Raises:
        ValueError: if it cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"bench: expected a folder that can be written, got {folder} ({error})") from error
    return folder
