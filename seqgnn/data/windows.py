"""Windows of a temporal graph, defined by a range of first steps; batches are gathered on demand."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler

from seqgnn._utils.html import html_table
from seqgnn._utils.text import count, span
from seqgnn._utils.torch_internals import register_collate
from seqgnn._utils.validation import check_count
from seqgnn.data.times import TimeAxis
from seqgnn.data.transforms.splits import PartSize, split_range

Graphs = Tensor | list[Tensor]


class StepsOfGraph(Protocol):
    """The attributes of :class:`seqgnn.data.TemporalGraph` that windows use."""

    signal: Tensor
    targets: Tensor
    mask: Tensor | None
    edge_index: Tensor | tuple[Tensor, ...]
    edge_weight: Tensor | tuple[Tensor, ...] | None
    time: TimeAxis | None

    @property
    def num_nodes(self) -> int: ...

    @property
    def num_targets(self) -> int: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """A batch of B windows on a graph of N nodes.

    Attributes:
        x: input steps, `[lags, B, N, F]`.
        y: targets, `[horizon, B, N, C]`.
        mask: True where `y` was observed, with its shape; None: everywhere.
        edge_index: `[2, E]`, the graph that all windows share; or, with one graph per step, a list of `lags` graphs,
            each the disjoint union of the graphs of all windows at that step, in which node `b * N + n` is node n of
            window b. Use these with `x` reshaped to `[lags, B * N, F]`.
        edge_weight: weights in the same format, or None.
        start: `[B]`, the first step of each window in the temporal graph.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> graph = TemporalGraph(torch.arange(20.0).view(10, 2, 1), torch.tensor([[0], [1]]))
        >>> next(iter(graph.windows(lags=3, horizon=2).loader(4)))
        WindowBatch(4 windows; x: [3, 4, 2, 1]; y: [2, 4, 2, 1]; graph: one edge; start: 0 to 3)
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None
    edge_index: Graphs
    edge_weight: Graphs | None
    start: Tensor

    @property
    def num_graphs(self) -> int:
        """The number of windows, B."""
        return self.x.size(1)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> "WindowBatch":
        """Return a copy on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "WindowBatch":
        """Return a copy in page-locked memory, for a DataLoader with `pin_memory=True`."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "WindowBatch":
        def changed(value: Any) -> Any:
            if isinstance(value, list):
                return list(map(changed, value))
            return None if value is None else change(value)

        return WindowBatch(**{name: changed(value) for name, value in vars(self).items()})

    def _summary(self) -> dict[str, str]:
        """Return what is shown of the batch, by name."""
        edges = self.edge_index
        if isinstance(edges, list):
            graph = f"{count(len(edges), 'graph')}, {span([step.size(1) for step in edges] or [0])} edges"
        else:
            graph = count(edges.size(1), "edge")
        first, last = (int(self.start.min()), int(self.start.max())) if self.start.numel() else (0, 0)
        shown = {"x": str(list(self.x.shape)), "y": str(list(self.y.shape))}
        if self.mask is not None:
            observed = float(self.mask.float().mean()) if self.mask.numel() else 1.0
            shown["observed"] = f"{100 * observed:.1f}%"
        shown["graph"] = graph + (" with weights" if self.edge_weight is not None else "")
        shown["start"] = f"{first}" if first == last else f"{first} to {last}"
        return shown | ({} if self.x.device.type == "cpu" else {"device": str(self.x.device)})

    def __repr__(self) -> str:
        shown = "; ".join(f"{name}: {value}" for name, value in self._summary().items())
        return f"WindowBatch({count(self.num_graphs, 'window')}; {shown})"

    def _repr_html_(self) -> str:
        """Return a summary as a table, for notebooks."""
        return html_table(f"WindowBatch: {count(self.num_graphs, 'window')}", self._summary())


