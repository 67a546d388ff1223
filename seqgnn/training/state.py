"""The state of a training run between two steps, and how it is saved and restored."""

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.html import html_table
from seqgnn._utils.text import count
from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, flatten, map_state, unflatten
from seqgnn.training.config import TrainConfig, make_optimizer

MEASURED = ("seconds", "cpu_seconds", "validation_seconds")
SEED_STRIDE = 1_000_003  # between the seeds of processes that train together


@dataclass(frozen=True)
class ValidationPoint:
    """Scores on the validation set after `step` steps; accuracy is None for tasks without classes."""

    step: int
    loss: float
    accuracy: float | None


@dataclass(repr=False)
class FitResult:
    """The history of a training run, of which a summary is shown.

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

    def summary(self) -> dict[str, str]:
        """Return what is shown of the history, by name.

        Example:
            >>> FitResult([2.0, 1.0], steps=2, best_step=2, seconds=0.5)
            FitResult(2 steps in 0.5 s; stopped: steps; last training loss: 1; weights of step: 2)
        """
        shown = {"stopped": self.stopped}
        if self.losses:
            shown["last training loss"] = f"{self.losses[-1]:.4g}"
        if self.validation:
            best = next((point for point in self.validation if point.step == self.best_step), self.validation[-1])
            accuracy = "" if best.accuracy is None else f", accuracy {best.accuracy:.3f}"
            shown[f"validation at step {best.step}"] = f"loss {best.loss:.4g}{accuracy}"
        return shown | {"weights of step": f"{self.best_step}"}

    def __repr__(self) -> str:
        shown = "; ".join(f"{name}: {value}" for name, value in self.summary().items())
        return f"FitResult({count(self.steps, 'step')} in {self.seconds:.1f} s; {shown})"

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        return html_table(f"FitResult: {count(self.steps, 'step')} in {self.seconds:.1f} s", self.summary())


class TrainingState:
    """The state of a training run between two steps.

    Args:
        model, config, seed, device, fabric: as in `seqgnn.training.loop.fit`; the model is on the device.

    Attributes:
        rank, world: number of this process, and number of processes.
        call: the model, wrapped for data-parallel training if there is a `fabric`.
        optimizer: the optimizer of the model's parameters.
        generator: random generator of training batches.
        carried: state of the model after the last step; None if the next one starts from zeros.
        result: history of the run.
        best_score, best_weights: highest validation score and the weights that have it.

    Raises:
        ValueError: if the configuration does not fit the number of processes.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, seed: int, device: torch.device, fabric: Any) -> None:
        self.model, self.config = model, config
        self.seed, self.device, self.fabric = seed, device, fabric
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
        self._timed = time.perf_counter(), time.process_time()
        self.carried: Any = None
        self.result = FitResult()
        self.best_score = (-math.inf, -math.inf)
        self.best_weights: dict[str, Tensor] = {}

    def seed_process(self) -> None:
        """Seed the random numbers of dropout, differently in each process."""
        torch.manual_seed(self.seed + SEED_STRIDE * self.rank)

    def add_time(self) -> None:
        """Add the time since the last call to the result."""
        now = time.perf_counter(), time.process_time()
        self.result.seconds += now[0] - self._timed[0]
        self.result.cpu_seconds += now[1] - self._timed[1]
        self._timed = now

    def keep_best(self, score: tuple[float, float]) -> bool:
        """Keep a copy of the weights if their score is the best so far; return True if it is."""
        if score <= self.best_score:
            return False
        self.best_score, self.result.best_step = score, self.result.steps
        self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return True

    def save_best(self, checkpoints: Checkpoints) -> None:
        """Save the best weights."""
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
                raise ValueError(f"fit: expected a folder shared by all processes, got {checkpoints.folder}")
        if last is None:
            return
        tensors, info = last
        self._check_run(info, checkpoints)
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
        local_rows = slice(self.rank * size, (self.rank + 1) * size)
        self.carried = map_state(lambda part: part[:, local_rows].to(self.device), state["carried"])
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

    def _check_run(self, info: dict[str, Any], checkpoints: Checkpoints) -> None:
        """Raise a ValueError unless the checkpoint is of a run with the same configuration, or fewer steps."""
        stored = {**asdict(TrainConfig()), **info["config"], "seed": info["seed"]}
        for name, value in {**asdict(self.config), "seed": self.seed}.items():
            if name != "steps" and stored[name] != value:
                got = f"{name}={value!r} instead of {stored[name]!r}"
                raise ValueError(f"fit: expected the configuration of the run in {checkpoints.folder}, got {got}")
        if info["step"] > self.config.most_steps:
            got = f"steps={self.config.steps} after step {info['step']}"
            raise ValueError(f"fit: expected at least the steps of the run in {checkpoints.folder}, got {got}")

    def _restore_random(self, random: dict[str, Tensor], step: int) -> None:
        """Restore the random state of dropout, or a new one per process if the number of processes has changed."""
        states = [random["cpu"]] if random["cpu"].dim() == 1 else list(random["cpu"])
        if len(states) != self.world:
            torch.manual_seed(self.seed + SEED_STRIDE * (self.rank + self.world * step))
            return
        torch.set_rng_state(states[self.rank].clone())
        if self.device.type == "cuda" and "cuda" in random:
            on_device = random["cuda"] if random["cuda"].dim() == 1 else random["cuda"][self.rank]
            torch.cuda.set_rng_state(on_device.clone(), self.device)
