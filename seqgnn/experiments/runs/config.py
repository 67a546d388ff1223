"""What one run is: a task, a model, a seed and a way to train, and nothing else."""

import hashlib
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.io.text import fingerprint
from seqgnn.experiments.runs.store import run_key
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.models import sequence_model as models
from seqgnn.models.baselines import classification as baselines
from seqgnn.nn import init
from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.tasks.base import HeldOutTask
from seqgnn.training.checkpoint import LAST, Checkpoints, read_checkpoint
from seqgnn.training.loop import FitResult, TrainConfig, evaluate, fit

OnStep = Callable[[int, float, float], None]


@dataclass(frozen=True)
class RunResult:
    """What a run leaves: what its configuration determines, what is measured, and the weights."""

    result: dict[str, Any]
    measured: dict[str, Any]
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines one training run."""

    task: str
    length: int
    text: str | None
    model: str
    readout: str
    hops: tuple[int, ...]
    num_layers: int
    hidden: int
    encoding: str
    window: int | None
    init: tuple[str, ...]
    forget_bias: float | None
    positions: bool
    parameters: int | None
    seed: int
    device: str
    train: TrainConfig

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "RunConfig":
        """The run of a record's configuration, as `dataclasses.asdict` gives it and JSON keeps it; what it lacks is
        None.

        Raises:
            ValueError: if it is none of a task and model known here.
        """
        try:
            given = {item.name: None for item in fields(cls)} | config
            lists = {name: tuple(given[name]) for name in ("hops", "init")}
            found = cls(**{**given, **lists, "train": TrainConfig(**given["train"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"RunConfig: expected the configuration of a run, got another ({error})") from error
        one_of("RunConfig", "task", found.task, TASKS)
        one_of("RunConfig", "model", found.model, (*models.NAMES, *models.TREES))
        for name, least in (("length", 1), ("hidden", 1), ("num_layers", 1), ("seed", 0)):
            check_count("RunConfig", name, getattr(found, name), least)
        return found

    def build(self, task: Any) -> torch.nn.Module:
        """Returns the model, initialized by the seed; the caller's random state is untouched."""
        recipes = [init.chrono(self.length) if name == "chrono" else name for name in self.init]
        options: dict[str, Any] = {} if self.window is None else {"window": self.window}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return models.build(
                self.model,
                num_classes=task.num_classes,
                num_tokens=task.num_tokens,
                num_features=task.num_features,
                per_element=task.per_element,
                directed=task.directed,
                hidden=self.hidden,
                num_layers=self.num_layers,
                readout=self.readout,
                encoding=self.encoding,
                positions=self.positions,
                length=task.length,
                hops=self.hops,
                init=recipes or None,
                forget_bias=self.forget_bias,
                parameters=self.parameters,
                **options,
            )

    def estimate(self, path: Path | None, steps: int = 6) -> float:
        """Seconds that the run takes at most, by its first few steps and one look at the validation set.

        Raises:
            ValueError: if its loss is not finite after these few steps.
        """
        if self.train.steps is None:
            return float(self.train.max_seconds or 0)
        task = TASKS[self.task].make(self.length, self.hops, path)
        marks: list[float] = []
        few = replace(self.train, steps=steps, eval_every=steps, target_accuracy=None, max_seconds=None)
        fit(self.build(task), task, few, seed=self.seed, device=self.device,
            on_step=lambda *_: marks.append(time.perf_counter()))  # fmt: skip
        look = time.perf_counter() - marks[-1]
        each = (marks[-1] - marks[1]) / (len(marks) - 2)
        found = each * self.train.steps + look * math.ceil(self.train.steps / self.train.eval_every)
        return min(found, self.train.max_seconds or math.inf)

    def perform(
        self, path: Path | None, on_step: OnStep, folder: Path | None = None, save_every: float = 30.0
    ) -> RunResult:
        """Trains, then scores the weights chosen on validation on the test set, which is closed until then.

        With a folder the state is saved there every so many seconds, and a run that was interrupted goes on from it.
        """
        _check_text(self.text, path)
        task = HeldOutTask(TASKS[self.task].make(self.length, self.hops, path))
        model = self.build(task)
        flops = flops_per_sample(model, task.draw(1, torch.Generator().manual_seed(self.seed)))
        saved = checkpoints_in(folder, asdict(self), save_every)
        memory = PeakMemory(self.device)
        curves = fit(model, task, self.train, seed=self.seed, device=self.device, on_step=on_step, checkpoints=saved)
        measured = measured_of(curves, memory)
        batches = task.open().test(self.train.eval_batch_size)
        test = evaluate(model, batches, device=self.device, precision=self.train.precision)
        return outcome_of(model, curves, asdict(test), flops, measured)


