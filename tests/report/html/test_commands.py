"""Commands that reproduce the runs of a comparison."""

import shlex
import shutil
from functools import wraps

import pytest
from typer.testing import CliRunner

from seqgnn.cli.compare import settings
from seqgnn.cli.main import app
from seqgnn.experiments import Comparison, ModelSpec, compare, plan
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.runs.record import FailedRun
from seqgnn.report.html.commands import reproduction_commands
from tests.support.comparisons import SMALL, plan_grid, run_grid


def keys(prepared):
    return {job.config for job in prepared.jobs}


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
    before = plan_grid(task, **(SMALL | options))
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
    options = SMALL | {"seeds": [0], "max_grad_norm": None}
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
        run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **(SMALL | {"hidden": hidden}))
    found = reproduction_commands(load_comparisons([tmp_path]).comparisons[0])
    assert len(found) == 2 and all("grid-" in each.command for each in found)
    assert "hidden = 4" in found[0].grid and "hidden = 8" in found[1].grid
