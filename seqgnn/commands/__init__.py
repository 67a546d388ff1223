"""Commands with much to say: each file holds one, which `seqgnn.cli` registers."""
