"""Time series on the nodes of a graph, with fixed or changing edges and a mask of observed values."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data._temporal_inputs import as_edges, as_names, as_tensor, as_weights, read_series
from seqgnn.data._temporal_validation import (
    CALLER,
    check_values,
    checked_graphs,
    checked_mask,
    checked_names,
    checked_positions,
    checked_times,
    checked_units,
    finite,
)
from seqgnn.data.io.limits import unpacked_limit
from seqgnn.data.times import TimeAxis
from seqgnn.data.transforms.calendar import CALENDAR, calendar_features, calendar_names
from seqgnn.data.transforms.splits import PartSize, split_range
from seqgnn.data.windows import Windows


class TemporalGraph:
    """Time series at the nodes of a graph. Immutable; parts of it are views.

    Targets may be NaN or infinite where the mask is False, and other features anywhere: they were not observed there.
    Such values are stored as 0. `known`, `[T, N, F]`, is False where the signal was not finite (None if it was finite
    everywhere).

    Arrays of numpy are as good as tensors. Their numbers, and those of tables, become float32, or float64 if float32
    would merge different ones, such as counts near 123,456,789.

    Args:
        signal: input features of the nodes over time, floats; or a table of pandas or polars with a column per node,
            whose empty cells are missing. Its times, the names of its columns and of features are those of the graph
            unless others are given.
        edge_index: edges of the graph, or a list of edges, one per step.
        edge_weight: weights of the edges, or a list of weights, one per step; None: all 1.
        mask: True where the targets were observed; None: everywhere.
        targets: values to forecast; None: the first feature of the signal (a view).
        timestamps: one per step, increasing: datetime64, datetimes, text, an index of pandas and others, see
            :func:`seqgnn.data.times.parse_times`.
        nodes: N distinct names, as text: bytes are decoded.
        features: F distinct names of features.
        positions: longitude and latitude of the nodes.
        name: name of the data set.
        units: units of the targets, such as "miles per hour"; None: unknown.

    Shapes:
        signal ``[T, N]`` or ``[T, N, F]`` (stored as the latter); edge_index ``[2, E]``; edge_weight ``[E]``; mask
        ``[T, N]`` or ``[T, N, C]`` (stored as the latter); targets ``[T, N]`` or ``[T, N, C]`` (stored as the latter);
        positions ``[N, 2]``.

    Raises:
        ValueError: if shapes do not match, edges have invalid nodes, timestamps are invalid or do not increase, units
            are not a non-empty line of text, or values are not finite where they must be.

    Example:
        >>> graph = TemporalGraph(torch.arange(12.0).view(6, 2, 1), torch.tensor([[0], [1]]))
        >>> train, val, test = graph.split(0.5, 0.2, 0.3)
        >>> train, len(train.windows(lags=2))
        (TemporalGraph(steps=3, nodes=2, features=1, edges=1), 1)
    """

    signal: Tensor
    edge_index: Tensor | tuple[Tensor, ...]
    edge_weight: Tensor | tuple[Tensor, ...] | None
    mask: Tensor | None
    known: Tensor | None
    targets: Tensor
    time: TimeAxis | None
    nodes: tuple[str, ...] | None
    features: tuple[str, ...] | None
    positions: Tensor | None
    name: str | None
    units: str | None

    def __init__(
        self,
        signal: Any,
        edge_index: Any,
        edge_weight: Any = None,
        *,
        mask: Any = None,
        targets: Any = None,
        timestamps: Any = None,
        nodes: Iterable[Any] | None = None,
        features: Iterable[Any] | None = None,
        positions: Any = None,
        name: str | None = None,
        units: str | None = None,
    ) -> None:
        signal, observed, times, columns, channels = read_series("signal", signal)
        check_values("signal", signal)
        if targets is not None:
            targets, observed, *_ = read_series("targets", targets)
            check_values("targets", targets, signal)
        mask = checked_mask(as_tensor(mask), signal, 1 if targets is None else targets.size(-1))
        mask = mask if observed is None else observed if mask is None else mask & observed
        node_names = as_names(columns if nodes is None else nodes, "node")
        feature_names = as_names(channels if features is None else features, "feature")
        known = signal.isfinite()
        complete = bool(known.all())
        if targets is None:
            signal = signal if complete else finite("signal", signal, mask, node_names, 1)
            targets = signal[..., :1]
        else:
            signal = signal if complete else signal.masked_fill(~known, 0)
            targets = finite("targets", targets, mask, node_names)
        edges, weights = checked_graphs(as_edges(edge_index), as_weights(edge_weight), signal)
        self.__dict__.update(signal=signal, targets=targets, mask=mask, edge_index=edges, edge_weight=weights)
        self.__dict__.update(known=None if complete else known)
        self.__dict__.update(nodes=checked_names(node_names, signal.size(1), "node"))
        self.__dict__.update(features=checked_names(feature_names, signal.size(2), "feature"))
        self.__dict__.update(positions=checked_positions(as_tensor(positions), signal))
        self.__dict__.update(time=checked_times(times if timestamps is None else timestamps, len(signal)))
        self.__dict__.update(name=name, units=checked_units(units))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{CALLER} is immutable, got an assignment to {name!r}; create a new one")

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def num_nodes(self) -> int:
        """The number of nodes, N."""
        return self.signal.size(1)

    @property
    def num_features(self) -> int:
        """The number of features of the signal, F."""
        return self.signal.size(2)

    @property
    def num_targets(self) -> int:
        """The number of target channels, C."""
        return self.targets.size(2)

    @property
    def timestamps(self) -> np.ndarray | None:
        """The times that clocks show, `[T]`, datetime64; :attr:`time` also has time zones."""
        return None if self.time is None else self.time.times.wall_clock

    def steps(self, start: int, stop: int) -> "TemporalGraph":
        """Return the steps `start` to `stop - 1`, as views.

        Raises:
            ValueError: unless ``0 <= start < stop <= T``.
        """
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"{CALLER}: expected 0 <= start < stop <= {len(self)}, got {start} and {stop}")
        part = slice(start, stop)
        return self._with(
            signal=self.signal[part],
            targets=self.targets[part],
            mask=None if self.mask is None else self.mask[part],
            known=None if self.known is None else self.known[part],
            edge_index=self.edge_index[part] if isinstance(self.edge_index, tuple) else self.edge_index,
            edge_weight=self.edge_weight[part] if isinstance(self.edge_weight, tuple) else self.edge_weight,
            time=None if self.time is None else self.time.part(part),
        )

    def split(
        self, train: PartSize, val: PartSize, test: PartSize, gap: int = 0
    ) -> tuple["TemporalGraph", "TemporalGraph", "TemporalGraph"]:
        """Return the training, validation and test parts in order of time, as disjoint views.

        Args:
            train, val, test: all fractions (floats) or all numbers of steps (ints). Fractions are rounded down; if
                their sum is 1, the test part gets the rest.
            gap: number of steps to leave out before the validation part and before the test part.

        Raises:
            ValueError: if a part is empty or the parts are longer than the series.
        """
        first, second, third = split_range(CALLER, len(self), train, val, test, gap)
        return (
            self.steps(first.start, first.stop),
            self.steps(second.start, second.stop),
            self.steps(third.start, third.stop),
        )

    def windows(self, lags: int, horizon: int = 1, stride: int = 1) -> Windows:
        """Return windows of `lags` input steps and the `horizon` steps after them, starting every `stride` steps.

        Raises:
            ValueError: if a number is below 1 or there are fewer steps than `lags + horizon`.
        """
        for name, value in (("lags", lags), ("horizon", horizon), ("stride", stride)):
            check_count(CALLER, name, value, 1)
        if lags + horizon > len(self):
            actual = f"{lags} + {horizon} of {len(self)} steps"
            raise ValueError(f"{CALLER}: expected lags + horizon to be at most the number of steps, got {actual}")
        return Windows(self, range(0, len(self) - lags - horizon + 1, stride), lags, horizon)

    def with_calendar(self, names: Sequence[str] = CALENDAR[:2]) -> "TemporalGraph":
        """Return a copy with calendar features appended to the features of every node: sine and cosine of the time of
        day, day of the week or day of the year; see `calendar_features`. The targets do not change.

        Raises:
            ValueError: without timestamps, or for an unknown name.
        """
        if self.timestamps is None:
            raise ValueError(f"{CALLER}: expected timestamps for calendar features, got none")
        calendar = calendar_features(self.timestamps, names).to(self.signal)
        features = calendar[:, None].expand(-1, self.num_nodes, -1)
        signal = torch.cat([self.signal, features], dim=-1)
        return self._with(
            signal=signal,
            known=None if self.known is None else torch.cat([self.known, features.isfinite()], dim=-1),
            features=None if self.features is None else (*self.features, *calendar_names(names)),
            targets=signal[..., : self.num_targets] if self._targets_are_first_features else self.targets,
        )

    def fill_gaps(self) -> "TemporalGraph":
        """Return a copy without gaps in time. Inserted steps are 0 in the signal and False in the mask, and have the
        graph of the previous step. Call this before `windows`, which ignores gaps in time.

        Raises:
            ValueError: without timestamps, if the time of a step is not in the calendar of the others, or if all steps
                would take more than 1 GiB and 100 times the memory of those that there are.
        """
        if self.time is None:
            raise ValueError(f"{CALLER}: expected timestamps to find gaps, got none")
        size = 16 + self.num_nodes * (self.num_features * (self.signal.element_size() + 1) + self.num_targets)
        time, places = self.time.filled(CALLER, unpacked_limit(size * len(self)) // size)
        steps, indices = len(time), torch.from_numpy(places)
        sources = np.searchsorted(places, np.arange(steps), side="right") - 1

        def fill(values: Tensor) -> Tensor:
            filled = values.new_zeros(steps, *values.shape[1:])
            filled[indices.to(values.device)] = values
            return filled

        signal = fill(self.signal)
        observed = torch.ones_like(self.targets, dtype=torch.bool) if self.mask is None else self.mask
        edges, weights = self.edge_index, self.edge_weight
        return self._with(
            signal=signal,
            targets=signal[..., : self.num_targets] if self._targets_are_first_features else fill(self.targets),
            mask=fill(observed),
            known=fill(torch.ones_like(self.signal, dtype=torch.bool) if self.known is None else self.known),
            edge_index=tuple(edges[i] for i in sources) if isinstance(edges, tuple) else edges,
            edge_weight=tuple(weights[i] for i in sources) if isinstance(weights, tuple) else weights,
            time=time,
        )

    def to(self, device: str | torch.device) -> "TemporalGraph":
        """Return a copy on a device; its windows are then gathered on that device."""

        def move(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return value.to(device) if isinstance(value, Tensor) else value

        signal = move(self.signal)
        return self._with(
            signal=signal,
            targets=signal[..., : self.num_targets] if self._targets_are_first_features else move(self.targets),
            mask=move(self.mask),
            known=move(self.known),
            edge_index=move(self.edge_index),
            edge_weight=move(self.edge_weight),
            positions=move(self.positions),
        )

    @property
    def _targets_are_first_features(self) -> bool:
        """True if the targets are the first features of the signal, as a view."""
        targets, signal = self.targets, self.signal
        same_memory = targets.data_ptr() == signal.data_ptr() and targets.stride() == signal.stride()
        return same_memory and targets.dtype == signal.dtype

    def _with(self, **changes: Any) -> "TemporalGraph":
        """Return a copy with changed attributes, without checks."""
        graph = copy.copy(self)
        graph.__dict__.update(changes)
        return graph

    def __repr__(self) -> str:
        dynamic = isinstance(self.edge_index, tuple)
        edges = "one graph per step" if dynamic else f"edges={self.edge_index.size(1)}"  # type: ignore[union-attr]
        name = "" if self.name is None else f"{self.name!r}, "
        return f"{CALLER}({name}steps={len(self)}, nodes={self.num_nodes}, features={self.num_features}, {edges})"
