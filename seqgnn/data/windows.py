"""Windows on a temporal graph: a range of starts, whatever their number; what a model reads is made when asked for."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler
from torch.utils.data._utils.collate import default_collate_fn_map

from seqgnn._utils.validation import check_count
from seqgnn.data.transforms.splits import Share, split_range

Graphs = Tensor | list[Tensor]


class StepsOfGraph(Protocol):
    """What windows need of a :class:`seqgnn.data.TemporalGraph`."""

    signal: Tensor
    targets: Tensor
    mask: Tensor | None
    edge_index: Tensor | tuple[Tensor, ...]
    edge_weight: Tensor | tuple[Tensor, ...] | None

    @property
    def num_nodes(self) -> int: ...

    @property
    def num_targets(self) -> int: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """B windows on a graph of N nodes.

    Attributes:
        x: the past, `[lags, B, N, F]`.
        y: the future, `[horizon, B, N, C]`.
        mask: True where `y` was observed, of its shape; None: everywhere.
        edge_index: `[2, E]`, the one graph of all; or, where each step has its own, a list of `lags`, each the disjoint
            union over the windows, where node `b * N + n` is node n of window b: for `x` as `[lags, B * N, F]`.
        edge_weight: likewise, or None.
        start: `[B]`, the step at which each window begins, in the graph that the windows are of.
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None
    edge_index: Graphs
    edge_weight: Graphs | None
    start: Tensor

    @property
    def num_graphs(self) -> int:
        """B."""
        return self.x.size(1)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> "WindowBatch":
        """The same on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "WindowBatch":
        """The same in page-locked memory; what a DataLoader with `pin_memory=True` calls."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "WindowBatch":
        def changed(value: Any) -> Any:
            if isinstance(value, list):
                return list(map(changed, value))
            return None if value is None else change(value)

        return WindowBatch(**{name: changed(value) for name, value in vars(self).items()})


