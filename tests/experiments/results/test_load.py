"""Comparisons from files: what was run comes back, and what is no run is named."""

import json

import pytest
from typer.testing import CliRunner

from seqgnn.cli.main import app
from seqgnn.experiments import ModelSpec
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.runs.config import RunConfig
from tests.support.comparisons import SMALL, run_grid


def test_load_comparisons_equals_the_result_of_the_run(tmp_path):
    out = tmp_path / "some" / "where"
    result = run_grid("recall", models=["rnn", "gcn"], out=out, progress=False, **SMALL)
    for path in (out, out / "runs", tmp_path):
        (found,) = load_comparisons([path, path]).comparisons
        assert found.rows() == result.rows() and found.labels == result.labels and found.elements == result.elements
        assert found.weights == result.weights
    assert len(load_comparisons([next((out / "runs").glob("*.json"))]).comparisons) == 1


def test_load_comparisons_separates_tasks(tmp_path):
    for task in ("recall", "expressions"):
        run_grid(task, models=["rnn"], out=tmp_path, progress=False, **(SMALL | {"sizes": [5]}))
    assert [found.task for found in load_comparisons([tmp_path]).comparisons] == ["expressions", "recall"]


def test_load_comparisons_invalid_files_are_named_and_unchanged(tmp_path, monkeypatch):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **SMALL)
    runs = tmp_path / "runs"
    whole = next(path for path in runs.glob("*.json") if path.with_suffix(".safetensors").exists())
    changed = json.loads(whole.read_text()) | {"version": 2}
    bad = {"cut": whole.read_text()[:300], "foreign": '{"a": 1}', "newer": json.dumps(changed), "list": "[]"}
    for name, content in bad.items():
        (runs / f"<{name}>.json").write_text(content)
    (runs / "bytes.json").write_bytes(b"\xff\xfe")
    (runs / "other.failed").write_text("{}")
    before = sorted((path.name, path.read_bytes()) for path in runs.iterdir() if path.is_file())
    (tmp_path / "empty").mkdir()
    found = load_comparisons([tmp_path, tmp_path / "empty", tmp_path / "nowhere"])
    assert len(found.comparisons) == 1 and len(found.comparisons[0].runs) == 2
    assert len(found.problems) == 8
    for name in ("<cut>", "<foreign>", "<newer>", "<list>", "bytes", "other", "empty", "nowhere"):
        assert sum(problem.count(f"/{name}") for problem in found.problems) == 1, name
    assert before == sorted((path.name, path.read_bytes()) for path in runs.iterdir() if path.is_file())
    page = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(page)])
    assert done.exit_code == 0 and "&lt;cut&gt;" in page.read_text() and "<cut>" not in page.read_text()


def test_load_comparisons_restores_failures(tmp_path, monkeypatch):
    def fail(self, *arguments):
        raise ValueError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(RunConfig, "perform", fail)
        run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **SMALL)
    (found,) = load_comparisons([tmp_path]).comparisons
    assert found.failures == {("RNN", 4, seed): "ValueError: no luck" for seed in (0, 1)} and not found.runs
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **SMALL)
    assert not load_comparisons([tmp_path]).comparisons[0].failures


def test_load_comparisons_counts_partial_runs(tmp_path):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **SMALL)
    (tmp_path / "runs" / "0123.partial").mkdir()
    assert "1 run is unfinished" in load_comparisons([tmp_path]).problems[0]


def test_load_comparisons_without_runs_raises_value_error(tmp_path):
    with pytest.raises(ValueError, match=r"expected folders with runs .* got none .*there are no runs in it"):
        load_comparisons([tmp_path])


def test_load_comparisons_preserves_row_labels(tmp_path):
    rows = [ModelSpec("mine", "lstm", forget_bias=1.0), ModelSpec("<b>yours</b>", "gru")]
    result = run_grid("recall", models=rows, out=tmp_path, progress=False, **SMALL)
    (found,) = load_comparisons([tmp_path]).comparisons
    assert set(found.labels) == {"mine", "<b>yours</b>"}
    assert {key: run.result for key, run in found.runs.items()} == {k: r.result for k, r in result.runs.items()}
    clash = tmp_path / "other"
    run_grid("recall", models=[ModelSpec("mine", "rnn")], out=clash, progress=False, **SMALL)
    (found,) = load_comparisons([tmp_path / "runs", clash]).comparisons
    assert set(found.labels) == {"mine, lstm, forget bias 1", "<b>yours</b>", "mine, rnn"}
