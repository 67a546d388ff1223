"""The training loop and evaluation, independent of models and tasks."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import checked_device, one_of
from seqgnn.data.batching import part_of_batch
from seqgnn.tasks.objectives import Classification, Objective
from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, flatten, map_state, unflatten
from seqgnn.training.config import PRECISIONS, TrainConfig, has_converged, learning_rate, make_optimizer

__all__ = ["FitResult", "TrainConfig", "ValidationPoint", "evaluate", "fit", "has_converged", "learning_rate"]

MEASURED = ("seconds", "cpu_seconds", "validation_seconds")
SEEDS_APART = 1_000_003  # between the seeds of processes that train together


@dataclass(frozen=True)
class ValidationPoint:
    """Scores on the validation set after `step` steps; accuracy is None for tasks without classes."""

    step: int
    loss: float
    accuracy: float | None


@dataclass
class FitResult:
    """The history of a training run.

    Attributes:
        losses: training loss of every step, before its update.
        accuracies: training accuracy of every step, before its update; NaN for tasks without classes.
        validation: scores of each evaluation on the validation set.
        steps: number of steps.
        stopped: reason for the end: "solved", "converged", "no better" (early stopping after `patience` evaluations),
            "time", "interrupted" or "steps".
        best_step: the step of the model's final weights.
        seconds, cpu_seconds: training time; for a resumed run, including the time up to its last checkpoint.
        validation_seconds: time at the end of each evaluation on the validation set.
    """

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    validation: list[ValidationPoint] = field(default_factory=list)
    steps: int = 0
    stopped: str = "steps"
    best_step: int = 0
    seconds: float = field(default=0.0, compare=False)
    cpu_seconds: float = field(default=0.0, compare=False)
    validation_seconds: list[float] = field(default_factory=list, compare=False)


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
    """Train `model` in place on `device`; on return it has the best weights on the validation set.

    The training batches depend on `seed` only, so models trained with the same seed see the same batches. Dropout uses
    a forked random state, so the caller's random state does not change. The test set is not used.

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
        checkpoints: where to save the run, and to resume it from.
        stop: called before every step; if it returns True, training is saved and ends after the step.
        fabric: a launched `lightning_fabric.Fabric` for data-parallel training: each process has its part of every
            batch, and gradients are averaged.

    Returns:
        The history of the run.

    Raises:
        ValueError: if a loss is not finite, naming the step, or if logits and targets do not match.
    """
    device = checked_device("fit", device)
    trainer = _Trainer(model.to(device), task, config, seed, device, fabric)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + SEEDS_APART * trainer.rank)
        if checkpoints is not None:
            trainer.restore(checkpoints)
        result = trainer.result
        if result.stopped == "interrupted":
            result.stopped = "steps"
        model.train()
        while result.steps < config.most_steps and result.stopped == "steps":
            asked = trainer.step(stop is not None and stop())
            trainer.note_time()
            if on_step is not None:
                on_step(result.steps, result.losses[-1], result.accuracies[-1])
            converged = has_converged(result.losses, config)
            late = config.max_seconds is not None and result.seconds >= config.max_seconds
            improved = False
            if converged or late or result.steps % config.eval_every == 0 or result.steps == config.steps:
                improved = trainer.validate()
                trainer.note_time()
                result.validation_seconds.append(result.seconds)
                if on_validation is not None:
                    on_validation(result.validation[-1])
                result.stopped = trainer.verdict(converged, late)
            if asked and result.stopped == "steps" and result.steps < config.most_steps:
                result.stopped = "interrupted"
            ends = result.stopped != "steps" or result.steps == config.steps
            if checkpoints is not None and (ends or checkpoints.due(result.steps, improved)):
                trainer.save(checkpoints)
                if improved:
                    trainer.save_best(checkpoints)
    if result.stopped != "interrupted":
        model.load_state_dict(trainer.best_weights)
    return result


class _Trainer:
    """A training run between two steps."""

    def __init__(
        self, model: nn.Module, task: Any, config: TrainConfig, seed: int, device: torch.device, fabric: Any
    ) -> None:
        self.model, self.task, self.config = model, task, config
        self.seed, self.device, self.fabric = seed, device, fabric
        self.objective: Objective = getattr(task, "objective", Classification())
        self.rank: int = 0 if fabric is None else fabric.global_rank
        self.world: int = 1 if fabric is None else fabric.world_size
        if config.batch_size % self.world:
            got = f"{config.batch_size} for {self.world} processes"
            raise ValueError(f"fit: expected a batch_size divisible by the number of processes, got {got}")
        self.optimizer = make_optimizer(model.parameters(), config)
        self.call: nn.Module = model if fabric is None else fabric.setup_module(model)
        if config.max_seconds is not None and self.world > 1:
            raise ValueError(f"fit: max_seconds is not supported with several processes ({self.world})")
        self.generator = torch.Generator().manual_seed(seed)
        self.began = time.perf_counter(), time.process_time()
        self.carried: Any = None
        self.result = FitResult()
        self.best_score = (-math.inf, -math.inf)
        self.best_weights: dict[str, Tensor] = {}

    def step(self, asked: bool) -> bool:
        """Do one training step; return True if training should end after it in any process."""
        config, number = self.config, self.result.steps + 1
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(number, config)
        if config.stateful:
            batch, first = self.task.stream(config.batch_size, number - 1)
            self.carried = None if first else self.carried
        else:
            batch = self.task.draw(config.batch_size, self.generator)
        if self.world > 1:
            size = config.batch_size // self.world
            batch = part_of_batch(batch, self.rank * size, (self.rank + 1) * size)
        output, batch, state = _forward(self.call, batch, self.objective, self.device, config.precision, self.carried)
        loss = self.objective.loss(output, batch)
        right = self.objective.accuracy(output, batch)
        accuracy = torch.full_like(loss, math.nan) if right is None else right.to(loss.dtype)
        shown = torch.stack([loss.detach(), accuracy, torch.full_like(loss, asked)]).detach()
        if self.world > 1:
            shown = self.fabric.all_reduce(shown, reduce_op="mean")
        if not torch.isfinite(shown[0]):
            raise self._not_finite(f"{shown[0].item()} at step {number}")
        self.optimizer.zero_grad()
        if self.fabric is None:
            loss.backward()
        else:
            self.fabric.backward(loss)
        if config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
        self.optimizer.step()

        self.carried = map_state(Tensor.detach, state) if config.stateful else None
        self.result.steps = number
        self.result.losses.append(shown[0].item())
        self.result.accuracies.append(shown[1].item())
        return shown[2].item() > 0

    def _not_finite(self, where: str) -> ValueError:
        """Return the error for a loss that is not finite, after restoring the best weights so far."""
        hint = "try a lower lr or a smaller max_grad_norm"
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
            hint = f"the model has the best weights, of step {self.result.best_step}; {hint}"
        return ValueError(f"fit: loss is {where}; {hint}")

    def validate(self) -> bool:
        """Evaluate on the validation set; return True if the score is the best so far."""
        config, result = self.config, self.result
        size = config.eval_batch_size
        batches = self.task.streams("validation", size) if config.stateful else self.task.validation(size)
        scores = _score(self.model, batches, self.objective, self.device, config.precision, config.stateful)
        if not math.isfinite(scores.loss):
            raise self._not_finite(f"{scores.loss} on validation after step {result.steps}")
        result.validation.append(ValidationPoint(result.steps, scores.loss, scores.accuracy))
        accuracy = 0.0 if scores.accuracy is None else scores.accuracy
        score = {
            "accuracy": (accuracy, -scores.loss),
            "loss": (-scores.loss, accuracy),
            "last": (float(result.steps), 0.0),
        }[config.monitor]
        if score <= self.best_score:
            return False
        self.best_score, result.best_step = score, result.steps
        self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return True

    def note_time(self) -> None:
        """Add the time since the last call."""
        now = time.perf_counter(), time.process_time()
        self.result.seconds += now[0] - self.began[0]
        self.result.cpu_seconds += now[1] - self.began[1]
        self.began = now

    def verdict(self, converged: bool, late: bool) -> str:
        """Return the reason to stop after an evaluation; "steps" if there is none."""
        config, result = self.config, self.result
        accuracy = result.validation[-1].accuracy
        if config.target_accuracy is not None and accuracy is not None and accuracy >= config.target_accuracy:
            return "solved"
        if converged:
            return "converged"
        if late:
            return "time"
        since = sum(point.step > result.best_step for point in result.validation)
        return "no better" if config.patience is not None and since >= config.patience else "steps"

    def save_best(self, checkpoints: Checkpoints) -> None:
        if self.rank == 0:
            info = {"step": self.result.best_step, "score": list(self.best_score), "seed": self.seed}
            checkpoints.save(BEST, {f"model.{name}": value for name, value in self.best_weights.items()}, info)

    def save(self, checkpoints: Checkpoints) -> None:
        """Save the complete state of training."""
        random: dict[str, Tensor] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        carried = self.carried
        if self.world > 1:  # gather the random states of all processes and their parts of the carried state
            random = {name: torch.stack(self._gather(value)) for name, value in random.items()}
            carried = map_state(lambda part: torch.cat(self._gather(part), dim=1), carried)
        if self.rank > 0:
            return
        optimizer = self.optimizer.state_dict()
        state = {
            "model": dict(self.model.state_dict()),
            "best": self.best_weights,
            "optimizer": {"state": optimizer["state"], "param_groups": optimizer["param_groups"]},
            "random": {**random, "batches": self.generator.get_state()},
            "carried": carried,
            "curves": {
                "losses": torch.tensor(self.result.losses, dtype=torch.float64),
                "accuracies": torch.tensor(self.result.accuracies, dtype=torch.float64),
            },
        }
        tensors: dict[str, Tensor] = {}
        rest: dict[str, Any] = {}
        for name, value in state.items():
            flat, rest[name] = flatten(name, value)
            tensors |= flat
        info = {
            "step": self.result.steps,
            "stopped": self.result.stopped,
            "validation": [asdict(point) for point in self.result.validation],
            "best": [self.result.best_step, *self.best_score] if self.best_weights else None,
            "seed": self.seed,
            "config": asdict(self.config),
            "measured": {name: getattr(self.result, name) for name in MEASURED},
            "rest": rest,
        }
        checkpoints.save(LAST, tensors, info)

    def _gather(self, part: Tensor) -> list[Tensor]:
        """Return the tensors of all processes."""
        local = part.to(self.device).contiguous()
        parts = [torch.empty_like(local) for _ in range(self.world)]
        torch.distributed.all_gather(parts, local)
        return [part.cpu() for part in parts]

    def restore(self, checkpoints: Checkpoints) -> None:
        """Restore the last checkpoint, if there is one."""
        last = checkpoints.load(LAST)
        if self.world > 1:
            steps = {int(step) for step in self._gather(torch.tensor(-1 if last is None else last[1]["step"]))}
            if len(steps) > 1:
                raise ValueError(
                    f"fit: expected a folder shared by all processes, got {checkpoints.folder}"
                )
        if last is None:
            return
        tensors, info = last
        stored = {**asdict(TrainConfig()), **info["config"], "seed": info["seed"]}
        for name, value in {**asdict(self.config), "seed": self.seed}.items():
            if name != "steps" and stored[name] != value:
                got = f"{name}={value!r} instead of {stored[name]!r}"
                raise ValueError(f"fit: expected the configuration of the run in {checkpoints.folder}, got {got}")
        if info["step"] > self.config.most_steps:
            got = f"steps={self.config.steps} after step {info['step']}"
            raise ValueError(f"fit: expected at least the steps of the run in {checkpoints.folder}, got {got}")
        state = {name: unflatten(tensors, rest) for name, rest in info["rest"].items()}
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            got = " ".join(str(error).split())
            raise ValueError(f"fit: expected the model of the run in {checkpoints.folder}, got {got}") from error
        numbered = {int(index): value for index, value in state["optimizer"]["state"].items()}
        groups = list(state["optimizer"]["param_groups"])
        self.optimizer.load_state_dict({"state": numbered, "param_groups": groups})
        self.generator.set_state(state["random"]["batches"])
        self._restore_random(state["random"], info["step"])
        size = self.config.batch_size // self.world
        local = slice(self.rank * size, (self.rank + 1) * size)
        self.carried = map_state(lambda part: part[:, local].to(self.device), state["carried"])
        self.result = FitResult(
            losses=state["curves"]["losses"].tolist(),
            accuracies=state["curves"]["accuracies"].tolist(),
            validation=[ValidationPoint(**point) for point in info["validation"]],
            steps=info["step"],
            stopped=info["stopped"],
        )
        for name in MEASURED:
            setattr(self.result, name, info["measured"][name])
        if info["best"] is not None:
            self.best_weights = state["best"]
            self.result.best_step, *score = info["best"]
            self.best_score = score[0], score[1]
            self.save_best(checkpoints)  # the process may have been killed between the two files

    def _restore_random(self, random: dict[str, Tensor], step: int) -> None:
        """Restore the random state of dropout, or a new one per process if the number of processes has changed."""
        states = [random["cpu"]] if random["cpu"].dim() == 1 else list(random["cpu"])
        if len(states) != self.world:
            torch.manual_seed(self.seed + SEEDS_APART * (self.rank + self.world * step))
            return
        torch.set_rng_state(states[self.rank].clone())
        if self.device.type == "cuda" and "cuda" in random:
            on_device = random["cuda"] if random["cuda"].dim() == 1 else random["cuda"][self.rank]
            torch.cuda.set_rng_state(on_device.clone(), self.device)


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


def _score(
    model: nn.Module, batches: Iterable[Any], objective: Objective, device: torch.device, precision: str, stateful: bool
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
                output, batch, state = _forward(model, batch, objective, device, precision, state)
                objective.add(sums, output, batch)
                state = state if stateful else None
    finally:
        model.train(was_training)
    return sums.result()


def _forward(
    model: nn.Module, source: Any, objective: Objective, device: torch.device, precision: str, state: Any = None
) -> tuple[Tensor, Any, Any]:
    """Return the output in float32 or wider, the batch on `device`, and the state."""
    batch = source.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        output, state = model(batch) if state is None else model(batch, state)
    objective.check(source, output)
    return (output.float() if precision == "bf16" else output), batch, state
