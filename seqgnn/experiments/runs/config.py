"""The configurations of runs on sequence tasks: a trained model, or a baseline."""

import hashlib
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.io.text import fingerprint
from seqgnn.experiments.runs.base import BaselineRun, TrainingRun
from seqgnn.experiments.runs.result import UNATTENDED, RunControl, RunResult, measure_training, training_result
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.models import sequence_model as models
from seqgnn.models.baselines import sequences as baselines
from seqgnn.nn import init
from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.tasks.base import HeldOutTask
from seqgnn.tasks.objectives import objective_of
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import evaluate


@dataclass(frozen=True)
class RunConfig(TrainingRun):
    """The configuration of one training run on a sequence task.

    Attributes:
        size: length T of sequences, or number of nodes of trees.
        data_id: name and hash of the text that the task reads, see `identify_text`; None: no text.
        parameters: number of parameters that the hidden size is chosen for; None: it is `hidden`.
    """

    task: str
    size: int
    data_id: str | None
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

    def check(self) -> None:
        one_of("RunConfig", "task", self.task, SEQUENCE_TASKS)
        one_of("RunConfig", "model", self.model, (*models.NAMES, *models.TREES))
        for name, least in (("size", 1), ("hidden", 1), ("num_layers", 1), ("seed", 0)):
            check_count("RunConfig", name, getattr(self, name), least)

    def make_task(self, data: DataSource | None) -> Any:
        return SEQUENCE_TASKS[self.task](self.size, self.hops, data)

    def build(self, task: Any) -> torch.nn.Module:
        recipes = [init.chrono(self.size) if name == "chrono" else name for name in self.init]
        options: dict[str, Any] = {} if self.window is None else {"window": self.window}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return models.build(
                self.model,
                task,
                hidden=self.hidden,
                num_layers=self.num_layers,
                readout=self.readout,
                encoding=self.encoding,
                positions=self.positions,
                hops=self.hops,
                init=recipes or None,
                forget_bias=self.forget_bias,
                parameters=self.parameters,
                **options,
            )

    def perform(self, data: DataSource | None, control: RunControl = UNATTENDED) -> RunResult:
        """Train, then score the weights chosen on validation on the test set, which is closed until then."""
        _check_text(self.data_id, data)
        task = HeldOutTask(self.make_task(data))
        model = self.build(task)
        flops = flops_per_sample(model, task.draw(1, torch.Generator().manual_seed(self.seed)))
        memory = PeakMemory(self.device)
        curves = control.fit(model, task, self.train, self)
        measured = measure_training(curves, memory)
        batches = task.open().test(self.train.eval_batch_size)
        test = evaluate(model, batches, objective=objective_of(task), device=self.device,
                        precision=self.train.precision)  # fmt: skip
        return training_result(model, curves, asdict(test), flops, measured)


@dataclass(frozen=True)
class BaselineConfig(BaselineRun):
    """The configuration of one baseline on a sequence task."""

    task: str
    size: int
    data_id: str | None
    baseline: str
    samples: int
    seed: int = 0

    def check(self) -> None:
        one_of("BaselineConfig", "task", self.task, SEQUENCE_TASKS)
        one_of("BaselineConfig", "baseline", self.baseline, baselines.NAMES)
        check_count("BaselineConfig", "size", self.size, 1)

    def perform(self, data: DataSource | None, control: RunControl = UNATTENDED) -> RunResult:
        """Fit the baseline and score it on the test set."""
        _check_text(self.data_id, data)
        task = SEQUENCE_TASKS[self.task](self.size, (1,), data)
        start = time.perf_counter(), time.process_time()
        fitted = baselines.fit_baseline(self.baseline, task, samples=self.samples, seed=self.seed)
        measured = measurement(start)
        return RunResult({"test": asdict(fitted.evaluate(task.test(512)))}, measured)


def identify_text(path: Path | None) -> str:
    """Return the name of a text and a hash of its content, wherever it is stored; None: Python's help topics.

    Raises:
        ValueError: if the file cannot be read.
    """
    if path is None:
        from pydoc_data.topics import topics

        text = "".join(f"{name}\n{topics[name]}\n" for name in sorted(topics))
        return f"pydoc topics of Python {platform.python_version()} ({_short_hash(text.encode())})"
    return f"{path.name} ({fingerprint(path)[:16]})"


def _check_text(data_id: str | None, data: DataSource | None) -> None:
    """Raise a ValueError if the text is no longer the one that the run was planned for."""
    if data_id is not None and (identity := identify_text(None if data is None else data.path)) != data_id:
        raise ValueError(
            f"compare: expected the text {data_id}, got {identity}; it was changed after the comparison began"
        )


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
