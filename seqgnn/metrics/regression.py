"""Metrics of real-valued targets, computed from sums over whole sets."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class RegressionEvaluation:
    """The scores of a model on a whole set.

    Attributes:
        loss: the score for model selection, which is `mse`.
        mse: mean squared error over all targets.
        mse_se: standard error of `mse`, if the set is a random sample.
        accuracy: fraction of correct predictions, in [0, 1].
        count: number of targets.
    """

    loss: float
    mse: float
    mse_se: float
    accuracy: float
    count: int


@dataclass
class RegressionSums:
    """Sums of squared errors and of correct predictions, so that batches of unequal size do not bias the means.

    Args:
        tolerance: absolute error below which a prediction is correct.

    Example:
        >>> sums = RegressionSums(tolerance=0.6)
        >>> sums.add(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 1.0]))
        >>> result = sums.result()
        >>> round(result.mse, 4), round(result.accuracy, 4), result.count
        (1.4167, 0.6667, 3)
    """

    tolerance: float
    # Tensors until the end: one device synchronization per set, not one per batch.
    _squares: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _fourth_powers: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))
    _count: int = 0

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: prediction `[M]`, target `[M]`."""
        squares = (prediction.double() - target.double()).square()
        self._squares = self._squares.to(squares.device) + squares.sum()
        self._fourth_powers = self._fourth_powers.to(squares.device) + squares.square().sum()
        self._right = self._right.to(squares.device) + is_within(prediction, target, self.tolerance).sum()
        self._count += target.numel()

    def result(self) -> RegressionEvaluation:
        """Return the means over all batches; they are not finite if predictions are not, which `fit` and `evaluate`
        refuse, with the step.

        Raises:
            ValueError: if nothing was added.
        """
        if self._count == 0:
            raise ValueError("RegressionSums: expected at least one target, got an empty set")
        mse = float(self._squares) / self._count
        variance = float(self._fourth_powers) / self._count - mse**2
        error = math.sqrt(max(variance, 0.0) / self._count) if math.isfinite(variance) else math.nan
        return RegressionEvaluation(mse, mse, error, int(self._right) / self._count, self._count)


def is_within(prediction: Tensor, target: Tensor, tolerance: float) -> Tensor:
    """Return which predictions are correct: their absolute error is below the tolerance."""
    return (prediction - target).abs() < tolerance
