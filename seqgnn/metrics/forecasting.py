"""Forecast errors over observed values, computed from sums over whole sets, and training losses.

Different shapes are always an error: `[N, 1]` with `[N]` would broadcast to all pairs of nodes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from seqgnn._utils.validation import describe, one_of

LOSSES = ("mae", "mse", "huber")
ABSOLUTE, SQUARED, RELATIVE, COUNT, RELATIVE_COUNT = range(5)
# For each metric the sum and the count whose ratio it is (for RMSE, its square).
TERMS = {
    "mae": (ABSOLUTE, COUNT),
    "rmse": (SQUARED, COUNT),
    "mse": (SQUARED, COUNT),
    "mape": (RELATIVE, RELATIVE_COUNT),
}


@dataclass(frozen=True)
class ForecastScores:
    """Errors over all observed values; NaN if there are none.

    Attributes:
        mae, rmse, mse: of forecast - truth, in the units of the targets (mse: squared).
        mape: mean of |forecast - truth| / |truth| as a fraction (0.05 is 5%), over values of at least `mape_threshold`.
        count: number of observed values.
        mape_count: number of values included in `mape`.
        mape_threshold: values with |truth| below it are excluded from `mape`.
        by_step: the scores of each step ahead.
    """

    mae: float
    rmse: float
    mse: float
    mape: float
    count: int
    mape_count: int
    mape_threshold: float
    by_step: tuple["ForecastScores", ...] = ()


@dataclass(frozen=True)
class WindowSums:
    """Sums of errors for each window, in order of time.

    Attributes:
        errors: sums of absolute errors (MAE), squared errors (MSE, RMSE) or relative errors (MAPE).
        counts: numbers of values; 0 where nothing was observed.
    """

    errors: tuple[float, ...]
    counts: tuple[int, ...]


class ForecastSums:
    """Sums of errors in float64, so that neither batches of unequal size nor missing values bias the means.

    Args:
        mape_threshold: values with |truth| below it are excluded from MAPE; above 0.

    Raises:
        ValueError: if shapes differ; when scores are computed, if there are no observed values or values are not finite
            where observed.

    Example:
        >>> sums = ForecastSums()
        >>> sums.add(torch.tensor([1.0, 4.0]).view(1, 2, 1, 1), torch.tensor([2.0, 2.0]).view(1, 2, 1, 1))
        >>> scores = sums.result()
        >>> scores.mae, scores.mse, scores.mape, scores.count
        (1.5, 2.5, 0.75, 2)
    """

    def __init__(self, mape_threshold: float = 1e-3) -> None:
        if not 0 < mape_threshold < math.inf:
            raise ValueError(f"ForecastSums: expected mape_threshold above 0 and finite, got {mape_threshold!r}")
        self.mape_threshold = mape_threshold
        self._sums: Tensor | None = None  # [5, horizon, N], on the device until the end
        self._windows: list[Tensor] = []  # [5, B] of each batch, likewise

    def add(self, forecast: Tensor, y: Tensor, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            forecast, y: `[horizon, B, N, C]`, with the same horizon and nodes in each call.
            mask: same shape, True where y was observed; None: everywhere.
        """
        mask = _checked("ForecastSums", forecast, y, mask)
        forecast, y = forecast.detach().double(), y.double()
        error = torch.where(mask, forecast - y, 0.0).abs()
        large = mask & (y.abs() >= self.mape_threshold)
        relative = torch.where(large, error / torch.where(large, y.abs(), 1.0), 0.0)
        parts = (error, error.square(), relative, mask.double(), large.double())
        sums = torch.stack([part.sum((1, 3)) for part in parts])
        if self._sums is not None and self._sums.shape != sums.shape:
            expected, got = tuple(self._sums.shape[1:]), tuple(sums.shape[1:])
            raise ValueError(f"ForecastSums: expected {expected} steps and nodes as before, got {got}")
        self._sums = sums if self._sums is None else self._sums.to(sums.device) + sums
        self._windows.append(torch.stack([part.sum((0, 2, 3)) for part in parts]))

    def result(self) -> ForecastScores:
        """Return the scores over all batches, and those of each step ahead."""
        sums = self._finite()
        return self._scores(sums.sum((1, 2)), tuple(self._scores(step) for step in sums.sum(2).T))

    def by_node(self) -> tuple[ForecastScores, ...]:
        """Return the scores of each node, over all steps ahead."""
        return tuple(self._scores(node) for node in self._finite().sum(1).T)

    def by_window(self, metric: str) -> WindowSums:
        """Return the sums of a metric for each window, in the order in which they were added.

        Example:
            >>> sums = ForecastSums()
            >>> sums.add(torch.tensor([1.0, 4.0]).view(1, 2, 1, 1), torch.tensor([2.0, 2.0]).view(1, 2, 1, 1))
            >>> sums.by_window("mse")
            WindowSums(errors=(1.0, 4.0), counts=(1, 1))
        """
        term, count = TERMS[one_of("ForecastSums", "metric", metric, TERMS)]
        self._finite()
        sums = torch.cat([part.cpu() for part in self._windows], dim=1)
        return WindowSums(tuple(sums[term].tolist()), tuple(sums[count].long().tolist()))

    def _finite(self) -> Tensor:
        if self._sums is None or not self._sums[COUNT].any():
            raise ValueError("ForecastSums: expected at least one observed value, got an empty set")
        sums = self._sums.cpu()
        wrong = (~sums[SQUARED].isfinite()).nonzero()
        if len(wrong):
            step, node = wrong[0].tolist()
            got = f"one that is not at step {step} ahead, node {node}"
            raise ValueError(f"ForecastSums: expected finite forecasts and truths where observed, got {got}")
        return sums

    def _scores(self, sums: Tensor, by_step: tuple[ForecastScores, ...] = ()) -> ForecastScores:
        absolute, squared, relative, count, relative_count = sums.tolist()
        mse = squared / count if count else math.nan
        return ForecastScores(
            mae=absolute / count if count else math.nan,
            rmse=math.sqrt(mse),
            mse=mse,
            mape=relative / relative_count if relative_count else math.nan,
            count=int(count),
            mape_count=int(relative_count),
            mape_threshold=self.mape_threshold,
            by_step=by_step,
        )


