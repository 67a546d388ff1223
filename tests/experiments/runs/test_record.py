"""Records of runs hold everything that their files hold."""

import json

import pytest

from seqgnn.experiments.runs.problem import read_config
from seqgnn.experiments.runs.record import BaselineRecord, HeldOutScores, RunRecord
from seqgnn.experiments.runs.store import read_run
from tests.support.comparisons import changed, run, run_grid
from tests.support.paths import ROOT
from tests.support.stored_runs import write_signal

TINY = {"seeds": [0], "hidden": 4, "steps": 4, "eval_every": 2, "progress": False}


def stored(folder):
    """Return the content of all files of runs."""
    return [read_run(path) for path in sorted((folder / "runs").glob("*.json"))]


def known(content):
    """Return a part of a file as JSON, without None."""
    if isinstance(content, dict):
        return {name: known(value) for name, value in content.items() if value is not None}
    return json.loads(json.dumps(content))


@pytest.mark.parametrize("task", ["recall", "forecast"])
def test_record_of_a_file_gives_its_content_back(task, tmp_path):
    options = {"models": ["lstm", "gcn"], "out": tmp_path, **TINY}
    if task == "forecast":
        source = write_signal(tmp_path)
        options |= {"data": source.data, "graph": source.graph, "sizes": [2], "lags": 3}
    else:
        options |= {"sizes": [4]}
    result = run_grid(task, **options)
    kinds = set()
    for content in stored(tmp_path):
        kind = BaselineRecord if "baseline" in content["config"] else RunRecord
        record = kind.from_dict(content, read_config(content["config"]))
        for part in ("config", "spec", "result", "measured"):
            assert known(record.as_dict()[part]) == known(content[part]), part
        assert record in ([*result.runs.values()] if kind is RunRecord else [*result.baselines.values()])
        kinds.add(kind)
    assert kinds == {BaselineRecord, RunRecord}


@pytest.mark.parametrize(
    "part, name", [("result", "losses"), ("result", "steps"), ("result", "test"), ("measured", "seconds")]
)
def test_record_without_scores_or_curves_is_an_error(part, name):
    whole = run(0.5).as_dict()
    assert RunRecord.from_dict(whole, run(0.5).config) == run(0.5)
    del whole[part][name]
    with pytest.raises(ValueError, match="RunRecord: expected scores and curves, got a run without them"):
        RunRecord.from_dict(whole, run(0.5).config)


@pytest.mark.parametrize("name", ["chickenpox", "metr-la", "pedalme"])
def test_scores_of_earlier_results_are_read_without_newer_metrics(name):
    file = ROOT / "benchmarks" / "results" / "forecasting" / f"{name}.json"
    runs = [each for table in json.loads(file.read_text())["tables"].values() for each in table["runs"]]
    assert runs
    for content in (each["result"]["test"] for each in runs):
        scores = HeldOutScores.from_dict(content)
        assert scores.values["mae"] == content["mae"] and scores.values.get("mase") is None
        assert known(scores.as_dict()) == known(content)


def test_record_without_a_specification_is_an_error():
    with pytest.raises(ValueError, match="expected a run with the specification of its model, got one without"):
        RunRecord.from_dict(run(0.5).as_dict() | {"spec": None}, run(0.5).config)


def test_record_is_frozen():
    record = run(0.5)
    with pytest.raises(AttributeError):
        record.result.steps = 3
    assert changed(record, steps=3).result.steps == 3 and record.result.steps == 30
