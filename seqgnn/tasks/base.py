"""Base classes of tasks: training batches drawn at random, and fixed validation and test sets."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NoReturn

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count
from seqgnn.data.batching import sequence_batch


class Task(ABC):
    """Base class of tasks: the sizes of samples, training batches, and validation and test sets.

    A task creates whole batches and is not a `Dataset`; a DataLoader can be given the samples of one batch,
    `batch.to_data_list()`.

    Attributes:
        name: name on the command line.
        length: T, as in tables and figures.
        max_positions: largest number of positions of a sample, T unless a task says otherwise; sequences can be
            shorter.
        num_tokens: size of the vocabulary if `x` are token ids, else None.
        num_features: number of features per position if `x` are features, else None.
        num_classes: number of classes; 1 for a real-valued target.
        per_element: True for one target per position, False for one per sequence.
        directed, hops: edges of the path graph, see `path_graph`; unused for trees.
        readout: readout of the main result, "last" or "mean".
        depth: number of message-passing layers with which the prediction can depend on every input that the target
            depends on.

    Its loss and metrics are those of its attribute `objective`, see `seqgnn.tasks.Objective`; without one, those of
    `seqgnn.tasks.Classification`.
    """

    name: str
    length: int
    num_tokens: int | None = None
    num_features: int | None = None
    num_classes: int
    per_element: bool = False
    directed: bool = True
    hops: tuple[int, ...] = (1,)
    readout: str = "last"
    depth: int = 1

    @property
    def max_positions(self) -> int:
        return self.length

    @abstractmethod
    def draw(self, batch_size: int, generator: Generator) -> Batch:
        """Return a new training batch."""

    @abstractmethod
    def validation(self, batch_size: int) -> Iterator[Batch]:
        """Iterate over the validation set in a fixed order; the last batch may be smaller."""

    @abstractmethod
    def test(self, batch_size: int) -> Iterator[Batch]:
        """Iterate over the test set in a fixed order; the last batch may be smaller."""


class HeldOutTask:
    """A task whose test set cannot be used before `open` is called, after model selection.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> task = HeldOutTask(Palindromes(5))
        >>> task.length
        5
        >>> task.test(64)
        Traceback (most recent call last):
        ValueError: HeldOutTask: expected no use of the test set before open(), got Palindromes.test
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def open(self) -> Any:
        """Return the task, with its test set."""
        return self._task

    def streams(self, part: str, batch_size: int) -> Iterator[Batch]:
        """Return the streams of another part than the test set, see `seqgnn.tasks.CharText.streams`."""
        if part == "test":
            self._refuse("streams('test')")
        return self._task.streams(part, batch_size)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("test"):
            self._refuse(name)
        return getattr(self._task, name)

    def _refuse(self, name: str) -> NoReturn:
        got = f"{type(self._task).__name__}.{name}"
        raise ValueError(f"HeldOutTask: expected no use of the test set before open(), got {got}")


class DrawnTask(Task):
    """Base class of tasks with random samples; subclasses implement `sample`.

    The validation and the test set are drawn once, each with its own generator. Its seed is a hash of `seed` and the
    name of the set, so that no small training seed repeats their samples.

    Args:
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(self, validation_size: int, test_size: int, seed: int) -> None:
        self._sizes = {
            "validation": check_count(type(self).__name__, "validation_size", validation_size, 1),
            "test": check_count(type(self).__name__, "test_size", test_size, 1),
        }
        self._seed = check_count(type(self).__name__, "seed", seed, 0)
        self._fixed: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    @abstractmethod
    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return `count` samples: x, y and edge_index, as arguments of `sequence_batch`."""

    def draw(self, batch_size: int, generator: Generator) -> Batch:
        return sequence_batch(*self.sample(check_count(type(self).__name__, "batch_size", batch_size, 1), generator))

    def validation(self, batch_size: int) -> Iterator[Batch]:
        return self._batches("validation", batch_size)

    def test(self, batch_size: int) -> Iterator[Batch]:
        return self._batches("test", batch_size)

    def fixed_generator(self, part: str) -> Generator:
        """Return the generator of a set that is drawn once."""
        digest = sha256(f"{type(self).__name__} {part} {self._seed}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _batches(self, part: str, batch_size: int) -> Iterator[Batch]:
        check_count(type(self).__name__, "batch_size", batch_size, 1)
        if part not in self._fixed:
            with torch.inference_mode(False):  # cached tensors must also work in training
                self._fixed[part] = self.sample(self._sizes[part], self.fixed_generator(part))
        x, y, edges = self._fixed[part]
        return (
            sequence_batch(x[rows], y[rows], edges if edges.dim() == 2 else edges[rows])
            for rows in (slice(start, start + batch_size) for start in range(0, len(x), batch_size))
        )
