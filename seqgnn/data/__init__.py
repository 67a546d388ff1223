"""Data sets and file formats: sequences as path graphs, time series on graphs, batches, readers and transforms.

Tasks are in :mod:`seqgnn.tasks` and can be imported from here as well; layers are in :mod:`seqgnn.nn`.
"""

from importlib import import_module
from typing import Any

from seqgnn.data.batching import sequence_batch
from seqgnn.data.datasets.spatiotemporal import load_temporal_graph
from seqgnn.data.datasets.toy_graphs import grid, karate_club, path, six_node_graph, tree
from seqgnn.data.io.graphs import read_graph
from seqgnn.data.io.pyg_temporal import from_pyg_temporal_signal
from seqgnn.data.io.time_series import read_signal
from seqgnn.data.padding import from_padded, sequence_lengths, to_padded
from seqgnn.data.paths import exponential_hops, layers_to_reach, path_graph
from seqgnn.data.sequence_graph import SequenceGraph
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.transforms.scaler import Scaler
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.data.windows import WindowBatch, Windows

TASKS = ("Adding", "CharText", "Copying", "ExpressionTrees", "FirstDigitRecall", "Palindromes", "Task", "TreeDistance")
__all__ = [
    "Adding",
    "CharText",
    "Copying",
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
    "exponential_hops",
    "from_padded",
    "from_pyg_temporal_signal",
    "grid",
    "karate_club",
    "layers_to_reach",
    "load_temporal_graph",
    "path",
    "path_graph",
    "read_graph",
    "read_signal",
    "sequence_batch",
    "sequence_lengths",
    "six_node_graph",
    "to_padded",
    "tree",
]


def __getattr__(name: str) -> Any:
    """Import tasks lazily, since :mod:`seqgnn.tasks` imports this package."""
    if name in TASKS:
        return getattr(import_module("seqgnn.tasks"), name)
    raise AttributeError(f"module 'seqgnn.data' has no attribute {name!r}")
