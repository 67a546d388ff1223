"""Forecasts for the whole test part, with their targets, and errors by step, node and calendar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.times.calendars import Calendar
from seqgnn.models.baselines.forecasting import Baseline
from seqgnn.tasks.forecasting import Forecasting

CALLER = "forecasts"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts for W windows, in the units of the time series.

    Attributes:
        models: forecasts of each seed, by model label.
        baselines: forecasts by baseline name.
        truth: the targets, as they are in the time series; 0 where not observed.
        mask: True where the target was observed; None: everywhere.
        steps: time steps of the targets.
        times: timestamps of the targets as datetime64; None without timestamps.
        calendar: the regular times that the steps follow; None without timestamps.
        nodes: names of the nodes; without names, their numbers.
        positions: longitude and latitude of the nodes, or None.
        edges: edges of the graph, or of all graphs that the windows use, without duplicates.
        name: name of the data set.
        units: units of the time series, such as "mph"; None: unknown.

    Shapes:
        forecasts, truth and mask ``[W, horizon, N, C]``; steps and times ``[W, horizon]``; positions ``[N, 2]``; edges
        ``[2, E]``.
    """

    models: Mapping[str, Sequence[Tensor]]
    baselines: Mapping[str, Tensor]
    truth: Tensor
    mask: Tensor | None
    steps: Tensor
    times: np.ndarray | None
    calendar: Calendar | None
    nodes: tuple[str, ...]
    positions: Tensor | None
    edges: Tensor
    name: str
    units: str | None = None

    @property
    def horizon(self) -> int:
        """Number of steps ahead."""
        return self.truth.size(1)

    def of(self, label: str) -> Sequence[Tensor]:
        """Return the forecasts of a model, one per seed, or the single one of a baseline.

        Raises:
            ValueError: if there is no such model or baseline.
        """
        one_of(CALLER, "label", label, [*self.models, *self.baselines])
        return self.models[label] if label in self.models else [self.baselines[label]]

    def node(self, name: str) -> int:
        """Return the index of a node.

        Raises:
            ValueError: if there is no such node; the message suggests the closest name.
        """
        if name in self.nodes:
            return self.nodes.index(name)
        close = get_close_matches(str(name), self.nodes, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; the first is {self.nodes[0]!r}"
        raise ValueError(f"{CALLER}: expected the name of one of {len(self.nodes)} nodes, got {name!r}{hint}")

    def ahead(self, step: int) -> int:
        """Return the index of a step ahead, which is counted from 1.

        Raises:
            ValueError: for a step beyond the horizon.
        """
        if check_count(CALLER, "the step ahead", step, 1) > self.horizon:
            raise ValueError(f"{CALLER}: expected a step ahead from 1 to {self.horizon}, got {step}")
        return step - 1

    def by_step(self, label: str) -> Tensor:
        """Return the mean absolute error of each seed at each step ahead, `[S, horizon]`; NaN without observations."""
        return self._mae(label, (0, 2, 3))

    def by_node(self, label: str, ahead: int | None = None) -> Tensor:
        """Return the mean absolute error of each seed at each node, `[S, N]`, over all steps ahead or at one step."""
        steps = slice(None) if ahead is None else slice(self.ahead(ahead), ahead)
        return self._mae(label, (0, 1, 3), steps)

    def by_group(self, label: str, group: np.ndarray, groups: int) -> Tensor:
        """Return the mean absolute error of each seed in each group of targets, `[S, groups]`.

        Args:
            group: `[W, horizon]`, the group of each target, from 0 on.
            groups: number of groups.
        """
        index = torch.from_numpy(group).flatten()

        def group_sums(values: Tensor) -> Tensor:
            return torch.zeros(groups, dtype=torch.float64).index_add_(0, index, values.flatten())

        sums = self._sums(label, (2, 3), slice(None))
        return torch.stack([group_sums(error) / group_sums(count) for error, count in sums])

    def _mae(self, label: str, over: tuple[int, ...], steps: slice = slice(None)) -> Tensor:
        return torch.stack([error / count for error, count in self._sums(label, over, steps)])

    def _sums(self, label: str, over: tuple[int, ...], steps: slice) -> list[tuple[Tensor, Tensor]]:
        """Return, for each seed, sums of absolute errors and numbers of observed values."""
        truth = self.truth[:, steps]
        observed = torch.ones((), dtype=torch.bool) if self.mask is None else self.mask[:, steps]
        count = observed.expand_as(truth).sum(over).double()
        errors = (torch.where(observed, forecast[:, steps] - truth, 0).abs() for forecast in self.of(label))
        return [(error.sum(over, dtype=torch.float64), count) for error in errors]


def collect_forecasts(
    task: Forecasting,
    models: Mapping[str, Sequence[nn.Module]],
    baselines: Mapping[str, Baseline] | None = None,
    *,
    batch_size: int = 64,
) -> Forecasts:
    """Return the forecasts of models and baselines for all windows of the test part.

    Main memory holds W * horizon * N * C values of the targets' type for each model, seed and baseline (68 MB for all
    of METR-LA, with 6,850 windows of 12 steps at 207 nodes), and the targets of the test part once.

    Args:
        task: the task with the test part.
        models: models by label, one per seed, each on its device.
        baselines: fitted baselines by name.
        batch_size: windows per forward pass.

    Raises:
        ValueError: if there is no model, a label is also the name of a baseline, or forecasts are not finite or differ
            in shape from the targets.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> from seqgnn.models import build_forecaster
        >>> from seqgnn.tasks import Protocol
        >>> graph = TemporalGraph(torch.randn(60, 3, 1), torch.tensor([[0, 1], [1, 2]]))
        >>> task = Forecasting(graph, Protocol(lags=4, horizon=2))
        >>> model = build_forecaster("lstm", task)
        >>> forecasts = collect_forecasts(task, {"LSTM": [model]})
        >>> forecasts.of("LSTM")[0].shape, forecasts.by_step("LSTM").shape
        (torch.Size([7, 2, 3, 1]), torch.Size([1, 2]))
    """
    baselines = {} if baselines is None else baselines
    if not models or not all(models.values()):
        raise ValueError(f"{CALLER}: expected at least one model with at least one seed, got {list(models)}")
    if duplicates := set(models) & set(baselines):
        raise ValueError(f"{CALLER}: expected different labels for models and baselines, got {min(duplicates)!r} twice")
    windows, graph = task.test_windows, task.graph
    first = windows.starts[0] + windows.lags

    def ahead(values: Tensor) -> Tensor:
        """Return `[T, ...]` as a view `[W, horizon, ...]`."""
        parts = values[first : windows.steps.stop].unfold(0, windows.horizon, windows.starts.step)
        return parts.movedim(-1, 1)

    def forecast(label: str, model: Any) -> Tensor:
        return _forecast(task, label, model, batch_size)

    mask = None if graph.mask is None else ahead(graph.mask.cpu())
    steps = ahead(torch.arange(len(graph)))
    return Forecasts(
        models={label: [forecast(label, model) for model in seeds] for label, seeds in models.items()},
        baselines={name: forecast(name, baseline) for name, baseline in baselines.items()},
        truth=ahead(task.series.targets.cpu()),
        mask=mask,
        steps=steps,
        times=None if graph.timestamps is None else graph.timestamps[steps.numpy()],
        calendar=None if graph.time is None else graph.time.calendar,
        nodes=graph.nodes or tuple(map(str, range(graph.num_nodes))),
        positions=None if graph.positions is None else graph.positions.cpu(),
        edges=_edges(task),
        name=graph.name or "series",
        units=task.units,
    )


def calendar_groups(forecasts: Forecasts) -> tuple[str, tuple[str, ...], np.ndarray]:
    """Return the calendar unit for grouping errors, the names of its groups, and the group of each target,
    `[W, horizon]`: the hour of the day for steps below a day, the day of the week below a week, otherwise the month.

    Raises:
        ValueError: without timestamps, or for steps that are no part of a year.
    """
    calendar = forecasts.calendar
    if forecasts.times is None or calendar is None:
        raise ValueError(f"{CALLER}: expected timestamps for errors by hour, day or month, got none")
    days = forecasts.times.astype("datetime64[D]")
    if calendar.cycle == "day":
        hours = (forecasts.times - days) // np.timedelta64(1, "h")
        return "hour of the day", tuple(map(str, range(24))), hours.astype(np.int64)
    if calendar.cycle == "week":
        return "day of the week", DAYS, (days.astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday
    if isinstance(calendar.season(), str):
        raise ValueError(f"{CALLER}: expected several steps a year for errors by month, got steps {calendar.words}")
    return "month of the year", MONTHS, days.astype("datetime64[M]").astype(np.int64) % 12


def _forecast(task: Forecasting, label: str, model: Any, batch_size: int) -> Tensor:
    """Return the forecasts of a model in evaluation mode, or of a baseline, in the units of the time series."""
    dtype, parts = task.series.targets.dtype, []
    module = model if isinstance(model, nn.Module) else None
    device = task.graph.signal.device if module is None else next(module.parameters()).device
    was_training = module is not None and module.training
    if module is not None:
        module.eval()
    try:
        with torch.no_grad():
            for batch in task.test(batch_size):
                output = model(batch.to(device))
                forecast = output if module is None else output[0]
                if forecast.shape != batch.y.shape:
                    expected, got = tuple(batch.y.shape), tuple(forecast.shape)
                    raise ValueError(f"{CALLER}: expected {label} to forecast {expected}, got {got}")
                parts.append(task.objective.forecast(forecast.cpu()).to(dtype).transpose(0, 1))
    finally:
        if module is not None:
            module.train(was_training)
    forecasts = torch.cat(parts)
    if not forecasts.isfinite().all():
        raise ValueError(f"{CALLER}: expected finite forecasts of {label}, got NaN or infinite values")
    return forecasts


def _edges(task: Forecasting) -> Tensor:
    edges = task.graph.edge_index
    if isinstance(edges, tuple):
        steps = task.test_windows.steps
        edges = torch.cat(edges[steps.start : steps.stop - task.test_windows.horizon], dim=1)
    return edges.cpu().unique(dim=1)
