"""The configuration of training, and the optimizer, learning rate and stopping rule that follow from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqgnn._utils.options import ZERO_IS_NONE
from seqgnn._utils.validation import check_count, one_of

OPTIMIZERS = ("rmsprop", "adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "step")
PRECISIONS = ("float32", "bf16")
CONVERGENCE_WINDOW = 100


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of training.

    Args:
        steps: maximum number of training steps, at least 1; None: as many as `max_seconds` allows.
        batch_size: number of samples per training step.
        optimizer: name of the optimizer: "rmsprop", "adam", "adamw" or "sgd".
        lr: initial learning rate, above 0.
        momentum: momentum of "sgd", in [0, 1).
        weight_decay: decoupled weight decay of "adamw", at least 0.
        schedule: learning rate schedule: "constant"; "cosine", from `lr` to 0 at the last step; or "step", which
            multiplies it by `decay` every `decay_every` steps.
        decay: factor by which the "step" schedule multiplies the learning rate, above 0 and at most 1.
        decay_every: number of steps after which the "step" schedule multiplies the learning rate, at least 1.
        max_grad_norm: maximum gradient norm (L2), above 0; None disables clipping.
        eval_every: number of steps between evaluations on the validation set; there is always one after the last step.
        target_accuracy: validation accuracy that ends training, in (0, 1]; None disables it.
        min_steps: first step at which the convergence rule can apply, never before step 100. The rule ends training
            when the loss is within `tolerance` of the mean of the last 100 losses, including the current one; None:
            off.
        tolerance: tolerance of the convergence rule, above 0.
        monitor: validation score that selects the weights: "accuracy" (the loss breaks ties) or "loss"; "last" keeps
            the weights after the last step, whatever their score.
        precision: precision of the forward pass: "float32", or "bf16" for autocast to bfloat16 with float32 weights.
        eval_batch_size: number of samples per batch in evaluation; with `stateful`, number of streams.
        stateful: read the text as parallel streams and carry the detached state from step to step (truncated BPTT), in
            training and evaluation.
        patience: number of evaluations without improvement after which training ends (early stopping), at least 1;
            None: off.
        max_seconds: maximum training time in seconds, including evaluations. The number of steps then depends on the
            machine, so the run is not reproducible; None: no limit.

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
    max_grad_norm: float | None = field(default=1.0, metadata=ZERO_IS_NONE)
    eval_every: int = 50
    target_accuracy: float | None = field(default=None, metadata=ZERO_IS_NONE)
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
            raise ValueError("TrainConfig: expected steps or max_seconds, got neither")
        if self.steps is None and self.schedule == "cosine":
            raise ValueError("TrainConfig: expected steps, at which schedule 'cosine' ends, got None")
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
        """Maximum number of steps; infinite if only `max_seconds` limits a run."""
        return math.inf if self.steps is None else self.steps


def make_optimizer(parameters: Iterable[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a configuration; Adam and AdamW are fused."""
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=config.lr)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.lr, fused=True)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step; steps are counted from 1.

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
    """Return True if the last of `losses` is within the tolerance of the mean of the last 100.

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
