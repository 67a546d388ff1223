"""A cell walked over a directed acyclic graph in topological order, all graphs of a batch level by level."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn.errors import one_of
from seqgnn.nn import torch_internals
from seqgnn.nn.adjacency import unwrap
from seqgnn.nn.checks import check_input, check_sizes, check_state, describe
from seqgnn.nn.layer_call import Layer, layer_call, refuse_script
from seqgnn.nn.operator import PreparedGraph, last_seen, plain_tensors
from seqgnn.nn.torch_internals import to_list


@dataclass(frozen=True)
class Level:
    """The nodes whose longest way from a source has the same number of edges.

    Attributes:
        nodes: `[n]`.
        groups: for each earlier level with edges into this one, its number, the places of their sources among its nodes
            and those of their targets among the nodes here.
    """

    nodes: Tensor
    groups: tuple[tuple[int, Tensor, Tensor], ...]


def levels_of(who: str, edge_index: Tensor | PreparedGraph, x: Tensor) -> list[Level]:
    """The levels of a graph on the nodes of x `[N, F]`, the sources first; kept with `edge_index`.

    Raises:
        ValueError: for x or edges of another rank, dtype or device, for indices out of range, and for a cycle, naming
            one.
    """
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise ValueError(f"{who}: expected x of shape [N, F], got {describe(x)}")
    if isinstance(edge_index, PreparedGraph) and edge_index.num_nodes != len(x):
        raise ValueError(f"{who}: expected x of {edge_index.num_nodes} nodes, as the graph has, got {describe(x)}")
    if torch_internals.is_exporting():
        raise ValueError(f"{who}: expected an eager call: its loop follows the edges, which an exported program cannot")
    edges = edge_index.edge_index if isinstance(edge_index, PreparedGraph) else unwrap(edge_index)
    if not isinstance(edges, Tensor) or edges.dim() != 2 or edges.size(0) != 2:
        raise ValueError(f"{who}: expected edge_index of shape [2, E], got {describe(edges)}")
    if edges.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{who}: expected edge_index of dtype torch.int64, got {edges.dtype}")
    if edges.device != x.device:
        raise ValueError(f"{who}: expected edge_index on {x.device}, where x is, got {edges.device}")
    return last_seen.get((edges,), ("levels", len(x)), partial(_find_levels, who, edges, len(x)))


def _find_levels(who: str, edge_index: Tensor, num_nodes: int) -> list[Level]:
    source, target = np.array(to_list(edge_index), dtype=np.int64).reshape(2, -1)
    if source.size and not (min(source.min(), target.min()) >= 0 and max(source.max(), target.max()) < num_nodes):
        raise ValueError(
            f"{who}: expected node indices in 0..{num_nodes - 1}, got {edge_index.min()}..{edge_index.max()}"
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
        leaving = np.repeat(starts[ready] - np.cumsum(count) + count, count) + np.arange(count.sum())
        reached = target[order[leaving]]
        np.subtract.at(waiting, reached, 1)
        ready = np.unique(reached[waiting[reached] == 0])
    if (level < 0).any():
        raise ValueError(f"{who}: expected a graph without cycles, got {_cycle(source, target, level < 0)}")

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(edge_index.device)

    by_levels = np.lexsort((level[source], level[target]))
    source, target = source[by_levels], target[by_levels]
    borders = np.flatnonzero(np.diff(level[source] + num_nodes * level[target])) + 1
    groups: list[list[tuple[int, Tensor, Tensor]]] = [[] for _ in rows]
    for sources, targets in zip(np.split(source, borders), np.split(target, borders)):
        if sources.size:
            groups[level[targets[0]]].append((int(level[sources[0]]), tensor(place[sources]), tensor(place[targets])))
    return [Level(tensor(nodes), tuple(found)) for nodes, found in zip(rows, groups)]


def _cycle(source: np.ndarray, target: np.ndarray, left: np.ndarray) -> str:
    """One cycle among the nodes that are left, each of which has a predecessor there."""
    before = {int(t): int(s) for s, t in zip(source, target) if left[s] and left[t]}
    path = [next(iter(before))]
    while path.count(path[-1]) < 2:
        path.append(before[path[-1]])
    start = path.index(path[-1])
    return " -> ".join(map(str, reversed(path[start:])))


class DAGRecurrent(Layer):
    r"""A recurrent cell that walks a directed acyclic graph as it would walk a sequence.

    .. math::
        s_j = \mathrm{cell}\Big(x_j, \sum_{i \to j} s_i\Big)

    Edge (i, j) says that j comes after i; the states of all predecessors are added (an LSTM's c as well as its h), and
    where there is none the state is zero. Nodes of one level, those with equally long ways behind them, are one step,
    those of all graphs of a batch together. On a path this is the plain layer.

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
            raise ValueError(f"DAGRecurrent: expected a cell, such as GRUCell(2, 8), got {cell!r}")
        if isinstance(cell, nn.RNNBase):
            instead = f"{type(cell).__name__}Cell({cell.input_size}, {cell.hidden_size})"
            raise ValueError(f"DAGRecurrent: expected a cell, such as {instead}, got a layer over time, {cell!r}")
        self.cell = cell

    @layer_call
    def forward(self, x: Tensor, edge_index: Tensor | PreparedGraph) -> tuple[Tensor, Any]:
        levels = levels_of("DAGRecurrent", edge_index, x)
        states: list[tuple[Tensor, ...]] = []
        alone = True
        for level in levels:
            state: Any = None
            if level.groups:
                parts = range(len(states[0]))
                sums = [states[0][k].new_zeros(len(level.nodes), states[0][k].size(1)) for k in parts]
                for earlier, sources, targets in level.groups:
                    heard = [states[earlier][k][sources].to(sums[k].dtype) for k in parts]
                    sums = [total.index_add(0, targets, part) for total, part in zip(sums, heard)]
                state = sums[0] if alone else tuple(sums)
            after = self.cell(x[level.nodes], state)
            alone = isinstance(after, Tensor)
            states.append((after,) if isinstance(after, Tensor) else tuple(after))
        back = torch.cat([level.nodes for level in levels]).argsort()
        whole = tuple(torch.cat(parts)[back] for parts in zip(*states))
        return whole[0], whole[0] if alone else whole


class TreeLSTMCell(Layer):
    r"""One step of :class:`TreeLSTM`, for those who walk their trees themselves: nodes whose children have states.

    Arguments and weights are those of :class:`TreeLSTM`.

    Shapes:
        ``x [n, F]``, the children's h and c ``[m, H]`` and which of the n nodes is the parent of each, ``[m]`` -> the
        nodes' h and c ``[n, H]``. A child of two parents stands there twice; leaves need no children.

    Raises:
        ValueError: for inputs that do not fit.

    Example:
        >>> cell = TreeLSTMCell(2, 8)
        >>> leaves = cell(torch.randn(3, 2))
        >>> h, c = cell(torch.randn(1, 2), leaves, torch.tensor([0, 0, 0]))
        >>> h.shape
        torch.Size([1, 8])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        bias: bool = True,
        *,
        variant: str = "child-sum",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        check_sizes(who, in_channels=in_channels, hidden_channels=hidden_channels)
        self.in_channels, self.hidden_channels, self.bias = in_channels, hidden_channels, bias
        self.variant = one_of(who, "variant", variant, ("child-sum",))
        for name, size in (("weight_ih", in_channels), ("weight_hh", hidden_channels)):
            weight = torch.empty(4 * hidden_channels, size, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(weight))
        for name in ("bias_ih", "bias_hh"):
            values = torch.empty(4 * hidden_channels, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As in torch.nn: everything from U(-1/sqrt(H), 1/sqrt(H))."""
        bound = 1 / math.sqrt(self.hidden_channels)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @layer_call
    def forward(
        self, x: Tensor, children: tuple[Tensor, Tensor] | None = None, parents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        who = type(self).__name__
        check_input(who, x, (2,), self.in_channels, self.weight_ih)
        if (children is None) != (parents is None):
            raise ValueError(f"{who}: expected children and parents, got one without the other")
        if children is not None and parents is not None:
            if not isinstance(parents, Tensor) or parents.dim() != 1 or parents.dtype not in (torch.int64, torch.int32):
                raise ValueError(f"{who}: expected integer parents of shape [m], got {describe(parents)}")
            check_state(who, children, ((parents.size(0), self.hidden_channels),) * 2, self.weight_ih)
            if parents.device != x.device:
                raise ValueError(f"{who}: expected parents on {x.device}, where x is, got {parents.device}")
            if plain_tensors() and not x.is_cuda and not bool(((parents >= 0) & (parents < len(x))).all()):
                raise ValueError(f"{who}: expected parents in 0..{len(x) - 1}, got {parents.tolist()}")
        return self._step(F.linear(x, self.weight_ih, self.bias_ih), children, parents)

    def _step(
        self, gx: Tensor, children: tuple[Tensor, Tensor] | None, parents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        i, f, g, o = gx.chunk(4, dim=-1)
        heard, kept = torch.zeros_like(i), torch.zeros_like(i)
        if children is not None and parents is not None:
            h, c = children
            bias_f = None if self.bias_hh is None else self.bias_hh.chunk(4)[1]
            forget = torch.sigmoid(f[parents] + F.linear(h, self.weight_hh.chunk(4)[1], bias_f))
            heard = heard.index_add(0, parents, h.to(heard.dtype))
            kept = kept.index_add(0, parents, (forget * c).to(kept.dtype))
        u_i, _, u_g, u_o = F.linear(heard, self.weight_hh, self.bias_hh).chunk(4, dim=-1)
        c = torch.sigmoid(i + u_i) * torch.tanh(g + u_g) + kept
        return torch.sigmoid(o + u_o) * torch.tanh(c), c

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.hidden_channels}" + ("" if self.bias else ", bias=False")


class TreeLSTM(TreeLSTMCell):
    r"""An LSTM over trees, with a forget gate for each child.

    `Improved semantic representations from tree-structured long short-term memory networks
    <https://arxiv.org/abs/1503.00075>`_ (Tai et al. 2015), equations 2 to 8: the child-sum Tree-LSTM.

    .. math::
        \tilde{h}_j &= \sum_{k \to j} h_k, \qquad (i, o, g)_j = W x_j + U \tilde{h}_j + b \\
        f_{jk} &= \sigma(W_f x_j + U_f h_k + b_f), \qquad
        c_j = \sigma(i_j) \tanh(g_j) + \sum_{k \to j} f_{jk} c_k, \qquad h_j = \sigma(o_j) \tanh(c_j)

    Edges run from child to parent, the order of children does not matter, and inner nodes have inputs too. Any directed
    acyclic graph will do: a node's state goes to each of its parents. Weights are those of :class:`torch.nn.LSTMCell`,
    gates in the order i, f, g, o.

    Args:
        in_channels, hidden_channels: F and H.
        bias: add b.
        variant: ``"child-sum"``.

    Shapes:
        ``x [N, F]`` -> output h ``[N, H]``, and the state (h, c) of every node.

    Raises:
        ValueError: for inputs that do not fit, and for a cycle, naming one.

    Example:
        >>> layer = TreeLSTM(2, 8)
        >>> layer(torch.randn(3, 2), torch.tensor([[0, 1], [2, 2]]))[0].shape
        torch.Size([3, 8])
    """

    @layer_call
    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor | PreparedGraph
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        who = type(self).__name__
        check_input(who, x, (2,), self.in_channels, self.weight_ih)
        levels = levels_of(who, edge_index, x)
        gx = F.linear(x, self.weight_ih, self.bias_ih)
        states: list[tuple[Tensor, Tensor]] = []
        for level in levels:
            children, parents = None, None
            if level.groups:
                heard = [tuple(part[sources] for part in states[earlier]) for earlier, sources, _ in level.groups]
                h, c = (torch.cat(parts) for parts in zip(*heard))
                children, parents = (h, c), torch.cat([targets for *_, targets in level.groups])
            states.append(self._step(gx[level.nodes], children, parents))
        back = torch.cat([level.nodes for level in levels]).argsort()
        h, c = (torch.cat(parts)[back] for parts in zip(*states))
        return h, (h, c)
