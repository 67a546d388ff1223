"""Runs: what each is, how it is executed, and where it is stored."""
