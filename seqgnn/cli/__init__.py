"""The commands of `seqgnn`, a file for each, which `seqgnn.cli.main` registers."""

SIGNALED = 128  # plus the number of a signal: the exit code after it, 130 after Ctrl-C

__all__: list[str] = []
