"""Samples and data sets: sequences as path graphs, signals on graphs over time, and batches of them."""

from seqgnn.data.char_text import CharText
from seqgnn.data.expression_trees import ExpressionTrees
from seqgnn.data.graph_files import read_graph
from seqgnn.data.named_signals import temporal
from seqgnn.data.palindromes import FirstDigitRecall, Palindromes
from seqgnn.data.pyg_temporal import from_pyg_temporal_signal
from seqgnn.data.scaler import Scaler
from seqgnn.data.sequence_graph import (
    SequenceGraph,
    from_padded,
    path_graph,
    powers_of_two,
    rounds_to_reach,
    sequence_batch,
    sequence_lengths,
    to_padded,
)
from seqgnn.data.signal_files import read_signal
from seqgnn.data.task import Task
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.toy import grid, karate_club, path, six_node_graph, tree
from seqgnn.data.tree_distance import TreeDistance
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.data.windows import WindowBatch, Windows

__all__ = [
    "CharText",
    "ExpressionTrees",
    "FirstDigitRecall",
    "Palindromes",
    "Scaler",
    "SequenceGraph",
    "Task",
    "TemporalGraph",
    "TreeDistance",
    "Vocabulary",
    "WindowBatch",
    "Windows",
    "from_padded",
    "from_pyg_temporal_signal",
    "grid",
    "karate_club",
    "path",
    "path_graph",
    "powers_of_two",
    "read_graph",
    "read_signal",
    "rounds_to_reach",
    "sequence_batch",
    "sequence_lengths",
    "six_node_graph",
    "temporal",
    "to_padded",
    "tree",
]
