import math

import pytest
import torch

from seqgnn.training.config import TrainConfig, has_converged, learning_rate
from tests.support.training_tasks import config


def test_has_converged_follows_min_steps_and_tolerance():
    rule = TrainConfig(min_steps=120, tolerance=0.01)
    flat = [1.0] * 200
    assert not has_converged(flat[:119], rule) and has_converged(flat[:120], rule)
    assert not has_converged(flat[:99], TrainConfig(min_steps=1))
    assert not has_converged([*flat, 1.02], rule)  # 1.02 - (99 + 1.02) / 100 = 0.0198
    assert has_converged([*flat, 1.01], rule)  # 1.01 - 1.0001 = 0.0099
    assert not has_converged(flat, TrainConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps to be an integer of at least 1, got 0"),
        ({"steps": 2.5}, "got 2.5"),
        ({"steps": None}, "expected steps or max_seconds, got neither"),
        ({"steps": None, "max_seconds": 1.0, "schedule": "cosine"}, "expected steps, at which schedule 'cosine' ends"),
        ({"batch_size": True}, "batch_size .* got True"),
        ({"eval_every": -1}, "eval_every"),
        ({"eval_batch_size": None}, "eval_batch_size .* got None"),
        ({"min_steps": 0}, "min_steps"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"monitor": "test"}, "monitor"),
        ({"precision": "fp32"}, "precision"),
        ({"lr": 0.0}, "lr to be a number above 0 and at most 1e37"),
        ({"lr": math.nan}, "got nan"),
        ({"lr": "1e-3"}, "got '1e-3'"),
        ({"max_grad_norm": -1.0}, "max_grad_norm"),
        ({"tolerance": 0}, "tolerance"),
        ({"tolerance": None}, "tolerance"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\)"),
        ({"target_accuracy": 1.5}, r"target_accuracy in \(0, 1\]"),
    ],
)
def test_train_config_values_out_of_range_raise_value_error(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_learning_rate_equals_torch_schedulers(schedule):
    settings = config(schedule=schedule, decay=0.5, decay_every=7)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], settings.lr)
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 7, gamma=0.5),
    }[schedule]()
    for step in range(1, settings.steps + 1):
        assert learning_rate(step, settings) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosin"}, "expected schedule .*, got 'cosin'.* did you mean 'cosine'"),
        ({"weight_decay": 0.1}, "expected optimizer 'adamw' with weight_decay, got 'rmsprop'"),
        ({"weight_decay": -1.0}, "expected weight_decay of at least 0, got -1.0"),
        ({"decay": 0.0}, r"expected decay in \(0, 1\], got 0.0"),
        ({"decay_every": 0}, "expected decay_every to be an integer of at least 1, got 0"),
        ({"patience": 0}, "expected patience to be an integer of at least 1, got 0"),
    ],
)
def test_train_config_invalid_schedule_or_decay_raises(change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)
