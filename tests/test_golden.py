"""The promises of a release: the public names of every room, and the keys of stored runs.

After a change on purpose, `python -m tests.test_golden` writes the file again; say in the CHANGELOG what was renamed.
"""

import json
from dataclasses import asdict
from importlib import import_module

from seqgnn.experiments.runs.config import BaselineConfig, RunConfig
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.store import run_key
from seqgnn.experiments.runs.text_config import TextRun
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig
from tests.support.paths import ROOT

GOLDEN = ROOT / "tests" / "fixtures" / "golden.json"
ROOMS = ("analysis", "data", "experiments", "metrics", "models", "nn", "profile", "report", "tasks", "training")
RUNS = {
    "sequence run": RunConfig(
        task="recall", size=10, data_id=None, model="lstm", readout="last", hops=(1,), num_layers=1, hidden=64,
        encoding="one-hot", window=None, init=("orthogonal", "chrono"), forget_bias=None, positions=False,
        parameters=None, seed=0, device="cpu", train=TrainConfig(),
    ),
    "sequence baseline": BaselineConfig("text", 30, "book.txt (0123)", "bigram", 65536),
    "forecast run": ForecastRun(
        task="forecast", data_id="chickenpox (0123)", model="gcrn", hidden=32, num_layers=1, K=2, residual=False,
        skip=True, neighbors=False, dropout=0.0, protocol=Protocol(), refit=True, seed=0, device="cpu",
        train=PROBLEMS["forecast"].train,
    ),
    "forecast baseline": ForecastBaseline("forecast", "chickenpox (0123)", "seasonal", Protocol(), False, 52),
    "text run": TextRun(files=("book.txt",)),
}  # fmt: skip


def promises():
    names = {name: sorted(import_module(f"seqgnn.{name}").__all__) for name in ROOMS}
    keys = {name: run_key(json.loads(json.dumps(asdict(run)))) for name, run in RUNS.items()}
    return {"names": {"seqgnn": sorted(import_module("seqgnn").__all__)} | names, "run_keys": keys}


def test_public_names_and_run_keys_equal_the_golden_file():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = promises()
    for part, content in found.items():
        for name, value in content.items():
            assert golden[part].get(name) == value, f"{part} of {name}; on purpose? See the head of this file."
    assert {part: set(golden[part]) for part in found} == {part: set(content) for part, content in found.items()}


if __name__ == "__main__":
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    GOLDEN.write_text(json.dumps(golden | promises(), indent=1) + "\n", encoding="utf-8")
