"""Grids in files: they are read correctly, and each error is one clear line."""

from pathlib import Path

import pytest

from seqgnn.cli._compare_options import grid_options
from seqgnn.experiments.grid.config_file import read_grid
from seqgnn.experiments.grid.specs import ModelSpec


def test_read_grid_returns_settings_of_the_file(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(
        'task = "recall"\nlengths = [4, 6]\nmodels = ["rnn"]\nmatch_parameters = true\n'
        "max_grad_norm = 0\nmax_seconds = 2\n"
        'out = "found"\n[lr_per_size]\n4 = 1\n6 = 2e-3\n[[row]]\nlabel = "mine"\nmodel = "gcn"\nhops = [1, 2]\n'
    )
    assert read_grid(file, grid_options()) == {
        "task": "recall", "lengths": [4, 6], "models": ["rnn", ModelSpec("mine", "gcn", hops=(1, 2))],
        "max_grad_norm": None, "match_parameters": True, "max_seconds": 2,
        "out": tmp_path / "found", "lr_per_size": {4: 1.0, 6: 2e-3},
    }  # fmt: skip


@pytest.mark.parametrize(
    "content, message",
    [
        ("lenghts = [4]", "expected key to be one of .* got 'lenghts'; did you mean 'lengths'"),
        ("rows = []", "expected key to be one of .* got 'rows'; did you mean 'row'"),
        ("steps = ", "expected a TOML file, got .*grid.toml"),
        ("models = 'rnn'", "expected models to be a list of texts, got 'rnn'"),
        ("models = [1]", r"expected models to be a list of texts, got \[1\]"),
        ("lengths = 4", "expected lengths to be a list of integers, got 4"),
        ("seeds = [true]", r"expected seeds to be a list of integers, got \[True\]"),
        ("hidden = 8.5", "expected hidden to be an integer, got 8.5"),
        ("steps = [3]", r"expected steps to be an integer, got \[3\]"),
        ("max_grad_norm = true", "expected max_grad_norm to be a number, got True"),
        ("stateful = 'no'", "expected stateful to be true or false, got 'no'"),
        ("match_parameters = 1", "expected match_parameters to be true or false, got 1"),
        ("device = 0", "expected device to be text, got 0"),
        ("out = 3", "expected out to be text, got 3"),
        ("lr = 'fast'", "expected lr to be a number, got 'fast'"),
        ("[lr_per_size]\nten = 1.0", r"a table with a number for each size, got {'ten': 1.0}"),
        ("[lr_per_size]\n4 = '1'", r"a table with a number for each size, got {'4': '1'}"),
        ("row = 'rnn'", r"expected row to be \[\[row\]\] tables, got 'rnn'"),
        ("[row]\nlabel = 'x'", r"expected row to be \[\[row\]\] tables, got {'label': 'x'}"),
        ("[[row]]\nlabel = 'x'\nmodel = 'lstm'\nforget = 1.0", "expected key of a row to be one of .* got 'forget'"),
        ("[[row]]\nlabel = 'x'\nmodel = 'lstm'\ninit = 'chrono'", "expected init of a row to be a list of texts"),
        ("[[row]]\nlabel = 'x'\nmodel = 'lstm'\nhops = [1.5]", "expected hops of a row to be a list of integers"),
        ("[[row]]\nmodel = 'lstm'", "expected a label of each row, got {'model': 'lstm'}"),
        ("[[row]]\nlabel = 'x'", "expected a model of each row, got {'label': 'x'}"),
    ],
)
def test_read_grid_invalid_content_names_the_mistake(tmp_path, content, message):
    file = tmp_path / "grid.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match=f"^compare.*: .*{message}"):
        read_grid(file, grid_options())


def test_read_grid_missing_file_raises_value_error():
    with pytest.raises(ValueError, match=r"expected a TOML file, got nowhere/grid.toml \(.*No such file"):
        read_grid(Path("nowhere/grid.toml"), ())
