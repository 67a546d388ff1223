"""Samples and data sets: sequences as path graphs, and batches of them."""

from seqgnn.data.palindromes import FirstDigitRecall, Palindromes
from seqgnn.data.sequence_graph import (
    SequenceGraph,
    from_padded,
    path_graph,
    powers_of_two,
    rounds_to_reach,
    sequence_batch,
    to_padded,
)
from seqgnn.data.task import Task

__all__ = [
    "FirstDigitRecall",
    "Palindromes",
    "SequenceGraph",
    "Task",
    "from_padded",
    "path_graph",
    "powers_of_two",
    "rounds_to_reach",
    "sequence_batch",
    "to_padded",
]
