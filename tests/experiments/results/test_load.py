"""Comparisons from files: what was run comes back, and what is no run is named."""

import json
import shlex
import shutil
from functools import wraps

import pytest
from typer.testing import CliRunner

from seqgnn.cli.compare import settings
from seqgnn.cli.main import app
from seqgnn.experiments import Comparison, ModelSpec, compare, plan
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.results.naming import distinct_labels
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.record import FailedRun
from seqgnn.report.html.commands import reproduction_commands
from tests.support.comparisons import plan_grid, run_grid

TINY = {"sizes": [4], "seeds": [0, 1], "steps": 3, "hidden": 4, "batch_size": 8}


def jobs_of(task, **options):
    return [job for job in plan_grid(task, **options).jobs if job.spec is not None]


def keys(prepared):
    return {job.config for job in prepared.jobs}


def test_distinct_labels_of_equal_names_add_differing_options():
    own = ModelSpec("x", "gru", init=("orthogonal",), positions=True, readout="max")
    jobs = [
        *jobs_of("recall", models=["lstm"], **TINY),
        *jobs_of("recall", models=["lstm"], **(TINY | {"hidden": 8})),
        *jobs_of("recall", models=["lstm"], **(TINY | {"hidden": 8, "lr": 0.5})),
        *jobs_of("recall", models=["rnn"], **TINY),
        *jobs_of("recall", models=[own], **TINY),
    ]
    labels = distinct_labels([job.spec.label for job in jobs], [job.config for job in jobs])
    assert labels[::2] == [
        "LSTM, 4 units, lr 0.003", "LSTM, 8 units, lr 0.003", "LSTM, 8 units, lr 0.5", "RNN", "x",
    ]  # fmt: skip


def test_load_comparisons_equals_the_result_of_the_run(tmp_path):
    out = tmp_path / "some" / "where"
    result = run_grid("recall", models=["rnn", "gcn"], out=out, progress=False, **TINY)
    for path in (out, out / "runs", tmp_path):
        (found,) = load_comparisons([path, path]).comparisons
        assert found.rows() == result.rows() and found.labels == result.labels and found.elements == result.elements
        assert found.weights == result.weights
    assert len(load_comparisons([next((out / "runs").glob("*.json"))]).comparisons) == 1


def test_load_comparisons_separates_tasks(tmp_path):
    for task in ("recall", "expressions"):
        run_grid(task, models=["rnn"], out=tmp_path, progress=False, **(TINY | {"sizes": [5]}))
    assert [found.task for found in load_comparisons([tmp_path]).comparisons] == ["expressions", "recall"]


def test_load_comparisons_invalid_files_are_named_and_unchanged(tmp_path, monkeypatch):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
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
        run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    (found,) = load_comparisons([tmp_path]).comparisons
    assert found.failures == {("RNN", 4, seed): "ValueError: no luck" for seed in (0, 1)} and not found.runs
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    assert not load_comparisons([tmp_path]).comparisons[0].failures


def test_load_comparisons_counts_partial_runs(tmp_path):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    (tmp_path / "runs" / "0123.partial").mkdir()
    assert "1 run is unfinished" in load_comparisons([tmp_path]).problems[0]


def test_cli_report_unwritable_page_raises_value_error(tmp_path):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "runs")])
    with pytest.raises(ValueError, match=r"expected a writable file, got .*runs"):
        raise done.exception
    assert not list(tmp_path.glob("*.tmp"))


def test_load_comparisons_without_runs_raises_value_error(tmp_path):
    with pytest.raises(ValueError, match=r"expected folders with runs .* got none .*there are no runs in it"):
        load_comparisons([tmp_path])


