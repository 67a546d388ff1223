"""The options of every command, as the command line has them."""

import typer

from seqgnn.cli.main import app


def commands(command=None, name="seqgnn"):
    """Yields the name of each command with its options, as the command line has them."""
    command = typer.main.get_command(app) if command is None else command
    if hasattr(command, "commands"):
        for child, inner in command.commands.items():
            yield from commands(inner, f"{name} {child}")
    else:
        yield name, [" ".join([*option.opts, *option.secondary_opts]) for option in command.params]
