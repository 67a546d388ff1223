"""Naive baselines for sequence tasks, scored on the same test sets with the same metrics as the models.

- **chance**: equal probability for every class. Its scores are expectations, not a random draw.
- **majority**: the class frequencies in training samples (plus one each); predicts the most frequent class.
- **constant**: for real-valued targets, their mean in training samples.
- **memoryless**: for `seqgnn.tasks.Copying`, the blank up to the delimiter, then equal probability for every symbol.
  Its scores are expectations.
- **linear**: logistic regression on one-hot tokens (or on the flattened features), fitted on training samples; for
  real-valued targets ridge regression, with the strength chosen on the validation set.
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
from seqgnn.metrics.regression import RegressionEvaluation
from seqgnn.models.baselines.ngram import NGram
from seqgnn.tasks.objectives import Classification, Objective, Regression, objective_of
from seqgnn.training.loop import evaluate

NGRAMS = {"unigram": 1} | {f"ngram-{order}": order for order in range(2, 7)}
NAMES = ("chance", "majority", "constant", "memoryless", "linear", "bigram", *NGRAMS)
BIGRAM_WEIGHTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
RIDGE_STRENGTHS = tuple(10.0**power for power in range(7))
DRAW = 1024  # samples per draw


class Baseline(Protocol):
    """A fitted baseline, the result of `fit_baseline`."""

    def evaluate(self, batches: Iterable[Any]) -> Evaluation | RegressionEvaluation:
        """Return its scores over all batches."""


def suitable(task: Any) -> tuple[str, ...]:
    """Return the names of the baselines that are applicable to `task`."""
    if isinstance(objective_of(task), Regression):
        return ("constant",) if task.per_element else ("constant", "linear")
    if not task.per_element:
        return ("chance", "majority", "linear")
    if task.num_tokens != task.num_classes:
        return ("chance", "majority", "memoryless") if hasattr(task, "memoryless") else ("chance", "majority")
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
    objective = objective_of(task)
    if name == "chance":
        return _Expected(float(torch.tensor(task.num_classes).double().log()), 1 / task.num_classes, objective)
    if name == "memoryless":
        loss, accuracy = task.memoryless
        return _Expected(loss, accuracy, objective)
    if name in NGRAMS:
        return _NGram(NGram.fit(task.train_ids, task.num_classes, NGRAMS[name]))
    generator = torch.Generator().manual_seed(seed)
    draws = (task.draw(min(samples, DRAW), generator) for _ in range(-(-samples // DRAW)))
    if name == "majority":
        return _Majority(draws, task.num_classes, objective)
    if name == "constant":
        return _Constant(draws, objective)
    if name == "linear":
        return _Ridge.fit(draws, task) if isinstance(objective, Regression) else _Linear(draws, task)
    return _Bigram.fit(draws, task)


class _Expected:
    """A baseline whose expected scores are known."""

    def __init__(self, loss: float, accuracy: float, objective: Objective) -> None:
        assert isinstance(objective, Classification)
        self.loss, self.accuracy, self.objective = loss, accuracy, objective

    def evaluate(self, batches: Iterable[Any]) -> Evaluation:
        return Evaluation(self.loss, self.accuracy, sum(self.objective.num_counted(batch.y) for batch in batches))


class _Fitted(nn.Module, ABC):
    """A baseline with the call of a model, whose outputs are logits (log-probabilities up to a constant) or, for
    real-valued targets, predictions.

    Args:
        objective: objective of the task.
    """

    def __init__(self, objective: Objective | None = None) -> None:
        super().__init__()
        self.objective = objective

    def evaluate(self, batches: Iterable[Any]) -> Any:
        return evaluate(self, batches, objective=self.objective)

    def forward(self, batch: Any, state: None = None) -> tuple[Tensor, None]:
        return self.output(batch), None

    @abstractmethod
    def output(self, batch: Any) -> Tensor:
        """Return the output for each target of a batch."""


class _Majority(_Fitted):
    def __init__(self, draws: Iterator[Any], num_classes: int, objective: Objective) -> None:
        super().__init__(objective)
        self.log_frequency = _log_frequency(sum(torch.bincount(d.y, minlength=num_classes) for d in draws) + 1)

    def output(self, batch: Any) -> Tensor:
        return self.log_frequency.expand(batch.y.numel(), -1)


class _Constant(_Fitted):
    def __init__(self, draws: Iterator[Any], objective: Objective) -> None:
        super().__init__(objective)
        self.mean = torch.cat([batch.y for batch in draws]).double().mean()

    def output(self, batch: Any) -> Tensor:
        return self.mean.expand(batch.y.numel(), 1)


class _Ridge(_Fitted):
    """Ridge regression on all features of a sequence, with an intercept that is not penalized."""

    def __init__(self, weight: Tensor, bias: Tensor, task: Any) -> None:
        super().__init__(objective_of(task))
        self.weight, self.bias, self.num_tokens = weight, bias, task.num_tokens

    @classmethod
    def fit(cls, draws: Iterator[Any], task: Any) -> "_Ridge":
        """Return the one with the lowest loss on the validation set."""
        batches = list(draws)
        x = torch.cat([_features(batch, task.num_tokens) for batch in batches])
        y = torch.cat([batch.y for batch in batches]).double()
        center, mean = x.mean(0), y.mean()
        gram, product = (x - center).T @ (x - center), (x - center).T @ (y - mean)
        candidates = []
        for strength in RIDGE_STRENGTHS:
            weight = torch.linalg.solve(gram + strength * torch.eye(len(gram), dtype=gram.dtype), product)
            candidates.append(cls(weight, mean - center @ weight, task))
        return min(candidates, key=lambda model: model.evaluate(task.validation(512)).loss)

    def output(self, batch: Any) -> Tensor:
        return (_features(batch, self.num_tokens) @ self.weight + self.bias)[:, None]


class _Linear(_Fitted):
    def __init__(self, draws: Iterator[Any], task: Any) -> None:
        super().__init__()
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self.num_tokens = task.num_tokens
        batches = list(draws)
        features = torch.cat([_features(batch, self.num_tokens) for batch in batches]).numpy()
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

    def output(self, batch: Any) -> Tensor:
        return _features(batch, self.num_tokens) @ self.weight.T + self.bias


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

    def output(self, batch: Any) -> Tensor:
        return self.log_probability[batch.x]


class _NGram(_Fitted):
    def __init__(self, model: NGram) -> None:
        super().__init__()
        self.model = model

    def output(self, batch: Any) -> Tensor:
        return self.model(batch)[0]


def _features(batch: Any, num_tokens: int | None) -> Tensor:
    """Return all features, or one-hot tokens, of each sequence: `[B, L * F]`."""
    x = batch.x if num_tokens is None else one_hot(batch.x, num_tokens)
    return x.reshape(batch.num_graphs, -1).double()


def _log_frequency(counts: Any) -> Tensor:
    return (counts.double() / counts.sum()).log()
