"""What every forecaster must beat: baselines that are fitted in one pass over the training windows.

- **persistence**: the last value that was observed, for all steps ahead.
- **mean**, **mean-node**: the mean of what was to be forecast in training, of all nodes or of each.
- **seasonal**: the value one period before.
- **ar**: autoregression, a linear map of a node's own past with an intercept, the same for all nodes;
  **ar-node**: one for each node.
- **ar-graph**: as ar, with the past of the neighbors' weighted mean beside the node's own: one step on the graph.

The last three are ridge regressions whose strength is chosen on validation windows. Features and targets are taken as
they stand in the windows, scaled or not; forecasts come in the same units.
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
from seqgnn.models.forecaster import heard

if TYPE_CHECKING:
    from seqgnn.data.windows import StepsOfGraph, WindowBatch, Windows

NAMES = ("persistence", "mean", "mean-node", "seasonal", "ar", "ar-node", "ar-graph")
STRENGTHS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ROWS = 2**15  # rows of features held at a time


class Baseline(Protocol):
    """What `fit_baseline` gives.

    Attributes:
        num_parameters: numbers that were fitted.
        strength: of the ridge; None where there is none.
    """

    @property
    def num_parameters(self) -> int: ...

    @property
    def strength(self) -> float | None: ...

    def __call__(self, batch: "WindowBatch") -> Tensor:
        """The forecast `[horizon, B, N, C]`."""


def fit_baseline(
    name: str,
    train: "Windows",
    validation: "Windows | None" = None,
    *,
    period: int | None = None,
    strengths: Sequence[float] = STRENGTHS,
    refit: "Windows | None" = None,
) -> Baseline:
    """Fits a baseline.

    Args:
        name: one of `NAMES`.
        train: the windows to fit on.
        validation: those to choose the strength of a ridge on, by the squared error over all steps ahead; not needed
            where there is no choice.
        period: of ``"seasonal"``, in steps. It looks the values up in ``train.graph``, and ``"persistence"`` what was
            observed, if that is masked: all windows that they will forecast have to be of it.
        strengths: of the ridge, to choose from, at least 0: the penalty of a weight is strength * n * variance of its
            feature over the n training values, so that units do not matter; intercepts are not penalized.
        refit: windows to fit on anew with the strength that was chosen, such as training and validation together.

    Raises:
        ValueError: for unknown names, strengths below 0, a choice without validation, or no period where one is needed.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> signal = 0.5 ** torch.arange(8.0).view(8, 1, 1).expand(8, 2, 1)
        >>> windows = TemporalGraph(signal, torch.tensor([[0], [1]])).windows(lags=1)
        >>> fitted = fit_baseline("ar", windows, strengths=(0.0,))
        >>> fitted(windows.batch([0])).flatten()
        tensor([0.5000, 0.5000])
    """
    one_of("fit_baseline", "name", name, NAMES)
    fitted_on = train if refit is None else refit
    if name == "persistence":
        return Persistence(train.graph, Ridge("none", True, fitted_on).solve(0.0))
    if name == "seasonal":
        if period is None:
            raise ValueError("fit_baseline: expected period, in steps, for 'seasonal', got None")
        check_count("fit_baseline", "period", period, 1)
        mean = Ridge("none", True, fitted_on).solve(0.0)
        return Seasonal(train.graph, period, mean)
    if name in ("mean", "mean-node"):
        return Ridge("none", name == "mean-node", fitted_on).solve(0.0)
    strengths = tuple(strengths)
    if not strengths or not all(0 <= strength < float("inf") for strength in strengths):
        raise ValueError(f"fit_baseline: expected strengths of at least 0, got {strengths}")
    if len(strengths) > 1 and validation is None:
        raise ValueError(f"fit_baseline: expected validation windows to choose one of {len(strengths)} by, got None")
    kind, each = "graph" if name == "ar-graph" else "own", name == "ar-node"
    ridge = Ridge(kind, each, train)
    strength = strengths[0]
    if len(strengths) > 1:
        assert validation is not None
        held = Ridge(kind, each, validation)
        strength = min(strengths, key=lambda strength: held.error(ridge.solve(strength)))
    return (ridge if refit is None else Ridge(kind, each, refit)).solve(strength)


@dataclass(frozen=True, eq=False)
class Persistence:
    """The last observed value of the first C features, the targets' own past, however long ago; the mean of its node
    before the first one.

    Raises:
        ValueError: for windows of another graph than `history`, where that is masked, and of fewer features than C.
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
            found = f"{batch.x.size(-1)} for {targets} targets"
            raise ValueError(f"Persistence: expected features that hold the targets' own past, got {found}")
        if self.history.mask is None:
            return batch.x[-1:, ..., :targets].expand(self.mean.horizon, -1, -1, -1)
        _check_history("Persistence", self.history, batch)
        last = self._last[batch.start + len(batch.x) - 1]
        return torch.where(last.isnan(), self.mean(batch), last)

    @cached_property
    def _last(self) -> Tensor:
        """By step, the last value that was observed, `[T, N, C]`; before the first one no number."""
        assert self.history.mask is not None
        return carry_forward(self.history.signal[..., : self.history.num_targets], self.history.mask, torch.nan)


