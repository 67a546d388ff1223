"""Naive baselines for classification, scored on the same test sets with the same metrics as the models.

- **chance**: equal probability for every class. Its scores are expectations, not a random draw.
- **majority**: the class frequencies in training samples (plus one each); predicts the most frequent class.
- **linear**: logistic regression on one-hot tokens (or on the flattened features), fitted on training samples.
- **bigram**: for tasks that predict the next token at every position. The frequency of the next token given the
  current one, interpolated with its overall frequency; the weight is chosen on the validation set.
- **unigram, ngram-2, ..., ngram-6**: for such tasks on a text, `seqgnn.models.baselines.ngram.NGram` of that order,
  fitted on the whole training part.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from seqgnn._utils.validation import one_of
from seqgnn.metrics.classification import Evaluation
from seqgnn.models.baselines.ngram import NGram
from seqgnn.training.loop import evaluate

NGRAMS = {"unigram": 1} | {f"ngram-{order}": order for order in range(2, 7)}
NAMES = ("chance", "majority", "linear", "bigram", *NGRAMS)
BIGRAM_WEIGHTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
DRAW = 1024  # samples per draw


class Baseline(Protocol):
    """A fitted baseline, the result of `fit_baseline`."""

    def evaluate(self, batches: Iterable[Any]) -> Evaluation:
        """Return its scores over all batches."""


def suitable(task: Any) -> tuple[str, ...]:
    """Return the names of the baselines that are applicable to `task`."""
    if not task.per_element:
        return ("chance", "majority", "linear")
    if task.num_tokens != task.num_classes:
        return ("chance", "majority")
    whole_text = isinstance(getattr(task, "train_ids", None), Tensor)
    return ("chance", "majority", "bigram", *(NGRAMS if whole_text else ()))


def fit_baseline(name: str, task: Any, *, samples: int = 8192, seed: int = 0) -> Baseline:
    """Return a baseline fitted on training samples of the task; n-grams are fitted on its whole training text.

    Args:
        name: one of `suitable(task)`.
        task: the task.
        samples: number of training samples, at least 1; above 1024 rounded up to a multiple of 1024. N-grams do not
            depend on it or on the seed.
        seed: random seed of the samples.

    Raises:
        ValueError: if the name is unknown or the baseline is not applicable to the task.

    Example:
        >>> from seqgnn.data import FirstDigitRecall
        >>> task = FirstDigitRecall(5)
        >>> fit_baseline("linear", task, samples=1024).evaluate(task.test(512)).accuracy
        1.0
    """
    one_of("fit_baseline", "name", name, NAMES)
    one_of("fit_baseline", f"a baseline for {task.name}", name, suitable(task))
    if samples < 1:
        raise ValueError(f"fit_baseline: expected samples of at least 1, got {samples}")
    if name == "chance":
        return _Chance(task.num_classes)
    if name in NGRAMS:
        return _NGram(NGram.fit(task.train_ids, task.num_classes, NGRAMS[name]))
    generator = torch.Generator().manual_seed(seed)
    draws = (task.draw(min(samples, DRAW), generator) for _ in range(-(-samples // DRAW)))
    if name == "majority":
        return _Majority(draws, task.num_classes)
    if name == "linear":
        return _Linear(draws, task)
    return _Bigram.fit(draws, task)


class _Chance:
    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def evaluate(self, batches: Iterable[Any]) -> Evaluation:
        count = sum(batch.y.numel() for batch in batches)
        return Evaluation(float(torch.tensor(self.num_classes).double().log()), 1 / self.num_classes, count)


class _Fitted(nn.Module, ABC):
    """A baseline with the call of a model: returns logits (log-probabilities up to a constant) and no state."""

    def evaluate(self, batches: Iterable[Any]) -> Evaluation:
        return evaluate(self, batches)

    def forward(self, batch: Any, state: None = None) -> tuple[Tensor, None]:
        return self.logits(batch), None

    @abstractmethod
    def logits(self, batch: Any) -> Tensor:
        """Return log-probabilities, up to a constant, for each prediction of a batch."""


class _Majority(_Fitted):
    def __init__(self, draws: Iterator[Any], num_classes: int) -> None:
        super().__init__()
        self.log_frequency = _log_frequency(sum(torch.bincount(d.y, minlength=num_classes) for d in draws) + 1)

    def logits(self, batch: Any) -> Tensor:
        return self.log_frequency.expand(batch.y.numel(), -1)


class _Linear(_Fitted):
    def __init__(self, draws: Iterator[Any], task: Any) -> None:
        super().__init__()
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self.num_tokens = task.num_tokens
        batches = list(draws)
        features = torch.cat([self._features(batch) for batch in batches]).numpy()
        target = torch.cat([batch.y for batch in batches]).numpy()
        with threadpool_limits(1):  # for bitwise reproducible fits
            model = LogisticRegression(max_iter=1000).fit(features, target)
        weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
        if len(model.classes_) == 2:  # scikit-learn stores only the second class's logit
            weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
        classes = torch.from_numpy(model.classes_)
        # A class without training samples gets the odds of a single sample.
        unseen = bias.min() - torch.tensor(float(len(target))).log()
        self.weight = torch.zeros(task.num_classes, weight.shape[1], dtype=weight.dtype).index_copy(0, classes, weight)
        self.bias = unseen.repeat(task.num_classes).index_copy(0, classes, bias)

    def _features(self, batch: Any) -> Tensor:
        x = batch.x if self.num_tokens is None else one_hot(batch.x, self.num_tokens)
        return x.reshape(batch.num_graphs, -1).double()

    def logits(self, batch: Any) -> Tensor:
        return self._features(batch) @ self.weight.T + self.bias


class _Bigram(_Fitted):
    def __init__(self, pairs: Tensor, weight: float) -> None:
        super().__init__()
        counts = pairs.double()
        unigram = (counts.sum(0) + 1) / (counts.sum() + len(counts))
        seen = counts.sum(1, keepdim=True)
        bigram = torch.where(seen > 0, counts / seen.clamp(min=1), unigram)
        self.weight = weight
        self.log_probability = (weight * bigram + (1 - weight) * unigram).log()

    @classmethod
    def fit(cls, draws: Iterator[Any], task: Any) -> "_Bigram":
        size = task.num_classes
        pairs = sum(torch.bincount(d.x * size + d.y, minlength=size * size) for d in draws)
        assert isinstance(pairs, Tensor)
        candidates = [cls(pairs.view(size, size), weight) for weight in BIGRAM_WEIGHTS]
        return min(candidates, key=lambda model: model.evaluate(task.validation(512)).loss)

    def logits(self, batch: Any) -> Tensor:
        return self.log_probability[batch.x]


class _NGram(_Fitted):
    def __init__(self, model: NGram) -> None:
        super().__init__()
        self.model = model

    def logits(self, batch: Any) -> Tensor:
        return self.model(batch)[0]


def _log_frequency(counts: Any) -> Tensor:
    return (counts.double() / counts.sum()).log()
