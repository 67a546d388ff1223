"""Forecasts on graphs compared with baselines: does a network beat them, and does the graph help?

    python benchmarks/forecasting.py chickenpox --data-dir DATA       # chickenpox, pedalme or metr-la; default: all
    python benchmarks/forecasting.py metr-la --plan                   # list finished runs and the time for the rest

Five seeds. The number of steps is chosen on the last fifth of the training part, then each model is retrained on all of
it; so are the baselines, whose ridge strength is chosen in the same way. DATA contains pyg_temporal/ and metr_la/ and
defaults to the variable SEQGNN_DATA; without either, the files are downloaded. Finished runs are stored in
benchmarks/results/forecasting/runs and not repeated, so the script can be stopped and restarted. The JSON file of a
part is written when all its runs are finished.
"""

import argparse
import json
import math
import os
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import one_of
from seqgnn.experiments import (
    FORECASTER_SPECS,
    Comparison,
    ForecasterSpec,
    GridConfig,
    Plan,
    plan,
    training_for,
)
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig

RESULTS = Path(__file__).parent / "results" / "forecasting"
SEEDS = [0, 1, 2, 3, 4]
LSTM, GCRN, DCRNN = (FORECASTER_SPECS[name] for name in ("lstm", "gcrn", "dcrnn"))
GCN_LSTM, GCRN_GRU = FORECASTER_SPECS["gcn-lstm"], FORECASTER_SPECS["gcrn-gru"]
WEEKLY = Protocol(lags=4, horizon=1, split_by="windows", scale="none", loss="mse", metric="mse")
WEEKLY_TRAINING = training_for(
    "forecast", steps=200, batch_size=1000, lr=1e-2, optimizer="adamw", weight_decay=1e-3, schedule="constant",
    max_grad_norm=None, eval_every=1,
)  # fmt: skip
METR = Protocol(lags=12, split=(1290, 322, 404), split_by="t-gcn", loss="huber", metric="rmse")
METR_TRAINING = training_for(
    "forecast", batch_size=32, lr=5e-3, optimizer="adam", schedule="cosine", max_grad_norm=5.0, steps=500, eval_every=50
)


def plain(row: ForecasterSpec) -> ForecasterSpec:
    return replace(row, label=f"{row.label}, no skip", skip=False)


@dataclass(frozen=True)
class Part:
    """A table: its data, models, protocol, training and hidden units."""

    data: str
    models: list[ForecasterSpec]
    protocol: Protocol
    train: TrainConfig = WEEKLY_TRAINING
    hidden: int = 8