@dataclass(frozen=True, eq=False)
class Seasonal:
    """The target one period before, the last that is known; the mean of its node where that was not observed.

    Raises:
        ValueError: for windows of another graph than `history`, or of its first period.
    """

    history: "StepsOfGraph"
    period: int
    mean: "LinearMap"
    strength = None

    @property
    def num_parameters(self) -> int:
        return 0 if self.history.mask is None else self.mean.num_parameters

    def __call__(self, batch: "WindowBatch") -> Tensor:
        _check_history("Seasonal", self.history, batch)
        now = batch.start + len(batch.x)
        ahead = torch.arange(self.mean.horizon, device=now.device)[:, None]
        steps = now + ahead % self.period - self.period
        if int(steps.min()) < 0:
            raise ValueError(f"Seasonal: expected windows that {self.period} steps go before, got one at {int(now[0])}")
        values = self.history.targets[steps]
        return values if self.history.mask is None else torch.where(self.history.mask[steps], values, self.mean(batch))


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map of features, `[P, horizon * C]` for all nodes (G = 1) or one for each (G = N), in float64."""

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
        answers = (x[:, :, None] @ self.weight)[:, :, 0]
        return answers.unflatten(-1, (self.horizon, -1)).permute(2, 0, 1, 3).to(batch.x.dtype)


class Ridge:
    """The sums that a ridge regression needs, in float64, from one pass over windows: no row of features is kept.

    Targets that were not observed are left out, each output from its own sums.

    Args:
        kind: of the features, see `features`.
        each_node: whether every node has a map of its own.
        windows: what to add up.
    """

    def __init__(self, kind: str, each_node: bool, windows: "Windows") -> None:
        self.kind, self.horizon = kind, windows.horizon
        self.gram: Tensor | float = 0.0  # [G, K or 1, P, P]
        self.moment: Tensor | float = 0.0  # [G, K, P]
        self.square: Tensor | float = 0.0  # [G, K]
        for batch in _batches(windows):
            x, y = features(kind, batch).transpose(0, 1), _answers(batch.y.double())  # [N, B, P], [N, B, K]
            seen = None if batch.mask is None else _answers(batch.mask.double())
            if not each_node:
                x, y = x.flatten(0, 1)[None], y.flatten(0, 1)[None]
                seen = None if seen is None else seen.flatten(0, 1)[None]
            if seen is None:
                gram = (x.mT @ x)[:, None]
            else:
                y = y * seen
                gram = torch.stack([x.mT @ (x * w[..., None]) for w in seen.unbind(-1)], dim=1)
            self.gram, self.moment = self.gram + gram, self.moment + y.mT @ x
            self.square = self.square + y.square().sum(1)

    def solve(self, strength: float) -> LinearMap:
        """The map with the least penalized squares; of several such the smallest."""
        assert isinstance(self.gram, Tensor) and isinstance(self.moment, Tensor)
        diagonal = self.gram.diagonal(dim1=-2, dim2=-1)
        count = diagonal[..., -1:]  # the intercept is the last feature
        spread = diagonal - self.gram[..., -1].square() / count.clamp(min=1)  # n times the variance
        penalized = self.gram + strength * torch.diag_embed(spread.clamp(min=0))
        # Features of unit length: what is singular then does not depend on units.
        length = penalized.diagonal(dim1=-2, dim2=-1).sqrt()
        length = torch.where(length > 0, length, 1.0)
        scaled = penalized / (length[..., None] * length[..., None, :])
        solution = torch.linalg.pinv(scaled, rtol=1e-12, hermitian=True) @ (self.moment / length)[..., None]
        weight = (solution[..., 0] / length).mT
        return LinearMap(self.kind, weight, self.horizon, None if self.kind == "none" else strength)

    def error(self, fitted: LinearMap) -> float:
        """The sum of its squared errors on these windows: y'y - 2 w'X'y + w'X'X w."""
        assert isinstance(self.gram, Tensor) and isinstance(self.moment, Tensor)
        weight = fitted.weight.mT  # [G, K, P]
        fit = (self.gram @ weight[..., None])[..., 0]
        return float((self.square - (weight * (2 * self.moment - fit)).sum(-1)).sum())


def features(kind: str, batch: "WindowBatch") -> Tensor:
    """What a linear map reads, `[B, N, P]` in float64: the node's lags (`"own"`), with those of the neighbors'
    weighted mean (`"graph"`), or nothing (`"none"`); 1 at the end for the intercept."""
    x = batch.x.double()
    one = torch.ones_like(x[0, ..., :1])
    if kind == "none":
        return one
    if kind == "graph":
        x = torch.cat([x, heard(x, batch.edge_index, batch.edge_weight)], dim=-1)
    return torch.cat([lags_as_features(x), one], dim=-1)


def _check_history(who: str, history: "StepsOfGraph", batch: "WindowBatch") -> None:
    last = batch.start + len(batch.x) - 1
    if int(last.max()) >= len(history) or not torch.equal(history.signal[last], batch.x[-1]):
        raise ValueError(f"{who}: expected windows of the graph that it was fitted on, got others")


def _answers(y: Tensor) -> Tensor:
    """`[horizon, B, N, C]` to `[N, B, horizon * C]`."""
    return y.permute(2, 1, 0, 3).flatten(2)


def _batches(windows: "Windows") -> "Iterator[WindowBatch]":
    size = max(1, ROWS // windows.graph.num_nodes)
    return (windows.batch(range(i, min(i + size, len(windows)))) for i in range(0, len(windows), size))
