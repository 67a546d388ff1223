"""The committed results of `benchmarks/rnn_vs_gnn.py` are those of the configurations that it runs."""

import importlib.util
import json

import pytest

from seqgnn.experiments import training_for
from seqgnn.experiments.compare import plan
from tests.support.paths import ROOT

MODEL = ("model", "readout", "hops", "num_layers", "hidden", "encoding", "window", "init", "forget_bias", "positions",
         "parameters")  # fmt: skip
TRAINING = ("steps", "batch_size", "optimizer", "lr", "momentum", "eval_every")


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("rnn_vs_gnn", ROOT / "benchmarks" / "rnn_vs_gnn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings(config):
    values = [config[name] for name in MODEL] + [config["train"][name] for name in TRAINING]
    return json.loads(json.dumps(values))


@pytest.mark.parametrize("task", ["palindromes", "recall", "text", "expressions", "trees"])
def test_committed_runs_equal_the_planned_configurations(benchmark, task):
    part = benchmark.PARTS[task]
    stored = json.loads((benchmark.RESULTS / f"{task}.json").read_text(encoding="utf-8"))["runs"]
    stored = {(run["label"], run["config"]["length"]): run["config"] for run in stored if "model" in run["config"]}
    train = training_for(task, batch_size=128, **part.training)
    jobs = plan(task, models=part.models, sizes=part.sizes, seeds=[0], hidden=128, train=train).jobs
    planned = {job.key[:2]: job.content for job in jobs if job.spec is not None}
    assert set(stored) == set(planned)
    assert {key: settings(config) for key, config in stored.items()} == {
        key: settings(config) for key, config in planned.items()
    }
