"""The full-size comparison: RNNs, GNNs and hybrids with 128 hidden units, with the recipes that make them remember.

    python benchmarks/rnn_vs_gnn.py                       # everything, hours
    python benchmarks/rnn_vs_gnn.py palindromes --lengths 10,20 --seeds 0,1 --jobs 2
    python benchmarks/rnn_vs_gnn.py text --data book.txt

Every run is one JSON in benchmarks/results/rnn_vs_gnn/runs; a run that is there is not repeated, so it can be stopped
and started again at any time. Tables (CSV), figures and, per part, one JSON of all its runs without their curves are
written beside them; those are what is committed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import one_of
from seqgnn.experiments.compare import ROWS, Comparison, Row, compare
from seqgnn.report import tables as report

RESULTS = Path(__file__).parent / "results" / "rnn_vs_gnn"

# The reports' forget bias for every LSTM, a hybrid's too. At 50 digits a run of the second would take an hour.
HYBRIDS = [
    Row("GCN, then LSTM, forget bias 1", "gcn+lstm", forget_bias=1.0, longest=20),
    Row("GCN in LSTM, forget bias 1", "gcn-in-lstm", forget_bias=1.0, longest=20),
]
RECIPES = [
    Row("RNN, identity", "rnn", init=("identity",), lr=1e-4),
    Row("LSTM, chrono", "lstm", init=("orthogonal", "chrono")),
    Row("GRU, chrono", "gru", init=("orthogonal", "chrono")),
]
RECURRENT = [ROWS["rnn"], Row("LSTM, forget bias 1", "lstm", forget_bias=1.0), ROWS["gru"]]
GRAPH = [ROWS["gcn"], ROWS["gcn-1hop"], ROWS["gcn-mean"], *HYBRIDS]
MEMORY: dict[str, Any] = {
    "models": [*RECURRENT, *RECIPES, *GRAPH],
    "lengths": [10, 20, 50],
    "steps": 4000,
    "lr": 1e-3,
    "eval_every": 100,
    "target_accuracy": 0.995,
}
PARTS: dict[str, dict[str, Any]] = {
    "palindromes": MEMORY,
    "recall": {**MEMORY, "models": [*RECURRENT, *RECIPES, ROWS["gcn"], ROWS["gcn-mean"]], "lengths": [20]},
    "text": {
        "models": [ROWS[name] for name in ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")],
        "lengths": [30],
        "steps": 2000,
        "lr": 2e-3,
        "optimizer": "adam",
        "eval_every": 200,
    },
    "expressions": {
        "models": [ROWS[name] for name in ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "tree-lstm")],
        "lengths": [15],
        "steps": 4000,
        "lr": 1e-3,
        "eval_every": 100,
        "target_accuracy": 0.995,
    },
    "trees": {
        "models": [ROWS[name] for name in ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")],
        "lengths": [16],
        "steps": 4000,
        "lr": 1e-3,
        "eval_every": 100,
        "target_accuracy": 0.995,
    },
}


def main() -> int:
    """Runs the parts named on the command line; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--models", help="labels of rows, separated by ';', e.g. 'RNN;GRU, chrono'")
    parser.add_argument("--lengths", type=_integers)
    parser.add_argument("--seeds", type=_integers, default=[0, 1, 2])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--data", type=Path, help="text file; default: Python's help topics")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()

    failed = False
    try:
        for part in [one_of("rnn_vs_gnn", "part", name, PARTS) for name in given.parts] or PARTS:
            options = dict(PARTS[part])
            if given.models is not None:
                rows = {row.label: row for row in options["models"]}
                options["models"] = [rows[one_of(part, "model", m.strip(), rows)] for m in given.models.split(";")]
            options |= {name: value for name in ("lengths", "steps") if (value := getattr(given, name)) is not None}
            result = compare(
                part,
                seeds=given.seeds,
                hidden=given.hidden,
                batch_size=given.batch_size,
                device=given.device,
                jobs=given.jobs,
                out=given.out,
                path=given.data if part == "text" else None,
                **options,
            )
            report.show(result)
            report.write(result, given.out)
            write_atomically(given.out / f"{part}.json", json.dumps(summary(result), indent=1) + "\n")
            failed |= bool(result.failures)
    except ValueError as error:
        print(f"rnn_vs_gnn: {error}", file=sys.stderr)
        return 2
    return int(failed)


def summary(result: Comparison) -> dict[str, Any]:
    """Every run with its configuration, scores and what was measured, without its curves."""
    curves = ("losses", "accuracies", "validation")
    runs = [
        {"label": label, **run, "result": {name: value for name, value in run["result"].items() if name not in curves}}
        for (label, *_), run in [*result.runs.items(), *result.baselines.items()]
    ]
    return {"task": result.task, "metric": result.metric, "text": result.text, "runs": runs}


def _integers(text: str) -> list[int]:
    return [int(item) for item in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
