"""The forecasting task: windows of time series on a graph, scaled by the training part and scored against the values
of the time series themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.transforms.imputation import carry_forward
from seqgnn.data.transforms.scaler import Scaler
from seqgnn.data.transforms.splits import PartSize, split_range
from seqgnn.data.windows import WindowBatch, Windows
from seqgnn.metrics.forecasting import LOSSES, TERMS
from seqgnn.tasks.forecast_objective import ForecastObjective
from seqgnn.tasks.season import training_naive_error

PROTOCOLS = ("steps", "windows", "t-gcn")
METRICS = tuple(TERMS)
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol: the split, scaling and scores of time series.

    Args:
        lags: number of time steps in the input.
        horizon: number of time steps to forecast.
        split: training, validation and test parts in order of time, as three fractions or three counts of steps or
            windows, see `split_by`.
        split_by: "steps": time steps are split, and no step is in windows of two parts; "windows": windows are split,
            so the first inputs of a part are targets of the previous part; "t-gcn": as "steps", without the last window
            of each part, as in T-GCN's code.
        gap: number of steps or windows to leave out between parts.
        calendar: calendar features of the input: time-of-day, day-of-week, day-of-year.
        scale: scaling of inputs and targets, "standard", "minmax" or "none", see `Scaler.fit`.
        scale_per: whether scaling statistics are computed over "all" values or per "node".
        loss: training loss, on scaled values: "mae", "mse" or "huber".
        metric: metric for selecting and comparing models: "mae", "rmse" or "mse", in the units of the data, or "mape",
            "wape", "smape" or "mase", which have none.

    Raises:
        ValueError: if a name is unknown or a value out of range.
    """

    lags: int = 12
    horizon: int = 3
    split: tuple[PartSize, PartSize, PartSize] = (0.7, 0.1, 0.2)
    split_by: str = "steps"
    gap: int = 0
    calendar: tuple[str, ...] = ()
    scale: str = "standard"
    scale_per: str = "all"
    loss: str = "huber"
    metric: str = "mae"

    def __post_init__(self) -> None:
        for name, least in (("lags", 1), ("horizon", 1), ("gap", 0)):
            check_count("Protocol", name, getattr(self, name), least)
        if not isinstance(self.split, tuple) or len(self.split) != len(PARTS):
            expected = "fractions or counts of training, validation and test"
            raise ValueError(f"Protocol: expected {expected}, got {self.split}")
        for name, known in (("split_by", PROTOCOLS), ("loss", LOSSES), ("metric", METRICS)):
            one_of("Protocol", name, getattr(self, name), known)


