"""Comparisons from files: what was run comes back, and what is no run is named."""

import json
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from seqgnn.cli.compare import settings
from seqgnn.cli.main import app
from seqgnn.experiments import compare as comparison
from seqgnn.experiments.compare import ROWS, Row, compare, plan
from seqgnn.experiments.grid.presets import PRESETS
from seqgnn.experiments.results.load import collect
from seqgnn.experiments.results.naming import labels_of, row_of
from seqgnn.report.html.commands import again

TINY = {"lengths": [4], "seeds": [0, 1], "steps": 3, "hidden": 4, "batch_size": 8}


def configs(task, **options):
    return {job.key: job.config for job in plan(task, **options).jobs if hasattr(job.config, "model")}


def keys(prepared):
    return {job.config for job in prepared.jobs}


@pytest.mark.parametrize("task", ["recall", "text", "expressions", "trees"])
def test_rows_get_their_own_names_back(task):
    on_path = comparison.TASKS[task].on_path
    names = [name for name, row in ROWS.items() if on_path or row.hops is None]
    names = [name for name in names if name != "tree-lstm" or task == "expressions"]
    rows = [ROWS[name] for name in names if not (task == "trees" and ROWS[name].readout == "mean")]
    found = configs(task, models=rows, lengths=[9], seeds=[0])
    for (label, _, _), config in found.items():
        assert row_of(config).label == label
    long = PRESETS["long-memory"] | {"seeds": [0]}
    assert all(row_of(config).label == label for (label, _, _), config in configs("recall", **long).items())


def test_runs_alike_in_name_are_told_apart():
    own = Row("x", "gru", init=("orthogonal",), positions=True, readout="max")
    found = [
        *configs("recall", models=["lstm"], **TINY).values(),
        *configs("recall", models=["lstm"], **(TINY | {"hidden": 8})).values(),
        *configs("recall", models=["lstm"], **(TINY | {"hidden": 8, "lr": 0.5})).values(),
        *configs("recall", models=["rnn"], **TINY).values(),
        *configs("recall", models=[own], **TINY).values(),
    ]  # fmt: skip
    labels = labels_of(found)
    assert labels[::2] == [
        "LSTM, 4 units, lr 0.003", "LSTM, 8 units, lr 0.003", "LSTM, 8 units, lr 0.5", "RNN",
        "GRU, orthogonal, max readout, positions",
    ]  # fmt: skip


def test_what_was_run_comes_back(tmp_path):
    out = tmp_path / "some" / "where"
    result = compare("recall", models=["rnn", "gcn"], out=out, progress=False, **TINY)
    for path in (out, out / "runs", tmp_path):
        (found,) = collect([path, path]).comparisons
        assert found.rows() == result.rows() and found.labels == result.labels and found.elements == result.elements
        assert found.weights == result.weights
    assert len(collect([next((out / "runs").glob("*.json"))]).comparisons) == 1


def test_tasks_stand_apart(tmp_path):
    for task in ("recall", "expressions"):
        compare(task, models=["rnn"], out=tmp_path, progress=False, **(TINY | {"lengths": [5]}))
    assert [found.task for found in collect([tmp_path]).comparisons] == ["expressions", "recall"]


def test_what_is_no_run_is_named_and_left_alone(tmp_path, monkeypatch):
    compare("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
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
    found = collect([tmp_path, tmp_path / "empty", tmp_path / "nowhere"])
    assert len(found.comparisons) == 1 and len(found.comparisons[0].runs) == 2
    assert len(found.problems) == 8
    for name in ("<cut>", "<foreign>", "<newer>", "<list>", "bytes", "other", "empty", "nowhere"):
        assert sum(problem.count(f"/{name}") for problem in found.problems) == 1, name
    assert before == sorted((path.name, path.read_bytes()) for path in runs.iterdir() if path.is_file())
    page = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(page)])
    assert done.exit_code == 0 and "&lt;cut&gt;" in page.read_text() and "<cut>" not in page.read_text()


def test_failures_come_back(tmp_path, monkeypatch):
    def fail(self, *arguments):
        raise ValueError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(comparison.RunConfig, "perform", fail)
        compare("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    (found,) = collect([tmp_path]).comparisons
    assert found.failures == {("RNN", 4, seed): "ValueError: no luck" for seed in (0, 1)} and not found.runs
    compare("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    assert not collect([tmp_path]).comparisons[0].failures


def test_runs_under_way_are_counted(tmp_path):
    compare("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    (tmp_path / "runs" / "0123.partial").mkdir()
    assert "1 run is under way or interrupted" in collect([tmp_path]).problems[0]


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    compare("recall", models=["rnn"], out=tmp_path, progress=False, **TINY)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "runs")])
    with pytest.raises(ValueError, match=r"expected a file that can be written, got .*runs"):
        raise done.exception
    assert not list(tmp_path.glob("*.tmp"))