def forecast_loss(forecast: Tensor, y: Tensor, mask: Tensor | None = None, kind: str = "mae") -> Tensor:
    """Return the mean loss over observed values; zero, with zero gradients, if there are none.

    Args:
        forecast, y: `[horizon, B, N, C]`.
        mask: same shape, True where y was observed; None: everywhere.
        kind: `"mae"`, `"mse"` or `"huber"` (with delta 1).

    Raises:
        ValueError: if shapes differ or the kind is unknown.

    Example:
        >>> y = torch.zeros(1, 2, 1, 1)
        >>> forecast_loss(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1), y, kind="huber")
        tensor(1.5000)
    """
    one_of("forecast_loss", "kind", kind, LOSSES)
    mask = _checked("forecast_loss", forecast, y, mask)
    error = torch.where(mask, forecast - y, 0.0)
    if kind == "mae":
        total = error.abs().sum()
    elif kind == "mse":
        total = error.square().sum()
    else:
        total = huber_loss(error, torch.zeros_like(error), reduction="sum")
    return total / mask.sum().clamp(min=1)


def _checked(caller: str, forecast: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask, after checking that all shapes are equal."""
    if y.dim() != 4:
        raise ValueError(f"{caller}: expected y of shape [horizon, B, N, C], got {describe(y)}")
    for name, tensor in (("forecast", forecast), ("mask", mask)):
        if tensor is not None and tensor.shape != y.shape:
            raise ValueError(f"{caller}: expected {name} of shape {tuple(y.shape)}, as y is, got {describe(tensor)}")
    if mask is None:
        return torch.ones_like(y, dtype=torch.bool)
    if mask.dtype != torch.bool:
        raise ValueError(f"{caller}: expected mask of dtype torch.bool, got {mask.dtype}")
    return mask
