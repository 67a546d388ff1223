"""Has a layer become slower beside others? A look that only reports, for CI.

    python benchmarks/ratios.py [--write]

Times a few small rows of `seqgnn bench` on one thread, in under a minute, and compares ratios, of the time of a peer or
of the reference to that of `auto`, with those in results/speed/ratios.json: a line a row, and a warning where one has
fallen below 1 / 1.5 of what it was. Machines differ, and so do their ratios: a warning is a reason to measure with
`speed.py`, and the exit status is 0 in spite of it. It is 1 where layers do not compute the same.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.files import write_atomically
from seqgnn.profile.cases import Pace
from seqgnn.profile.suite import Row, rows_at
from seqgnn.profile.timing import machine, versions

KEPT = Path(__file__).parent / "results" / "speed" / "ratios.json"
SIZES = [(12, 50, 4, 4, 32), (4, 20, 1, 4, 32), (30, 32, 32, 64)]
MARGIN = 1.5
Ratios = dict[str, float]  # by step and what `auto` is beside


def measured(rows: list[Row], pace: Pace) -> tuple[dict[str, Ratios], list[str]]:
    """The ratios of each row, and the rows in which layers do not compute the same."""
    found: dict[str, Ratios] = {}
    different = []
    for row in rows:
        case = row.case("cpu", pace)
        name = f"{row.layer}, {', '.join(map(str, row.size))}"
        if case["same"]:
            found[name] = {of: round(value, 3) for of, value in ratios(case).items()}
        else:
            different.append(name)
    return found, different


def ratios(case: dict[str, Any]) -> Ratios:
    """How many times faster `auto` is than the peer, and than the reference."""
    found = {}
    for step, what in (("train", "training"), ("infer", "inference")):
        if case["peer"]:
            found[f"{what}, {case['peer']}"] = case[step]["times_faster_than_peer"]["auto"]
        floors = case[step]["times_the_floor"]
        found[f"{what}, reference"] = floors["reference"] / floors["auto"]
    return found


def compared(now: dict[str, Ratios], kept: dict[str, Ratios]) -> list[str]:
    """A line for each row, and one more for each ratio that has fallen."""
    lines = []
    for row, values in now.items():
        was = kept.get(row, {})
        shown = (f"{of} {value:.2f}" + (f" ({was[of]:.2f})" if of in was else "") for of, value in values.items())
        lines.append(f"{row}: {'; '.join(shown)}")
        for of, value in values.items():
            if value * MARGIN < was.get(of, 0.0):
                lines.append(f"warning: {row}: {of} has fallen from {was[of]:.2f} to {value:.2f}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write {KEPT.name} anew")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of sparse tensors, that they are in beta, and what others say at import
    torch.set_num_threads(1)
    found, different = measured([row for size in SIZES for row in rows_at(size)], Pace(share=3.0))
    kept = json.loads(KEPT.read_text())["ratios"] if KEPT.exists() else {}
    if arguments.write and not different:
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        about = {"versions": versions(), "machine": machine("cpu")}
        write_atomically(KEPT, json.dumps({**about, "ratios": found}, indent=1) + "\n")
    print("\n".join(["How many times faster auto is than others (in brackets: than it was)", *compared(found, kept)]))
    for name in different:
        print(f"error: {name}: the layers do not compute the same")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