class Forecasting:
    """A task for `seqgnn.training.loop.fit`: training, validation and test windows of time series on a graph.

    Scaling is fitted on the time steps of training windows only. Batches are scaled; forecasts are scored in the units
    of the time series, against its own values, which are never scaled and back. With missing values (a mask), inputs
    that were not observed are replaced by the last observed value of their node and feature, however old. Before the
    first observed value, they are replaced by the mean over the training part, over all nodes or per node as in
    `scale_per`. For features that are the past of the targets, the mask shows which values were observed; other
    features were observed where they are finite.

    Args:
        graph: the time series.
        protocol: split, scaling and scores.
        dtype: type of the scaled values; None: torch's default.

    Attributes:
        series: the time series as given.
        season: number of steps between a value and the one that the naive forecast of MASE repeats, see
            `seqgnn.tasks.season.season_earlier`; 1 without a season, and where the training part is no longer than one.
        objective: the training loss and the scores.
        train_windows, validation_windows, test_windows: scaled windows, all of the same graph.
        refit_windows: windows from the first of training to the last of validation.
        in_channels, out_channels: F (with calendar features) and C.
        units: units of the time series and of scores; None: unknown.

    Raises:
        ValueError: if the time series are too short for the protocol, a part would be empty, a part has no observed
            target, or the metric is not defined for its targets.

    Example:
        >>> graph = TemporalGraph(torch.randn(100, 4, 1), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> task = Forecasting(graph, Protocol(lags=6, horizon=2))
        >>> task.draw(16, torch.Generator().manual_seed(0)).x.shape, len(task.test_windows)
        (torch.Size([6, 16, 4, 1]), 13)
    """

    name = "forecast"

    def __init__(self, graph: TemporalGraph, protocol: Protocol, *, dtype: torch.dtype | None = None) -> None:
        self.series, self.protocol, self.length, self.units = graph, protocol, protocol.horizon, graph.units
        dtype = torch.get_default_dtype() if dtype is None else dtype
        starts = window_starts(graph, protocol)
        _check_observed(graph, protocol, starts)
        steps = Windows(graph, starts[0], protocol.lags, protocol.horizon).steps
        training = graph.steps(steps.start, steps.stop)
        scaling: dict[str, Any] = {"per": protocol.scale_per, "kind": protocol.scale}
        self.scaler = Scaler.fit(training.targets, training.mask, **scaling)
        input_scaler = self._input_scaler(training, Scaler.fit(training.signal, training.known, **scaling))
        scaled = TemporalGraph(
            input_scaler.transform(_inputs(graph, training, protocol.scale_per)).to(dtype),
            graph.edge_index,
            graph.edge_weight,
            mask=graph.mask,
            targets=self.scaler.transform(graph.targets).to(dtype),
            timestamps=graph.time,
            nodes=graph.nodes,
            positions=graph.positions,
            name=graph.name,
        )
        self.graph = scaled.with_calendar(protocol.calendar) if protocol.calendar else scaled
        naive, self.season = training_naive_error(graph, steps)
        _check_metric(graph, protocol, starts, naive)
        self.objective = ForecastObjective(
            protocol.loss, protocol.metric, self.scaler, graph.targets, naive, self.season
        )
        self.in_channels, self.out_channels = self.graph.num_features, self.graph.num_targets
        self.train_windows, self.validation_windows, self.test_windows = map(self._windows, starts)
        self.refit_windows = self._windows(range(starts[0].start, starts[1].stop))

    def _input_scaler(self, training: TemporalGraph, scaler: Scaler) -> Scaler:
        """Return the scaler of the inputs; features that are the past of the targets are scaled like the targets."""
        if not _read_targets(training):
            return scaler
        count, offset, scale = training.num_targets, scaler.offset.clone(), scaler.scale.clone()
        offset[..., :count], scale[..., :count] = self.scaler.offset, self.scaler.scale
        return Scaler(offset, scale)

    def _windows(self, starts: range) -> Windows:
        return Windows(self.graph, starts, self.protocol.lags, self.protocol.horizon)

    def draw(self, batch_size: int, generator: Generator) -> WindowBatch:
        """Return a batch of distinct random training windows; all windows, in order, if there are no more than that."""
        return sample_windows(self.train_windows, batch_size, generator)

    def validation(self, batch_size: int) -> Iterator[WindowBatch]:
        """Iterate over the validation windows in order of time."""
        return _in_order(self.validation_windows, batch_size)

    def test(self, batch_size: int) -> Iterator[WindowBatch]:
        """Iterate over the test windows in order of time."""
        return _in_order(self.test_windows, batch_size)

    def refitting(self) -> "RefitTask":
        """Return the task for refitting: training on training and validation windows after model selection."""
        return RefitTask(self)

    def unscaled(self) -> "Forecasting":
        """Return the same task without scaling, for baselines that repeat values: scaled and back, they are rounded."""
        return Forecasting(self.series, replace(self.protocol, scale="none"), dtype=self.series.signal.dtype)

    def __repr__(self) -> str:
        sizes = ", ".join(str(len(part)) for part in (self.train_windows, self.validation_windows, self.test_windows))
        return f"Forecasting({self.graph!r}, windows {sizes}, {self.protocol!r})"


class RefitTask:
    """A forecasting task that trains on the training and validation windows together.

    No validation windows are held out, so validation scores are training scores.
    """

    def __init__(self, task: Forecasting) -> None:
        self.objective, self._task = task.objective, task

    def draw(self, batch_size: int, generator: Generator) -> WindowBatch:
        return sample_windows(self._task.refit_windows, batch_size, generator)

    def validation(self, batch_size: int) -> Iterator[WindowBatch]:
        return self._task.validation(batch_size)


