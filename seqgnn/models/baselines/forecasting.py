"""Naive baselines for forecasting, fitted in one pass over the training windows.

- **persistence**: the last observed value, for all steps ahead.
- **mean**, **mean-node**: the mean of the training targets, over all nodes or per node.
- **seasonal**: the value one season earlier, at the same time of day, weekday or date.
- **ar**: autoregression, a linear map of a node's lags with an intercept, shared by all nodes; **ar-node**: one per
  node.
- **ar-graph**: like ar, with the lags of the neighbors' weighted mean as additional features.

The last three are ridge regressions whose strength is chosen on validation windows. Forecasts have the units of the
windows, scaled or not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.transforms.imputation import carry_forward
from seqgnn.models.forecast_encoders import lags_as_features
from seqgnn.models.forecaster import neighbor_mean

if TYPE_CHECKING:
    from seqgnn.data.windows import StepsOfGraph, WindowBatch, Windows

NAMES = ("persistence", "mean", "mean-node", "seasonal", "ar", "ar-node", "ar-graph")
STRENGTHS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ROWS = 2**15  # rows of features in memory at a time


class Baseline(Protocol):
    """A fitted baseline, the result of `fit_baseline`.

    Attributes:
        num_parameters: number of fitted parameters.
        strength: strength of the ridge penalty; None if there is none.
    """

    @property
    def num_parameters(self) -> int: ...

    @property
    def strength(self) -> float | None: ...

    def __call__(self, batch: "WindowBatch") -> Tensor:
        """Return the forecast `[horizon, B, N, C]`."""


def fit_baseline(
    name: str,
    train: "Windows",
    validation: "Windows | None" = None,
    *,
    period: int | None = None,
    strengths: Sequence[float] = STRENGTHS,
    refit: "Windows | None" = None,
) -> Baseline:
    """Return a fitted baseline.

    ``"seasonal"``, and ``"persistence"`` if values are missing, look up values in ``train.graph``: all windows to
    forecast must belong to that graph.

    Args:
        name: one of `NAMES`.
        train: windows to fit on.
        validation: windows to choose the ridge strength on, by the squared error over all steps ahead; not needed if
            there is only one strength.
        period: season of ``"seasonal"``, in steps of the calendar of the time series, see
            :meth:`seqgnn.data.times.TimeAxis.season`; without timestamps, in steps.
        strengths: candidate ridge strengths, at least 0. The penalty of a weight is strength * n * variance of its
            feature over the n training values, so it does not depend on units; intercepts are not penalized.
        refit: windows to refit on with the chosen strength, such as training and validation windows together.

    Raises:
        ValueError: if the name is unknown, a strength is below 0, or validation windows or a period are missing.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> signal = 0.5 ** torch.arange(8.0).view(8, 1, 1).expand(8, 2, 1)
        >>> windows = TemporalGraph(signal, torch.tensor([[0], [1]])).windows(lags=1)
        >>> fitted = fit_baseline("ar", windows, strengths=(0.0,))
        >>> fitted(windows.batch([0])).flatten()
        tensor([0.5000, 0.5000])
    """
    one_of("fit_baseline", "name", name, NAMES)
    fit_windows = train if refit is None else refit
    if name == "persistence":
        return Persistence(train.graph, Ridge("none", True, fit_windows).solve(0.0))
    if name == "seasonal":
        if period is None:
            raise ValueError("fit_baseline: expected period, in steps, for 'seasonal', got None")
        check_count("fit_baseline", "period", period, 1)
        mean = Ridge("none", True, fit_windows).solve(0.0)
        return Seasonal(train.graph, period, mean)
    if name in ("mean", "mean-node"):
        return Ridge("none", name == "mean-node", fit_windows).solve(0.0)
    strengths = tuple(strengths)
    if not strengths or not all(0 <= strength < float("inf") for strength in strengths):
        raise ValueError(f"fit_baseline: expected strengths of at least 0, got {strengths}")
    if len(strengths) > 1 and validation is None:
        raise ValueError(f"fit_baseline: {len(strengths)} strengths need validation windows to choose, got None")
    kind, each = "graph" if name == "ar-graph" else "own", name == "ar-node"
    ridge = Ridge(kind, each, train)
    strength = strengths[0]
    if len(strengths) > 1:
        assert validation is not None
        validation_sums = Ridge(kind, each, validation)
        strength = min(strengths, key=lambda strength: validation_sums.error(ridge.solve(strength)))
    return (ridge if refit is None else Ridge(kind, each, refit)).solve(strength)


@dataclass(frozen=True, eq=False)
class Persistence:
    """The last observed value of the first C features, which are the targets' own past; before the first observation,
    the mean of the node.

    Raises:
        ValueError: if windows have fewer features than C or, with missing values, belong to another graph than
            `history`.
    """

    history: "StepsOfGraph"
    mean: "LinearMap"
    strength = None

    @property
    def num_parameters(self) -> int:
        return 0 if self.history.mask is None else self.mean.num_parameters

    def __call__(self, batch: "WindowBatch") -> Tensor:
        targets = self.history.num_targets
        if batch.x.size(-1) < targets:
            got = f"{batch.x.size(-1)} features for {targets} targets"
            raise ValueError(f"Persistence: expected the targets among the features, got {got}")
        if self.history.mask is None:
            return batch.x[-1:, ..., :targets].expand(self.mean.horizon, -1, -1, -1)
        _check_history("Persistence", self.history, batch)
        last = self._last[batch.start + len(batch.x) - 1]
        return torch.where(last.isnan(), self.mean(batch), last)

    @cached_property
    def _last(self) -> Tensor:
        """The last observed value at each step, `[T, N, C]`; NaN before the first one."""
        assert self.history.mask is not None
        return carry_forward(self.history.signal[..., : self.history.num_targets], self.history.mask, torch.nan)


@dataclass(frozen=True, eq=False)
class Seasonal:
    """The last target that was observed whole seasons earlier in time; the mean of the node where none was.

    Raises:
        ValueError: if windows belong to another graph than `history`, or to its first season.
    """

    history: "StepsOfGraph"
    period: int
    mean: "LinearMap"
    strength = None

    @property
    def num_parameters(self) -> int:
        return 0 if self.history.mask is None and self._is_regular else self.mean.num_parameters

    @cached_property
    def _is_regular(self) -> bool:
        """True if all steps follow each other in time."""
        return self.history.time is None or not len(self.history.time.gaps())

    def __call__(self, batch: "WindowBatch") -> Tensor:
        _check_history("Seasonal", self.history, batch)
        now = batch.start + len(batch.x)
        if self._seasons_before(first := int(now.min())) < 1:
            raise ValueError(f"Seasonal: expected {self.period} steps before each forecast, got one at {first}")
        ahead = torch.arange(self.mean.horizon, device=now.device)[:, None]
        steps = self._steps_before(now + ahead, now)
        values = self._last_observed[steps.clamp(min=0)]
        if self.history.mask is None and int(steps.min()) >= 0:
            return values
        observed = (steps >= 0)[..., None, None] & ~values.isnan()
        return torch.where(observed, values, self.mean(batch))

    @cached_property
    def _last_observed(self) -> Tensor:
        """The target of each step, or the last one observed whole seasons earlier, `[T, N, C]`; NaN without one."""
        targets, mask = self.history.targets, self.history.mask
        if mask is None:
            return targets
        values, steps = targets.masked_fill(~mask, torch.nan), torch.arange(len(targets), device=targets.device)
        before = self._steps_before(steps, steps)
        while True:
            earlier = values[before.clamp(min=0)]
            filled = values.isnan() & ~earlier.isnan() & (before >= 0)[:, None, None]
            if not filled.any():
                return values
            values = torch.where(filled, earlier, values)

    def _seasons_before(self, step: int) -> float:
        axis = self.history.time
        if axis is None:
            return step / self.period
        number = axis.numbers[step] if step < len(axis) else axis.numbers[-1] + 1
        return (number - axis.numbers[0]) / self.period

    def _steps_before(self, steps: Tensor, now: Tensor) -> Tensor:
        """Return for each step the last one whole seasons earlier and before `now`; -1: none."""
        if self.history.time is None:
            return (now + (steps - now) % self.period - self.period).clamp(min=-1)
        before = self.history.time.earlier(steps.cpu().numpy(), self.period, now.cpu().numpy())
        return torch.from_numpy(before).to(steps.device)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map of features, `[P, horizon * C]`, shared by all nodes (G = 1) or one per node (G = N), in float64."""

    kind: str
    weight: Tensor  # [G, P, horizon * C]
    horizon: int
    strength: float | None

    @property
    def num_parameters(self) -> int:
        return self.weight.numel()

    def __call__(self, batch: "WindowBatch") -> Tensor:
        x = features(self.kind, batch)
        if x.size(-1) != self.weight.size(1):
            raise ValueError(f"LinearMap: expected {self.weight.size(1)} features with the intercept, got {x.size(-1)}")
        if len(self.weight) not in (1, x.size(1)):
            raise ValueError(f"LinearMap: expected the {len(self.weight)} nodes it was fitted on, got {x.size(1)}")
        outputs = (x[:, :, None] @ self.weight)[:, :, 0]
        return outputs.unflatten(-1, (self.horizon, -1)).permute(2, 0, 1, 3).to(batch.x.dtype)


