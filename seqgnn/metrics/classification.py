"""Classification metrics, computed from sums over whole sets."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a whole set.

    Attributes:
        loss: mean cross-entropy over all targets, in nats.
        accuracy: fraction of correct predictions, in [0, 1].
        count: number of targets.
    """

    loss: float
    accuracy: float
    count: int


@dataclass
class ClassificationSums:
    """Sums of cross-entropy and correct predictions, so that batches of unequal size do not bias the means.

    Example:
        >>> sums = ClassificationSums()
        >>> sums.add(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
        >>> sums.add(torch.zeros(1, 2), torch.tensor([1]))
        >>> result = sums.result()
        >>> round(result.loss, 4), result.accuracy, result.count
        (0.6931, 0.5, 4)
    """

    # Tensors until the end: one device synchronization per set, not one per batch.
    _loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))
    _count: int = 0

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits `[M, C]`, target `[M]`."""
        self._loss = self._loss.to(logits.device) + cross_entropy(logits.double(), target, reduction="sum")
        self._right = self._right.to(logits.device) + (logits.argmax(-1) == target).sum()
        self._count += target.numel()

    def result(self) -> Evaluation:
        """Return the means over all batches; the loss is not finite if logits are not, which `fit` and `evaluate`
        refuse, with the step.

        Raises:
            ValueError: if nothing was added.
        """
        if self._count == 0:
            raise ValueError("ClassificationSums: expected at least one target, got an empty set")
        return Evaluation(float(self._loss) / self._count, int(self._right) / self._count, self._count)
