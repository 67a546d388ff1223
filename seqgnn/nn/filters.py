"""Linear graph filters: basis(x) = [P_0 x, ..., P_(m-1) x]."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqgnn.errors import one_of
from seqgnn.nn.operator import Edges, Operator, PreparedGraph, durable, last_seen, plain_tensors


class Filter(ABC):
    """A small immutable description of a graph filter; equal if configured equally, and so a key of PreparedGraph."""

    num_terms: int = 1

    @abstractmethod
    def build(self, edges: Edges) -> tuple[Operator, ...]:
        """The operators of this filter on checked edges."""

    @abstractmethod
    def basis(self, x: Tensor, graph: PreparedGraph) -> list[Tensor]:
        """The blocks `[P_0 x, ..., P_(m-1) x]` for x `[..., N, F]`, each of the shape of x."""

    def prepare(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        num_nodes: int | None = None,
        batch: Tensor | None = None,
    ) -> PreparedGraph:
        """Builds the operators once, for a loop that owns its graph.

        Args:
            edge_index: `[2, E]`, edge (i, j) from node i to node j.
            edge_weight: `[E]`, one if not given.
            num_nodes: `N`; the largest index plus one if neither this nor `batch` is given.
            batch: `[N]`, the graph each node belongs to.

        Raises:
            ValueError: if shapes, dtypes or devices do not fit, an index is out of range, or a weight is not finite.
        """
        return prepare_graph(type(self).__name__, [self], edge_index, edge_weight, num_nodes, batch)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@dataclass(frozen=True, repr=False)
class Identity(Filter):
    """The filter that sees no neighbour: `basis(x) = [x]`. Any prepared graph will do for it.

    Example:
        >>> import torch
        >>> graph = Identity().prepare(torch.tensor([[0], [1]]))
        >>> Identity().basis(torch.tensor([[1.0], [2.0]]), graph)
        [tensor([[1.],
                [2.]])]
    """

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        return ()

    def basis(self, x: Tensor, graph: PreparedGraph) -> list[Tensor]:
        check_signal("Identity", x, graph)
        return [x]


@dataclass(frozen=True, repr=False)
class GCN(Filter):
    r"""The renormalised adjacency of a graph convolutional network.

    `Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
    Welling 2017), equation 2; `rw` averages over neighbours instead.

    .. math::
        \text{sym:}\quad y_i = \sum_j \frac{w_{ji} x_j}{\sqrt{d_j d_i}} \qquad
        \text{rw:}\quad y_i = \sum_j \frac{w_{ji} x_j}{d_i} \qquad d_i = \sum_j w_{ji}

    The sums run over incoming edges, self-loops included, and degrees are in-degrees on both sides, as in PyG (the
    paper has undirected graphs). Duplicate edges add up. A node of degree zero gets zero, never inf. A self-loop
    that is there keeps its weight, the last one if there are several. Unit weights are the same as no weights; PyG
    forgets `improved` where no weights are given.

    Args:
        normalization: `"sym"`, `"rw"`, or None for the weights as they are.
        improved: a missing self-loop weighs 2, not 1.
        add_self_loops: whether missing self-loops are added.
        flow: `"target_to_source"` turns every edge round.

    Shapes:
        x `[..., N, F]` -> one block of the same shape.

    Raises:
        ValueError: for an unknown name; where a graph is prepared, also for a negative degree under the square root.

    Example:
        >>> import torch
        >>> gcn = GCN("rw")
        >>> graph = gcn.prepare(torch.tensor([[0, 2], [1, 1]]), num_nodes=3)
        >>> gcn.basis(torch.tensor([[3.0], [6.0], [9.0]]), graph)
        [tensor([[3.],
                [6.],
                [9.]])]
    """

    normalization: str | None = "sym"
    improved: bool = False
    add_self_loops: bool = True
    flow: str = "source_to_target"

    def __post_init__(self) -> None:
        if self.normalization is not None:
            one_of("GCN", "normalization", self.normalization, ["sym", "rw"])
        one_of("GCN", "flow", self.flow, ["source_to_target", "target_to_source"])

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        pattern = edges.pattern(self.add_self_loops, self.flow)
        exact = edges.weight is None  # computed in double precision, and rounded to whatever dtype x has
        w = pattern.entry_weights(edges.weight, 2.0 if self.improved else 1.0)
        if self.normalization is None:
            return (Operator(pattern, w, exact),)
        half = w.dtype if w.dtype.itemsize < 4 else None
        if half is not None:
            w = w.float()  # a sum in half precision stops growing at some hundreds
        d = torch.index_add(w.new_zeros(pattern.num_nodes), 0, pattern.row, w)
        if self.normalization == "sym" and not exact and edges.look and bool((d < 0).any()):
            least = d.min().item()
            raise ValueError(f"{edges.who}: expected degrees >= 0 under the square root of 'sym', got {least:g}")
        if not (exact and self.add_self_loops):  # where every degree is at least one
            d = d.masked_fill(d == 0, float("inf"))  # so that degree zero gives zero, and its gradient too
        if self.normalization == "rw":
            values = d.reciprocal().index_select(0, pattern.row) * w
        else:
            s = d.rsqrt()
            values = s.index_select(0, pattern.row) * w * s.index_select(0, pattern.col)
        return (Operator(pattern, values if half is None else values.to(half), exact),)

    def basis(self, x: Tensor, graph: PreparedGraph) -> list[Tensor]:
        check_signal("GCN", x, graph)
        (operator,) = as_graph("GCN", [self], graph, None, graph.num_nodes).operators[self]
        return [apply_operator(operator, x)]

    def __repr__(self) -> str:
        shown = [] if self.normalization == "sym" else [f"normalization={self.normalization!r}"]
        shown += ["improved=True"] if self.improved else []
        shown += [] if self.add_self_loops else ["add_self_loops=False"]
        shown += [] if self.flow == "source_to_target" else [f"flow={self.flow!r}"]
        return f"GCN({', '.join(shown)})"


def apply_operator(operator: Operator, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """P x for x `[..., N, F]`: one product for all leading dimensions, nodes first."""
    if x.dim() == 2:
        return operator.product(x, dtype)
    nodes_first = x.movedim(-2, 0)
    y = operator.product(nodes_first.reshape(nodes_first.size(0), -1), dtype)
    return y.reshape(nodes_first.shape).movedim(0, -2)


def as_graph(
    who: str,
    filters: Sequence[Filter],
    edge_index: Tensor | PreparedGraph,
    edge_weight: Tensor | None,
    num_nodes: int | None,
    batch: Tensor | None = None,
) -> PreparedGraph:
    """Whatever the caller of a layer passes as a graph, as a PreparedGraph with the operators of `filters`.

    Operators are looked up among those last seen before they are built. Indices and values are checked when they are
    built, and only then; the values of weights on the CPU alone, where looking at them does not wait for a device.
    Learnable weights are read at each call.

    Args:
        who: the class to name in errors.
        filters: the filters whose operators are needed.
        edge_index: `[2, E]`, or a PreparedGraph, and then `edge_weight` and `batch` must be None.
        edge_weight: `[E]` or None.
        num_nodes: `N`; if None, it follows from the prepared graph, from `batch`, or from the largest index.
        batch: `[N]` or None.
    """
    if isinstance(edge_index, PreparedGraph):
        graph = edge_index
        _check_prepared(who, filters, graph, edge_weight, num_nodes, batch)
        if not graph.stale:
            return graph
        edge_index, edge_weight, num_nodes, batch = graph.edge_index, graph.edge_weight, graph.num_nodes, graph.batch
    else:
        num_nodes = _check_edges(who, edge_index, edge_weight, num_nodes, batch)
    look = plain_tensors() and not edge_index.is_cuda
    operators = _operators(who, filters, edge_index, edge_weight, num_nodes, look)
    return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, current=True)


def prepare_graph(
    who: str,
    filters: Sequence[Filter],
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    batch: Tensor | None = None,
) -> PreparedGraph:
    """A PreparedGraph to keep, for the `prepare` methods of filters and layers; arguments as those of `as_graph`."""
    if isinstance(edge_index, PreparedGraph):
        raise ValueError(f"{who}: expected edge_index to prepare, got a PreparedGraph")
    num_nodes = _check_edges(who, edge_index, edge_weight, num_nodes, batch)
    # No autograd history is kept with the graph: learnable weights are read anew at each use.
    fixed = None if edge_weight is None else edge_weight.detach()
    operators = _operators(who, filters, edge_index, fixed, num_nodes, plain_tensors())
    learnable = edge_weight is not None and edge_weight.requires_grad
    return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, learnable)


def _operators(
    who: str, filters: Sequence[Filter], edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, look: bool
) -> dict[Filter, tuple[Operator, ...]]:
    # What the edges alone decide: their patterns, and the operators of filters without weights.
    memory: dict[Any, Any] = last_seen.get((edge_index,), (num_nodes,), dict)
    edges = Edges(who, edge_index, edge_weight, num_nodes, memory, look)
    with durable():
        if edge_weight is not None:
            return {
                kind: last_seen.get((edge_index, edge_weight), (num_nodes, kind), partial(_build, kind, edges))
                for kind in filters
            }
        for kind in filters:
            if kind not in memory:
                memory[kind] = _build(kind, edges)
        return {kind: memory[kind] for kind in filters}


def _build(kind: Filter, edges: Edges) -> tuple[Operator, ...]:
    edges.check()
    return kind.build(edges)


def _check_edges(
    who: str, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int | None, batch: Tensor | None
) -> int:
    """What can be checked without looking at values; returns the number of nodes."""
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        got = edge_index.layout if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise ValueError(f"{who}: expected edge_index to be a dense tensor of shape [2, E], got {got}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"{who}: expected edge_index of shape [2, E], got {tuple(edge_index.shape)}")
    if edge_index.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{who}: expected edge_index of dtype torch.int64, got {edge_index.dtype}")
    if edge_weight is not None:
        _check_beside(who, "edge_weight", edge_weight, edge_index.size(1), edge_index.device)
        if not edge_weight.is_floating_point():
            raise ValueError(f"{who}: expected edge_weight of a floating dtype, got {edge_weight.dtype}")
    if batch is not None:
        _check_beside(who, "batch", batch, batch.numel() if num_nodes is None else num_nodes, edge_index.device)
        if batch.dtype not in (torch.int64, torch.int32):
            raise ValueError(f"{who}: expected batch of dtype torch.int64, got {batch.dtype}")
    if num_nodes is None:
        num_nodes = int(edge_index.max()) + 1 if edge_index.numel() > 0 else 0
        num_nodes = num_nodes if batch is None else batch.numel()
    if num_nodes < 1:
        raise ValueError(f"{who}: expected a graph of at least one node, got {num_nodes}")
    return num_nodes


def _check_beside(who: str, name: str, tensor: Tensor, length: int, device: torch.device) -> None:
    if tensor.dim() != 1 or tensor.numel() != length:
        raise ValueError(f"{who}: expected {name} of shape [{length}], got {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{who}: expected {name} on {device}, where edge_index is, got {tensor.device}")


def _check_prepared(
    who: str,
    filters: Sequence[Filter],
    graph: PreparedGraph,
    edge_weight: Tensor | None,
    num_nodes: int | None,
    batch: Tensor | None,
) -> None:
    for name, value in (("edge_weight", edge_weight), ("batch", batch)):
        if value is not None:
            raise ValueError(f"{who}: expected no {name} beside a PreparedGraph, which holds its own, got one")
    if num_nodes is not None and num_nodes != graph.num_nodes:
        raise ValueError(f"{who}: expected a PreparedGraph of {num_nodes} nodes, got one of {graph.num_nodes}")
    for kind in filters:
        if kind not in graph.operators and not isinstance(kind, Identity):
            raise ValueError(f"{who}: expected a PreparedGraph that was prepared for {kind}, got {graph}")


def check_signal(who: str, x: Tensor, graph: PreparedGraph) -> None:
    """Whether x `[..., N, F]` fits the graph, as far as that costs nothing."""
    if x.dim() < 2 or x.size(-2) != graph.num_nodes:
        raise ValueError(f"{who}: expected x of shape [..., {graph.num_nodes}, F], got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{who}: expected x of a floating dtype, got {x.dtype}")
    if x.device != graph.edge_index.device:
        raise ValueError(f"{who}: expected x on {graph.edge_index.device}, where the graph is, got {x.device}")
