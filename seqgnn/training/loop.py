"""The training loop and evaluation, independent of models and tasks."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import checked_device, one_of
from seqgnn.data.batching import part_of_batch
from seqgnn.tasks.objectives import Classification, Objective, first_nonfinite, objective_of
from seqgnn.training.checkpoint import Checkpoints, map_state
from seqgnn.training.config import PRECISIONS, TrainConfig, has_converged, learning_rate
from seqgnn.training.state import FitResult, TrainingState, ValidationPoint

__all__ = ["FitResult", "TrainConfig", "ValidationPoint", "evaluate", "fit", "has_converged", "learning_rate"]


def fit(
    model: nn.Module,
    task: Any,
    config: TrainConfig,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    on_step: Callable[[int, float, float], None] | None = None,
    on_validation: Callable[[ValidationPoint], None] | None = None,
    checkpoints: Checkpoints | None = None,
    stop: Callable[[], bool] | None = None,
    fabric: Any = None,
) -> FitResult:
    """Train `model` in place on `device`; afterwards, it has the weights with the best validation score.

    The training batches depend on `seed` only, so models trained with the same seed see the same batches. Dropout uses
    a forked random state, so the global random state does not change. The test set is not used.

    With `checkpoints`, the complete state of training is saved regularly, and a stored run is resumed. On a CPU with
    the same number of threads the result is bitwise identical to an uninterrupted run.

    Args:
        model: called as `model(batch, state=None) -> (logits, state)`.
        task: an object with `draw(batch_size, generator)` and `validation(batch_size)`; with `config.stateful` also
            with `stream(batch_size, index)` and `streams(part, batch_size)`, as in `seqgnn.data.CharText`. Its
            attribute `objective` defines loss and metrics; without one, `seqgnn.tasks.objectives.Classification`.
        config: configuration of training.
        seed: random seed of batches and dropout, at least 0.
        device: device to train on.
        on_step: called after every step with its number (from 1), loss and accuracy.
        on_validation: called after every evaluation on the validation set.
        checkpoints: where to save the run and resume it from.
        stop: called before every step; if it returns True, training ends after this step, and the run is saved.
        fabric: a launched `lightning_fabric.Fabric` for data-parallel training: each process receives its part of every
            batch, and gradients are averaged.

    Returns:
        The history of the run.

    Raises:
        ValueError: if a loss is not finite (the message names the step), or if logits and targets do not match.
    """
    device = checked_device("fit", device)
    state = TrainingState(model.to(device), config, seed, device, fabric)
    trainer = _Trainer(state, task)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        state.seed_process()
        if checkpoints is not None:
            state.restore(checkpoints)
        result = state.result
        if result.stopped == "interrupted":
            result.stopped = "steps"
        model.train()
        while result.steps < config.most_steps and result.stopped == "steps":
            interrupt = trainer.step(stop is not None and stop())
            state.add_time()
            if on_step is not None:
                on_step(result.steps, result.losses[-1], result.accuracies[-1])
            converged = has_converged(result.losses, config)
            out_of_time = config.max_seconds is not None and result.seconds >= config.max_seconds
            improved = False
            if converged or out_of_time or result.steps % config.eval_every == 0 or result.steps == config.steps:
                improved = trainer.validate()
                state.add_time()
                result.validation_seconds.append(result.seconds)
                if on_validation is not None:
                    on_validation(result.validation[-1])
                result.stopped = trainer.reason_to_stop(converged, out_of_time)
            if interrupt and result.stopped == "steps" and result.steps < config.most_steps:
                result.stopped = "interrupted"
            is_last = result.stopped != "steps" or result.steps == config.steps
            if checkpoints is not None and (is_last or checkpoints.due(result.steps, improved)):
                state.save(checkpoints)
                if improved:
                    state.save_best(checkpoints)
    if result.stopped != "interrupted":
        model.load_state_dict(state.best_weights)
    return result


class _Trainer:
    """Training steps and evaluations that update the state of a run.

    Args:
        state: state of the run.
        task: as in `fit`.
    """

    def __init__(self, state: TrainingState, task: Any) -> None:
        self.state, self.task, self.config = state, task, state.config
        self.objective = objective_of(task)

    def step(self, interrupt: bool) -> bool:
        """Do one training step; return True if `interrupt` is True in any process."""
        state, config = self.state, self.config
        number = state.result.steps + 1
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(number, config)
        batch = self._next_batch(number)
        output, batch, carried = _forward(
            state.call, batch, self.objective, state.device, config.precision, state.carried, f" (step {number})"
        )
        loss = self.objective.loss(output, batch)
        accuracy = self.objective.accuracy(output, batch)
        accuracy = torch.full_like(loss, math.nan) if accuracy is None else accuracy.to(loss.dtype)
        means = torch.stack([loss.detach(), accuracy, torch.full_like(loss, interrupt)]).detach()
        if state.world > 1:
            means = state.fabric.all_reduce(means, reduce_op="mean")
        if not torch.isfinite(means[0]):
            raise self._not_finite(f"{means[0].item()} at step {number}{_nonfinite_data(batch)}")
        state.optimizer.zero_grad()
        if state.fabric is None:
            loss.backward()
        else:
            state.fabric.backward(loss)
        if config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), config.max_grad_norm)
        state.optimizer.step()

        state.carried = map_state(Tensor.detach, carried) if config.stateful else None
        state.result.steps = number
        state.result.losses.append(means[0].item())
        state.result.accuracies.append(means[1].item())
        return means[2].item() > 0

    def _next_batch(self, number: int) -> Any:
        """Return this process's part of the batch of a step; the carried state is reset if the streams restart."""
        state, config = self.state, self.config
        if config.stateful:
            batch, is_first = self.task.stream(config.batch_size, number - 1)
            state.carried = None if is_first else state.carried
        else:
            batch = self.task.draw(config.batch_size, state.generator)
        if state.world == 1:
            return batch
        size = config.batch_size // state.world
        return part_of_batch(batch, state.rank * size, (state.rank + 1) * size)

    def _not_finite(self, where: str) -> ValueError:
        """Return the error for a loss that is not finite, and restore the best weights so far."""
        state = self.state
        hint = "try a lower lr or a smaller max_grad_norm"
        if state.best_weights:
            state.model.load_state_dict(state.best_weights)
            hint = f"the model has the best weights so far, from step {state.result.best_step}; {hint}"
        return ValueError(f"fit: loss is {where}; {hint}")

    def validate(self) -> bool:
        """Evaluate on the validation set; return True if the score is the best so far."""
        state, config, result = self.state, self.config, self.state.result
        size = config.eval_batch_size
        batches = self.task.streams("validation", size) if config.stateful else self.task.validation(size)
        when = f" (validation after step {result.steps})"
        scores = _score(state.model, batches, self.objective, state.device, config.precision, config.stateful, when)
        if not math.isfinite(scores.loss):
            raise self._not_finite(f"{scores.loss} on validation after step {result.steps}")
        result.validation.append(ValidationPoint(result.steps, scores.loss, scores.accuracy))
        accuracy = 0.0 if scores.accuracy is None else scores.accuracy
        score = {
            "accuracy": (accuracy, -scores.loss),
            "loss": (-scores.loss, accuracy),
            "last": (float(result.steps), 0.0),
        }[config.monitor]
        return state.keep_best(score)

    def reason_to_stop(self, converged: bool, out_of_time: bool) -> str:
        """Return the reason to stop after an evaluation; "steps" if there is none."""
        config, result = self.config, self.state.result
        accuracy = result.validation[-1].accuracy
        if config.target_accuracy is not None and accuracy is not None and accuracy >= config.target_accuracy:
            return "solved"
        if converged:
            return "converged"
        if out_of_time:
            return "time"
        evaluations = sum(point.step > result.best_step for point in result.validation)
        return "no better" if config.patience is not None and evaluations >= config.patience else "steps"


