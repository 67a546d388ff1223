"""What is reported: sums over whole test sets, spreads over seeds, intervals of paired differences."""

import math
from collections.abc import Sequence
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


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the sample standard deviation (n - 1; NaN for a single value).

    Example:
        >>> mean_sd([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    if not values:
        raise ValueError("mean_sd: expected at least one value, got none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Returns the mean of `first - second`, seed by seed, and the half width of its Student t interval.

    Args:
        first: scores of one model, one a seed.
        second: scores of the other, for the same seeds in the same order.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: if the numbers of seeds differ or are below two.

    Example:
        >>> mean, half = paired_difference([0.9, 0.8, 1.0], [0.5, 0.6, 0.7])
        >>> round(mean, 3), round(half, 3)
        (0.3, 0.248)
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "paired_difference: expected two equally long lists of at least 2 scores, "
            f"got {len(first)} and {len(second)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"paired_difference: expected level in (0, 1), got {level!r}")
    from scipy.stats import t

    mean, sd = mean_sd([a - b for a, b in zip(first, second)])
    return mean, float(t.ppf((1 + level) / 2, len(first) - 1)) * sd / math.sqrt(len(first))


def running_mean(values: Sequence[float], width: int = 21) -> list[float]:
    """Returns the centred mean over `width` values; at the ends, over those of them that are there.

    Example:
        >>> running_mean([0.0, 3.0, 6.0, 3.0], width=3)
        [1.5, 3.0, 4.0, 4.5]
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"running_mean: expected an odd width of at least 1, got {width}")
    half = width // 2
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    spans = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[stop] - sums[start]) / (stop - start) for start, stop in spans]
