"""Objectives of tasks: training loss, and scores of whole sets."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqgnn.metrics.classification import ClassificationSums


class Objective(ABC):
    """Base class of objectives: the training loss, and the scores of a whole set.

    A task without classes has one as its attribute `objective`. In all methods, `output` is the output of the model and
    `batch` its input, on the same device; `source` is the batch before it was moved to that device.
    """

    @abstractmethod
    def check(self, source: Any, output: Tensor) -> None:
        """Raise a ValueError unless inputs, targets and output match."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    @abstractmethod
    def accuracy(self, output: Tensor, batch: Any) -> Tensor | None:
        """Return the fraction of correct predictions in a batch; None for tasks without classes."""

    @abstractmethod
    def sums(self) -> Any:
        """Return an accumulator of scores; its `result()` has the mean `loss` of a set and its `accuracy`, or None."""

    @abstractmethod
    def add(self, sums: Any, output: Tensor, batch: Any) -> None:
        """Add a batch to an accumulator."""


class Classification(Objective):
    """Cross-entropy of logits `[M, C]` and classes `[M]`."""

    def check(self, source: Any, output: Tensor) -> None:
        check_finite_x(source.x)
        if not isinstance(source.y, Tensor) or source.y.dtype != torch.int64 or source.y.numel() == 0:
            is_tensor = isinstance(source.y, Tensor)
            got = f"{source.y.dtype} {tuple(source.y.shape)}" if is_tensor else type(source.y).__name__
            raise ValueError(f"training: expected targets of torch.int64, at least one, got {got}")
        if output.dim() != 2 or source.y.shape != output.shape[:1]:
            got = f"{tuple(output.shape)} and {tuple(source.y.shape)}"
            raise ValueError(f"training: expected logits [M, C] and targets [M], got {got}")
        lowest, highest = int(source.y.min()), int(source.y.max())
        if lowest < 0 or highest >= output.shape[1]:
            raise ValueError(f"training: expected targets in 0..{output.shape[1] - 1}, got {lowest}..{highest}")

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        return cross_entropy(output, batch.y)

    def accuracy(self, output: Tensor, batch: Any) -> Tensor:
        return (output.argmax(-1) == batch.y).float().mean()

    def sums(self) -> ClassificationSums:
        return ClassificationSums()

    def add(self, sums: ClassificationSums, output: Tensor, batch: Any) -> None:
        sums.add(output, batch.y)


def check_finite_x(x: Tensor) -> None:
    """Raise a ValueError if inputs are NaN or infinite."""
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise ValueError(f"training: expected finite x, got {int((~x.isfinite()).sum())} NaN or infinite values")
