"""`seqgnn compare` with files, presets and plans: what is asked for is what is run, and mistakes are named."""

import json

import pytest
from typer.testing import CliRunner

from seqgnn.cli import app
from seqgnn.commands.compare import settings
from seqgnn.presets import PRESETS

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

[lr]
4 = 2e-3

[[row]]
label = "LSTM, chrono"
model = "lstm"
init = ["orthogonal", "chrono"]
"""


def call(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_a_file_says_what_is_compared_and_the_command_line_goes_before_it(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    assert call("--config", file, "--seeds", "0,1").exit_code == 0
    runs = [json.loads(path.read_text())["config"] for path in (tmp_path / "found" / "runs").glob("*.json")]
    trained = [run for run in runs if "model" in run]
    assert sorted((run["model"], run["seed"]) for run in trained) == [("gcn", 0), ("gcn", 1), ("lstm", 0), ("lstm", 1)]
    assert {run["train"]["lr"] for run in trained} == {2e-3} and {run["train"]["steps"] for run in trained} == {6}
    (chrono,) = [run for run in trained if run["model"] == "lstm" and run["seed"] == 0]
    assert chrono["init"] == ["orthogonal", "chrono"]


def test_presets_are_what_the_rest_goes_before(tmp_path):
    found = settings({"preset": "long-memory", "steps": 5, "clip": 0.0}, None)
    assert found == PRESETS["long-memory"] | {"steps": 5, "clip": None}
    assert [row.label for row in found["models"]][:4] == ["RNN, identity", "RNN, latch", "LSTM, chrono", "GRU, chrono"]


def test_a_plan_makes_no_run(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    lines = call("--config", file, "--dry-run").stdout.splitlines()
    assert lines[0].startswith("recall T=4 LSTM, chrono seed 0: to do, at most 0 s")
    assert lines[-1] == "2 runs to train: at most 0 s, 0 s with 1 at a time"
    assert not list((tmp_path / "found" / "runs").glob("*.json"))
    assert call("--config", file).exit_code == 0
    lines = call("--config", file, "--dry-run").stdout.splitlines()
    assert lines[0] == "recall T=4 LSTM, chrono seed 0: there"
    assert lines[-1].startswith("0 runs to train")


@pytest.mark.parametrize(
    "content, message",
    [
        ("lenghts = [4]", "key to be one of .* got 'lenghts'; did you mean 'lengths'"),
        ("[[row]]\nlabel = 'x'\nmodel = 'lstm'\nforget = 1.0", "key of a row to be one of .* got 'forget'"),
        ("[[row]]\nmodel = 'lstm'", "expected a label of each row"),
        ("preset = 'long'", "expected preset to be one of 'reports', 'long-memory', got 'long'"),
        ("steps = ", "expected a TOML file, got .*grid.toml"),
        ("lr = 'fast'\ntask = 'recall'", "lr"),
        ("scheduler = 'tcp://localhost:1'\ntask = 'recall'", "expected a backend for the scheduler"),
        ("backend = 'spark'\ntask = 'recall'", "backend to be one of 'dask', 'ray', got 'spark'"),
        ("save_every = -1.0\ntask = 'recall'", "expected save_every to be seconds, at least 0"),
        ("seconds = 0\ntask = 'recall'", "expected seconds to be a number above 0"),
    ],
)
def test_mistakes_are_named(tmp_path, content, message):
    file = tmp_path / "grid.toml"
    file.write_text(content)
    result = call("--config", file)
    assert isinstance(result.exception, ValueError)
    with pytest.raises(ValueError, match=message):
        raise result.exception


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "failed"], "expected --out, the folder in which something failed"),
        (["--only", "lost", "--out", "x"], "only to be one of 'failed', got 'lost'"),
        (["--config", "nowhere.toml"], "expected a TOML file, got nowhere.toml"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    result = call(*arguments)
    with pytest.raises(ValueError, match=message):
        raise result.exception


def test_a_file_without_a_folder_has_nothing_that_failed(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text("task = 'recall'")
    result = call("--config", file, "--only", "failed")
    with pytest.raises(ValueError, match="expected --out, the folder in which something failed"):
        raise result.exception