def _read_targets(training: TemporalGraph) -> bool:
    """Return True if the first features are the past of the targets."""
    count = training.num_targets
    return count <= training.num_features and torch.equal(training.signal[..., :count], training.targets)


def _inputs(graph: TemporalGraph, training: TemporalGraph, per: str) -> Tensor:
    """Return the inputs, with missing values replaced by the last observed one; `training` is the training part."""
    if graph.mask is None and graph.known is None:
        return graph.signal
    reads_targets = _read_targets(training)

    def observed(part: TemporalGraph) -> Tensor:
        known = torch.ones_like(part.signal, dtype=torch.bool) if part.known is None else part.known.clone()
        if reads_targets and part.mask is not None:
            known[..., : part.num_targets] = part.mask
        return known

    mean = Scaler.fit(training.signal, observed(training), per=per).offset
    return carry_forward(graph.signal, observed(graph), mean)


def _check_observed(graph: TemporalGraph, protocol: Protocol, starts: tuple[range, range, range]) -> None:
    """Check that each part has observed values to forecast."""
    if graph.mask is None:
        return
    for name, part in zip(PARTS, starts):
        first, end = part.start + protocol.lags, part.stop + protocol.lags + protocol.horizon - 1
        if not graph.mask[first:end].any():
            got = f"none in steps {first} to {end - 1}"
            raise ValueError(f"Forecasting: expected observed targets in the {name} part, got {got}")


def _check_metric(graph: TemporalGraph, protocol: Protocol, starts: tuple[range, range, range], naive: Tensor) -> None:
    """Check that the metric for selection is defined on the validation and test parts."""
    if protocol.metric == "mase":
        defined, reason = (naive > 0).expand_as(graph.targets), "nodes that change in the training part"
    elif protocol.metric in ("mape", "wape"):
        defined, reason = graph.targets != 0, "targets other than 0"
    else:
        return
    defined = defined if graph.mask is None else defined & graph.mask
    for name, part in list(zip(PARTS, starts))[1:]:
        first, end = part.start + protocol.lags, part.stop + protocol.lags + protocol.horizon - 1
        if not defined[first:end].any():
            expected = f"{reason} in the {name} part for the metric {protocol.metric!r}"
            raise ValueError(f"Forecasting: expected {expected}, got none in steps {first} to {end - 1}; take 'mae'")


def sample_windows(windows: Windows, batch_size: int, generator: Generator) -> WindowBatch:
    """Return a batch of distinct random windows; all windows, in order, if there are at most `batch_size`."""
    if batch_size >= len(windows):
        return windows.batch(range(len(windows)))
    return windows.batch(torch.randperm(len(windows), generator=generator)[:batch_size])


def _in_order(windows: Windows, batch_size: int) -> Iterator[WindowBatch]:
    check_count("Forecasting", "batch_size", batch_size, 1)
    rows = range(len(windows))
    return (windows.batch(rows[start : start + batch_size]) for start in rows[::batch_size])


def window_starts(graph: TemporalGraph, protocol: Protocol) -> tuple[range, range, range]:
    """Return the first steps of the training, validation and test windows."""
    lags, horizon, gap = protocol.lags, protocol.horizon, protocol.gap
    if protocol.split_by == "windows":
        first, second, third = graph.windows(lags, horizon).split(*protocol.split, gap=gap)
        return first.starts, second.starts, third.starts
    less = lags + horizon - (0 if protocol.split_by == "t-gcn" else 1)
    parts = split_range("Forecasting", len(graph), *protocol.split, gap)
    starts = [range(part.start, part.stop - less) for part in parts]
    for name, part, windows in zip(PARTS, parts, starts):
        if not windows:
            got = f"{len(part)} of {len(graph)}"
            raise ValueError(f"Forecasting: expected more than {less} steps for the {name} part, got {got}")
    return starts[0], starts[1], starts[2]
