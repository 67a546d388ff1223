"""The options of every command, which are part of the interface.

`python -m tests.cli.test_options` writes the list again when options are changed on purpose.
"""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from seqgnn.cli._compare_options import grid_options
from seqgnn.cli._options import _parse
from seqgnn.cli.main import app, main
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.config import GridConfig
from seqgnn.experiments.grid.config_file import PATHS, read_grid
from seqgnn.experiments.runs.execution import ExecutionConfig
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.config import TrainConfig

GOLDEN = Path(__file__).parents[1] / "fixtures" / "options.json"
EXAMPLES = {  # of each kind: the value, as typed (typer converts numbers itself), and in a file
    str: ("word", "word", '"word"'),
    int: (3, 3, "3"),
    float: (0.5, 0.5, "0.5"),
    bool: (True, True, "true"),
    list[str]: (["a", "b"], "a,b", '["a", "b"]'),
    list[float]: ([0.5, 0.25, 0.25], "0.5,0.25,0.25", "[0.5, 0.25, 0.25]"),
    dict[int, float]: ({3: 0.5, 12: 0.1}, "3:0.5,12:0.1", "{3 = 0.5, 12 = 0.1}"),
}


def commands(command=None, name="seqgnn"):
    """Yields the name of each command with its options, as the command line has them."""
    command = typer.main.get_command(app) if command is None else command
    if hasattr(command, "commands"):
        for child, inner in command.commands.items():
            yield from commands(inner, f"{name} {child}")
    else:
        yield name, [" ".join([*option.opts, *option.secondary_opts]) for option in command.params]


def test_cli_options_equal_the_golden_file():
    assert dict(commands()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_cli_options_all_have_help():
    app_command = typer.main.get_command(app)
    for group in (app_command, *app_command.commands.values()):
        for name, command in getattr(group, "commands", {}).items():
            for option in [] if hasattr(command, "commands") else command.params:
                assert option.help and option.help.endswith((".", ".!?\".", "...")), (name, option.name)


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


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(dict(commands()), indent=1) + "\n", encoding="utf-8")
