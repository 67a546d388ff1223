"""The options of `seqgnn compare`, derived from the fields of its configurations."""

from dataclasses import fields
from pathlib import Path

import pytest

from seqgnn.cli._compare_options import grid_options, settings
from seqgnn.cli._options import _parse
from seqgnn.cli.main import main
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.config import GridConfig
from seqgnn.experiments.grid.config_file import PATHS, read_grid
from seqgnn.experiments.grid.presets import PRESETS
from seqgnn.experiments.runs.execution import ExecutionConfig
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.config import TrainConfig
from tests.support.command_options import commands

EXAMPLES = {  # of each kind: the value, as typed (typer converts numbers itself), and in a file
    str: ("word", "word", '"word"'),
    int: (3, 3, "3"),
    float: (0.5, 0.5, "0.5"),
    bool: (True, True, "true"),
    list[str]: (["a", "b"], "a,b", '["a", "b"]'),
    list[float]: ([0.5, 0.25, 0.25], "0.5,0.25,0.25", "[0.5, 0.25, 0.25]"),
    dict[int, float]: ({3: 0.5, 12: 0.1}, "3:0.5,12:0.1", "{3 = 0.5, 12 = 0.1}"),
}
PLACES = {"protocol", "horizon"}  # the protocol is made of its own fields, and horizons are given as sizes


def derived():
    """Yields the fields of every dataclass that `seqgnn compare` reads."""
    for table in (TrainConfig, Protocol, GridConfig, ExecutionConfig, DataSource):
        yield from ((table, item.name) for item in fields(table) if item.name not in PLACES)


@pytest.mark.parametrize(("table", "name"), list(derived()), ids=lambda value: getattr(value, "__name__", value))
def test_grid_options_have_an_option_and_toml_key_per_field(table, name, tmp_path):
    options = {option.name: option for option in grid_options()}
    flags = dict(commands())["seqgnn compare"]
    assert any(options[name].flag == flag.split()[0] for flag in flags) and options[name].help
    value, typed, written = EXAMPLES.get(options[name].kind, EXAMPLES[str])
    assert _parse(options[name], typed) == value
    (tmp_path / "grid.toml").write_text(f"{name} = {written}")
    read = read_grid(tmp_path / "grid.toml", tuple(options.values()))[name]
    assert read == (tmp_path / value if name in PATHS else value)
    if options[name].kind not in (str, Path):
        (tmp_path / "grid.toml").write_text(f'{name} = "wrong"')
        with pytest.raises(ValueError, match=f"expected {name} to be .*, got 'wrong'"):
            read_grid(tmp_path / "grid.toml", tuple(options.values()))


@pytest.mark.parametrize(
    "option", [option for option in grid_options() if option.kind not in (str, Path, bool, list[str])],
    ids=lambda option: option.name,
)  # fmt: skip
def test_cli_compare_bad_values_are_one_line_and_exit_code_2(option, capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", "recall", option.flag, "wrong"])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and option.flag in error


def test_settings_with_preset_are_overridden_by_options(tmp_path):
    found = settings({"preset": "long-memory", "steps": 5, "max_grad_norm": None}, None)
    assert found == PRESETS["long-memory"] | {"steps": 5, "max_grad_norm": None}
    assert [row.label for row in found["models"]][:4] == ["RNN, identity", "RNN, latch", "LSTM, chrono", "GRU, chrono"]


def test_settings_with_max_seconds_drop_steps_of_preset():
    assert "steps" not in settings({"preset": "reports", "max_seconds": 5.0}, None)
    assert settings({"preset": "reports", "max_seconds": 5.0, "steps": 7}, None)["steps"] == 7