class Windows(Dataset[WindowBatch]):
    """Windows of `lags` input steps and the `horizon` steps after them, as a torch `Dataset`. Values are copied only
    when a batch is gathered.

    torch's `DataLoader` returns the same batches as :meth:`batch`, also with `Subset`, `random_split` and
    `ConcatDataset`.

    Args:
        graph: the temporal graph; see :meth:`seqgnn.data.TemporalGraph.windows`.
        starts: the first step of each window, increasing.
        lags, horizon: numbers of steps, at least 1.

    Raises:
        ValueError: if there is no window, or one exceeds the graph's steps.

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
            raise ValueError(f"Windows: expected starts as an increasing, non-empty range, got {starts!r}")
        if starts[0] < 0 or starts[-1] + lags + horizon > len(graph):
            actual = f"starts {starts[0]} to {starts[-1]}, lags {lags}, horizon {horizon}"
            raise ValueError(f"Windows: expected windows within the {len(graph)} steps, got {actual}")
        self.graph, self.starts, self.lags, self.horizon = graph, starts, lags, horizon

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def steps(self) -> range:
        """The steps that the windows cover, inputs and targets."""
        return range(self.starts[0], self.starts[-1] + self.lags + self.horizon)

    def __getitem__(self, index: int) -> WindowBatch:
        """Return one window (B = 1) as views."""
        start = self.starts[operator.index(index)]
        first_target, end = start + self.lags, start + self.lags + self.horizon
        graph = self.graph
        return WindowBatch(
            graph.signal[start:first_target, None],
            graph.targets[first_target:end, None],
            None if graph.mask is None else graph.mask[first_target:end, None],
            list(graph.edge_index[start:first_target]) if isinstance(graph.edge_index, tuple) else graph.edge_index,
            list(graph.edge_weight[start:first_target]) if isinstance(graph.edge_weight, tuple) else graph.edge_weight,
            torch.tensor([start], device=graph.signal.device),
        )

    def batch(self, indices: Sequence[int] | Tensor) -> WindowBatch:
        """Return a batch of the windows with the given indices.

        Raises:
            ValueError: if there is no index, or one is out of range.
        """
        index = torch.as_tensor(indices)
        if index.dim() != 1 or not len(index) or index.is_floating_point() or index.dtype == torch.bool:
            raise ValueError(f"Windows: expected a non-empty list of integers, got {tuple(index.shape)}")
        if index.min() < 0 or index.max() >= len(self):
            actual = f"{int(index.min())} to {int(index.max())}"
            raise ValueError(f"Windows: expected indices from 0 to {len(self) - 1}, got {actual}")
        graph = self.graph
        first_steps = self.starts.start + self.starts.step * index.cpu()
        start = first_steps.to(graph.signal.device)
        steps = start + torch.arange(self.lags + self.horizon, device=start.device)[:, None]
        past, future = steps.tensor_split([self.lags])
        edges, weights = graph.edge_index, graph.edge_weight
        if isinstance(edges, tuple):
            starts = first_steps.tolist()  # on the CPU, so without a device synchronization
            offsets = range(0, len(starts) * graph.num_nodes, graph.num_nodes)
            edge_index: Graphs = [_union([edges[b + lag] for b in starts], offsets) for lag in range(self.lags)]
        else:
            edge_index = edges
        if isinstance(weights, tuple):
            edge_weight: Graphs | None = [torch.cat([weights[b + lag] for b in starts]) for lag in range(self.lags)]
        else:
            edge_weight = weights
        mask = None if graph.mask is None else graph.mask[future]
        return WindowBatch(graph.signal[past], graph.targets[future], mask, edge_index, edge_weight, start)

    def __getitems__(self, indices: Sequence[int]) -> "_Selection":
        """Return a selection of windows, which a DataLoader collates."""
        return _Selection(self, indices)

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        num_workers: int = 0,
    ) -> "DataLoader[WindowBatch]":
        """Return a loader over all windows, in order or shuffled; the order does not depend on the number of workers.

        Args:
            batch_size: windows per batch; the last batch may be smaller.
            shuffle: draw a new random order in each epoch.
            generator: random generator, required for shuffling.
            num_workers: worker processes; must be 0 for a graph that is not on the CPU.

        Raises:
            ValueError: if a size is out of range, a generator is missing, or workers are requested for a graph that is
                not on the CPU.
        """
        check_count("Windows", "batch_size", batch_size, 1)
        check_count("Windows", "num_workers", num_workers, 0)
        if shuffle and generator is None:
            raise ValueError("Windows: expected a generator for shuffling, got None")
        if num_workers and self.graph.signal.device.type != "cpu":
            raise ValueError(
                f"Windows: expected no workers for a graph on {self.graph.signal.device}, got {num_workers}"
            )
        sampler = RandomSampler(self, generator=generator) if shuffle else SequentialSampler(self)
        # Seeds of workers are drawn from the loader's generator, so it must be neither the sampler's nor torch's.
        seeds = torch.Generator().manual_seed(0)
        return DataLoader(
            self, batch_size, sampler=sampler, num_workers=num_workers, collate_fn=_collate, generator=seeds
        )

    def split(
        self, train: PartSize, val: PartSize, test: PartSize, gap: int = 0
    ) -> tuple["Windows", "Windows", "Windows"]:
        """Return training, validation and test windows in order of time, for protocols that split by windows.

        The inputs of a part may overlap the previous part, but its targets do not: windows at the end of a part are
        left out if their targets overlap those of the next part (`horizon - 1` windows with stride 1 and no gap).

        Args:
            train, val, test: all fractions (floats) or all numbers of windows (ints), as for `TemporalGraph.split`.
            gap: number of windows to leave out before the validation part and before the test part.

        Raises:
            ValueError: if a part is empty or there are too few windows.
        """
        parts = split_range("Windows", len(self), train, val, test, gap)
        starts = [self.starts[part.start : part.stop] for part in parts]
        for i in (0, 1):
            last = starts[i + 1][0] - self.horizon  # the last start whose targets end before those of the next part
            starts[i] = range(starts[i].start, min(starts[i].stop, last + 1), starts[i].step)
            if not starts[i]:
                actual = f"{len(parts[i])} windows with a horizon of {self.horizon}"
                raise ValueError(f"Windows: expected a part whose targets do not overlap the next part, got {actual}")
        first, second, third = (Windows(self.graph, part, self.lags, self.horizon) for part in starts)
        return first, second, third

    def __repr__(self) -> str:
        return f"Windows({len(self)} of {self.graph!r}, lags={self.lags}, horizon={self.horizon})"


class _Selection:
    """Windows with given indices, which `_collate` gathers at once."""

    def __init__(self, windows: Windows, indices: Sequence[int]) -> None:
        self.windows, self.indices = windows, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> WindowBatch:
        return self.windows[self.indices[position]]


def _collate(windows: _Selection | Sequence[WindowBatch], *, collate_fn_map: Any = None) -> WindowBatch:
    """Collate windows for torch's DataLoader."""
    return windows.windows.batch(windows.indices) if isinstance(windows, _Selection) else _concatenate(windows)