def evaluate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    objective: Objective | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    stateful: bool = False,
) -> Any:
    """Return the scores of `model`, which is on `device`, over all `batches`, in evaluation mode without gradients.

    Metrics are computed from sums over the whole set, so they do not depend on the batch size. With `stateful`,
    sequence i of a batch continues sequence i of the previous batch; if a batch is smaller, the last sequences have
    ended.

    Returns:
        The metrics of the objective; for `seqgnn.tasks.objectives.Classification`, the default, a
        `seqgnn.metrics.classification.Evaluation`.

    Raises:
        ValueError: if there is no batch, the loss is not finite, or outputs and targets do not match.
    """
    one_of("evaluate", "precision", precision, PRECISIONS)
    result = _score(model, batches, objective or Classification(), torch.device(device), precision, stateful)
    if not math.isfinite(result.loss):
        raise ValueError(f"evaluate: expected a finite loss, got {result.loss} over {result.count} targets")
    return result


def _nonfinite_data(batch: Any) -> str:
    """Return where the data of a batch first have inf or nan, as a part of a message; empty if they have none."""
    for name in ("x", "y"):
        if place := first_nonfinite(batch, name):
            value, _, where = place.partition(" ")
            return f": its batch has {value} in {name} {where}"
    return ""


def _score(
    model: nn.Module,
    batches: Iterable[Any],
    objective: Objective,
    device: torch.device,
    precision: str,
    stateful: bool,
    when: str = "",
) -> Any:
    sums = objective.sums()
    state: Any = None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                count = batch.num_graphs if stateful else 0
                state = map_state(lambda part: part[:, :count], state)  # noqa: B023 (used at once)
                output, batch, state = _forward(model, batch, objective, device, precision, state, when)
                objective.add(sums, output, batch)
                state = state if stateful else None
    finally:
        model.train(was_training)
    return sums.result()


def _forward(
    model: nn.Module,
    source: Any,
    objective: Objective,
    device: torch.device,
    precision: str,
    state: Any = None,
    when: str = "",
) -> tuple[Tensor, Any, Any]:
    """Return the output in float32 or wider, the batch on `device`, and the state.

    Raises:
        ValueError: if the objective refuses batch or output; the message ends with `when`.
    """
    batch = source.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        output, state = model(batch) if state is None else model(batch, state)
    try:
        objective.check(source, output)
    except ValueError as error:
        raise ValueError(f"{error}{when}") from error
    return (output.float() if precision == "bf16" else output), batch, state
