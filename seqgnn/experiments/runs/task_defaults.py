"""The sequence tasks of a comparison by name, with the sizes and the training that a comparison takes by default."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from seqgnn import tasks
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.training.loop import TrainConfig


@dataclass(frozen=True)
class TaskEntry:
    """A task of the comparison: how to make it, and what a comparison does with it unless told otherwise."""

    make: Callable[[int, tuple[int, ...], DataSource | None], Any]
    sizes: tuple[int, ...]
    train: TrainConfig
    metric: str = "accuracy"
    on_path: bool = True
    takes_data: bool = False


_RECALL = TrainConfig(steps=800, lr=3e-3, target_accuracy=0.995)
TASKS = {
    "palindromes": TaskEntry(lambda length, hops, data: tasks.Palindromes(length, hops=hops), (10, 20), _RECALL),
    "recall": TaskEntry(lambda length, hops, data: tasks.FirstDigitRecall(length, hops=hops), (10, 20), _RECALL),
    "text": TaskEntry(
        lambda length, hops, data: tasks.CharText(None if data is None else data.path, length=length, hops=hops),
        (30,),
        TrainConfig(steps=300, lr=3e-3, eval_every=100, monitor="loss"),
        metric="loss",
        takes_data=True,
    ),
    "expressions": TaskEntry(
        lambda length, hops, data: tasks.ExpressionTrees(length),
        (7, 15),
        replace(_RECALL, optimizer="adam"),
        on_path=False,
    ),
    "trees": TaskEntry(lambda length, hops, data: tasks.TreeDistance(length), (16, 32), _RECALL, on_path=False),
}
