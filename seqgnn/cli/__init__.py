"""The commands of `seqgnn`, a file for each, which `seqgnn.cli.main` registers."""

INTERRUPTED = 130  # the exit code after Ctrl-C

__all__: list[str] = []
