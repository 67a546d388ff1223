"""A signal on a graph over time: values at nodes, edges that stay or change, and what was never observed."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data._temporal_validation import (
    WHO,
    check_values,
    checked_graphs,
    checked_mask,
    checked_nodes,
    checked_positions,
    checked_timestamps,
    checked_units,
    finite,
)
from seqgnn.data.transforms.calendar import CALENDAR, calendar_features
from seqgnn.data.transforms.splits import Share, split_range
from seqgnn.data.windows import Windows


class TemporalGraph:
    """Values at the nodes of a graph, step by step. Nothing of it changes; parts of it are views.

    Args:
        signal: what models read, floats.
        edge_index: of the graph, or one a step.
        edge_weight: one an edge, or a list of them, one a step; None: all 1.
        mask: True where the targets were observed; None: everywhere.
        targets: what is to be forecast; None: the signal's first feature, as a view.
        timestamps: one a step, strictly increasing, as numpy's datetime64 or what it takes; kept to the second.
        nodes: N distinct names.
        positions: longitude and latitude of the nodes.
        name: of the data set.
        units: of the targets, in words, such as "miles per hour"; None: not known.

    Shapes:
        signal ``[T, N, F]``; edge_index ``[2, E]``; edge_weight ``[E]``; mask ``[T, N]`` or ``[T, N, C]`` (kept as the
        latter); targets ``[T, N, C]``; positions ``[N, 2]``.

    Raises:
        ValueError: for anything of another shape or size, edges to nodes that there are not, timestamps that do not
            increase, units that are no text or empty, and for values that are not finite: in targets where the mask
            says that they were observed, in the signal unless no target of that node and step was. Those that are
            allowed are kept as 0, and remembered in `known`, `[T, N, F]`: False where the signal was no finite number;
            None where it was everywhere.

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
    timestamps: np.ndarray | None
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
        self.__dict__.update(timestamps=checked_timestamps(timestamps, len(signal)))
        self.__dict__.update(name=name, units=checked_units(units))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{WHO}: expected nothing to be assigned, got {name!r}; make another one")

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.signal.size(1)

    @property
    def num_features(self) -> int:
        """F, of the signal."""
        return self.signal.size(2)

    @property
    def num_targets(self) -> int:
        """C, of the targets."""
        return self.targets.size(2)

    @property
    def period(self) -> np.timedelta64 | None:
        """The most common time between two steps, the shortest of such; None without two timestamps."""
        if self.timestamps is None or len(self) < 2:
            return None
        lengths, counts = np.unique(np.diff(self.timestamps), return_counts=True)
        return lengths[counts.argmax()]

    def steps(self, start: int, stop: int) -> "TemporalGraph":
        """The steps from `start` up to and without `stop`, as views.

        Raises:
            ValueError: unless ``0 <= start < stop <= T``.
        """
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"{WHO}: expected 0 <= start < stop <= {len(self)}, got {start} and {stop}")
        part = slice(start, stop)
        return self._with(
            signal=self.signal[part],
            targets=self.targets[part],
            mask=None if self.mask is None else self.mask[part],
            known=None if self.known is None else self.known[part],
            edge_index=self.edge_index[part] if isinstance(self.edge_index, tuple) else self.edge_index,
            edge_weight=self.edge_weight[part] if isinstance(self.edge_weight, tuple) else self.edge_weight,
            timestamps=None if self.timestamps is None else self.timestamps[part],
        )

    def split(
        self, train: Share, val: Share, test: Share, gap: int = 0
    ) -> tuple["TemporalGraph", "TemporalGraph", "TemporalGraph"]:
        """Training, validation and test in time, as views without a step in common.

        Args:
            train, val, test: all fractions (floats) or all numbers of steps (ints). Fractions are rounded down; if
                their sum is 1, the test part gets the rest.
            gap: steps to leave out before validation, and as many before the test part.

        Raises:
            ValueError: for parts that overlap, are empty, or are more than there is.
        """
        first, second, third = split_range(WHO, len(self), train, val, test, gap)
        return (
            self.steps(first.start, first.stop),
            self.steps(second.start, second.stop),
            self.steps(third.start, third.stop),
        )

    def windows(self, lags: int, horizon: int = 1, stride: int = 1) -> Windows:
        """All windows of `lags` steps to read and the `horizon` steps after them, every `stride` steps one.

        Raises:
            ValueError: for numbers below 1, and if there are fewer steps than `lags + horizon`.
        """
        for name, value in (("lags", lags), ("horizon", horizon), ("stride", stride)):
            check_count(WHO, name, value, 1)
        if lags + horizon > len(self):
            found = f"{lags} + {horizon} of {len(self)} steps"
            raise ValueError(f"{WHO}: expected lags + horizon to be at most the number of steps, got {found}")
        return Windows(self, range(0, len(self) - lags - horizon + 1, stride), lags, horizon)

    def with_calendar(self, names: Sequence[str] = CALENDAR[:2]) -> "TemporalGraph":
        """The same with sine and cosine of where in the day or week (or year) a step lies, as features of every node
        behind those there are; see `calendar_features`. The targets stay.

        Raises:
            ValueError: without timestamps, and for names that there are not.
        """
        if self.timestamps is None:
            raise ValueError(f"{WHO}: expected timestamps for a calendar, got none")
        calendar = calendar_features(self.timestamps, names).to(self.signal)
        told = calendar[:, None].expand(-1, self.num_nodes, -1)
        signal = torch.cat([self.signal, told], dim=-1)
        return self._with(
            signal=signal,
            known=None if self.known is None else torch.cat([self.known, told.isfinite()], dim=-1),
            targets=signal[..., : self.num_targets] if self._read_too else self.targets,
        )

    def fill_gaps(self) -> "TemporalGraph":
        """The same with a step at every period: those that were left out are missing, 0 in the signal and False in the
        mask, with the graph of the step before. Windows take steps as they come, however far apart.

        Raises:
            ValueError: without timestamps, and for steps that are not whole periods apart.
        """
        if self.timestamps is None or self.period is None:
            raise ValueError(f"{WHO}: expected timestamps to find gaps in, got none")
        periods = (self.timestamps - self.timestamps[0]) / self.period
        if (odd := np.flatnonzero(periods % 1)).size:
            found = f"{self.timestamps[odd[0]]} at step {odd[0]}"
            raise ValueError(f"{WHO}: expected steps whole periods of {self.period} apart, got {found}")
        places = periods.astype(np.int64)
        steps = int(places[-1]) + 1
        before = np.searchsorted(places, np.arange(steps), side="right") - 1

        def spread(values: Tensor) -> Tensor:
            found = values.new_zeros(steps, *values.shape[1:])
            found[torch.from_numpy(places).to(values.device)] = values
            return found

        signal = spread(self.signal)
        seen = torch.ones_like(self.targets, dtype=torch.bool) if self.mask is None else self.mask
        edges, weights = self.edge_index, self.edge_weight
        return self._with(
            signal=signal,
            targets=signal[..., : self.num_targets] if self._read_too else spread(self.targets),
            mask=spread(seen),
            known=spread(torch.ones_like(self.signal, dtype=torch.bool) if self.known is None else self.known),
            edge_index=tuple(edges[i] for i in before) if isinstance(edges, tuple) else edges,
            edge_weight=tuple(weights[i] for i in before) if isinstance(weights, tuple) else weights,
            timestamps=self.timestamps[0] + np.arange(steps) * self.period,
        )

    def to(self, device: str | torch.device) -> "TemporalGraph":
        """The same on a device, to where it is copied once; windows of it are made there."""

        def move(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return value.to(device) if isinstance(value, Tensor) else value

        signal = move(self.signal)
        return self._with(
            signal=signal,
            targets=signal[..., : self.num_targets] if self._read_too else move(self.targets),
            mask=move(self.mask),
            known=move(self.known),
            edge_index=move(self.edge_index),
            edge_weight=move(self.edge_weight),
            positions=move(self.positions),
        )

    @property
    def _read_too(self) -> bool:
        """Whether the targets are the signal's first features, as a view."""
        one, other = self.targets, self.signal
        return one.data_ptr() == other.data_ptr() and one.stride() == other.stride() and one.dtype == other.dtype

    def _with(self, **changes: Any) -> "TemporalGraph":
        """A copy with other attributes, which are taken as checked."""
        other = copy.copy(self)
        other.__dict__.update(changes)
        return other

    def __repr__(self) -> str:
        dynamic = isinstance(self.edge_index, tuple)
        edges = "one graph a step" if dynamic else f"edges={self.edge_index.size(1)}"  # type: ignore[union-attr]
        name = "" if self.name is None else f"{self.name!r}, "
        return f"{WHO}({name}steps={len(self)}, nodes={self.num_nodes}, features={self.num_features}, {edges})"