class Ridge:
    """The sums of a ridge regression, in float64, from one pass over windows without storing features.

    Targets that were not observed are excluded, per output.

    Args:
        kind: kind of features, see `features`.
        each_node: fit one map per node.
        windows: windows to sum over.
    """

    def __init__(self, kind: str, each_node: bool, windows: "Windows") -> None:
        self.kind, self.horizon = kind, windows.horizon
        self.gram: Tensor | float = 0.0  # [G, K or 1, P, P]
        self.moment: Tensor | float = 0.0  # [G, K, P]
        self.square: Tensor | float = 0.0  # [G, K]
        for batch in _batches(windows):
            x, y = features(kind, batch).transpose(0, 1), _by_node(batch.y.double())  # [N, B, P], [N, B, K]
            observed = None if batch.mask is None else _by_node(batch.mask.double())
            if not each_node:
                x, y = x.flatten(0, 1)[None], y.flatten(0, 1)[None]
                observed = None if observed is None else observed.flatten(0, 1)[None]
            if observed is None:
                gram = (x.mT @ x)[:, None]
            else:
                y = y * observed
                gram = torch.stack([x.mT @ (x * w[..., None]) for w in observed.unbind(-1)], dim=1)
            self.gram, self.moment = self.gram + gram, self.moment + y.mT @ x
            self.square = self.square + y.square().sum(1)

    def solve(self, strength: float) -> LinearMap:
        """Return the map with the smallest penalized squared error and, among several, the smallest norm."""
        assert isinstance(self.gram, Tensor) and isinstance(self.moment, Tensor)
        diagonal = self.gram.diagonal(dim1=-2, dim2=-1)
        count = diagonal[..., -1:]  # the intercept is the last feature
        spread = diagonal - self.gram[..., -1].square() / count.clamp(min=1)  # n times the variance
        penalized = self.gram + strength * torch.diag_embed(spread.clamp(min=0))
        # Features are scaled to unit length, so that the numerical rank does not depend on units.
        length = penalized.diagonal(dim1=-2, dim2=-1).sqrt()
        length = torch.where(length > 0, length, 1.0)
        scaled = penalized / (length[..., None] * length[..., None, :])
        solution = torch.linalg.pinv(scaled, rtol=1e-12, hermitian=True) @ (self.moment / length)[..., None]
        weight = (solution[..., 0] / length).mT
        return LinearMap(self.kind, weight, self.horizon, None if self.kind == "none" else strength)

    def error(self, fitted: LinearMap) -> float:
        """Return the sum of squared errors on these windows: y'y - 2 w'X'y + w'X'X w."""
        assert isinstance(self.gram, Tensor) and isinstance(self.moment, Tensor)
        weight = fitted.weight.mT  # [G, K, P]
        fit = (self.gram @ weight[..., None])[..., 0]
        return float((self.square - (weight * (2 * self.moment - fit)).sum(-1)).sum())


