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
        count: number of targets that the accuracy counts.
    """

    loss: float
    accuracy: float
    count: int


@dataclass
class ClassificationSums:
    """Sums of cross-entropy and correct predictions, so that batches of unequal size do not bias the means.

    Args:
        background: class that the accuracy leaves out where it is the target, see `seqgnn.tasks.Classification`; None:
            the accuracy counts all targets.

    Example:
        >>> sums = ClassificationSums()
        >>> sums.add(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
        >>> sums.add(torch.zeros(1, 2), torch.tensor([1]))
        >>> result = sums.result()
        >>> round(result.loss, 4), result.accuracy, result.count
        (0.6931, 0.5, 4)
    """

    background: int | None = None
    # Tensors until the end: one device synchronization per set, not one per batch.
    _loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.long))
    _targets: int = 0
    _counted: Tensor | int = 0

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits `[M, C]`, target `[M]`."""
        self._loss = self._loss.to(logits.device) + cross_entropy(logits.double(), target, reduction="sum")
        right, counted = logits.argmax(-1) == target, is_counted(target, self.background)
        self._right = self._right.to(logits.device) + (right if counted is None else right & counted).sum()
        self._counted = self._counted + (target.numel() if counted is None else counted.sum())
        self._targets += target.numel()

    def result(self) -> Evaluation:
        """Return the means over all batches; the loss is not finite if logits are not, which `fit` and `evaluate`
        refuse, with the step.

        Raises:
            ValueError: if nothing was added.
        """
        counted = int(self._counted)
        if counted == 0:
            empty = "an empty set" if self._targets == 0 else f"{self._targets} targets of class {self.background}"
            raise ValueError(f"ClassificationSums: expected at least one target, got {empty}")
        return Evaluation(float(self._loss) / self._targets, int(self._right) / counted, counted)


def is_counted(target: Tensor, background: int | None) -> Tensor | None:
    """Return which targets an accuracy counts, those of other classes than `background`; None: all of them."""
    return None if background is None else target != background
