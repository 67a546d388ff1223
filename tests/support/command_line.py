"""Calls of the command line in this process."""

import pytest

from seqgnn.cli import main as cli

TINY = ["--lengths", "4", "--seeds", "0", "--steps", "4", "--hidden", "8", "--jobs", "1"]


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return end.value.code
