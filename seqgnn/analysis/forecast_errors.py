"""What forecasters say of the whole test part, kept for figures, and how far it is from what came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqgnn._utils.validation import check_count, one_of
from seqgnn.models.baselines.forecasting import Baseline
from seqgnn.tasks.forecasting import Forecasting

WHO = "forecasts"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts of W windows, in the signal's units.

    Attributes:
        models: by label, those of each seed.
        baselines: by name.
        truth: what came; 0 where it was not observed.
        mask: True where it was observed; None: everywhere.
        steps: of the targets, in the signal.
        times: the same as numpy's datetime64; None without timestamps.
        period: the time between two steps; None without timestamps.
        nodes: their names, numbers from 0 on where they have none.
        positions: longitude and latitude of the nodes, or None.
        edges: of the graph, or of all graphs that the windows read, each once.
        name: of the signal.
        units: of the signal, such as "mph"; None: unknown.

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
    period: np.timedelta64 | None
    nodes: tuple[str, ...]
    positions: Tensor | None
    edges: Tensor
    name: str
    units: str | None = None

    @property
    def horizon(self) -> int:
        """Steps ahead."""
        return self.truth.size(1)

    def of(self, label: str) -> Sequence[Tensor]:
        """The forecasts of a model, one a seed, or the one of a baseline.

        Raises:
            ValueError: if there is no such model or baseline.
        """
        one_of(WHO, "label", label, [*self.models, *self.baselines])
        return self.models[label] if label in self.models else [self.baselines[label]]

    def node(self, name: str) -> int:
        """The place of a node.

        Raises:
            ValueError: naming the nearest one, if there is no such node.
        """
        if name in self.nodes:
            return self.nodes.index(name)
        near = get_close_matches(str(name), self.nodes, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the first is {self.nodes[0]!r}"
        raise ValueError(f"{WHO}: expected the name of one of {len(self.nodes)} nodes, got {name!r}{hint}")

    def ahead(self, step: int) -> int:
        """The place of a step ahead, which is counted from 1.

        Raises:
            ValueError: for a step beyond the horizon.
        """
        if check_count(WHO, "the step ahead", step, 1) > self.horizon:
            raise ValueError(f"{WHO}: expected a step ahead from 1 to {self.horizon}, got {step}")
        return step - 1

    def by_step(self, label: str) -> Tensor:
        """The mean absolute error of each seed at each step ahead, `[S, horizon]`; NaN where nothing was observed."""
        return self._mae(label, (0, 2, 3))

    def by_node(self, label: str, ahead: int | None = None) -> Tensor:
        """The mean absolute error of each seed at each node, `[S, N]`, over all steps ahead or at one of them."""
        steps = slice(None) if ahead is None else slice(self.ahead(ahead), ahead)
        return self._mae(label, (0, 1, 3), steps)

    def by_group(self, label: str, group: np.ndarray, groups: int) -> Tensor:
        """The mean absolute error of each seed in each group of targets, `[S, groups]`.

        Args:
            group: `[W, horizon]`, which one targets belong to, from 0 on.
            groups: how many there are.
        """
        place = torch.from_numpy(group).flatten()

        def gathered(values: Tensor) -> Tensor:
            return torch.zeros(groups, dtype=torch.float64).index_add_(0, place, values.flatten())

        return torch.stack(
            [gathered(error) / gathered(count) for error, count in self._sums(label, (2, 3), slice(None))]
        )

    def _mae(self, label: str, over: tuple[int, ...], steps: slice = slice(None)) -> Tensor:
        return torch.stack([error / count for error, count in self._sums(label, over, steps)])

    def _sums(self, label: str, over: tuple[int, ...], steps: slice) -> list[tuple[Tensor, Tensor]]:
        """For each seed, sums of absolute errors and numbers of observed values."""
        truth = self.truth[:, steps]
        seen = torch.ones((), dtype=torch.bool) if self.mask is None else self.mask[:, steps]
        count = seen.expand_as(truth).sum(over).double()
        errors = (torch.where(seen, forecast[:, steps] - truth, 0).abs() for forecast in self.of(label))
        return [(error.sum(over, dtype=torch.float64), count) for error in errors]


def collect_forecasts(
    task: Forecasting,
    models: Mapping[str, Sequence[nn.Module]],
    baselines: Mapping[str, Baseline] | None = None,
    *,
    batch_size: int = 64,
) -> Forecasts:
    """Forecasts of the test part, window by window.

    What is held, in main memory: W * horizon * N * C float32 for each model and seed and each baseline (68 MB for the
    whole of METR-LA, with 6,850 windows of 12 steps at 207 nodes), and the truth once, as long as the test part.

    Args:
        task: whose test part.
        models: by label, one a seed, each on its device.
        baselines: by name, fitted.
        batch_size: windows that are forecast at a time.

    Raises:
        ValueError: without a model, for a label that a baseline has too, and for forecasts of another shape than that
            of the targets or that are not finite.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> from seqgnn.models import build_forecaster
        >>> from seqgnn.tasks import Protocol
        >>> graph = TemporalGraph(torch.randn(60, 3, 1), torch.tensor([[0, 1], [1, 2]]))
        >>> task = Forecasting(graph, Protocol(lags=4, horizon=2))
        >>> model = build_forecaster("lstm", in_channels=1, lags=4, horizon=2)
        >>> found = collect_forecasts(task, {"LSTM": [model]})
        >>> found.of("LSTM")[0].shape, found.by_step("LSTM").shape
        (torch.Size([7, 2, 3, 1]), torch.Size([1, 2]))
    """
    baselines = {} if baselines is None else baselines
    if not models or not all(models.values()):
        raise ValueError(f"{WHO}: expected a model or more, each of a seed or more, got {list(models)}")
    if twice := set(models) & set(baselines):
        raise ValueError(f"{WHO}: expected labels that no baseline has, got {min(twice)!r} for both")
    windows, graph = task.test_windows, task.graph
    first = windows.starts[0] + windows.lags

    def ahead(values: Tensor) -> Tensor:
        """`[T, ...]` as a view `[W, horizon, ...]`."""
        parts = values[first : windows.steps.stop].unfold(0, windows.horizon, windows.starts.step)
        return parts.movedim(-1, 1)

    def forecast(label: str, model: Any) -> Tensor:
        return _forecast(task, label, model, batch_size)

    mask = None if graph.mask is None else ahead(graph.mask.cpu())
    steps = ahead(torch.arange(len(graph)))
    return Forecasts(
        models={label: [forecast(label, model) for model in seeds] for label, seeds in models.items()},
        baselines={name: forecast(name, baseline) for name, baseline in baselines.items()},
        truth=ahead(task.objective.scaler.inverse(graph.targets.cpu().double()).float()),
        mask=mask,
        steps=steps,
        times=None if graph.timestamps is None else graph.timestamps[steps.numpy()],
        period=graph.period,
        nodes=graph.nodes or tuple(map(str, range(graph.num_nodes))),
        positions=None if graph.positions is None else graph.positions.cpu(),
        edges=_edges(task),
        name=graph.name or "signal",
        units=task.units,
    )


def calendar_groups(forecasts: Forecasts) -> tuple[str, tuple[str, ...], np.ndarray]:
    """What the time between two steps lets errors be told apart by, the names of it, and which of them each target
    belongs to, `[W, horizon]`: the hour of the day below a day, the day of the week below a week, else the month.

    Raises:
        ValueError: without timestamps, and for steps of half a year or more.
    """
    if forecasts.times is None or forecasts.period is None:
        raise ValueError(f"{WHO}: expected timestamps for errors by hour, day or month, got none")
    if forecasts.period > np.timedelta64(180, "D"):
        raise ValueError(f"{WHO}: expected steps below half a year for errors by month, got {forecasts.period}")
    days = forecasts.times.astype("datetime64[D]")
    if forecasts.period < np.timedelta64(1, "D"):
        hours = (forecasts.times - days) // np.timedelta64(1, "h")
        return "hour of the day", tuple(map(str, range(24))), hours.astype(np.int64)
    if forecasts.period < np.timedelta64(7, "D"):
        return "day of the week", DAYS, (days.astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday
    return "month of the year", MONTHS, days.astype("datetime64[M]").astype(np.int64) % 12


def _forecast(task: Forecasting, label: str, model: Any, batch_size: int) -> Tensor:
    """The forecasts of a model in evaluation mode, or of a baseline, in the signal's units."""
    scaler, parts = task.objective.scaler.to("cpu"), []
    net = model if isinstance(model, nn.Module) else None
    device = task.graph.signal.device if net is None else next(net.parameters()).device
    was_training = net is not None and net.training
    if net is not None:
        net.eval()
    try:
        with torch.no_grad():
            for batch in task.test(batch_size):
                answer = model(batch.to(device))
                answer = answer if net is None else answer[0]
                if answer.shape != batch.y.shape:
                    expected, got = tuple(batch.y.shape), tuple(answer.shape)
                    raise ValueError(f"{WHO}: expected {label} to forecast {expected}, got {got}")
                parts.append(scaler.inverse(answer.cpu().double()).float().transpose(0, 1))
    finally:
        if net is not None:
            net.train(was_training)
    found = torch.cat(parts)
    if not found.isfinite().all():
        raise ValueError(f"{WHO}: expected finite forecasts of {label}, got others")
    return found


def _edges(task: Forecasting) -> Tensor:
    edges = task.graph.edge_index
    if isinstance(edges, tuple):
        read = task.test_windows.steps
        edges = torch.cat(edges[read.start : read.stop - task.test_windows.horizon], dim=1)
    return edges.cpu().unique(dim=1)
