"""Speed regressions of layers relative to others, reported in CI.

    python benchmarks/ratios.py [--write]

Times a few small rows of `seqgnn bench` on one thread, in under a minute, and compares the speedups of `auto` over
reference layers and over the engine "reference" with those stored in results/speed/ratios.json. Prints a line per row,
and a warning where a speedup has fallen below 1 / 1.5 of its stored value. Machines differ, and so do their ratios: a
warning is a reason to measure with `speed.py` and leaves the exit status at 0. It is 1 if outputs of layers differ.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.files import write_atomically
from seqgnn.profile.cases import TimeBudget
from seqgnn.profile.suite import Row, rows_at
from seqgnn.profile.timing import machine, versions

STORED = Path(__file__).parent / "results" / "speed" / "ratios.json"
SIZES = [(12, 50, 4, 4, 32), (4, 20, 1, 4, 32), (30, 32, 32, 64)]
MARGIN = 1.5
Ratios = dict[str, float]  # by step and by the layer or engine that `auto` is compared with


def measured(rows: list[Row], budget: TimeBudget) -> tuple[dict[str, Ratios], list[str]]:
    """Return the speedups of each row, and the rows whose layers have different outputs."""
    speedups: dict[str, Ratios] = {}
    different = []
    for row in rows:
        case = row.case("cpu", budget)
        name = f"{row.layer}, {', '.join(map(str, row.size))}"
        if case["same"]:
            speedups[name] = {of: round(value, 3) for of, value in ratios(case).items()}
        else:
            different.append(name)
    return speedups, different


def ratios(case: dict[str, Any]) -> Ratios:
    """Return the speedup of `auto` over the reference layer and over the engine "reference"."""
    speedups = {}
    for step, what in (("train", "training"), ("infer", "inference")):
        if case["reference_layer"]:
            speedups[f"{what}, {case['reference_layer']}"] = case[step]["speedup"]["auto"]
        bounds = case[step]["times_lower_bound"]
        speedups[f"{what}, reference"] = bounds["reference"] / bounds["auto"]
    return speedups


def compared(now: dict[str, Ratios], stored: dict[str, Ratios]) -> list[str]:
    """Return a line per row, and a warning for each ratio that has fallen."""
    lines = []
    for row, values in now.items():
        was = stored.get(row, {})
        shown = (f"{of} {value:.2f}" + (f" ({was[of]:.2f})" if of in was else "") for of, value in values.items())
        lines.append(f"{row}: {'; '.join(shown)}")
        for of, value in values.items():
            if value * MARGIN < was.get(of, 0.0):
                lines.append(f"warning: {row}: {of} has fallen from {was[of]:.2f} to {value:.2f}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"replace {STORED.name}")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # sparse tensors are in beta; other packages warn at import
    torch.set_num_threads(1)
    speedups, different = measured([row for size in SIZES for row in rows_at(size)], TimeBudget(seconds=3.0))
    stored = json.loads(STORED.read_text())["ratios"] if STORED.exists() else {}
    if arguments.write and not different:
        STORED.parent.mkdir(parents=True, exist_ok=True)
        about = {"versions": versions(), "machine": machine("cpu")}
        write_atomically(STORED, json.dumps({**about, "ratios": speedups}, indent=1) + "\n")
    print("\n".join(["Speedup of auto (stored value in parentheses)", *compared(speedups, stored)]))
    for name in different:
        print(f"error: {name}: the outputs of the layers differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
