"""The options of every command, which are part of the interface.

`python -m tests.cli.test_options` writes the list again when options are changed on purpose.
"""

import json
from pathlib import Path

import typer

from seqgnn.cli.main import app
from tests.support.command_options import commands

GOLDEN = Path(__file__).parents[1] / "fixtures" / "options.json"


def test_cli_options_equal_the_golden_file():
    assert dict(commands()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_cli_options_all_have_help():
    app_command = typer.main.get_command(app)
    for group in (app_command, *app_command.commands.values()):
        for name, command in getattr(group, "commands", {}).items():
            for option in [] if hasattr(command, "commands") else command.params:
                assert option.help and option.help.endswith((".", ".!?\".", "...")), (name, option.name)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(dict(commands()), indent=1) + "\n", encoding="utf-8")
