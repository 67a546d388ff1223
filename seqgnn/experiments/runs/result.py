"""The result of a run, its checkpoints and its weights."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from seqgnn.experiments.runs.store import run_key
from seqgnn.profile.resources import PeakMemory, measurement
from seqgnn.training.checkpoint import LAST, Checkpoints, read_checkpoint
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import FitResult, fit

OnStep: TypeAlias = Callable[[int, float, float], None]
Stop: TypeAlias = Callable[[], bool]


class RunInterrupted(Exception):
    """A run was stopped on request, and its state is saved."""


def never() -> bool:
    """Return False: a run is not to be stopped."""
    return False


@dataclass(frozen=True)
class RunControl:
    """How a run reports its steps, and is saved and stopped.

    Attributes:
        on_step: is called with each training step, its loss and its accuracy.
        folder: where the state is saved, so that an interrupted run resumes; None: nowhere.
        save_every: seconds between two checkpoints.
        stop: is called before every training step; True saves and ends the run after that step.
    """

    on_step: OnStep = lambda *_: None
    folder: Path | None = None
    save_every: float = 30.0
    stop: Stop = never

    def fit(self, model: torch.nn.Module, task: Any, train: TrainConfig, run: Any) -> FitResult:
        """Train the model of a run, or continue from its checkpoint.

        Args:
            model, task, train: as of `seqgnn.training.loop.fit`.
            run: the configuration of the run, a dataclass with `seed` and `device`.

        Raises:
            ValueError: if a checkpoint in the folder is damaged or another run's.
            RunInterrupted: if `stop` ended the training.
        """
        checkpoints = None if self.folder is None else checkpoints_in(self.folder, asdict(run), self.save_every)
        curves = fit(model, task, train, seed=run.seed, device=run.device, on_step=self.on_step,
                     checkpoints=checkpoints, stop=self.stop)  # fmt: skip
        if curves.stopped == "interrupted":
            raise RunInterrupted
        return curves


UNATTENDED = RunControl()  # neither reported nor saved


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        result: scores and curves, which the configuration determines.
        measured: seconds, memory, date and machine, which it does not.
        weights: the trained weights; none of a baseline.
    """

    result: dict[str, Any]
    measured: dict[str, Any]
    weights: dict[str, Tensor] = field(default_factory=dict)


def checkpoints_in(folder: Path, config: dict[str, Any], save_every: float) -> Checkpoints:
    """Return the checkpoints of a run.

    Raises:
        ValueError: if a checkpoint there is damaged or another run's.
    """
    _check_checkpoint(folder / LAST, config)
    # Without folders above it: one that was removed or renamed would appear again, and training would continue.
    return Checkpoints(folder, about={"config": config}, seconds=save_every, parents=False)


def measure_training(curves: FitResult, memory: PeakMemory, refitted: FitResult | None = None) -> dict[str, Any]:
    """Return the measured costs of a training run, resumed parts and a refit included."""
    fits = [curves] if refitted is None else [curves, refitted]
    return measurement() | {
        "seconds": round(sum(part.seconds for part in fits), 3),
        "cpu_seconds": round(sum(part.cpu_seconds for part in fits), 3),
        "validation_seconds": [round(seconds, 3) for seconds in curves.validation_seconds],
        "peak_memory": memory.read(),
    }


def training_result(
    model: torch.nn.Module, curves: FitResult, test: dict[str, Any], flops: float, measured: dict[str, Any]
) -> RunResult:
    """Return the result of a training run; with accuracies only where the task has classes."""
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    result = {
        "test": test,
        "steps": curves.steps,
        "best_step": curves.best_step,
        "stopped": curves.stopped,
        "parameters": sum(p.numel() for p in model.parameters()),
        "flops": flops,
        "weights_sha256": weights_hash(weights),
        # Six digits: what a figure needs, at half the size.
        "losses": [float(f"{loss:.6g}") for loss in curves.losses],
        "validation": [asdict(point) for point in curves.validation],
    }
    if not any(map(math.isnan, curves.accuracies)):
        result["accuracies"] = [float(f"{accuracy:.6g}") for accuracy in curves.accuracies]
    return RunResult(result, measured, weights)


def read_weights(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Return the weights in a file, if they have this hash.

    Raises:
        ValueError: naming the file, if it is no whole checkpoint or holds other weights.
    """
    weights, _ = read_checkpoint(path)
    if weights_hash(weights) != sha256:
        raise ValueError(f"the weights in {path.name} are not those of the run")
    return weights


def _check_checkpoint(path: Path, config: dict[str, Any]) -> None:
    """Raise a ValueError if there is a checkpoint that is damaged or another run's."""
    if not path.exists():
        return
    try:
        _, info = read_checkpoint(path)
        if "training" not in info or run_key(info.get("config") or {}) != run_key(config):
            raise ValueError(f"compare: expected a checkpoint of the run in {path}, got another checkpoint")
    except ValueError as error:
        raise ValueError(f"{error}; move it away, and the run starts again") from error


def weights_hash(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
