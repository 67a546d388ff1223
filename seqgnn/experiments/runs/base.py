"""The parts that configurations of runs have in common: reading them from JSON, and estimating the time of training."""

import math
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Self

import torch

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs.result import UNATTENDED, RunControl, RunResult
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import fit


class Run(ABC):
    """A run, determined by its fields, which are its key on disk."""

    task: str
    data_id: Any  # str, or None where no data are read
    seed: int
    size: Any  # a field, or the horizon

    @property
    def setting(self) -> str:
        """Settings that the runs of one comparison share besides task and data, as text."""
        return ""

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Return the run of a configuration given by `dataclasses.asdict`, also after a round trip through JSON.

        Raises:
            ValueError: if it is not the configuration of such a run.
        """
        try:
            values = _with_tuples(config)
            for name, kind in (("train", TrainConfig), ("protocol", Protocol)):
                if name in values:
                    values[name] = kind(**_with_tuples(values[name]))
            run = cls(**values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{cls.__name__}: expected the configuration of a run, got another ({error})") from error
        run.check()
        return run

    def check(self) -> None:  # noqa: B027 (not all have something to check)
        """Raise a ValueError if a field is unknown or out of range."""

    @abstractmethod
    def perform(self, data: DataSource | None, control: RunControl = UNATTENDED) -> RunResult:
        """Return the result of the run.

        Args:
            data: the data that the task reads, if it reads any.
            control: how training reports its steps, and is saved and stopped; baselines do not use it.

        Raises:
            ValueError: if the data are not those of the run, or a checkpoint is damaged or another run's.
            RunInterrupted: if the run was stopped.
        """


class BaselineRun(Run):
    """A run that fits a baseline."""

    baseline: str


class TrainingRun(Run):
    """A run that trains a model."""

    model: str
    parameters: int | None
    train: TrainConfig
    device: str

    @property
    def fits(self) -> int:
        """Number of trainings, one after the other."""
        return 1

    @abstractmethod
    def make_task(self, data: DataSource | None) -> Any:
        """Return the task of the run."""

    @abstractmethod
    def build(self, task: Any) -> torch.nn.Module:
        """Return the model, initialized by the seed; the caller's random state is untouched."""

    def estimate(self, data: DataSource | None, steps: int = 6) -> float:
        """Return the maximum duration of the run in seconds, estimated by its first steps and one evaluation.

        Raises:
            ValueError: if the loss is not finite after these steps.
        """
        limit = self.train.max_seconds or math.inf
        if self.train.steps is None:
            return limit * self.fits
        task = self.make_task(data)
        times: list[float] = []
        short_train = replace(self.train, steps=steps, eval_every=steps, target_accuracy=None, max_seconds=None)
        fit(self.build(task), task, short_train, seed=self.seed, device=self.device,
            on_step=lambda *_: times.append(time.perf_counter()))  # fmt: skip
        evaluation = time.perf_counter() - times[-1]
        step_seconds = (times[-1] - times[1]) / (len(times) - 2)
        fit_seconds = step_seconds * self.train.steps + evaluation * math.ceil(self.train.steps / self.train.eval_every)
        return min(fit_seconds, limit) * self.fits


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with JSON lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
