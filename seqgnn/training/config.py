"""How a model is trained: the configuration, and the optimizer, the learning rates and the end that follow from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn._utils.validation import check_count, one_of

OPTIMIZERS = ("rmsprop", "adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "step")
PRECISIONS = ("float32", "bf16")
CONVERGENCE_WINDOW = 100


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: most steps taken, at least 1; None: as many as `max_seconds` allow.
        batch_size: samples a step.
        optimizer: "rmsprop", "adam", "adamw" or "sgd".
        lr: learning rate, above 0, at the first step.
        momentum: of "sgd" alone, in [0, 1).
        weight_decay: of "adamw" alone, at least 0.
        schedule: "constant"; "cosine", from `lr` to zero at the last step; or "step", times `decay` every
            `decay_every` steps.
        decay, decay_every: of "step" alone; above 0 and at most 1, and at least 1.
        max_grad_norm: largest L2 norm of the gradient, above 0; None: not clipped.
        eval_every: steps between two looks at the validation set; the last step is always looked at.
        target_accuracy: validation accuracy that counts as solved and ends the run, in (0, 1]; None: never.
        min_steps: turns on the convergence rule: from this step on (and from step 100 on), the run ends when the loss
            is within `tolerance` of the mean of the last 100 losses, its own included. None: off.
        tolerance: of the convergence rule, above 0.
        monitor: which validation score chooses the weights that are kept: "accuracy" (loss breaks ties) or "loss"; or
            "last", the weights after the last step, whatever their score.
        precision: "float32", or "bf16" for autocast with float32 weights.
        eval_batch_size: samples a batch in evaluation; with `stateful`, the streams that the set is cut into.
        stateful: read the training text as streams, side by side, and carry the state from step to step, without
            gradient; and so in evaluation.
        patience: looks at the validation set without a better one that end the run, at least 1; None: never.
        max_seconds: training time, looks at the validation set included, after which the run ends; None: no limit.
            How many steps that is depends on the machine, so such a run is not the same twice.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> TrainConfig(steps=100, optimizer="adam").lr
        0.001
    """

    steps: int | None = 2000
    batch_size: int = 64
    optimizer: str = "rmsprop"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    decay: float = 0.96
    decay_every: int = 5000
    max_grad_norm: float | None = 1.0
    eval_every: int = 50
    target_accuracy: float | None = None
    min_steps: int | None = None
    tolerance: float = 5e-4
    monitor: str = "accuracy"
    precision: str = "float32"
    eval_batch_size: int = 512
    stateful: bool = False
    patience: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "eval_batch_size", "decay_every", "min_steps", "patience"):
            value = getattr(self, name)
            if value is None and name in ("steps", "min_steps", "patience"):
                continue
            check_count("TrainConfig", name, value, 1)
        if self.steps is None and self.max_seconds is None:
            raise ValueError("TrainConfig: expected steps or seconds that end a run, got neither")
        if self.steps is None and self.schedule == "cosine":
            raise ValueError("TrainConfig: expected steps with schedule 'cosine', which falls to the last, got None")
        one_of("TrainConfig", "optimizer", self.optimizer, OPTIMIZERS)
        one_of("TrainConfig", "schedule", self.schedule, SCHEDULES)
        one_of("TrainConfig", "monitor", self.monitor, ("accuracy", "loss", "last"))
        one_of("TrainConfig", "precision", self.precision, PRECISIONS)
        for name in ("lr", "tolerance", "max_grad_norm"):
            value = getattr(self, name)
            if not (value is None and name == "max_grad_norm") and not (_is_number(value) and 0 < value <= 1e37):
                raise ValueError(f"TrainConfig: expected {name} to be a number above 0 and at most 1e37, got {value!r}")
        if not (_is_number(self.momentum) and 0 <= self.momentum < 1):
            raise ValueError(f"TrainConfig: expected momentum in [0, 1), got {self.momentum!r}")
        if not (_is_number(self.decay) and 0 < self.decay <= 1):
            raise ValueError(f"TrainConfig: expected decay in (0, 1], got {self.decay!r}")
        if not (_is_number(self.weight_decay) and 0 <= self.weight_decay < math.inf):
            raise ValueError(f"TrainConfig: expected weight_decay of at least 0, got {self.weight_decay!r}")
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(f"TrainConfig: expected optimizer 'adamw' with weight_decay, got {self.optimizer!r}")
        limit = self.max_seconds
        if limit is not None and not (_is_number(limit) and 0 < limit < math.inf):
            raise ValueError(f"TrainConfig: expected max_seconds to be a number above 0 or None, got {limit!r}")
        target = self.target_accuracy
        if target is not None and not (_is_number(target) and 0 < target <= 1):
            raise ValueError(f"TrainConfig: expected target_accuracy in (0, 1] or None, got {target!r}")

    @property
    def most_steps(self) -> float:
        """`steps`, infinite where time alone ends a run."""
        return math.inf if self.steps is None else self.steps


def make_optimizer(parameters: Iterable[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration, in one kernel for each parameter where torch has such."""
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=config.lr)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.lr, fused=True)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum)


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate of a step, counted from 1.

    Example:
        >>> config = TrainConfig(steps=100, lr=1.0, schedule="step", decay=0.5, decay_every=10)
        >>> learning_rate(10, config), learning_rate(11, config)
        (1.0, 0.5)
    """
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * (step - 1) / config.most_steps)) / 2
    if config.schedule == "step":
        return config.lr * config.decay ** ((step - 1) // config.decay_every)
    return config.lr


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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
