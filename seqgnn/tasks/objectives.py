"""Objectives of tasks: the loss to train on, and the scores of a set."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqgnn.metrics.classification import ClassificationSums


class Objective(ABC):
    """The loss to train on, and the scores of a set.

    A task that asks for something else than classes has one as its `objective`. `answer` is what the model gave,
    `batch` what it was given, on the same device; `given` is the batch as it came, before it was moved.
    """

    @abstractmethod
    def check(self, given: Any, answer: Tensor) -> None:
        """Raises a ValueError unless inputs, targets and answer fit each other."""

    @abstractmethod
    def loss(self, answer: Tensor, batch: Any) -> Tensor:
        """The loss of a batch, a number."""

    @abstractmethod
    def accuracy(self, answer: Tensor, batch: Any) -> Tensor | None:
        """The share of right answers in a batch; None where answers are not right or wrong."""

    @abstractmethod
    def sums(self) -> Any:
        """Return an accumulator for a set; its `result()` has a `loss`, the mean of all, and an `accuracy`, or None."""

    @abstractmethod
    def add(self, sums: Any, answer: Tensor, batch: Any) -> None:
        """Add a batch."""


class Classification(Objective):
    """Cross-entropy of logits `[M, C]` and classes `[M]`."""

    def check(self, given: Any, answer: Tensor) -> None:
        check_finite_x(given.x)
        if not isinstance(given.y, Tensor) or given.y.dtype != torch.int64 or given.y.numel() == 0:
            found = f"{given.y.dtype} {tuple(given.y.shape)}" if isinstance(given.y, Tensor) else type(given.y).__name__
            raise ValueError(f"training: expected targets of torch.int64, at least one, got {found}")
        if answer.dim() != 2 or given.y.shape != answer.shape[:1]:
            found = f"{tuple(answer.shape)} and {tuple(given.y.shape)}"
            raise ValueError(f"training: expected logits [M, C] and targets [M], got {found}")
        lowest, highest = int(given.y.min()), int(given.y.max())
        if lowest < 0 or highest >= answer.shape[1]:
            raise ValueError(f"training: expected targets in 0..{answer.shape[1] - 1}, got {lowest}..{highest}")

    def loss(self, answer: Tensor, batch: Any) -> Tensor:
        return cross_entropy(answer, batch.y)

    def accuracy(self, answer: Tensor, batch: Any) -> Tensor:
        return (answer.argmax(-1) == batch.y).float().mean()

    def sums(self) -> ClassificationSums:
        return ClassificationSums()

    def add(self, sums: ClassificationSums, answer: Tensor, batch: Any) -> None:
        sums.add(answer, batch.y)


def check_finite_x(x: Tensor) -> None:
    """Raises a ValueError if inputs are NaN or infinite."""
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise ValueError(f"training: expected finite x, got {int((~x.isfinite()).sum())} NaN or infinite values")