class Windows(Dataset[WindowBatch]):
    """Windows of `lags` steps to read and the `horizon` steps after them. Nothing is copied until a batch is made.

    torch's `DataLoader` makes the batches of :meth:`batch` of them, also through `Subset`, `random_split` and
    `ConcatDataset`.

    Args:
        graph: what they are of; see :meth:`seqgnn.data.TemporalGraph.windows`.
        starts: the steps at which they begin, increasing.
        lags, horizon: steps, at least 1.

    Raises:
        ValueError: for windows that do not lie in the graph, and if there is none.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> graph = TemporalGraph(torch.arange(20.0).view(10, 2, 1), torch.tensor([[0], [1]]))
        >>> windows = graph.windows(lags=3, horizon=2)
        >>> len(windows), windows.batch([0, 5]).x.shape, windows[5].y.flatten().tolist()
        (6, torch.Size([3, 2, 2, 1]), [16.0, 17.0, 18.0, 19.0])
    """

    def __init__(self, graph: StepsOfGraph, starts: range, lags: int, horizon: int = 1) -> None:
        check_count("Windows", "lags", lags, 1)
        check_count("Windows", "horizon", horizon, 1)
        if not isinstance(starts, range) or not starts or starts.step < 1:
            raise ValueError(f"Windows: expected starts as an increasing range, not empty, got {starts!r}")
        if starts[0] < 0 or starts[-1] + lags + horizon > len(graph):
            found = f"starts {starts[0]} to {starts[-1]}, lags {lags}, horizon {horizon}"
            raise ValueError(f"Windows: expected windows within the {len(graph)} steps, got {found}")
        self.graph, self.starts, self.lags, self.horizon = graph, starts, lags, horizon

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def steps(self) -> range:
        """The steps that the windows touch, those to read and those to forecast."""
        return range(self.starts[0], self.starts[-1] + self.lags + self.horizon)

    def __getitem__(self, index: int) -> WindowBatch:
        """One window, B = 1, as views."""
        start = self.starts[operator.index(index)]
        now, end = start + self.lags, start + self.lags + self.horizon
        graph = self.graph
        return WindowBatch(
            graph.signal[start:now, None],
            graph.targets[now:end, None],
            None if graph.mask is None else graph.mask[now:end, None],
            list(graph.edge_index[start:now]) if isinstance(graph.edge_index, tuple) else graph.edge_index,
            list(graph.edge_weight[start:now]) if isinstance(graph.edge_weight, tuple) else graph.edge_weight,
            torch.tensor([start], device=graph.signal.device),
        )

    def batch(self, indices: Sequence[int] | Tensor) -> WindowBatch:
        """Windows by their indices, gathered at once.

        Raises:
            ValueError: if there is no index, or one is out of range.
        """
        chosen = torch.as_tensor(indices)
        if chosen.dim() != 1 or not len(chosen) or chosen.is_floating_point() or chosen.dtype == torch.bool:
            raise ValueError(f"Windows: expected a list of integers, not empty, got {tuple(chosen.shape)}")
        if chosen.min() < 0 or chosen.max() >= len(self):
            found = f"{int(chosen.min())} to {int(chosen.max())}"
            raise ValueError(f"Windows: expected indices from 0 to {len(self) - 1}, got {found}")
        graph = self.graph
        begins = self.starts.start + self.starts.step * chosen.cpu()
        start = begins.to(graph.signal.device)
        steps = start + torch.arange(self.lags + self.horizon, device=start.device)[:, None]
        past, future = steps.tensor_split([self.lags])
        edges, weights = graph.edge_index, graph.edge_weight
        if isinstance(edges, tuple):
            each = begins.tolist()  # of what is in main memory, so that no device is waited for
            first = range(0, len(each) * graph.num_nodes, graph.num_nodes)
            edge_index: Graphs = [_union([edges[b + lag] for b in each], first) for lag in range(self.lags)]
        else:
            edge_index = edges
        if isinstance(weights, tuple):
            edge_weight: Graphs | None = [torch.cat([weights[b + lag] for b in each]) for lag in range(self.lags)]
        else:
            edge_weight = weights
        mask = None if graph.mask is None else graph.mask[future]
        return WindowBatch(graph.signal[past], graph.targets[future], mask, edge_index, edge_weight, start)

    def __getitems__(self, indices: Sequence[int]) -> "_Chosen":
        """What a DataLoader collates."""
        return _Chosen(self, indices)

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        num_workers: int = 0,
    ) -> "DataLoader[WindowBatch]":
        """Batches of all windows, in order or shuffled; the order does not depend on the number of workers.

        Args:
            batch_size: windows; the last batch has what is left.
            shuffle: whether to draw an order for each pass.
            generator: of these draws; needed to shuffle.
            num_workers: processes that make batches; none for a graph that is not in main memory.

        Raises:
            ValueError: for sizes out of range, to shuffle without a generator, and for workers beside another device.
        """
        check_count("Windows", "batch_size", batch_size, 1)
        check_count("Windows", "num_workers", num_workers, 0)
        if shuffle and generator is None:
            raise ValueError("Windows: expected a generator to shuffle by, got None")
        if num_workers and self.graph.signal.device.type != "cpu":
            raise ValueError(
                f"Windows: expected no workers for a graph on {self.graph.signal.device}, got {num_workers}"
            )
        sampler = RandomSampler(self, generator=generator) if shuffle else SequentialSampler(self)
        # Workers draw a seed from the loader's generator, which therefore is not the sampler's, nor everybody's.
        own = torch.Generator().manual_seed(0)
        return DataLoader(
            self, batch_size, sampler=sampler, num_workers=num_workers, collate_fn=_collate, generator=own
        )

    def split(self, train: Share, val: Share, test: Share, gap: int = 0) -> tuple["Windows", "Windows", "Windows"]:
        """Training, validation and test by windows in time, as protocols that count windows do.

        What a later part reads may lie in the one before, what it forecasts does not: windows at the end of a part
        whose future reaches that of the next part are left out of it (`horizon - 1` at stride 1, without a gap).

        Args:
            train, val, test: all fractions (floats) or all numbers of windows (ints), as for `TemporalGraph.split`.
            gap: windows to leave out before validation, and as many before the test part.

        Raises:
            ValueError: for parts that overlap, are empty, or are more than there is.
        """
        parts = split_range("Windows", len(self), train, val, test, gap)
        starts = [self.starts[part.start : part.stop] for part in parts]
        for i in (0, 1):
            last = starts[i + 1][0] - self.horizon  # the last start whose future ends before the next part's begins
            starts[i] = range(starts[i].start, min(starts[i].stop, last + 1), starts[i].step)
            if not starts[i]:
                found = f"{len(parts[i])} windows with a horizon of {self.horizon}"
                raise ValueError(f"Windows: expected a part with a future of its own, got {found}")
        first, second, third = (Windows(self.graph, part, self.lags, self.horizon) for part in starts)
        return first, second, third

    def __repr__(self) -> str:
        return f"Windows({len(self)} of {self.graph!r}, lags={self.lags}, horizon={self.horizon})"


