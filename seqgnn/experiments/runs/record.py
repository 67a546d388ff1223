"""Finished runs: configuration, specification, result and measured costs of each, as their files hold them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, cast

from seqgnn.experiments.runs.base import BaselineRun, Run, TrainingRun
from seqgnn.experiments.runs.specs import Spec, spec_from_dict
from seqgnn.metrics.forecasting import WindowSums
from seqgnn.training.loop import ValidationPoint


@dataclass(frozen=True)
class HeldOutScores:
    """The scores of a run on the test set.

    Attributes:
        values: value of each metric; None where it is not finite, as MAPE where all targets are 0. Runs of earlier
            versions do not have all metrics.
        count: number of targets.
        by_step: of forecasts, count and metrics of each step ahead.
        windows: of forecasts, sums of errors of each window; None in runs of versions that did not store them.
    """

    values: Mapping[str, float | None]
    count: int
    by_step: tuple[Mapping[str, Any], ...] = ()
    windows: WindowSums | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the scores of a file."""
        values = {name: value for name, value in content.items() if name not in ("count", "by_step", "windows")}
        sums = content.get("windows")
        windows = None if sums is None else WindowSums(tuple(sums["errors"]), tuple(sums["counts"]))
        return cls(values, content["count"], tuple(content.get("by_step", ())), windows)

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as a file holds them."""
        content: dict[str, Any] = {**self.values, "count": self.count}
        if self.by_step:
            content["by_step"] = list(self.by_step)
        if self.windows is not None:
            content["windows"] = {name: list(sums) for name, sums in vars(self.windows).items()}
        return content


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run, which its configuration determines.

    Attributes:
        test: scores on the test set.
        steps: number of training steps.
        best_step: the step whose weights were tested.
        stopped: reason for the end, see `seqgnn.training.FitResult`.
        parameters: number of parameters.
        losses: training loss of every step.
        validation: scores of each evaluation on the validation set.
        accuracies: training accuracy of every step; None for tasks without classes.
        flops: floating-point operations per sample of a forward pass.
        weights_sha256: hash of the weights.
    """

    test: HeldOutScores
    steps: int
    best_step: int
    stopped: str
    parameters: int
    losses: tuple[float, ...]
    validation: tuple[ValidationPoint, ...]
    accuracies: tuple[float, ...] | None = None
    flops: float | None = None
    weights_sha256: str | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the result of a file."""
        values = {name: content[name] for name in _names(cls) if name in content}
        values |= {name: tuple(values[name]) for name in ("losses", "accuracies") if name in values}
        points = tuple(ValidationPoint(**point) for point in values["validation"])
        return cls(**values | {"test": HeldOutScores.from_dict(values["test"]), "validation": points})

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a file holds it."""
        return _nonempty_fields(self) | {
            "test": self.test.as_dict(),
            "validation": [asdict(point) for point in self.validation],
        }


@dataclass(frozen=True)
class BaselineResult:
    """The result of a baseline.

    Attributes:
        test: scores on the test set.
        parameters: number of parameters of a baseline of forecasts.
        strength: its strength of regularization, chosen on validation.
    """

    test: HeldOutScores
    parameters: int | None = None
    strength: float | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the result of a file."""
        return cls(HeldOutScores.from_dict(content["test"]), content.get("parameters"), content.get("strength"))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a file holds it."""
        return _nonempty_fields(self) | {"test": self.test.as_dict()}


@dataclass(frozen=True)
class Measured:
    """The measured costs of a run, and where it was executed; None where that is not known.

    Attributes:
        seconds, cpu_seconds: duration.
        validation_seconds: time at the end of each evaluation on the validation set.
        peak_memory: bytes, beyond those in use before the run.
        date: when it ended, in UTC.
        machine, processor, cores, memory: system, name and number of processors, bytes.
        threads: torch threads.
        versions: of Python, torch, PyG and seqgnn.
    """

    seconds: float
    cpu_seconds: float | None = None
    validation_seconds: tuple[float, ...] = ()
    peak_memory: int | None = None
    date: str | None = None
    machine: str | None = None
    processor: str | None = None
    cores: int | None = None
    memory: int | None = None
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the costs of a file."""
        values = {name: content[name] for name in _names(cls) if name in content}
        return cls(**values | {"validation_seconds": tuple(values.get("validation_seconds", ()))})


@dataclass(frozen=True)
class RunRecord:
    """A finished training run.

    Attributes:
        config: everything that determines its result.
        spec: specification of its model.
        result: scores and curves.
        measured: costs, and where it was executed.
    """

    config: TrainingRun
    spec: Spec
    result: TrainingResult
    measured: Measured

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], config: Run) -> Self:
        """Return the record of a run from the content of its file.

        Raises:
            ValueError: if scores, curves or the specification are missing.
        """
        if not isinstance(content.get("spec"), dict):
            raise ValueError("RunRecord: expected a run with the specification of its model, got one without")
        spec = spec_from_dict(content["spec"])
        try:
            result, measured = TrainingResult.from_dict(content["result"]), Measured.from_dict(content["measured"])
            _check_numbers(result.test, measured, result.steps, result.parameters, *result.losses[:1])
            complete = result.losses and all(point.loss + point.step for point in result.validation)
        except (KeyError, TypeError, AttributeError, ValueError):
            complete = False
        if not complete:
            raise ValueError("RunRecord: expected scores and curves, got a run without them")
        return cls(cast(TrainingRun, config), spec, result, measured)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as its file holds it."""
        return {
            "config": asdict(cast(Any, self.config)),
            "spec": asdict(self.spec),
            "result": self.result.as_dict(),
            "measured": _nonempty_fields(self.measured),
        }


@dataclass(frozen=True)
class BaselineRecord:
    """A finished baseline; attributes as of `RunRecord`."""

    config: BaselineRun
    result: BaselineResult
    measured: Measured

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], config: Run) -> Self:
        """Return the record of a baseline from the content of its file.

        Raises:
            ValueError: if scores are missing.
        """
        try:
            result, measured = BaselineResult.from_dict(content["result"]), Measured.from_dict(content["measured"])
            _check_numbers(result.test, measured)
        except (KeyError, TypeError, AttributeError):
            raise ValueError("BaselineRecord: expected scores, got a baseline without them") from None
        return cls(cast(BaselineRun, config), result, measured)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as its file holds it."""
        return {
            "config": asdict(cast(Any, self.config)),
            "spec": None,
            "result": self.result.as_dict(),
            "measured": _nonempty_fields(self.measured),
        }


@dataclass(frozen=True)
class FailedRun:
    """A training run that failed: its configuration, and the specification of its model."""

    config: TrainingRun
    spec: Spec


def _check_numbers(test: HeldOutScores, measured: Measured, *further: Any) -> None:
    """Raise a TypeError if a value is no number; the checksum of a file written elsewhere may be right."""
    numbers = (test.count, test.values["loss"], measured.seconds, *further)
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError


def _names(kind: Any) -> list[str]:
    return [item.name for item in fields(kind)]


def _nonempty_fields(record: Any) -> dict[str, Any]:
    """Return the fields that are neither None nor empty."""
    return {name: value for name, value in vars(record).items() if value is not None and value != ()}
