"""The configurations of runs on forecasts: a trained forecaster, or a baseline."""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.experiments.runs.base import BaselineRun, TrainingRun
from seqgnn.experiments.runs.result import UNATTENDED, RunControl, RunResult, measure_training, training_result
from seqgnn.models.baselines.forecasting import Baseline, fit_baseline
from seqgnn.models.forecaster import Forecaster
from seqgnn.models.forecasters import build_forecaster
from seqgnn.profile.resources import PeakMemory, flops_per_sample, measurement
from seqgnn.tasks.base import HeldOutTask
from seqgnn.tasks.forecast_objective import ForecastEvaluation
from seqgnn.tasks.forecasting import Forecasting, Protocol
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import FitResult, evaluate

REPEATING = ("persistence", "seasonal")  # baselines that repeat values, which scaling would round


@dataclass(frozen=True)
class ForecastRun(TrainingRun):
    """The configuration of one training run of a forecaster.

    Attributes:
        data_id: name and hash of the time series, see `DataSource.identity`.
        model, hidden, num_layers, K, residual, skip, neighbors, dropout: see `build_forecaster`.
        protocol: split, scaling and scores.
        refit: whether the model, once its number of steps is chosen on validation, is trained again for as many on
            training and validation data.
        parameters: number of parameters that `hidden` was chosen for, see `sized`; None: none.
    """

    task: str
    data_id: str
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

    @property
    def size(self) -> int:
        """The horizon."""
        return self.protocol.horizon

    @property
    def setting(self) -> str:
        return _setting(self.protocol, self.refit)

    @property
    def fits(self) -> int:
        return 2 if self.refit else 1

    def sized(self, parameters: int, task: Any) -> "ForecastRun":
        """Return the run with the hidden size whose number of parameters is nearest to `parameters`.

        Raises:
            ValueError: as `build_forecaster`.
        """
        model = self._model(task, parameters)
        return replace(self, hidden=model.encoder.hidden_channels, parameters=parameters)

    def make_task(self, data: DataSource | None) -> Forecasting:
        return forecasting_task(self.data_id, data, self.protocol, self.device)

    def build(self, task: Any) -> Forecaster:
        return self._model(task)

    def _model(self, task: Any, parameters: int | None = None) -> Forecaster:
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

    def perform(self, data: DataSource | None, control: RunControl = UNATTENDED) -> RunResult:
        """Train, then score the weights chosen on validation, or those of the refit, on the test set, which is closed
        until then."""
        task = HeldOutTask(self.make_task(data))
        flops = flops_per_sample(self.build(task).to(self.device), task.draw(1, torch.Generator().manual_seed(0)))
        memory = PeakMemory(self.device)
        model, curves = self._fit(task, self.train, control)
        refitted = None
        if self.refit:
            refit_train = replace(self.train, steps=curves.best_step, eval_every=curves.best_step, monitor="last",
                            patience=None, min_steps=None, max_seconds=None)  # fmt: skip
            folder = None if control.folder is None else control.folder / "refit"
            control = replace(control, folder=folder)
            model, refitted = self._fit(task.refitting(), refit_train, control, like=task)
        measured = measure_training(curves, memory, refitted)
        open_task = task.open()
        test = evaluate(model, open_task.test(self.train.eval_batch_size), objective=open_task.objective,
                        device=self.device, precision=self.train.precision)  # fmt: skip
        return training_result(model, curves, scores_of(test), flops, measured)

    def _fit(
        self, task: Any, train: TrainConfig, control: RunControl, like: Any = None
    ) -> tuple[torch.nn.Module, FitResult]:
        model = self.build(like or task)
        return model, control.fit(model, task, train, self)


@dataclass(frozen=True)
class ForecastBaseline(BaselineRun):
    """The configuration of one baseline of a forecast; ridge regressions choose their strength on validation.

    Attributes:
        baseline: see `fit_baseline`.
        period: period of "seasonal", in steps.
        refit: whether it is fitted again on training and validation data, as the models are.
    """

    task: str
    data_id: str
    baseline: str
    protocol: Protocol
    refit: bool
    period: int | None = None
    seed: int = 0

    @property
    def size(self) -> int:
        """The horizon."""
        return self.protocol.horizon

    @property
    def setting(self) -> str:
        return _setting(self.protocol, self.refit)

    def task_of(self, task: Forecasting) -> Forecasting:
        """Return the task that the baseline is fitted and scored on: without scaling for those that repeat values."""
        return task.unscaled() if self.baseline in REPEATING else task

    def fit(self, task: Forecasting) -> Baseline:
        """Return the baseline fitted to the training windows or, once its strength is chosen, to those of the refit."""
        return fit_baseline(
            self.baseline,
            task.train_windows,
            task.validation_windows,
            period=self.period,
            refit=task.refit_windows if self.refit else None,
        )

    def perform(self, data: DataSource | None, control: RunControl = UNATTENDED) -> RunResult:
        """Fit the baseline and score it on the test set."""
        task = self.task_of(forecasting_task(self.data_id, data, self.protocol))
        start = time.perf_counter(), time.process_time()
        fitted = self.fit(task)
        measured = measurement(start)
        sums = task.objective.sums()
        for batch in task.test(64):
            task.objective.add(sums, fitted(batch), batch)
        result = {"test": scores_of(sums.result()), "parameters": fitted.num_parameters, "strength": fitted.strength}
        return RunResult(result, measured)


def _setting(protocol: Protocol, refit: bool) -> str:
    """Return split, scaling, scores and refit, which compared forecasts of all horizons have in common."""
    return json.dumps([asdict(replace(protocol, horizon=1)), refit], sort_keys=True)


def scores_of(evaluation: ForecastEvaluation) -> dict[str, Any]:
    """Return scores as JSON stores them: infinite values and NaN are None.

    Sums of windows have seven digits, as many as the float32 that they come from: about 100 kB per run for the
    6,850 windows of the full METR-LA.
    """

    def json_value(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: json_value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [json_value(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    windows = {
        "errors": [float(f"{error:.7g}") for error in evaluation.windows.errors],
        "counts": list(evaluation.windows.counts),
    }
    scores = json_value(asdict(evaluation.scores))
    return {"loss": evaluation.loss, **scores, "mase_season": evaluation.season, "windows": windows}


def forecasting_task(data_id: str, data: DataSource | None, protocol: Protocol, device: str = "cpu") -> Forecasting:
    """Return the task of runs with one protocol, built once per process as long as the files do not change.

    Raises:
        ValueError: if the time series is not the one that the runs were planned for.
    """
    if data is None or (identity := data.identity()) != data_id:
        actual = "none" if data is None else f"{identity}; it was changed after the comparison began"
        raise ValueError(f"compare: expected the time series {data_id}, got {actual}")
    return _task(_Series(data.load(), data_id), protocol, device)


@dataclass(frozen=True)
class _Series:
    """A time series, the same wherever its identity is."""

    graph: TemporalGraph
    data_id: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Series) and self.data_id == other.data_id

    def __hash__(self) -> int:
        return hash(self.data_id)


@lru_cache(maxsize=4)
def _task(series: _Series, protocol: Protocol, device: str) -> Forecasting:
    return Forecasting(series.graph.to(device), protocol)
