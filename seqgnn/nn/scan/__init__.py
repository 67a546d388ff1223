"""Recurrence over time, through one function: :func:`scan`."""

from seqgnn.nn.scan.dispatch import RecurrentUnit, scan

__all__ = ["RecurrentUnit", "scan"]
