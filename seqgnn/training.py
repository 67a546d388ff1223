"""Training and evaluation of any model on any task: one loop, and no name of either in it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from seqgnn.errors import one_of
from seqgnn.metrics import ClassificationSums, Evaluation

OPTIMIZERS = ("rmsprop", "adam", "sgd")
PRECISIONS = ("float32", "bf16")
CONVERGENCE_WINDOW = 100


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: most steps taken, at least 1.
        batch_size: samples a step.
        optimizer: "rmsprop", "adam" or "sgd".
        lr: learning rate, above 0.
        momentum: of "sgd" alone, in [0, 1).
        clip: largest L2 norm of the gradient, above 0; None: not clipped.
        eval_every: steps between two looks at the validation set; the last step is always looked at.
        stop_at: validation accuracy that counts as solved and ends the run, in (0, 1]; None: never.
        min_steps: turns on the convergence rule: from this step on (and from step 100 on), the run ends when the loss
            is within `tolerance` of the mean of the last 100 losses, its own included. None: off.
        tolerance: of the convergence rule, above 0.
        select: which validation score chooses the weights that are kept: "accuracy" (loss breaks ties) or "loss".
        precision: "float32", or "bf16" for autocast with float32 weights.
        eval_batch_size: samples a batch in evaluation.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> TrainConfig(steps=100, optimizer="adam").lr
        0.001
    """

    steps: int = 2000
    batch_size: int = 64
    optimizer: str = "rmsprop"
    lr: float = 1e-3
    momentum: float = 0.9
    clip: float | None = 1.0
    eval_every: int = 50
    stop_at: float | None = None
    min_steps: int | None = None
    tolerance: float = 5e-4
    select: str = "accuracy"
    precision: str = "float32"
    eval_batch_size: int = 512

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "eval_batch_size", "min_steps"):
            value = getattr(self, name)
            if value is None and name == "min_steps":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"TrainConfig: expected {name} to be a whole number of at least 1, got {value!r}")
        one_of("TrainConfig", "optimizer", self.optimizer, OPTIMIZERS)
        one_of("TrainConfig", "select", self.select, ("accuracy", "loss"))
        one_of("TrainConfig", "precision", self.precision, PRECISIONS)
        for name in ("lr", "tolerance", "clip"):
            value = getattr(self, name)
            if not (value is None and name == "clip") and not (_is_number(value) and 0 < value < math.inf):
                raise ValueError(f"TrainConfig: expected {name} to be a finite number above 0, got {value!r}")
        if not (_is_number(self.momentum) and 0 <= self.momentum < 1):
            raise ValueError(f"TrainConfig: expected momentum in [0, 1), got {self.momentum!r}")
        if self.stop_at is not None and not (_is_number(self.stop_at) and 0 < self.stop_at <= 1):
            raise ValueError(f"TrainConfig: expected stop_at in (0, 1] or None, got {self.stop_at!r}")


@dataclass(frozen=True)
class ValidationPoint:
    """The validation set after `step` steps."""

    step: int
    loss: float
    accuracy: float


@dataclass
class FitResult:
    """What a training run went through.

    Attributes:
        losses: training loss of every step, before its update.
        accuracies: training accuracy of every step, before its update.
        validation: the looks at the validation set.
        steps: steps taken.
        stopped: why it ended: "solved", "converged" or "steps".
        best_step: the step whose weights the model now has.
    """

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    validation: list[ValidationPoint] = field(default_factory=list)
    steps: int = 0
    stopped: str = "steps"
    best_step: int = 0


