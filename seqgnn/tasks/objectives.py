"""Objectives of tasks: training loss, and scores of whole sets."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from seqgnn.metrics.classification import ClassificationSums, is_counted
from seqgnn.metrics.regression import RegressionSums, is_within


class Objective(ABC):
    """Base class of objectives: the training loss, and the scores of a whole set.

    A task may have one as its attribute `objective`, see `objective_of`. In all methods, `output` is the output of the
    model and `batch` its input, on the same device; `source` is the batch before it was moved to that device.
    """

    @abstractmethod
    def check(self, source: Any, output: Tensor) -> None:
        """Raise a ValueError unless inputs, targets and output match."""

    @abstractmethod
    def loss(self, output: Tensor, batch: Any) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    @abstractmethod
    def accuracy(self, output: Tensor, batch: Any) -> Tensor | None:
        """Return the fraction of correct predictions in a batch; None for tasks without correct ones."""

    @abstractmethod
    def sums(self) -> Any:
        """Return an accumulator of scores; its `result()` has the mean `loss` of a set and its `accuracy`, or None."""

    @abstractmethod
    def add(self, sums: Any, output: Tensor, batch: Any) -> None:
        """Add a batch to an accumulator."""


class Classification(Objective):
    """Cross-entropy of logits `[M, C]` and classes `[M]`.

    Args:
        background: class that the accuracy leaves out where it is the target, such as the blank that is the target at
            almost all positions; None: the accuracy counts all targets. The loss always does.
    """

    def __init__(self, background: int | None = None) -> None:
        self.background = background

    def check(self, source: Any, output: Tensor) -> None:
        check_finite_x(source)
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
        right, counted = output.argmax(-1) == batch.y, is_counted(batch.y, self.background)
        return (right if counted is None else right[counted]).float().mean()

    def num_counted(self, target: Tensor) -> int:
        """Return the number of targets that the accuracy counts."""
        counted = is_counted(target, self.background)
        return target.numel() if counted is None else int(counted.sum())

    def sums(self) -> ClassificationSums:
        return ClassificationSums(self.background)

    def add(self, sums: ClassificationSums, output: Tensor, batch: Any) -> None:
        sums.add(output, batch.y)


class Regression(Objective):
    """Mean squared error of predictions `[M, 1]` and real-valued targets `[M]`.

    Args:
        tolerance: absolute error below which a prediction is correct; the accuracy is the fraction of correct ones.

    Raises:
        ValueError: if the tolerance is out of range.
    """

    def __init__(self, tolerance: float) -> None:
        if not 0 < tolerance < math.inf:
            raise ValueError(f"Regression: expected a finite tolerance above 0, got {tolerance!r}")
        self.tolerance = tolerance

    def check(self, source: Any, output: Tensor) -> None:
        check_finite_x(source)
        if not isinstance(source.y, Tensor) or not source.y.is_floating_point() or source.y.numel() == 0:
            is_tensor = isinstance(source.y, Tensor)
            got = f"{source.y.dtype} {tuple(source.y.shape)}" if is_tensor else type(source.y).__name__
            raise ValueError(f"training: expected targets of a floating-point dtype, at least one, got {got}")
        if source.y.dim() != 1 or output.shape != (*source.y.shape, 1):
            got = f"{tuple(output.shape)} and {tuple(source.y.shape)}"
            raise ValueError(f"training: expected predictions [M, 1] and targets [M], got {got}")
        if not bool(source.y.isfinite().all()):
            raise ValueError(f"training: expected finite targets, got {first_nonfinite(source, 'y')}")

    def loss(self, output: Tensor, batch: Any) -> Tensor:
        return mse_loss(output.squeeze(-1), batch.y)

    def accuracy(self, output: Tensor, batch: Any) -> Tensor:
        return is_within(output.squeeze(-1), batch.y, self.tolerance).float().mean()

    def sums(self) -> RegressionSums:
        return RegressionSums(self.tolerance)

    def add(self, sums: RegressionSums, output: Tensor, batch: Any) -> None:
        sums.add(output.squeeze(-1), batch.y)


def objective_of(task: Any) -> Objective:
    """Return the objective of a task, its attribute `objective` or, without one, `Classification()`."""
    return getattr(task, "objective", Classification())


def check_finite_x(batch: Any) -> None:
    """Raise a ValueError if the inputs of a batch are NaN or infinite; the message names the first of them."""
    if batch.x.is_floating_point() and not bool(batch.x.isfinite().all()):
        count = int((~batch.x.isfinite()).sum())
        raise ValueError(
            f"training: expected finite x, got {count} NaN or infinite values, the first {first_nonfinite(batch, 'x')}"
        )


def first_nonfinite(batch: Any, name: str) -> str:
    """Return the first inf or nan of a batch's data and its place, as a part of a message; empty if there is none.

    Args:
        batch: a batch of windows, whose data have the dimensions step, sample, node and feature, or of graphs, whose
            rows are nodes; rows of other batches are samples.
        name: attribute of the data; those of `y` that the batch masks do not count.
    """
    data, mask = getattr(batch, name, None), getattr(batch, "mask", None)
    if not isinstance(data, Tensor) or data.isfinite().all():
        return ""
    counts = ~data.isfinite() if name == "x" or mask is None else ~data.isfinite() & mask
    for place in counts.nonzero()[:1].tolist():
        value = data[tuple(place)].item()
        if data.dim() == 4:
            step, sample, node, _ = place
            return f"{value} at time step {step} of sample {sample}, node {node}"
        ptr = getattr(batch, "ptr", None)
        if ptr is not None and len(data) == ptr[-1]:
            sample = int((ptr <= place[0]).sum()) - 1
            return f"{value} at sample {sample}, node {place[0] - int(ptr[sample])}"
        return f"{value} at sample {place[0]}"
    return ""
