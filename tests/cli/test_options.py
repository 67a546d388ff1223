"""The options of every command, which are part of the interface.

`python -m tests.cli.test_options` writes the list anew when options are changed on purpose.
"""

import json
from pathlib import Path

import typer

from seqgnn.cli.main import app

GOLDEN = Path(__file__).parents[1] / "fixtures" / "options.json"


def commands(command=None, name="seqgnn"):
    """Yields the name of each command with its options, as the command line has them."""
    command = typer.main.get_command(app) if command is None else command
    if hasattr(command, "commands"):
        for child, inner in command.commands.items():
            yield from commands(inner, f"{name} {child}")
    else:
        yield name, [" ".join([*option.opts, *option.secondary_opts]) for option in command.params]


def test_options_are_the_ones_promised():
    assert dict(commands()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_option_has_a_help():
    app_command = typer.main.get_command(app)
    for group in (app_command, *app_command.commands.values()):
        for name, command in getattr(group, "commands", {}).items():
            for option in [] if hasattr(command, "commands") else command.params:
                assert option.help and option.help.endswith((".", ".!?\".", "...")), (name, option.name)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(dict(commands()), indent=1) + "\n", encoding="utf-8")
