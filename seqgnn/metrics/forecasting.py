"""Forecast errors over observed values, computed from sums over whole sets, and training losses.

Different shapes are always an error: `[N, 1]` with `[N]` would broadcast to all pairs of nodes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from seqgnn._utils.validation import describe, one_of

LOSSES = ("mae", "mse", "huber")
ABSOLUTE, SQUARED, RELATIVE, SYMMETRIC, SCALED, TRUTH, COUNT, RELATIVE_COUNT, SCALED_COUNT = range(9)
# For each metric the sum and the count whose ratio it is; for RMSE, its square; for WAPE, times the mean |truth|.
TERMS = {
    "mae": (ABSOLUTE, COUNT),
    "rmse": (SQUARED, COUNT),
    "mse": (SQUARED, COUNT),
    "mape": (RELATIVE, RELATIVE_COUNT),
    "wape": (ABSOLUTE, COUNT),
    "smape": (SYMMETRIC, COUNT),
    "mase": (SCALED, SCALED_COUNT),
}


@dataclass(frozen=True)
class ForecastScores:
    """Errors over all observed values; NaN if there are none.

    Attributes:
        mae, rmse, mse: of forecast - truth, in the units of the targets (mse: squared).
        mape: mean of |forecast - truth| / |truth| as a fraction (0.05 is 5%), over values whose truth is not 0.
        wape: sum of |forecast - truth| divided by the sum of |truth|; NaN if all truths are 0.
        smape: mean of 2 |forecast - truth| / (|forecast| + |truth|), from 0 to 2; 0 where both are 0.
        mase: mean of |forecast - truth| divided by the error of the naive forecast at that node, over the nodes where
            that is above 0; NaN without naive errors.
        count: number of observed values.
        mape_count, mase_count: number of values included in `mape` and in `mase`.
        mape_threshold: values with |truth| below it are excluded from `mape` as well; 0: only truths that are 0 are.
        by_step: the scores of each step ahead.
    """

    mae: float
    rmse: float
    mse: float
    mape: float
    wape: float
    smape: float
    mase: float
    count: int
    mape_count: int
    mase_count: int
    mape_threshold: float
    by_step: tuple["ForecastScores", ...] = ()


@dataclass(frozen=True)
class WindowSums:
    """Sums of errors for each window, in order of time.

    Attributes:
        errors: sums of absolute errors (MAE), squared errors (MSE, RMSE), relative errors (MAPE, sMAPE), scaled errors
            (MASE), or absolute errors divided by the mean |truth| of all windows (WAPE).
        counts: numbers of values; 0 where nothing was observed.
    """

    errors: tuple[float, ...]
    counts: tuple[int, ...]


class ForecastSums:
    """Sums of errors in float64, so that neither batches of unequal size nor missing values bias the means.

    Args:
        mape_threshold: values with |truth| below it are excluded from MAPE, in the units of the targets; truths that
            are 0 always are.
        naive_error: for MASE, the error of the naive forecast of each node and target in the training part, see
            :func:`naive_error`; NaN or 0: the node has no MASE.

    Shapes:
        naive_error ``[N, C]``.

    Raises:
        ValueError: if shapes differ or the threshold is below 0; when scores are computed, if there are no observed
            values or values are not finite where observed.

    Example:
        >>> sums = ForecastSums()
        >>> sums.add(torch.tensor([1.0, 4.0]).view(1, 2, 1, 1), torch.tensor([2.0, 2.0]).view(1, 2, 1, 1))
        >>> scores = sums.result()
        >>> scores.mae, scores.mse, scores.mape, scores.wape, scores.count
        (1.5, 2.5, 0.75, 0.75, 2)
    """

    def __init__(self, mape_threshold: float = 0.0, naive_error: Tensor | None = None) -> None:
        if not 0 <= mape_threshold < math.inf:
            raise ValueError(f"ForecastSums: expected mape_threshold of at least 0 and finite, got {mape_threshold!r}")
        if naive_error is not None and naive_error.dim() != 2:
            raise ValueError(f"ForecastSums: expected naive_error of shape [N, C], got {describe(naive_error)}")
        self.mape_threshold, self.naive_error = mape_threshold, naive_error
        self._sums: Tensor | None = None  # [9, horizon, N], on the device until the end
        self._windows: list[Tensor] = []  # [9, B] of each batch, likewise

    def add(self, forecast: Tensor, y: Tensor, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            forecast, y: `[horizon, B, N, C]`, with the same horizon and nodes in each call.
            mask: same shape, True where y was observed; None: everywhere.
        """
        _checked("ForecastSums", forecast, y, mask)
        parts = self._terms(forecast.detach().double(), y.double(), mask)
        by_step, by_window = zip(*((part.sum((1, 3)), part.sum((0, 2, 3))) for part in parts))
        sums = torch.stack(by_step)
        if self._sums is not None and self._sums.shape != sums.shape:
            expected, got = tuple(self._sums.shape[1:]), tuple(sums.shape[1:])
            raise ValueError(f"ForecastSums: expected {expected} steps and nodes as before, got {got}")
        self._sums = sums if self._sums is None else self._sums.to(sums.device) + sums
        self._windows.append(torch.stack(by_window))

    def _terms(self, forecast: Tensor, y: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Yield the terms of the sums, in their order."""
        if mask is not None:
            forecast, y = torch.where(mask, forecast, 0.0), torch.where(mask, y, 0.0)
        error, truth = (forecast - y).abs(), y.abs()
        excluded = truth < self.mape_threshold if self.mape_threshold else truth == 0
        size = forecast.abs() + truth
        scale = self._naive_error(y)
        observed = torch.ones_like(error) if mask is None else mask.double()
        yield error
        yield error.square()
        yield error / truth.masked_fill(excluded, torch.inf)
        yield 2 * error / size.masked_fill(size == 0, torch.inf)
        yield error / scale
        yield truth
        yield observed
        yield observed.masked_fill(excluded, 0.0)
        yield observed * scale.isfinite()

    def _naive_error(self, y: Tensor) -> Tensor:
        """Return the errors of the naive forecast, `[N, C]`, infinite for nodes that have no MASE."""
        if self.naive_error is None:
            return torch.full_like(y[0, 0], torch.inf)
        if self.naive_error.shape != y.shape[2:]:
            got = tuple(self.naive_error.shape)
            raise ValueError(f"ForecastSums: expected naive_error of shape {tuple(y.shape[2:])}, got {got}")
        scale = self.naive_error.to(y.device, torch.float64)
        return torch.where(scale > 0, scale, torch.inf)

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
        errors = sums[term]
        if metric == "wape":
            errors = errors * (sums[COUNT].sum() / sums[TRUTH].sum())
        return WindowSums(tuple(errors.tolist()), tuple(sums[count].long().tolist()))

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
        absolute, squared, relative, symmetric, scaled, truth, count, relative_count, scaled_count = sums.tolist()

        def ratio(total: float, number: float) -> float:
            return total / number if number else math.nan

        mse = ratio(squared, count)
        return ForecastScores(
            mae=ratio(absolute, count),
            rmse=math.sqrt(mse),
            mse=mse,
            mape=ratio(relative, relative_count),
            wape=ratio(absolute, truth),
            smape=ratio(symmetric, count),
            mase=ratio(scaled, scaled_count),
            count=int(count),
            mape_count=int(relative_count),
            mase_count=int(scaled_count),
            mape_threshold=self.mape_threshold,
            by_step=by_step,
        )


def naive_error(targets: Tensor, earlier: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean absolute error of the naive forecast, which repeats an earlier value, by node and target: the
    denominator of MASE (Hyndman and Koehler 2006); NaN where no pair of values was observed.

    Args:
        targets: the training part.
        earlier: for each step the earlier step whose value is the forecast, as one season before; -1: none.
        mask: True where the targets were observed; None: everywhere.

    Shapes:
        targets and mask ``[T, N, C]``; earlier ``[T]``; result ``[N, C]``, float64.

    Raises:
        ValueError: if shapes differ, or an observed target is NaN or infinite.

    Example:
        >>> naive_error(torch.tensor([1.0, 2.0, 5.0, 4.0]).view(4, 1, 1), torch.tensor([-1, -1, 0, 1]))
        tensor([[3.]], dtype=torch.float64)
    """
    if targets.dim() != 3 or earlier.shape != targets.shape[:1]:
        got = f"{describe(targets)} and {describe(earlier)}"
        raise ValueError(f"naive_error: expected targets [T, N, C] and earlier [T], got {got}")
    if mask is not None and (mask.shape != targets.shape or mask.dtype != torch.bool):
        raise ValueError(f"naive_error: expected a boolean mask of shape {tuple(targets.shape)}, got {describe(mask)}")
    wrong = ~targets.isfinite() if mask is None else ~targets.isfinite() & mask
    if wrong.any():
        step, node, feature = wrong.nonzero()[0].tolist()
        got = f"{targets[step, node, feature].item()} at step {step}, node {node}"
        raise ValueError(f"naive_error: expected finite targets where observed, got {got}")
    steps = (earlier >= 0).nonzero()[:, 0]
    before = earlier[steps]
    error = (targets[steps].double() - targets[before].double()).abs()
    observed = torch.ones_like(error, dtype=torch.bool) if mask is None else mask[steps] & mask[before]
    return torch.where(observed, error, 0.0).sum(0) / observed.sum(0)


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