def fit(
    model: nn.Module,
    task: Any,
    config: TrainConfig,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    on_step: Callable[[int, float, float], None] | None = None,
) -> FitResult:
    """Trains `model` in place and leaves it, on `device`, with the weights that did best on the validation set.

    The training batches depend on `seed` alone, so models trained with one seed see the same batches; dropout draws
    from a forked random state, so the caller's is untouched. The test set is never looked at.

    Args:
        model: called as `model(batch) -> (logits, state)`.
        task: anything with `draw(batch_size, generator)` and `validation(batch_size)`.
        config: how to train.
        seed: of the batches and of dropout, at least 0.
        device: where to train.
        on_step: called after every step with its number (from 1), loss and accuracy.

    Returns:
        The curves and why the run ended.

    Raises:
        ValueError: if a loss is not finite, naming the step, or if logits and targets do not fit each other.
    """
    device = torch.device(device)
    model.to(device)
    optimizer = _optimizer(model, config)
    generator = torch.Generator().manual_seed(seed)
    result = FitResult()
    best_score, best_weights = (-math.inf, -math.inf), {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model.train()
        for step in range(1, config.steps + 1):
            batch = task.draw(config.batch_size, generator)
            logits, target = _answer(model, batch, device, config.precision)
            loss = cross_entropy(logits, target)
            if not torch.isfinite(loss):
                found = f"{loss.item()} at step {step}; a smaller lr or clip may help"
                raise ValueError(f"fit: expected a finite loss, got {found}")
            optimizer.zero_grad()
            loss.backward()
            if config.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()

            result.steps = step
            result.losses.append(loss.item())
            result.accuracies.append((logits.argmax(-1) == target).float().mean().item())
            if on_step is not None:
                on_step(step, result.losses[-1], result.accuracies[-1])
            converged = has_converged(result.losses, config)
            if not (converged or step % config.eval_every == 0 or step == config.steps):
                continue

            seen = evaluate(model, task.validation(config.eval_batch_size), device=device, precision=config.precision)
            result.validation.append(ValidationPoint(step, seen.loss, seen.accuracy))
            score = (seen.accuracy, -seen.loss) if config.select == "accuracy" else (-seen.loss, seen.accuracy)
            if score > best_score:
                best_score, result.best_step = score, step
                best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if config.stop_at is not None and seen.accuracy >= config.stop_at:
                result.stopped = "solved"
                break
            if converged:
                result.stopped = "converged"
                break
    model.load_state_dict(best_weights)
    return result


def evaluate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: str | torch.device = "cpu",
    precision: str = "float32",
) -> Evaluation:
    """Scores `model`, which is on `device`, on all `batches`, in evaluation mode and without gradients.

    Sums run over the whole set, so the answer does not depend on how it is cut into batches.

    Raises:
        ValueError: if there is no batch, if the loss is not finite, or if logits and targets do not fit each other.
    """
    device = torch.device(device)
    one_of("evaluate", "precision", precision, PRECISIONS)
    sums = ClassificationSums()
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                sums.add(*_answer(model, batch, device, precision))
    finally:
        model.train(was_training)
    result = sums.result()
    if not math.isfinite(result.loss):
        raise ValueError(f"evaluate: expected a finite loss, got {result.loss} over {result.count} answers")
    return result


def has_converged(losses: list[float], config: TrainConfig) -> bool:
    """Says whether the last of `losses` is within the tolerance of the mean of the last 100.

    Example:
        >>> config = TrainConfig(min_steps=100)
        >>> has_converged([0.5] * 99, config), has_converged([0.5] * 100, config)
        (False, True)
    """
    if config.min_steps is None or len(losses) < max(config.min_steps, CONVERGENCE_WINDOW):
        return False
    return abs(losses[-1] - math.fsum(losses[-CONVERGENCE_WINDOW:]) / CONVERGENCE_WINDOW) < config.tolerance


def _answer(model: nn.Module, batch: Any, device: torch.device, precision: str) -> tuple[Tensor, Tensor]:
    """Returns logits `[M, C]` in float32 or wider and targets `[M]`, on `device`."""
    if not isinstance(batch.y, Tensor) or batch.y.dtype != torch.int64 or batch.y.numel() == 0:
        found = f"{batch.y.dtype} {tuple(batch.y.shape)}" if isinstance(batch.y, Tensor) else type(batch.y).__name__
        raise ValueError(f"training: expected targets of torch.int64, at least one, got {found}")
    if batch.x.is_floating_point() and not bool(batch.x.isfinite().all()):
        raise ValueError(f"training: expected finite x, got {int((~batch.x.isfinite()).sum())} NaN or infinite values")
    lowest, highest = batch.y.min(), batch.y.max()
    batch = batch.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = model(batch)[0]
    if logits.dim() != 2 or batch.y.shape != logits.shape[:1]:
        raise ValueError(
            f"training: expected logits [M, C] and targets [M], got {tuple(logits.shape)} and {tuple(batch.y.shape)}"
        )
    if lowest < 0 or highest >= logits.shape[1]:
        raise ValueError(f"training: expected targets in 0..{logits.shape[1] - 1}, got {int(lowest)}..{int(highest)}")
    return (logits.float() if precision == "bf16" else logits), batch.y


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), lr=config.lr)
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.lr)
    return torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
