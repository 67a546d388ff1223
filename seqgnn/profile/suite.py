"""The benchmark of `seqgnn bench`: as many rows as the time allows, in order of importance."""

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
from seqgnn.profile.cases import TimeBudget, engines_of, graph_case, plain_case
from seqgnn.profile.plain_layers import KINDS, PlainSize
from seqgnn.profile.reference_layers import ReferenceLayer, Size, layers_without_reference, reference_layers
from seqgnn.profile.timing import machine, versions

PLAIN_ENGINES = ("auto", "cpp", "fused", "reference")
ROUNDS = 9
SIZES_BY_PRIORITY: list[Size | PlainSize] = [
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
    """A row of the benchmark: a `layer` at one `size`, compared with a `reference` layer if there is one.

    The size is (T, N, B, F, H), or (T, B, F, H) for plain layers.
    """

    layer: str
    size: Any
    reference: ReferenceLayer | None

    @property
    def numbers(self) -> int:
        """Number of output values; times are roughly proportional to it."""
        *shape, _, hidden = self.size
        return math.prod(shape) * hidden

    def case(self, device: str, budget: TimeBudget) -> dict[str, Any]:
        engines = engines_of(device)
        if self.reference is None:
            engines = [engine for engine in engines if engine in PLAIN_ENGINES]
            return plain_case(self.layer, self.size, device, engines, budget)
        return graph_case(self.reference, self.size, device, engines, budget)


@dataclass
class Bench:
    """Results of a benchmark: measured `cases`, rows `left_out` because time ran out, versions and machine."""

    config: dict[str, Any]
    versions: dict[str, str] = field(default_factory=versions)
    machine: dict[str, Any] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)

    def to_json(self) -> str:
        context = {"config": self.config, "versions": self.versions, "machine": self.machine}
        left_out = [{"layer": row.layer, "size": row.size} for row in self.left_out]
        return json.dumps({**context, "cases": self.cases, "left_out": left_out}, indent=1, allow_nan=False) + "\n"


def rows_at(size: Size | PlainSize) -> list[Row]:
    """Return a row for every layer: graph-recurrent layers for a size (T, N, B, F, H), plain ones for (T, B, F, H)."""
    if len(size) == 4:
        return [Row(kind, size, None) for kind in KINDS]
    layers = (*layers_without_reference(), *reference_layers())
    return [Row(layer.equivalent_name, size, layer) for layer in layers]


def bench(
    seconds: float = 150.0, device: str = "cpu", rows: list[Row] | None = None, report: Callable[[str], object] = len
) -> Bench:
    """Return measurements of layers and their reference layers, made in about the given time.

    The remaining time is divided evenly among the remaining rows; a row that needs more takes it from later rows. A
    row that needs more than all remaining time is left out, together with all rows of its kind that are as large.

    Args:
        seconds: time limit.
        device: "cpu" or "cuda".
        rows: rows to measure; None: all, in order of importance.
        report: called with a description of each row before it is measured.

    Raises:
        ValueError: if the device is unknown or not usable by this torch, or if `seconds` is not positive.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"bench: expected seconds to be a positive number, got {seconds}")
    checked_device("bench", one_of("bench", "device", device, ("cpu", "cuda")))
    end = time.perf_counter() + seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sparse tensors are in beta; other packages warn at import
        rows = [row for size in SIZES_BY_PRIORITY for row in rows_at(size)] if rows is None else rows
        results = Bench({"seconds": seconds, "device": device, "rounds": ROUNDS, "dtype": "float32"})
        results.machine = machine(device)
        too_large: dict[int, float] = {}
        for position, row in enumerate(rows):
            remaining = end - time.perf_counter()
            if remaining <= 0 or row.numbers >= too_large.get(len(row.size), math.inf):
                results.left_out.append(row)
                continue
            report(f"{row.layer}, {', '.join(map(str, row.size))}")
            case = row.case(device, TimeBudget(ROUNDS, remaining / (len(rows) - position), remaining))
            if case["same"] and not case["timed"]:
                too_large[len(row.size)] = row.numbers
                results.left_out.append(row)
            else:
                results.cases.append(case)
    return results


def folder_for(out: str | os.PathLike[str]) -> Path:
    """Create the folder for results and return its path.

    Raises:
        ValueError: if it cannot be created.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"bench: expected a writable folder, got {folder} ({error})") from error
    return folder