@dataclass(frozen=True)
class BaselineConfig:
    """Everything that determines one baseline's score."""

    task: str
    length: int
    text: str | None
    baseline: str
    samples: int
    seed: int = 0

    def perform(
        self, path: Path | None, on_step: OnStep, folder: Path | None = None, save_every: float = 30.0
    ) -> RunResult:
        """Fits the baseline and scores it on the test set."""
        _check_text(self.text, path)
        task = TASKS[self.task].make(self.length, (1,), path)
        start = time.perf_counter(), time.process_time()
        fitted = baselines.fit_baseline(self.baseline, task, samples=self.samples, seed=self.seed)
        measured = measurement(start)
        return RunResult({"test": asdict(fitted.evaluate(task.test(512)))}, measured)


def checkpoints_in(folder: Path | None, config: dict[str, Any], save_every: float) -> Checkpoints | None:
    """Where a run is saved on its way; None without a folder.

    Raises:
        ValueError: if what lies there is damaged or another run's.
    """
    if folder is None:
        return None
    _check_saved(folder / LAST, config)
    return Checkpoints(folder, about={"config": config}, seconds=save_every)


def measured_of(curves: FitResult, memory: PeakMemory, refitted: FitResult | None = None) -> dict[str, Any]:
    """What a training run took, its pieces and a refit included."""
    fits = [curves] if refitted is None else [curves, refitted]
    return measurement() | {
        "seconds": round(sum(found.seconds for found in fits), 3),
        "cpu_seconds": round(sum(found.cpu_seconds for found in fits), 3),
        "validation_seconds": [round(seconds, 3) for seconds in curves.validation_seconds],
        "peak_memory": memory.read(),
    }


def outcome_of(
    model: torch.nn.Module, curves: FitResult, test: dict[str, Any], flops: float, measured: dict[str, Any]
) -> RunResult:
    """What a training run leaves; accuracies only where answers are right or wrong."""
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


def identify_text(path: Path | None) -> str:
    """Returns which text a task reads: its name and a hash of what is in it, wherever it lies.

    Raises:
        ValueError: if the file cannot be read.
    """
    if path is None:
        from pydoc_data.topics import topics

        text = "".join(f"{name}\n{topics[name]}\n" for name in sorted(topics))
        return f"pydoc topics of Python {platform.python_version()} ({_short_hash(text.encode())})"
    return f"{path.name} ({fingerprint(path)[:16]})"


def read_weights(path: Path, run: dict[str, Any]) -> dict[str, Tensor]:
    """Returns the weights in a file, if they are those of the run, a record `{"config", "result", "measured"}`.

    Raises:
        ValueError: naming the file, if it is no whole checkpoint or holds other weights.
    """
    weights, _ = read_checkpoint(path)
    if weights_hash(weights) != run["result"].get("weights_sha256"):
        raise ValueError(f"the weights in {path.name} are not those of the run")
    return weights


def _check_saved(path: Path, config: dict[str, Any]) -> None:
    """Whether what a run is to go on from, if there is anything, is whole and its own."""
    if not path.exists():
        return
    try:
        _, info = read_checkpoint(path)
        if "training" not in info or run_key(info.get("config") or {}) != run_key(config):
            raise ValueError(f"compare: expected what the run saved on its way in {path}, got another checkpoint")
    except ValueError as error:
        raise ValueError(f"{error}; move it away, and the run begins afresh") from error


def _check_text(text: str | None, path: Path | None) -> None:
    """Whether the text is still the one that the run is about."""
    if text is not None and (found := identify_text(path)) != text:
        raise ValueError(f"compare: expected the text {text}, got {found}; it was changed after the comparison began")


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def weights_hash(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