class _Chosen:
    """Windows by their indices, each made when asked for; collated, they are gathered at once."""

    def __init__(self, windows: Windows, indices: Sequence[int]) -> None:
        self.windows, self.indices = windows, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> WindowBatch:
        return self.windows[self.indices[place]]


def _collate(windows: _Chosen | Sequence[WindowBatch], *, collate_fn_map: Any = None) -> WindowBatch:
    """One batch of windows, as a DataLoader collates them."""
    return windows.windows.batch(windows.indices) if isinstance(windows, _Chosen) else _concatenate(windows)


default_collate_fn_map[WindowBatch] = _collate


def _concatenate(parts: Sequence[WindowBatch]) -> WindowBatch:
    """One batch of all windows, which may come from several graphs over time with the same nodes.

    Raises:
        ValueError: for windows of different sizes, and for different graphs, unless each step has its own.
    """
    shapes = {tuple(tuple(x.shape[:1] + x.shape[2:]) for x in (part.x, part.y)) for part in parts}
    if len(shapes) > 1:
        expected = "windows of one shape, x [lags, N, F] and y [horizon, N, C]"
        raise ValueError(f"WindowBatch: expected {expected}, got {sorted(shapes)}")
    masks = None
    if any(part.mask is not None for part in parts):
        masks = [torch.ones_like(part.y, dtype=torch.bool) if part.mask is None else part.mask for part in parts]
    edge_index, edge_weight = _common_graph(parts)
    return WindowBatch(
        torch.cat([part.x for part in parts], dim=1),
        torch.cat([part.y for part in parts], dim=1),
        None if masks is None else torch.cat(masks, dim=1),
        edge_index,
        edge_weight,
        torch.cat([part.start for part in parts]),
    )


def _common_graph(parts: Sequence[WindowBatch]) -> tuple[Graphs, Graphs | None]:
    """The graph that the windows share, or their disjoint union at every step."""
    edges, weights = [part.edge_index for part in parts], [part.edge_weight for part in parts]
    if all(isinstance(graphs, list) for graphs in edges) and len({weight is None for weight in weights}) == 1:
        first = list(accumulate((part.num_graphs * part.x.size(2) for part in parts), initial=0))
        union = [_union(step, first) for step in zip(*edges)]
        return union, None if weights[0] is None else [torch.cat(step) for step in zip(*weights)]
    if not all(_equal(one, edges[0]) for one in edges) or not all(_equal(one, weights[0]) for one in weights):
        expected = "windows on the same graph, or each with a graph a step"
        raise ValueError(f"WindowBatch: expected {expected}, got different edge_index or edge_weight")
    return edges[0], weights[0]


def _equal(one: Graphs | None, other: Graphs | None) -> bool:
    return one is other or (isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other))


def _union(graphs: Sequence[Tensor], first: Sequence[int]) -> Tensor:
    """Graphs as one, the nodes of each counted on from its first."""
    return torch.cat([edges + node for edges, node in zip(graphs, first)], dim=1)
