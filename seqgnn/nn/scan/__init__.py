"""Recurrence over time, through one function: :func:`scan`."""

from seqgnn.nn.scan.dispatch import scan
from seqgnn.nn.scan.gates import RecurrentUnit

__all__ = ["RecurrentUnit", "scan"]
