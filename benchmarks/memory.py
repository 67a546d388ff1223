"""How long models remember: the first digit of a palindrome, two marked values, ten symbols.

    python benchmarks/memory.py                      # everything, a day on two cores
    python benchmarks/memory.py recipes --jobs 2     # reports, recipes, graphs, minimal, adding or copying
    python benchmarks/memory.py --plan               # list finished runs and the time for the rest
    python benchmarks/memory.py --there              # run nothing; write tables of finished runs

Parts reports, recipes and graphs: settings of the course reports, and better recipes. 128 hidden units, batch size 128,
RMSprop, at most 10,000 steps (GCNs: 2,000), stopped once solved on the validation set (accuracy 0.995). The tasks are
palindromes and, as a control, the first of independent digits.
Part minimal: MinGRU and MinLSTM on the same tasks; parts adding and copying: the adding problem and the copying task.
64 hidden units, batch size 64, Adam with a learning rate of 0.01, stopped once solved on the validation set.

All have 2,048 samples for validation, which alone chooses the weights, and 8,192 for the test.
Finished runs are stored in benchmarks/results/memory/runs and not repeated, so the script can be stopped and restarted
at any time. The JSON file of a part has its finished runs and states what is missing.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import one_of
from seqgnn.experiments import MODEL_SPECS, Comparison, ModelSpec, Plan, plan, training_for
from seqgnn.experiments.grid.presets import PRESETS
from seqgnn.experiments.runs.record import RunRecord

RESULTS = Path(__file__).parent / "results" / "memory"
TASKS = ("palindromes", "recall")
REPORTS, MEMORY = PRESETS["reports"], PRESETS["long-memory"]
REPORTS_TRAINING = {name: value for name, value in MEMORY.items() if name not in ("models", "lengths", "hidden")}
RNN, LATCH, LSTM, GRU, GCN, GCN_MEAN = MEMORY["models"]
RECURRENT = [MODEL_SPECS["rnn"], LSTM, GRU]
HYBRID = ModelSpec("GCN, then LSTM, chrono", "gcn+lstm", init=("orthogonal", "chrono"))
INSIDE = ModelSpec("GCN in LSTM, chrono", "gcn-in-lstm", init=("orthogonal", "chrono"))


LONG: dict[str, Any] = {"init": ("xavier", "chrono", "ramp"), "num_layers": 2}
MINGRU = ModelSpec("MinGRU, two layers", "mingru", **LONG)
MINLSTM = ModelSpec("MinLSTM, two layers", "minlstm", **LONG)
NO_RAMP = ModelSpec("MinGRU, two layers, no ramp", "mingru", init=("xavier", "chrono"), num_layers=2)
MINGRU_1 = ModelSpec("MinGRU, one layer", "mingru", **LONG | {"num_layers": 1})
ADAM: dict[str, Any] = {"batch_size": 64, "optimizer": "adam", "lr": 1e-2, "max_grad_norm": 1.0, "eval_every": 50}


@dataclass(frozen=True)
class Group:
    """Models at some lengths, with some seeds, for a maximum number of steps; other training and hidden units than
    those of the reports, and the tasks."""

    models: list[ModelSpec]
    lengths: list[int]
    seeds: list[int]
    steps: int = 10_000
    training: Mapping[str, Any] = field(default_factory=lambda: REPORTS_TRAINING)
    hidden: int = REPORTS["hidden"]
    tasks: tuple[str, ...] = TASKS


def small(models: list[ModelSpec], length: int, steps: int, *tasks: str, **training: Any) -> Group:
    return Group(models, [length], [0, 1], steps, ADAM | training, 64, tasks)


PARTS = {
    "reports": [
        Group(REPORTS["models"], [5, 10, 15, 20, 25, 30], [0, 1, 2, 3]),
        Group(REPORTS["models"], [50, 100], [0, 1]),
    ],
    "recipes": [
        Group([LATCH], [100, 150, 300, 500], [0, 1, 2, 3]),
        Group([RNN, LSTM, GRU], [100], [0, 1]),
        Group([LSTM, GRU], [150], [0, 1]),
        Group([GRU], [300], [0]),
    ],
    # A GCN learns within some hundred steps, or not at all.
    "graphs": [
        Group([GCN], [5, 10, 15, 20, 25, 30, 50, 100], [0, 1], 2000),
        Group([GCN_MEAN], [10, 20, 30, 50, 100], [0, 1], 2000),
        Group([HYBRID], [50, 100], [0, 1]),
        Group([INSIDE], [10, 20], [0, 1], 4000),
    ],
    "minimal": [
        small([MINGRU], 1000, 800, *TASKS, target_accuracy=0.995),
        small([MINLSTM], 1000, 800, "palindromes", target_accuracy=0.995),
        small([MINGRU_1], 1000, 300, "recall", target_accuracy=0.995),
        small([MINGRU, NO_RAMP], 200, 800, "recall", target_accuracy=0.995),
    ],
    "adding": [small([*RECURRENT, MINGRU_1, GCN], 100, 1500, "adding")],
    "copying": [small([*RECURRENT, MINGRU, GCN], 20, 1500, "copying")],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--tasks", help="default: those of the part")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--steps", type=int, help="maximum number of steps, to try the script")
    parser.add_argument("--plan", action="store_true", help="list the runs and estimate the time of missing ones")
    parser.add_argument("--there", action="store_true", help="run nothing; write the finished runs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    complete = True
    try:
        for part in [one_of("memory", "part", name, PARTS) for name in given.parts] or PARTS:
            tasks = tuple(dict.fromkeys(task for group in PARTS[part] for task in group.tasks))
            for task in [one_of("memory", "task", name, tasks) for name in (given.tasks or ",".join(tasks)).split(",")]:
                plans = [planned(task, group, given) for group in PARTS[part] if task in group.tasks]
                if given.plan:
                    show(part, task, plans)
                else:
                    found = [one.run(progress=not given.there, only_failed=given.there) for one in plans]
                    complete &= write(part, task, found, plans, given.out)
    except ValueError as error:
        print(f"memory: {error}", file=sys.stderr)
        return 2
    return 0 if complete else 1


def planned(task: str, group: Group, given: argparse.Namespace) -> Plan:
    train = training_for(task, **group.training | {"steps": given.steps or group.steps})
    return plan(task, models=group.models, sizes=group.lengths, seeds=group.seeds, hidden=group.hidden, train=train,
                jobs=given.jobs, out=given.out)  # fmt: skip


def show(part: str, task: str, plans: list[Plan]) -> None:
    for one in plans:
        states = list(one.states().values())
        seconds = sum(one.estimate()[0].values())
        lengths = ", ".join(map(str, one.sizes))
        left = f"the rest takes at most {seconds / 3600:.1f} hours on one core"
        print(f"{part}, {task}, T = {lengths}: {states.count('finished')} of {len(states)} runs are finished; {left}")


def write(part: str, task: str, found: list[Comparison], plans: list[Plan], out: Path) -> bool:
    """Write the table of a part, its runs without curves, and what is missing; return True if nothing is."""
    failures = {str(key): message for one in found for key, message in one.failures.items()}
    for key, message in failures.items():
        print(f"FAILED: {key}: {message}")
    states = [one.states() for one in plans]
    missing = [job.title for one, by_key in zip(plans, states) for job in one.jobs if by_key[job.key] != "finished"]
    if not any(one.runs for one in found):
        return not missing
    unique = {(row.size, row.model): row for one in found for row in one.rows()}  # groups of one length share baselines
    rows = [{name: None if value != value else value for name, value in row.as_dict().items()}
            for row in unique.values()]  # fmt: skip
    for row in rows:
        spread = "" if row["accuracy_sd"] is None else f" ± {row['accuracy_sd']:.3f} over {row['seeds']} seeds"
        error = f", MSE {row['mse']:.5f}" if "mse" in row else ""
        print(f"{part}, {task}, T = {row['size']}, {row['model']}: {row['accuracy']:.3f}{spread}{error}")
    runs = [slim(run) for one in found for run in one.runs.values()]
    content = {"part": part, "task": task, "rows": rows, "missing": missing, "runs": runs}
    write_atomically(out / f"{part}-{task}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(f"{part}, {task}: {len(missing)} runs are missing")
    return not missing


def slim(run: RunRecord) -> dict[str, Any]:
    content = run.as_dict()
    result = {name: value for name, value in content["result"].items() if name not in ("losses", "accuracies")}
    return content | {"result": result}


if __name__ == "__main__":
    sys.exit(main())
