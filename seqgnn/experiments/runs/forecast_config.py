"""What one run of a comparison of forecasters is: a signal, a protocol, a model, a seed and a way to train."""

import hashlib
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from seqgnn.data._temporal_validation import checked_units
from seqgnn.data.datasets.spatiotemporal import load_temporal_graph
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.experiments.runs.config import OnStep, RunResult, checkpoints_in, measured_of, outcome_of
from seqgnn.models.baselines.forecasting import Baseline, fit_baseline
from seqgnn.models.forecaster import Forecaster
from seqgnn.models.forecasters import build_forecaster
from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.tasks.base import HeldOutTask
from seqgnn.tasks.forecasting import ForecastEvaluation, Forecasting, Protocol
from seqgnn.training.loop import FitResult, TrainConfig, evaluate, fit


@dataclass(frozen=True)
class Signal:
    """Where a signal comes from.

    Args:
        data: a name of the catalog or a file, as `seqgnn.data.load_temporal_graph` takes them.
        graph: a graph's file, where it is not the catalog's.
        graph_kind, missing, positions: see `seqgnn.data.read_signal`.
        units: of a file's values, in words; no part of a run's identity.
    """

    data: str
    graph: str | None = None
    graph_kind: str | None = None
    missing: float | None = None
    positions: str | None = None
    units: str | None = None

    def __post_init__(self) -> None:
        checked_units(self.units)

    def load(self) -> TemporalGraph:
        """The signal; read once in a process, as long as the files stay as they are."""
        files = tuple((name, Path(name).stat().st_mtime_ns) for name in (self.data, self.graph, self.positions)
                      if name is not None and Path(name).exists())  # fmt: skip
        return _loaded(self, files)

    def given(self) -> dict[str, Any]:
        """What is said of it, by the names of `seqgnn compare`."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def identity(self) -> str:
        """What it is called, and a hash of what is in it, wherever it lies."""
        graph = self.load()
        return f"{graph.name or Path(self.data).name} ({signal_hash(graph)})"


@lru_cache(maxsize=4)
def _loaded(signal: Signal, files: tuple[tuple[str, int], ...]) -> TemporalGraph:
    options = signal.given()
    return load_temporal_graph(options.pop("data"), **options)


def signal_hash(graph: TemporalGraph) -> str:
    """A hash of what a signal holds, whatever it is called."""
    digest = hashlib.sha256()
    known = None if graph.known is None or graph.known.all() else graph.known
    for part in (graph.signal, graph.targets, graph.mask, graph.edge_index, graph.edge_weight, known):
        for tensor in part if isinstance(part, tuple) else (part,):
            if tensor is not None:
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ForecastRun:
    """Everything that determines one training run.

    Attributes:
        length: the horizon, in steps.
        text: what the signal is, see `Signal.identity`.
        model, hidden, num_layers, K, residual, skip, neighbors, dropout: see `build_forecaster`.
        protocol: how the signal is cut, scaled and judged.
        refit: whether the model, once its number of steps is chosen on validation, is trained anew for as many on
            training and validation together.
        parameters: the number of them that `hidden` was chosen for, see `sized`; None: for none.
    """

    task: str
    length: int
    text: str
    model: str
    hidden: int
    num_layers: int
    K: int
    residual: bool
    skip: bool
    neighbors: bool
    dropout: float
    protocol: Protocol
    refit: bool
    seed: int
    device: str
    train: TrainConfig
    parameters: int | None = None

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "ForecastRun":
        """The run of a record's configuration, as `dataclasses.asdict` gives it and JSON keeps it.

        Raises:
            ValueError: if it is none.
        """
        try:
            return cls(**{**config, "protocol": _protocol(config), "train": TrainConfig(**config["train"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"ForecastRun: expected the configuration of a run, got another ({error})") from error

    def sized(self, parameters: int, task: Any) -> "ForecastRun":
        """The same run with the hidden size whose number of parameters is nearest to `parameters`.

        Raises:
            ValueError: as `build_forecaster`.
        """
        model = self.build(task, parameters)
        return replace(self, hidden=model.encoder.hidden_channels, parameters=parameters)

    def build(self, task: Any, parameters: int | None = None) -> Forecaster:
        """Returns the model, initialized by the seed; the caller's random state is untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build_forecaster(
                self.model,
                in_channels=task.in_channels,
                out_channels=task.out_channels,
                hidden=self.hidden,
                lags=self.protocol.lags,
                horizon=self.protocol.horizon,
                num_layers=self.num_layers,
                K=self.K,
                residual=self.residual,
                skip=self.skip,
                neighbors=self.neighbors,
                dropout=self.dropout,
                parameters=parameters,
            )

    def estimate(self, source: Signal, steps: int = 6) -> float:
        """Seconds that the run takes at most, by its first few steps and one look at the validation set."""
        if self.train.steps is None:
            return float(self.train.max_seconds or 0)
        task = Forecasting(source.load().to(self.device), self.protocol)
        marks: list[float] = []
        few = replace(self.train, steps=steps, eval_every=steps, target_accuracy=None, max_seconds=None)
        fit(self.build(task), task, few, seed=self.seed, device=self.device,
            on_step=lambda *_: marks.append(time.perf_counter()))  # fmt: skip
        look = time.perf_counter() - marks[-1]
        each = (marks[-1] - marks[1]) / (len(marks) - 2)
        once = each * self.train.steps + look * math.ceil(self.train.steps / self.train.eval_every)
        return once * (2 if self.refit else 1)

    def perform(
        self, source: Signal, on_step: OnStep, folder: Path | None = None, save_every: float = 30.0
    ) -> RunResult:
        """Trains, then scores the weights chosen on validation, or those of the refit, on the test set, which is closed
        until then.

        With a folder the state is saved there every so many seconds, and a run that was interrupted goes on from it.
        """
        check_signal(self.text, source)
        task = HeldOutTask(Forecasting(source.load().to(self.device), self.protocol))
        flops = flops_per_sample(self.build(task).to(self.device), task.draw(1, torch.Generator().manual_seed(0)))
        memory = PeakMemory(self.device)
        model, curves = self._fit(task, self.train, on_step, folder, save_every)
        refitted = None
        if self.refit:
            again = replace(self.train, steps=curves.best_step, eval_every=curves.best_step, monitor="last",
                            patience=None, min_steps=None, max_seconds=None)  # fmt: skip
            folder = None if folder is None else folder / "refit"
            model, refitted = self._fit(task.refitting(), again, on_step, folder, save_every, like=task)
        measured = measured_of(curves, memory, refitted)
        opened = task.open()
        test = evaluate(model, opened.test(self.train.eval_batch_size), objective=opened.objective,
                        device=self.device, precision=self.train.precision)  # fmt: skip
        return outcome_of(model, curves, scores_of(test), flops, measured)

    def _fit(
        self, task: Any, train: TrainConfig, on_step: OnStep, folder: Path | None, save_every: float, like: Any = None
    ) -> tuple[torch.nn.Module, FitResult]:
        model = self.build(like or task)
        saved = checkpoints_in(folder, asdict(self), save_every)
        return model, fit(model, task, train, seed=self.seed, device=self.device, on_step=on_step, checkpoints=saved)


