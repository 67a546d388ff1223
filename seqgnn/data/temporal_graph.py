"""Time series on the nodes of a graph, with fixed or changing edges and a mask of observed values."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data._temporal_validation import (
    CALLER,
    check_values,
    checked_graphs,
    checked_mask,
    checked_nodes,
    checked_positions,
    checked_times,
    checked_units,
    finite,
)
from seqgnn.data.times import TimeAxis
from seqgnn.data.transforms.calendar import CALENDAR, calendar_features
from seqgnn.data.transforms.splits import PartSize, split_range
from seqgnn.data.windows import Windows


class TemporalGraph:
    """Time series at the nodes of a graph. Immutable; parts of it are views.

    Targets may be NaN or infinite where the mask is False, and the signal where no target of that node and step was
    observed. Such values are stored as 0. `known`, `[T, N, F]`, is False where the signal was not finite (None if it
    was finite everywhere).

    Args:
        signal: input features of the nodes over time, floats.
        edge_index: edges of the graph, or a list of edges, one per step.
        edge_weight: weights of the edges, or a list of weights, one per step; None: all 1.
        mask: True where the targets were observed; None: everywhere.
        targets: values to forecast; None: the first feature of the signal (a view).
        timestamps: one per step, increasing: datetime64, datetimes, text, an index of pandas and others, see
            :func:`seqgnn.data.times.parse_times`.
        nodes: N distinct names.
        positions: longitude and latitude of the nodes.
        name: name of the data set.
        units: units of the targets, such as "miles per hour"; None: unknown.

    Shapes:
        signal ``[T, N, F]``; edge_index ``[2, E]``; edge_weight ``[E]``; mask ``[T, N]`` or ``[T, N, C]`` (stored as
        the latter); targets ``[T, N, C]``; positions ``[N, 2]``.

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
    positions: Tensor | None
    name: str | None
    units: str | None

    def __init__(
        self,
        signal: Tensor,
        edge_index: Tensor | Sequence[Tensor],
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        *,
        mask: Tensor | None = None,
        targets: Tensor | None = None,
        timestamps: Any = None,
        nodes: Sequence[str] | None = None,
        positions: Tensor | None = None,
        name: str | None = None,
        units: str | None = None,
    ) -> None:
        check_values("signal", signal)
        if targets is not None:
            check_values("targets", targets, signal)
        mask = checked_mask(mask, signal, 1 if targets is None else targets.size(-1))
        names = None if nodes is None else tuple(map(str, nodes))
        known = signal.isfinite()
        signal = finite("signal", signal, None if mask is None else mask.any(-1, keepdim=True), names)
        targets = signal[..., :1] if targets is None else finite("targets", targets, mask, names)
        edges, weights = checked_graphs(edge_index, edge_weight, signal)
        self.__dict__.update(signal=signal, targets=targets, mask=mask, edge_index=edges, edge_weight=weights)
        self.__dict__.update(known=None if known.all() else known)
        self.__dict__.update(nodes=checked_nodes(names, signal), positions=checked_positions(positions, signal))
        self.__dict__.update(time=checked_times(timestamps, len(signal)))
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
            targets=signal[..., : self.num_targets] if self._targets_are_first_features else self.targets,
        )

    def fill_gaps(self) -> "TemporalGraph":
        """Return a copy without gaps in time. Inserted steps are 0 in the signal and False in the mask, and have the
        graph of the previous step. Call this before `windows`, which ignores gaps in time.

        Raises:
            ValueError: without timestamps, or if the time of a step is not in the calendar of the others.
        """
        if self.time is None:
            raise ValueError(f"{CALLER}: expected timestamps to find gaps, got none")
        time, places = self.time.filled(CALLER)
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