def test_folders_without_any_run_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"expected folders with runs .* got none .*there are no runs in it"):
        collect([tmp_path])


@pytest.mark.parametrize(
    "task, options",
    [
        ("recall", {"models": ["rnn", "gcn-in-lstm"], "window": 3, "lr": {4: 0.1, 6: 0.2}, "lengths": [4, 6]}),
        ("trees", {"models": ["gru"], "optimizer": "sgd", "momentum": 0.5, "max_grad_norm": None,
                   "target_accuracy": None}),
        ("recall", {"match_parameters": True, "models": ["rnn"], "min_steps": 200, "hidden": 32, "steps": 800}),
        ("recall", {"models": [Row("a \"quoted\" [row]", "lstm", init=("orthogonal", "chrono"), longest=4), "rnn"],
                    "lengths": [4, 6], "eval_every": 7, "max_grad_norm": None}),
        ("recall", {"models": ["rnn", Row("RNN, slow", "rnn", lr=1e-5)], "schedule": "cosine"}),
        ("recall", {"models": ["rnn"], "max_seconds": 2.5, "steps": None}),
        ("recall", {"models": ["rnn"], "max_seconds": 2.5, "steps": 800}),
        ("recall", {"models": ["rnn", "gcn-1hop"], "max_seconds": 2.5, "steps": None, "eval_every": 7}),
    ],
)  # fmt: skip
def test_commands_make_the_same_runs(tmp_path, monkeypatch, task, options):
    before = plan(task, **(TINY | options))
    result = comparison.Comparison(task, "accuracy", before.labels, before.lengths, before.seeds)
    for job in before.jobs:
        if hasattr(job.config, "model"):
            result.runs[job.key] = {"config": json.loads(json.dumps(comparison.asdict(job.config)))}
    (found,) = again(result)
    if found.grid is None:
        seen = []
        monkeypatch.setattr(comparison, "plan", lambda name, **given: seen.append(plan(name, **given)) or seen[-1])
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*shlex.split(found.command)[1:], "--dry-run"])
        assert done.exit_code == 0, done.exception
        assert keys(seen[0]) == keys(before) and seen[0].labels == before.labels
    else:
        assert found.command == "seqgnn compare --config grid.toml"
        (tmp_path / "grid.toml").write_text(found.grid)
        given = settings({}, tmp_path / "grid.toml")
        after = plan(given.pop("task"), **given)
        assert keys(after) == keys(before) and after.labels == before.labels


def test_commands_make_what_failed_too_in_the_folder_of_the_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["rnn", Row("wild", "lstm", lr=1e37)]
    options = TINY | {"seeds": [0], "max_grad_norm": None}
    result = compare("recall", models=rows, out="some/where", progress=False, **options)
    assert set(result.failures) == {("wild", 4, 0)}
    for found, out in (
        (result, "some/where"),
        (collect(["some/where"]).comparisons[0], "some/where"),
        (collect([tmp_path / "some" / "where"]).comparisons[0], "where"),
    ):
        (command,) = again(found)
        assert 'label = "wild"' in command.grid and f'out = "{out}"' in command.grid
    shutil.copytree("some/where", "some/there")
    next((tmp_path / "some" / "there" / "runs").glob("*.json")).unlink()
    assert 'out = "results"' in again(collect(["some"]).comparisons[0])[0].grid


def test_runs_that_no_one_command_makes_have_several(tmp_path):
    for hidden in (4, 8):
        compare("recall", models=["rnn"], out=tmp_path, progress=False, **(TINY | {"hidden": hidden}))
    found = again(collect([tmp_path]).comparisons[0])
    assert len(found) == 2 and all("grid-" in each.command for each in found)
    assert "hidden = 4" in found[0].grid and "hidden = 8" in found[1].grid


def test_rows_keep_the_labels_they_were_made_under(tmp_path):
    rows = [Row("mine", "lstm", forget_bias=1.0), Row("<b>yours</b>", "gru")]
    result = compare("recall", models=rows, out=tmp_path, progress=False, **TINY)
    (found,) = collect([tmp_path]).comparisons
    assert set(found.labels) == {"mine", "<b>yours</b>"}
    assert {key: run["result"] for key, run in found.runs.items()} == {k: r["result"] for k, r in result.runs.items()}
    clash = tmp_path / "other"
    compare("recall", models=[Row("mine", "rnn")], out=clash, progress=False, **TINY)
    (found,) = collect([tmp_path / "runs", clash]).comparisons
    assert set(found.labels) == {"mine (LSTM, forget bias 1)", "<b>yours</b>", "mine (RNN)"}
