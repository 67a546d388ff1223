"""The full-size comparison: RNNs, GNNs and hybrids with 128 hidden units, including recipes for long-term memory.

    python benchmarks/rnn_vs_gnn.py                       # everything, hours
    python benchmarks/rnn_vs_gnn.py palindromes --lengths 10,20 --seeds 0,1 --jobs 2
    python benchmarks/rnn_vs_gnn.py text --data book.txt

Every run is a JSON file in benchmarks/results/rnn_vs_gnn/runs. Finished runs are not repeated, so the script can be
stopped and restarted at any time. Tables (CSV), figures and, per part, a JSON file of all runs without their curves are
written to benchmarks/results/rnn_vs_gnn; only these are committed.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqgnn import compare
from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import one_of
from seqgnn.experiments import MODEL_SPECS, Comparison, ExecutionConfig, ModelSpec, training_for
from seqgnn.report import tables as report

RESULTS = Path(__file__).parent / "results" / "rnn_vs_gnn"

# torch's initialization, with which the committed results were computed; on digits, the forget bias of the reports for
# every LSTM, also in hybrids. At 50 digits a run of the second takes an hour.
TORCH = {name: replace(spec, init=(), forget_bias=None) for name, spec in MODEL_SPECS.items()}
HYBRIDS = [
    ModelSpec("GCN, then LSTM, forget bias 1", "gcn+lstm", forget_bias=1.0, longest=20),
    ModelSpec("GCN in LSTM, forget bias 1", "gcn-in-lstm", forget_bias=1.0, longest=20),
]
RECIPES = [
    ModelSpec("RNN, identity", "rnn", init=("identity",), lr=1e-4),
    ModelSpec("LSTM, chrono", "lstm", init=("orthogonal", "chrono")),
    ModelSpec("GRU, chrono", "gru", init=("orthogonal", "chrono")),
]
RECURRENT = [TORCH["rnn"], ModelSpec("LSTM, forget bias 1", "lstm", forget_bias=1.0), TORCH["gru"]]
GRAPH = [TORCH["gcn"], TORCH["gcn-1hop"], TORCH["gcn-mean"], *HYBRIDS]
UNTIL_SOLVED: dict[str, Any] = {"steps": 4000, "lr": 1e-3, "eval_every": 100, "target_accuracy": 0.995}
TEXT: dict[str, Any] = {"steps": 2000, "lr": 2e-3, "optimizer": "adam", "eval_every": 200}
SHARED = ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm")
TEXT_MODELS, EXPRESSION_MODELS = (
    [TORCH[name] for name in (*SHARED, last)] for last in ("gcn-in-lstm", "tree-lstm")
)


@dataclass(frozen=True)
class Part:
    """The models of a task, their sizes, and the fields of the training configuration that differ."""

    models: list[ModelSpec]
    sizes: list[int]
    training: dict[str, Any]


PARTS = {
    "palindromes": Part([*RECURRENT, *RECIPES, *GRAPH], [10, 20, 50], UNTIL_SOLVED),
    "recall": Part([*RECURRENT, *RECIPES, TORCH["gcn"], TORCH["gcn-mean"]], [20], UNTIL_SOLVED),
    "text": Part(TEXT_MODELS, [30], TEXT),
    "expressions": Part(EXPRESSION_MODELS, [15], UNTIL_SOLVED),
    "trees": Part(TEXT_MODELS, [16], UNTIL_SOLVED),
}


def main() -> int:
    """Run the parts named on the command line; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
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
        for name in [one_of("rnn_vs_gnn", "part", name, PARTS) for name in given.parts] or PARTS:
            part, models = PARTS[name], PARTS[name].models
            if given.models is not None:
                specs = {spec.label: spec for spec in models}
                models = [specs[one_of(name, "model", label.strip(), specs)] for label in given.models.split(";")]
            result = compare(
                name,
                data=given.data if name == "text" else None,
                models=models,
                sizes=given.lengths or part.sizes,
                seeds=given.seeds,
                steps=given.steps,
                hidden=given.hidden,
                out=given.out,
                jobs=given.jobs,
                train=training_for(name, batch_size=given.batch_size, **part.training),
                execution=ExecutionConfig(device=given.device),
            )
            report.show(result)
            report.write(result, given.out)
            write_atomically(given.out / f"{name}.json", json.dumps(summary(result), indent=1) + "\n")
            failed |= bool(result.failures)
    except ValueError as error:
        print(f"rnn_vs_gnn: {error}", file=sys.stderr)
        return 2
    return int(failed)


def summary(result: Comparison) -> dict[str, Any]:
    """Return every run with its configuration, scores and measurements, without its curves."""
    curves = ("losses", "accuracies", "validation")
    runs = []
    for (label, *_), run in [*result.runs.items(), *result.baselines.items()]:
        content = run.as_dict()
        content["result"] = {name: value for name, value in content["result"].items() if name not in curves}
        runs.append({"label": label, **content})
    return {"task": result.task, "metric": result.metric, "text": result.data_id, "runs": runs}


def _integers(text: str) -> list[int]:
    return [int(item) for item in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
