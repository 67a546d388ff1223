"""The objective of forecasts: a training loss on scaled values, and scores against the values of the time series."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqgnn.data.transforms.scaler import Scaler
from seqgnn.data.windows import WindowBatch
from seqgnn.metrics.forecasting import ForecastScores, ForecastSums, WindowSums, forecast_loss
from seqgnn.tasks.objectives import Objective, check_finite_x


@dataclass(frozen=True)
class ForecastEvaluation:
    """Scores of a forecaster on a whole set.

    Attributes:
        loss: the metric for model selection, in the units of the time series.
        scores: all metrics.
        count: number of observed values.
        windows: sums of the metric for each window.
        season: number of steps between a value and the one that the naive forecast of MASE repeats.
        accuracy: None.
    """

    loss: float
    scores: ForecastScores
    count: int
    windows: WindowSums = field(repr=False)
    season: int = 1
    accuracy: None = None


class ForecastObjective(Objective):
    """A training loss on scaled values, and errors in the units of the time series, against its own values.

    Args:
        kind: kind of loss, see `forecast_loss`.
        metric: metric for model selection, an attribute of `ForecastScores`.
        scaler: scaler of the targets.
        targets: the targets as they are in the time series, found by the first step of each window.
        naive_error: error of the naive forecast of each node and target, for MASE; None: no MASE.
        season: number of steps between a value and the one that the naive forecast repeats.

    Shapes:
        targets ``[T, N, C]``; naive_error ``[N, C]``.
    """

    def __init__(
        self,
        kind: str,
        metric: str,
        scaler: Scaler,
        targets: Tensor,
        naive_error: Tensor | None = None,
        season: int = 1,
    ) -> None:
        self.kind, self.metric, self.targets = kind, metric, targets
        self.naive_error, self.season = naive_error, season
        self.scaler = Scaler(scaler.offset.double(), scaler.scale.double())

    def check(self, source: WindowBatch, output: Tensor) -> None:
        check_finite_x(source)

    def loss(self, output: Tensor, batch: WindowBatch) -> Tensor:
        return forecast_loss(output, batch.y, batch.mask, self.kind)

    def accuracy(self, output: Tensor, batch: WindowBatch) -> None:
        return None

    def sums(self) -> "_Sums":
        return _Sums(self.metric, self.naive_error, self.season)

    def add(self, sums: "_Sums", output: Tensor, batch: WindowBatch) -> None:
        """Add the errors of a batch of windows of the task."""
        sums.add(self.forecast(output), self.truth(batch).to(output.device), batch.mask)

    def forecast(self, output: Tensor) -> Tensor:
        """Return the output of a model in the units of the time series, in float64."""
        return self.scaler.to(output.device).inverse(output.double())

    def truth(self, batch: WindowBatch) -> Tensor:
        """Return the values of the time series that a batch forecasts, `[horizon, B, N, C]`, on its device."""
        first = (batch.start + len(batch.x)).to(self.targets.device)
        return self.targets[first + torch.arange(len(batch.y), device=first.device)[:, None]]


class _Sums:
    def __init__(self, metric: str, naive_error: Tensor | None, season: int) -> None:
        self.metric, self.season, self._sums = metric, season, ForecastSums(naive_error=naive_error)

    def add(self, forecast: Tensor, y: Tensor, mask: Tensor | None) -> None:
        self._sums.add(forecast, y, mask)

    def result(self) -> ForecastEvaluation:
        scores = self._sums.result()
        windows = self._sums.by_window(self.metric)
        return ForecastEvaluation(getattr(scores, self.metric), scores, scores.count, windows, self.season)