@dataclass(frozen=True)
class ForecastBaseline:
    """Everything that determines one baseline's scores; ridges choose their strength on validation.

    Attributes:
        baseline: see `fit_baseline`.
        period: of "seasonal", in steps.
        refit: whether it is fitted anew on training and validation, as the models are.
    """

    task: str
    length: int
    text: str
    baseline: str
    protocol: Protocol
    refit: bool
    period: int | None = None
    seed: int = 0

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "ForecastBaseline":
        """The baseline of a record's configuration, as `ForecastRun.from_dict`.

        Raises:
            ValueError: if it is none.
        """
        try:
            return cls(**{**config, "protocol": _protocol(config)})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"ForecastBaseline: expected the configuration of one, got another ({error})") from error

    def fit(self, task: Forecasting) -> Baseline:
        """The baseline, fitted to the task's training windows or, once its strength is chosen, to the refit's."""
        return fit_baseline(
            self.baseline,
            task.train_windows,
            task.validation_windows,
            period=self.period,
            refit=task.refit_windows if self.refit else None,
        )

    def perform(
        self, source: Signal, on_step: OnStep, folder: Path | None = None, save_every: float = 30.0
    ) -> RunResult:
        """Fits the baseline and scores it on the test set."""
        check_signal(self.text, source)
        task = Forecasting(source.load(), self.protocol)
        start = time.perf_counter(), time.process_time()
        fitted = self.fit(task)
        measured = measurement(start)
        sums = task.objective.sums()
        for batch in task.test(64):
            task.objective.add(sums, fitted(batch), batch)
        result = {"test": scores_of(sums.result()), "parameters": fitted.num_parameters, "strength": fitted.strength}
        return RunResult(result, measured)


def _protocol(config: dict[str, Any]) -> Protocol:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config["protocol"].items()
    }
    return Protocol(**values)


def scores_of(found: ForecastEvaluation) -> dict[str, Any]:
    """Scores as JSON keeps them: what is no number is None.

    Sums of windows have seven digits, as many as the float32 that they come from: about 100 kB a run for the 6,850
    windows of the whole of METR-LA.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    windows = {
        "errors": [float(f"{error:.7g}") for error in found.windows.errors],
        "counts": list(found.windows.counts),
    }
    return {"loss": found.loss, **plain(asdict(found.scores)), "windows": windows}


def check_signal(text: str, source: Signal) -> None:
    """Whether the signal is still the one that the run is about."""
    if (found := source.identity()) != text:
        raise ValueError(f"compare: expected the signal {text}, got {found}; it was changed after the comparison began")