@pytest.mark.parametrize(
    "task, options",
    [
        ("recall", {"models": ["rnn", "gcn-in-lstm"], "window": 3, "lr": {4: 0.1, 6: 0.2}, "sizes": [4, 6]}),
        ("trees", {"models": ["gru"], "optimizer": "sgd", "momentum": 0.5, "max_grad_norm": None,
                   "target_accuracy": None}),
        ("recall", {"match_parameters": True, "models": ["rnn"], "min_steps": 200, "hidden": 32, "steps": 800}),
        ("recall", {"models": [ModelSpec("a \"quoted\" [row]", "lstm", init=("orthogonal", "chrono"), longest=4),
                               "rnn"],
                    "sizes": [4, 6], "eval_every": 7, "max_grad_norm": None}),
        ("recall", {"models": ["rnn", ModelSpec("RNN, slow", "rnn", lr=1e-5)], "schedule": "cosine"}),
        ("recall", {"models": ["rnn"], "max_seconds": 2.5, "steps": None}),
        ("recall", {"models": ["rnn"], "max_seconds": 2.5, "steps": 800}),
        ("recall", {"models": ["rnn", "gcn-1hop"], "max_seconds": 2.5, "steps": None, "eval_every": 7}),
    ],
)  # fmt: skip
def test_reproduction_commands_plan_the_same_runs(tmp_path, monkeypatch, task, options):
    before = plan_grid(task, **(TINY | options))
    result = Comparison(task, "accuracy", before.labels, before.sizes, before.seeds)
    for job in before.jobs:
        if hasattr(job.config, "model"):
            result.failed[job.key] = FailedRun(job.config, job.spec)
    (found,) = reproduction_commands(result)
    if found.grid is None:
        seen = []

        @wraps(plan)  # its signature is that of the command's options
        def recorded(*args, **options):
            seen.append(plan(*args, **options))
            return seen[-1]

        monkeypatch.setattr(compare, "plan", recorded)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*shlex.split(found.command)[1:], "--dry-run"])
        assert done.exit_code == 0, done.exception
        assert keys(seen[0]) == keys(before) and seen[0].labels == before.labels
    else:
        assert found.command == "seqgnn compare --config grid.toml"
        (tmp_path / "grid.toml").write_text(found.grid)
        given = settings({}, tmp_path / "grid.toml")
        after = plan_grid(given.pop("task"), sizes=given.pop("lengths"), **given)
        assert keys(after) == keys(before) and after.labels == before.labels


def test_reproduction_commands_include_failed_runs_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["rnn", ModelSpec("wild", "lstm", lr=1e37)]
    options = TINY | {"seeds": [0], "max_grad_norm": None}
    result = run_grid("recall", models=rows, out="some/where", progress=False, **options)
    assert set(result.failures) == {("wild", 4, 0)}
    for found, out in (
        (result, "some/where"),
        (load_comparisons(["some/where"]).comparisons[0], "some/where"),
        (load_comparisons([tmp_path / "some" / "where"]).comparisons[0], "where"),
    ):
        (command,) = reproduction_commands(found)
        assert 'label = "wild"' in command.grid and f'out = "{out}"' in command.grid
    shutil.copytree("some/where", "some/there")
    next((tmp_path / "some" / "there" / "runs").glob("*.json")).unlink()
    assert 'out = "results"' in reproduction_commands(load_comparisons(["some"]).comparisons[0])[0].grid


def test_reproduction_commands_of_two_grids_are_two_files(tmp_path):
    for hidden in (4, 8):
        run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **(TINY | {"hidden": hidden}))
    found = reproduction_commands(load_comparisons([tmp_path]).comparisons[0])
    assert len(found) == 2 and all("grid-" in each.command for each in found)
    assert "hidden = 4" in found[0].grid and "hidden = 8" in found[1].grid


def test_load_comparisons_preserves_row_labels(tmp_path):
    rows = [ModelSpec("mine", "lstm", forget_bias=1.0), ModelSpec("<b>yours</b>", "gru")]
    result = run_grid("recall", models=rows, out=tmp_path, progress=False, **TINY)
    (found,) = load_comparisons([tmp_path]).comparisons
    assert set(found.labels) == {"mine", "<b>yours</b>"}
    assert {key: run.result for key, run in found.runs.items()} == {k: r.result for k, r in result.runs.items()}
    clash = tmp_path / "other"
    run_grid("recall", models=[ModelSpec("mine", "rnn")], out=clash, progress=False, **TINY)
    (found,) = load_comparisons([tmp_path / "runs", clash]).comparisons
    assert set(found.labels) == {"mine, lstm, forget bias 1", "<b>yours</b>", "mine, rnn"}