register_collate(WindowBatch, _collate)


def _concatenate(parts: Sequence[WindowBatch]) -> WindowBatch:
    """Return one batch of windows, which may come from several temporal graphs with the same nodes.

    Raises:
        ValueError: if shapes differ, or if graphs differ and there is not one per step.
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
    """Return the graph that the windows share, or the disjoint union of their graphs at every step."""
    edges, weights = [part.edge_index for part in parts], [part.edge_weight for part in parts]
    if all(isinstance(graphs, list) for graphs in edges) and len({weight is None for weight in weights}) == 1:
        offsets = list(accumulate((part.num_graphs * part.x.size(2) for part in parts), initial=0))
        union = [_union(step, offsets) for step in zip(*edges)]
        return union, None if weights[0] is None else [torch.cat(step) for step in zip(*weights)]
    if not all(_equal(graph, edges[0]) for graph in edges) or not all(_equal(graph, weights[0]) for graph in weights):
        expected = "windows on the same graph, or each with a graph per step"
        raise ValueError(f"WindowBatch: expected {expected}, got different edge_index or edge_weight")
    return edges[0], weights[0]


def _equal(first: Graphs | None, second: Graphs | None) -> bool:
    return first is second or (isinstance(first, Tensor) and isinstance(second, Tensor) and torch.equal(first, second))


def _union(graphs: Sequence[Tensor], offsets: Sequence[int]) -> Tensor:
    """Return the disjoint union of graphs; `offsets` has the number of each graph's first node."""
    return torch.cat([edges + node for edges, node in zip(graphs, offsets)], dim=1)