WEEKLY_ROWS = [LSTM, GCRN, DCRNN, GCN_LSTM, plain(LSTM), plain(GCRN), plain(GCN_LSTM)]
METR_ROWS = [replace(row, residual=True) for row in (LSTM, GCRN_GRU, DCRNN)]
PARTS: dict[str, dict[str, Part]] = {
    # Windows of the paper's splits, 20/80 and 90/10, the last fifth of training for validation.
    "chickenpox": {
        "20/80": Part("chickenpox", WEEKLY_ROWS, replace(WEEKLY, split=(82, 21, 414))),
        "90/10": Part("chickenpox", WEEKLY_ROWS, replace(WEEKLY, split=(372, 93, 52))),
        "20/80, 12 lags": Part("chickenpox", [LSTM, GCRN], replace(WEEKLY, lags=12, split=(81, 20, 408))),
        "20/80, day of the year": Part(
            "chickenpox", [LSTM, GCRN], replace(WEEKLY, split=(82, 21, 414), calendar=("day-of-year",))
        ),
    },
    "pedalme": {
        "90/10": Part("pedalme", WEEKLY_ROWS, replace(WEEKLY, split=(22, 5, 4))),
        "80/20": Part("pedalme", WEEKLY_ROWS, replace(WEEKLY, split=(20, 4, 7))),
    },
    "metr-la": {
        "15 minutes": Part("metr-la-week", METR_ROWS, replace(METR, horizon=3), METR_TRAINING, 32),
        "60 minutes": Part("metr-la-week", METR_ROWS, replace(METR, horizon=12), METR_TRAINING, 32),
        "60 minutes, squared loss": Part(
            "metr-la-week",
            [*METR_ROWS[1:], replace(METR_ROWS[2], label="DCRNN, encoder, K = 3", K=3)],
            replace(METR, horizon=12, loss="mse"),
            METR_TRAINING,
            32,
        ),
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--plan", action="store_true", help="list the runs without running them")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.data_dir is not None:
        os.environ["SEQGNN_DATA"] = str(given.data_dir)
    complete = True
    try:
        for name in [one_of("forecasting", "part", name, PARTS) for name in given.parts] or PARTS:
            plans = {title: planned(part, given) for title, part in PARTS[name].items()}
            if given.plan:
                show(name, plans)
            else:
                complete &= write(name, {title: one.run() for title, one in plans.items()}, given.out)
    except ValueError as error:
        print(f"forecasting: {error}", file=sys.stderr)
        return 2
    return 0 if complete else 1


def planned(part: Part, given: argparse.Namespace) -> Plan:
    return plan("forecast", data=part.data, models=part.models, seeds=SEEDS, hidden=part.hidden, train=part.train,
                grid=GridConfig(protocol=part.protocol, refit=True), jobs=given.jobs, out=given.out)  # fmt: skip


def show(name: str, plans: dict[str, Plan]) -> None:
    for title, one in plans.items():
        states, seconds = list(one.states().values()), sum(one.estimate()[0].values())
        finished = f"{states.count('finished')} of {len(states)} runs are finished"
        print(f"{name}, {title}: {finished}; the rest takes at most {seconds / 3600:.1f} hours on one core")


def write(name: str, found: dict[str, Comparison], out: Path) -> bool:
    """Write the tables of a part and its runs, without curves and errors by window, if all runs are finished."""
    failures = {f"{title}, {key}": said for title, one in found.items() for key, said in one.failures.items()}
    for key, message in failures.items():
        print(f"FAILED: {key}: {message}")
    if failures:
        return False
    tables = {}
    for title, one in found.items():
        rows = [{key: None if value != value else value for key, value in row.as_dict().items()} for row in one.rows()]
        for row in rows:
            seconds = [epoch_seconds(run) for run in one.runs.values() if run.spec.label == row["model"]]
            row["epoch_cpu_seconds"] = statistics.mean(seconds) if row["kind"] == "model" else None
        differences = [asdict(pair) for length in one.sizes for pair in one.differences(length)]
        over_windows = [asdict(pair) for length in one.sizes for pair in window_pairs(one, length)]
        runs = [slim(run) for run in one.runs.values()]
        tables[title] = {"rows": rows, "differences": differences, "over_windows": over_windows,
                         "by_window": {length: by_window(one, length) for length in one.sizes},
                         "runs": runs, "signal": one.data_id}  # fmt: skip
        for row in rows:
            spread = "" if row["mse_sd"] is None else f" ± {row['mse_sd']:.4f}"
            print(f"{name}, {title}, {row['model']}: MSE {row['mse']:.4f}{spread}, RMSE {row['rmse']:.4f}, "
                  f"MAE {row['mae']:.4f}")  # fmt: skip
    content = {"part": name, "tables": tables}
    write_atomically(out / f"{name}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    return True


def by_window(one: Comparison, length: int) -> dict[str, list[float | None]]:
    """Return the mean error (for RMSE, squared) over seeds of each model in each test window, if it is stored."""
    tests = {label: [run.result.test for run in one.of(label, length)] for label in one.labels}
    tests |= {name: [record.result.test] for (name, of), record in one.baselines.items() if of == length}
    means = {}
    for label, scores in tests.items():
        stored = [test.windows for test in scores if test.windows is not None]
        sums = zip(*(windows.errors for windows in stored))
        means[label] = [float(f"{sum(errors) / len(errors) / count:.6g}") if count else None
                        for errors, count in zip(sums, stored[0].counts if stored else ())]  # fmt: skip
    return means


def epoch_seconds(run: RunRecord) -> float:
    """Return the CPU seconds of one pass over the training part, including validation."""
    config: Any = run.config
    steps = run.result.steps + (run.result.best_step if config.refit else 0)
    return run.measured.cpu_seconds / steps * math.ceil(config.protocol.split[0] / config.train.batch_size)


def slim(run: RunRecord) -> dict[str, Any]:
    content = run.as_dict()
    result = {name: value for name, value in content["result"].items() if name not in ("losses", "validation")}
    result["test"] = {name: value for name, value in result["test"].items() if name != "windows"}
    return content | {"result": result}


if __name__ == "__main__":
    sys.exit(main())
