"""A recurrent cell over a directed acyclic graph in topological order, all graphs of a batch level by level."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqgnn._utils import torch_internals
from seqgnn._utils.arrays import distinct
from seqgnn._utils.torch_internals import to_list
from seqgnn._utils.validation import check_dense, describe, shown
from seqgnn.nn.graph.adjacency import unwrap
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import Layer, layer_call, refuse_script
from seqgnn.nn.recurrent.plain import PLAIN_LAYERS


@dataclass(frozen=True)
class Level:
    """The nodes whose longest path from a source has the same number of edges.

    Attributes:
        nodes: `[n]`.
        groups: for each earlier level with edges into this one, its number, the indices of their sources among its
            nodes, and of their targets among the nodes of this level.
    """

    nodes: Tensor
    groups: tuple[tuple[int, Tensor, Tensor], ...]


def levels_of(caller: str, edge_index: Tensor | PreparedGraph, x: Tensor) -> list[Level]:
    """Return the levels of a graph on the nodes of x `[N, F]`, the sources first; cached with `edge_index`.

    Raises:
        ValueError: for x or edges of another rank, dtype or device, for indices out of range, and for a cycle, naming
            one.
    """
    if isinstance(x, Tensor):
        check_dense(caller, "the input", x)
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise ValueError(f"{caller}: expected x of shape [N, F], got {describe(x)}")
    if isinstance(edge_index, PreparedGraph) and edge_index.num_nodes != len(x):
        raise ValueError(f"{caller}: expected x of {edge_index.num_nodes} nodes, as the graph has, got {describe(x)}")
    if torch_internals.is_exporting():
        hint = "its loop follows the edges, which an exported program cannot"
        raise ValueError(f"{caller}: expected an eager call: {hint}")
    edges = edge_index.edge_index if isinstance(edge_index, PreparedGraph) else unwrap(edge_index)
    if isinstance(edges, Tensor):
        check_dense(caller, "edge_index", edges)
    if not isinstance(edges, Tensor) or edges.dim() != 2 or edges.size(0) != 2:
        raise ValueError(f"{caller}: expected edge_index of shape [2, E], got {describe(edges)}")
    if edges.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{caller}: expected edge_index of dtype torch.int64, got {edges.dtype}")
    if edges.device != x.device:
        raise ValueError(f"{caller}: expected edge_index on {x.device}, where x is, got {edges.device}")
    return tensor_cache.get((edges,), ("levels", len(x)), partial(_find_levels, caller, edges, len(x)))


def _find_levels(caller: str, edge_index: Tensor, num_nodes: int) -> list[Level]:
    source, target = np.array(to_list(edge_index), dtype=np.int64).reshape(2, -1)
    if source.size and not (min(source.min(), target.min()) >= 0 and max(source.max(), target.max()) < num_nodes):
        raise ValueError(
            f"{caller}: expected node indices in 0..{num_nodes - 1}, got {edge_index.min()}..{edge_index.max()}"
        )
    order = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[order], np.arange(num_nodes + 1))
    waiting = np.bincount(target, minlength=num_nodes)
    level, place = np.full(num_nodes, -1), np.zeros(num_nodes, dtype=np.int64)
    ready = np.flatnonzero(waiting == 0)
    rows: list[np.ndarray] = []
    while ready.size or not rows:  # without nodes there is one level, an empty one
        level[ready], place[ready] = len(rows), np.arange(ready.size)
        rows.append(ready)
        count = starts[ready + 1] - starts[ready]
        outgoing = np.repeat(starts[ready] - np.cumsum(count) + count, count) + np.arange(count.sum())
        reached = target[order[outgoing]]
        np.subtract.at(waiting, reached, 1)
        ready = distinct(reached[waiting[reached] == 0])
    if (level < 0).any():
        raise ValueError(f"{caller}: expected a graph without cycles, got {_cycle(source, target, level < 0)}")

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(edge_index.device)

    by_levels = np.lexsort((level[source], level[target]))
    source, target = source[by_levels], target[by_levels]
    borders = np.flatnonzero(np.diff(level[source] + num_nodes * level[target])) + 1
    groups: list[list[tuple[int, Tensor, Tensor]]] = [[] for _ in rows]
    for sources, targets in zip(np.split(source, borders), np.split(target, borders)):
        if sources.size:
            groups[level[targets[0]]].append((int(level[sources[0]]), tensor(place[sources]), tensor(place[targets])))
    return [Level(tensor(nodes), tuple(group)) for nodes, group in zip(rows, groups)]


def _cycle(source: np.ndarray, target: np.ndarray, left: np.ndarray) -> str:
    """Return a cycle among the nodes that are left, each of which has a predecessor among them."""
    predecessor = {int(t): int(s) for s, t in zip(source, target) if left[s] and left[t]}
    path = [next(iter(predecessor))]
    while path.count(path[-1]) < 2:
        path.append(predecessor[path[-1]])
    start = path.index(path[-1])
    return " -> ".join(map(str, reversed(path[start:])))


class DAGRecurrent(Layer):
    r"""A recurrent cell over a directed acyclic graph, as it would run over a sequence.

    .. math::
        s_j = \mathrm{cell}\Big(x_j, \sum_{i \to j} s_i\Big)

    Edge (i, j) means that j comes after i; the states of all predecessors are added (an LSTM's c as well as its h), and
    without predecessors the state is zero. The nodes of one level, whose longest paths from a source are equally long,
    are one step, those of all graphs of a batch together. On a path this is the plain layer.

    Args:
        cell: called as ``cell(x [n, F], state) -> state``, with h ``[n, H]`` or (h, c), and None for no state, such as
            :class:`seqgnn.nn.LSTMCell`; for :class:`TreeLSTMCell`, which sees each child, there is :class:`TreeLSTM`.

    Shapes:
        ``x [N, F]`` -> output h ``[N, H]``, and the state of every node, h or (h, c).

    Raises:
        ValueError: for inputs that do not fit, and for a cycle, naming one.

    Example:
        >>> from seqgnn.nn import GRUCell
        >>> layer = DAGRecurrent(GRUCell(2, 8))
        >>> layer(torch.randn(4, 2), torch.tensor([[0, 1, 0, 2], [1, 3, 2, 3]]))[0].shape
        torch.Size([4, 8])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        if not isinstance(cell, nn.Module):
            raise ValueError(f"DAGRecurrent: expected a cell, such as GRUCell(2, 8), got {shown(cell)}")
        if isinstance(cell, PLAIN_LAYERS):
            instead = f"{type(cell).__name__}Cell({cell.input_size}, {cell.hidden_size})"
            raise ValueError(f"DAGRecurrent: expected a cell, such as {instead}, got a layer over time, {shown(cell)}")
        self.cell = cell

    @layer_call
    def forward(self, x: Tensor, edge_index: Tensor | PreparedGraph) -> tuple[Tensor, Any]:
        levels = levels_of("DAGRecurrent", edge_index, x)
        # Not a scan over time: levels have different numbers of nodes, with states from several earlier levels.
        states: list[tuple[Tensor, ...]] = []
        is_tuple = False
        for level in levels:
            state: Any = None
            if level.groups:
                parts = range(len(states[0]))
                sums = [states[0][k].new_zeros(len(level.nodes), states[0][k].size(1)) for k in parts]
                for earlier, sources, targets in level.groups:
                    messages = [states[earlier][k][sources].to(sums[k].dtype) for k in parts]
                    sums = [total.index_add(0, targets, part) for total, part in zip(sums, messages)]
                state = tuple(sums) if is_tuple else sums[0]
            after = self.cell(x[level.nodes], state)
            is_tuple = not isinstance(after, Tensor)
            states.append((after,) if isinstance(after, Tensor) else tuple(after))
        order = torch.cat([level.nodes for level in levels]).argsort()
        last = tuple(torch.cat(parts)[order] for parts in zip(*states))
        return last[0], last if is_tuple else last[0]
