"""The commands of `seqgnn`, a file for each, which `seqgnn.cli` registers."""

INTERRUPTED = 130  # the exit code after Ctrl-C
