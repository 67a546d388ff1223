"""`seqgnn compare` with files, presets and plans: it runs what is requested, and errors are named."""

import importlib
import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from seqgnn.cli.main import app
from seqgnn.experiments.runs import store
from seqgnn.experiments.runs.store import StoreLost

GRID = """
task = "recall"
lengths = [4]
seeds = [0]
steps = 6
eval_every = 3
hidden = 4
batch_size = 8
jobs = 1
models = ["gcn"]
out = "found"

[lr_per_size]
4 = 2e-3

[[row]]
label = "LSTM, chrono"
model = "lstm"
init = ["orthogonal", "chrono"]
"""


def call(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_cli_compare_config_file_is_overridden_by_options(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    assert call("--config", file, "--seeds", "0,1").exit_code == 0
    runs = [json.loads(path.read_text())["config"] for path in (tmp_path / "found" / "runs").glob("*.json")]
    trained = [run for run in runs if "model" in run]
    assert sorted((run["model"], run["seed"]) for run in trained) == [("gcn", 0), ("gcn", 1), ("lstm", 0), ("lstm", 1)]
    assert {run["train"]["lr"] for run in trained} == {2e-3} and {run["train"]["steps"] for run in trained} == {6}
    (chrono,) = [run for run in trained if run["model"] == "lstm" and run["seed"] == 0]
    assert chrono["init"] == ["orthogonal", "chrono"]


def test_cli_compare_dry_run_lists_runs_and_trains_none(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    lines = call("--config", file, "--dry-run").stdout.splitlines()
    assert re.fullmatch(r"recall T=4 LSTM, chrono seed 0: to do, at most \d+ s", lines[0])
    assert re.fullmatch(r"2 runs to train: at most \d+ s, \d+ s with 1 at a time", lines[-1])
    assert not (tmp_path / "found").exists()
    assert call("--config", file).exit_code == 0
    lines = call("--config", file, "--dry-run").stdout.splitlines()
    assert lines[0] == "recall T=4 LSTM, chrono seed 0: finished"
    assert lines[-1].startswith("0 runs to train")


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_cli_compare_says_that_one_seed_is_few(options):
    grid = ["recall", "--models", "rnn", "--lengths", "3", "--steps", "2", "--hidden", "4", *options]
    remark = "one seed: no standard deviations, and models may differ by the seed alone; use three or more"
    assert call(*grid, "--seeds", "0").stdout.splitlines().count(remark) == 1
    assert remark not in call(*grid, "--seeds", "0,1").stdout


WILD = "\n[[row]]\nlabel = 'wild'\nmodel = 'rnn'\nlr = 1e37\n"


def test_cli_compare_dry_run_lists_runs_without_estimate(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text("max_grad_norm = 0" + GRID + WILD)
    done = call("--config", file, "--dry-run")
    assert done.exit_code == 0, done.exception
    lines = done.stdout.splitlines()
    assert lines[0].startswith("recall T=4 wild seed 0: to do, no estimate (fit: loss is ")
    assert re.fullmatch(r"3 runs to train: at most .*, not counting 1 without an estimate", lines[-1])


def test_cli_compare_seeds_auto_in_a_file_or_on_the_command_line(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID.replace("seeds = [0]", 'seeds = "auto"\nmax_seeds = 3'))
    lines = call("--config", file, "--dry-run").stdout.splitlines()
    assert lines[-2].startswith("seeds 0, 1, 2, then one more at a time until") and "at most 3 seeds" in lines[-2]
    assert lines[-1].startswith("6 runs to train for the first 3 seeds: at most")
    file.write_text(GRID)
    lines = call("--config", file, "--dry-run", "--seeds", "auto", "--interval-width", "0.2").stdout.splitlines()
    assert "is at most 0.2 wide; at most 20 seeds" in lines[-2]


def test_cli_compare_says_first_what_comes(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    lines = call("--config", file).stdout.splitlines()
    assert lines[0] == "recall: 2 runs (2 models, T = 4, one seed) and 3 baselines"
    results = f"results in {tmp_path / 'found'}, with report.html; if interrupted, the same command resumes"
    assert lines[1].startswith("one seed: no standard deviations")
    assert lines[2] == f"`--dry-run` estimates the time; {results}"


def test_cli_compare_retry_failing_again_leaves_table_and_files(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text("max_grad_norm = 0" + GRID + WILD)
    assert call("--config", file).exit_code == 1
    kept = [(tmp_path / "found" / name).read_text() for name in ("recall.csv", "report.html")]
    again = call("--config", file, "--retry-failed")
    assert again.exit_code == 1 and "(1 failed)" in again.stdout and "left out" not in again.stdout
    assert [(tmp_path / "found" / name).read_text() for name in ("recall.csv", "report.html")] == kept
    more = call("--config", file, "--retry-failed", "--seeds", "0,1,2")
    assert "skipping 6 runs that were not started" in more.stdout
    none = call("--config", file, "--retry-failed", "--seeds", "7", "--lengths", "6", "--lr", "0.1")
    assert none.exit_code == 0 and "skipping 6 runs that were not started" in none.stdout
    assert [(tmp_path / "found" / name).read_text() for name in ("recall.csv", "report.html")] == kept


def test_cli_compare_unwritable_files_are_named_below_table(tmp_path, monkeypatch):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)

    old = tmp_path / "found" / "recall.csv"
    old.parent.mkdir()
    old.write_text("before")
    write = store.write_atomically

    def full(path, content):
        if "runs" in path.parts:
            return write(path, content)
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("seqgnn.report.html.page.write_atomically", full)
    monkeypatch.setattr("seqgnn._utils.files.write_atomically", full)
    for _ in range(2):  # the second time with all runs there, where nothing else has to be written
        done = call("--config", file)
        assert done.exit_code == 1 and "│ LSTM, chrono │" in done.stdout
        names = ["recall.csv", *(f"recall-{name}.{kind}" for name in ("scores", "curves") for kind in ("png", "svg"))]
        for name in (*names, "report.html"):
            assert f"expected a writable file, got {tmp_path}/found/{name} (No space left" in done.stderr
        assert old.read_text() == "before" and [path.name for path in old.parent.glob("*.*")] == [old.name]
        monkeypatch.setattr("seqgnn.experiments.runs.store.RunStore.prepare", None)


@pytest.mark.parametrize("last", ["tables.show", "tables.write", "forecasts.write_figures", "html.write_page"])
def test_cli_compare_folder_removed_while_written_is_named_and_not_created_again(tmp_path, monkeypatch, last):
    config, out = tmp_path / "grid.toml", tmp_path / "out"
    config.write_text(GRID)
    function = getattr(importlib.import_module(f"seqgnn.report.{last.split('.')[0]}"), last.split(".")[1])

    def and_removed(*arguments):
        if last == "html.write_page":  # which fails if the disk is gone in the middle of it
            shutil.rmtree(out)
            raise ValueError("not written")
        result = function(*arguments)
        shutil.rmtree(out)
        return result

    monkeypatch.setattr(f"seqgnn.report.{last}", and_removed)
    result = call("--config", config, "--out", out)
    assert isinstance(result.exception, StoreLost) and not out.exists()
    assert str(result.exception).startswith(f"compare: expected the folder {out / 'runs'}, but it was removed, renamed")
    assert "GCN and LSTM, chrono: differ" in result.stdout


def test_cli_compare_one_unwritable_file_leaves_others_written(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    blocked = tmp_path / "found" / "recall-scores.png"
    blocked.mkdir(parents=True)
    done = call("--config", file)
    assert done.exit_code == 1
    assert done.stderr == f"seqgnn: compare: expected a writable file, got {blocked} (Is a directory)\n"
    names = {"recall.csv", "recall-pairs.csv", "report.html"}
    names |= {"recall-scores.svg", "recall-curves.png", "recall-curves.svg"}
    for name in names:
        assert (tmp_path / "found" / name).stat().st_size > 0 and f"wrote {tmp_path}/found/{name}" in done.stdout
    assert {path.name for path in (tmp_path / "found").iterdir()} == names | {"runs", blocked.name}


@pytest.mark.parametrize(
    "content, message",
    [
        ("preset = 'long'", "expected preset to be one of 'reports', 'long-memory', got 'long'"),
        ("scheduler = 'tcp://localhost:1'\ntask = 'recall'", "expected a backend for the scheduler"),
        ("backend = 'spark'\ntask = 'recall'", "backend to be one of 'dask', 'ray', got 'spark'"),
        ("save_every = -1.0\ntask = 'recall'", "expected save_every to be at least 0 seconds"),
        ("max_seconds = 0\ntask = 'recall'", "expected max_seconds to be a number above 0"),
    ],
)
def test_cli_compare_invalid_config_values_raise_value_error(tmp_path, content, message):
    file = tmp_path / "grid.toml"
    file.write_text(content)
    result = call("--config", file)
    assert isinstance(result.exception, ValueError)
    with pytest.raises(ValueError, match=message):
        raise result.exception


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--retry-failed"], "expected --out, the folder of the failed runs"),
        (["forecast", "--data", "x.csv", "--lengths", "3"], "expected --horizons for forecast, got --lengths"),
        (["recall", "--horizons", "3"], "expected --lengths for recall, got --horizons"),
        (["--horizons", "3"], "expected --lengths for palindromes, got --horizons"),
        (["--budget", "9"], "expected --seeds auto with --budget, got other seeds"),
        (["--seeds", "0,1", "--interval-width", "0.1"], "expected --seeds auto with --interval-width, got other seeds"),
        (["--seeds", "many"], "--seeds: expected comma-separated integers or 'auto', got 'many'"),
        (["--seeds", "auto", "--max-seeds", "2"], "AutoSeeds: expected max_seeds to be an integer of at least 3"),
        (["--config", "nowhere.toml"], "expected a TOML file, got nowhere.toml"),
    ],
)
def test_cli_compare_invalid_options_raise_value_error(arguments, message):
    result = call(*arguments)
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_cli_compare_retry_failed_without_out_raises_value_error(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text("task = 'recall'")
    result = call("--config", file, "--retry-failed")
    with pytest.raises(ValueError, match="expected --out, the folder of the failed runs"):
        raise result.exception


def test_cli_compare_task_without_runs_leaves_report_unchanged(tmp_path, monkeypatch):
    monkeypatch.setattr("seqgnn.cli.compare.DEFAULT_TASKS", ("palindromes", "recall"))
    options = ["--models", "rnn", "--seeds", "0", "--hidden", "4", "--jobs", "1", "--out", tmp_path, "--steps", "4"]
    call("expressions", "--lengths", "5", *options)
    options += ["--lengths", "4", "--lr", "1e37", "--max-grad-norm", "0", "--optimizer", "sgd"]
    call("recall", *options)
    page = (tmp_path / "report.html").read_text()
    assert ">Expressions</h2>" in page and ">Recall</h2>" in page
    again = call(*options, "--retry-failed")
    assert again.exit_code == 1 and "skipping 4 runs that were not started" in again.stdout
    assert (tmp_path / "report.html").read_text() == page
