"""`seqgnn runs`: stored runs, the best on the validation set first."""

import csv
import json
from pathlib import Path

import pytest

from seqgnn.cli.main import main
from seqgnn.experiments.runs.store import run_key
from tests.support.comparisons import tiny


@pytest.fixture
def call(capsys):
    def call(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main(["runs", *map(str, arguments)])
        shown = capsys.readouterr()
        assert ended.value.code == code, shown.err
        return shown

    return call


@pytest.fixture
def stored(tmp_path):
    return tiny(out=tmp_path, seeds=[0, 1], models=["rnn", "gcn"]), tmp_path


def test_cli_runs_lists_models_by_validation_then_baselines(call, stored):
    comparison, folder = stored
    rows = json.loads(call(folder, "--format", "json").out)
    best = {}
    for (label, _, seed), run in comparison.runs.items():
        (point,) = [point for point in run.result.validation if point.step == run.result.best_step]
        best[label, seed] = point.accuracy, run.result.test.values["accuracy"]
    models = [row for row in rows if row["seed"] is not None]
    assert {(row["label"], row["seed"]): (row["validation"], row["test"]) for row in models} == best
    assert [row["validation"] for row in models] == sorted((score for score, _ in best.values()), reverse=True)
    assert [row["label"] for row in rows[4:]] == ["chance", "linear", "majority"]
    assert all(row["validation"] is None and row["state"] == "finished" for row in rows[4:])
    for row in models:
        content = json.loads(Path(row["path"]).read_text())
        assert run_key(content["config"]) in row["path"] and content["config"]["seed"] == row["seed"]


def test_cli_runs_table_and_csv_have_the_same_cells(call, stored):
    _, folder = stored
    table, text = call(folder).out.splitlines(), call(folder, "--format", "csv").out.splitlines()
    rows = list(csv.reader(text))
    assert rows[0] == ["task", "label", "size", "seed", "state", "metric", "validation", "test", "path"]
    assert len(table) == len(rows) == 8
    for line, row in zip(table, rows):
        assert line.split() == [cell for cell in row if cell]


def test_cli_runs_failed_run_is_listed_and_damaged_file_is_named(call, tmp_path):
    tiny(out=tmp_path, models=["gcn"], lr=1e37, max_grad_norm=None, optimizer="sgd")
    damaged = tmp_path / "runs" / "x.json"
    damaged.write_text("{")
    shown = call(tmp_path)
    (line,) = [line for line in shown.out.splitlines() if " GCN " in line]
    assert line.split()[:6] == ["recall", "GCN", "4", "0", "failed", "accuracy"]
    assert shown.err.startswith("seqgnn: left out: ") and str(damaged) in shown.err


def test_cli_runs_without_runs_is_one_line(call, tmp_path):
    assert call(tmp_path, code=2).err.startswith("seqgnn: runs: expected folders with runs of seqgnn compare, got none")
    assert "expected format to be one of" in call(tmp_path, "--format", "xml", code=2).err
