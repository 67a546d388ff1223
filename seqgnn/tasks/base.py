"""What the tasks have in common: fixed validation and test sets, fresh training batches."""

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
    """A task: what the samples look like, batches to train on, and sets to validate and to test on.

    It makes its own batches and is not a `Dataset`; a DataLoader takes the samples of one, `batch.to_data_list()`.

    Attributes:
        name: what the command line calls it.
        length: T, as in tables and figures.
        num_tokens: how many ids there are, if `x` is ids; else None.
        num_features: how many numbers stand at each element, if `x` is features; else None.
        num_classes: how many answers there are.
        per_element: whether every element has a target, or the sequence has one.
        directed, hops: the edges, as in `path_graph`, where they are a path.
        readout: the readout of the headline result, "last" or "mean".
        depth: rounds of message passing after which the answer can depend on all that it should.
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

    @abstractmethod
    def draw(self, batch_size: int, generator: Generator) -> Batch:
        """A fresh batch to train on."""

    @abstractmethod
    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation set, in its order; the last batch may be smaller."""

    @abstractmethod
    def test(self, batch_size: int) -> Iterator[Batch]:
        """The test set, in its order; the last batch may be smaller."""


class HeldOutTask:
    """A task whose test set is closed until somebody opens it: a run is given this, and opens it after selection.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> task = HeldOutTask(Palindromes(5))
        >>> task.length
        5
        >>> task.test(64)
        Traceback (most recent call last):
        ValueError: HeldOutTask: expected no look at the test set before selection is done, got Palindromes.test
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def open(self) -> Any:
        """The task itself."""
        return self._task

    def streams(self, part: str, batch_size: int) -> Iterator[Batch]:
        """As those of a task that has such, but for those of the test set."""
        if part == "test":
            self._refuse("streams('test')")
        return self._task.streams(part, batch_size)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("test"):
            self._refuse(name)
        return getattr(self._task, name)

    def _refuse(self, name: str) -> NoReturn:
        found = f"{type(self._task).__name__}.{name}"
        raise ValueError(f"HeldOutTask: expected no look at the test set before selection is done, got {found}")


class DrawnTask(Task):
    """A task whose samples are drawn at random: subclasses write `sample`.

    The validation and the test set are drawn once, each from a generator of its own, whose seed is a hash of `seed` and
    the set's name: no training seed, small and round as people choose them, repeats their samples.
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
        """`count` samples: x, y and edge_index as `sequence_batch` takes them."""

    def draw(self, batch_size: int, generator: Generator) -> Batch:
        return sequence_batch(*self.sample(check_count(type(self).__name__, "batch_size", batch_size, 1), generator))

    def validation(self, batch_size: int) -> Iterator[Batch]:
        return self._batches("validation", batch_size)

    def test(self, batch_size: int) -> Iterator[Batch]:
        return self._batches("test", batch_size)

    def fixed_generator(self, part: str) -> Generator:
        """A generator for what is drawn once and for all."""
        digest = sha256(f"{type(self).__name__} {part} {self._seed}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _batches(self, part: str, batch_size: int) -> Iterator[Batch]:
        check_count(type(self).__name__, "batch_size", batch_size, 1)
        if part not in self._fixed:
            with torch.inference_mode(False):  # what is kept serves gradients too, whoever asks first
                self._fixed[part] = self.sample(self._sizes[part], self.fixed_generator(part))
        x, y, edges = self._fixed[part]
        return (
            sequence_batch(x[rows], y[rows], edges if edges.dim() == 2 else edges[rows])
            for rows in (slice(start, start + batch_size) for start in range(0, len(x), batch_size))
        )