def features(kind: str, batch: "WindowBatch") -> Tensor:
    """Return the features of a linear map, `[B, N, P]` in float64: the node's lags (`"own"`), also those of the
    neighbors' weighted mean (`"graph"`), or none (`"none"`); the last feature is 1, for the intercept."""
    x = batch.x.double()
    one = torch.ones_like(x[0, ..., :1])
    if kind == "none":
        return one
    if kind == "graph":
        x = torch.cat([x, neighbor_mean(x, batch.edge_index, batch.edge_weight)], dim=-1)
    return torch.cat([lags_as_features(x), one], dim=-1)


def _check_history(caller: str, history: "StepsOfGraph", batch: "WindowBatch") -> None:
    last = batch.start + len(batch.x) - 1
    if int(last.max()) >= len(history) or not torch.equal(history.signal[last], batch.x[-1]):
        raise ValueError(f"{caller}: expected windows of the graph that it was fitted on, got windows of another")


def _by_node(y: Tensor) -> Tensor:
    """Return `[horizon, B, N, C]` as `[N, B, horizon * C]`."""
    return y.permute(2, 1, 0, 3).flatten(2)


def _batches(windows: "Windows") -> "Iterator[WindowBatch]":
    size = max(1, ROWS // windows.graph.num_nodes)
    return (windows.batch(range(i, min(i + size, len(windows)))) for i in range(0, len(windows), size))
