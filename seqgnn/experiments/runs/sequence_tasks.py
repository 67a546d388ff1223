"""The sequence tasks of comparisons by name."""

from collections.abc import Callable
from typing import Any

from seqgnn import tasks
from seqgnn.data.datasets.data_source import DataSource

# Each takes the size, the hops of path graphs, and the data that the task reads.
SEQUENCE_TASKS: dict[str, Callable[[int, tuple[int, ...], DataSource | None], Any]] = {
    "palindromes": lambda size, hops, data: tasks.Palindromes(size, hops=hops),
    "recall": lambda size, hops, data: tasks.FirstDigitRecall(size, hops=hops),
    "adding": lambda size, hops, data: tasks.Adding(size, hops=hops),
    "copying": lambda size, hops, data: tasks.Copying(size, hops=hops),
    "text": lambda size, hops, data: tasks.CharText(None if data is None else data.path, length=size, hops=hops),
    "expressions": lambda size, hops, data: tasks.ExpressionTrees(size),
    "trees": lambda size, hops, data: tasks.TreeDistance(size),
}
