"""What is reported: sums over whole test sets, spreads over seeds, intervals of paired differences."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """A model on a whole set.

    Attributes:
        loss: cross-entropy in nats, the mean over all answers.
        accuracy: share of right answers, in [0, 1].
        count: number of answers.
    """

    loss: float
    accuracy: float
    count: int


@dataclass
class ClassificationSums:
    """Adds up cross-entropy and right answers, so that batches of unequal size never bias a mean.

    Example:
        >>> sums = ClassificationSums()
        >>> sums.add(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
        >>> sums.add(torch.zeros(1, 2), torch.tensor([1]))
        >>> result = sums.result()
        >>> round(result.loss, 4), result.accuracy, result.count
        (0.6931, 0.5, 4)
    """

    # Sums stay tensors until the end: one wait for the device a set, not one a batch.
    _loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))
    _count: int = 0

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Adds a batch: logits `[M, C]`, target `[M]`."""
        self._loss = self._loss.to(logits.device) + cross_entropy(logits.double(), target, reduction="sum")
        self._right = self._right.to(logits.device) + (logits.argmax(-1) == target).sum()
        self._count += target.numel()

    def result(self) -> Evaluation:
        """Returns the means over everything added.

        Raises:
            ValueError: if nothing was added.
        """
        if self._count == 0:
            raise ValueError("ClassificationSums: expected at least one answer, got an empty set")
        return Evaluation(float(self._loss) / self._count, int(self._right) / self._count, self._count)
