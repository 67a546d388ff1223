"""The commands of `seqgnn`, a file for each, which `seqgnn.cli` registers."""
