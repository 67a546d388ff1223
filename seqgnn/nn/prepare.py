"""Graphs as callers pass them, checked and prepared: the operators of some filters, built once for each graph."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqgnn.nn.operator import Edges, Operator, PreparedGraph, durable, last_seen, plain_tensors

if TYPE_CHECKING:
    from seqgnn.nn.filters import Filter


class Preparable(ABC):
    """What propagates by filters, whose operators can be built beforehand: filters themselves and layers of them."""

    @property
    @abstractmethod
    def filters(self) -> tuple["Filter", ...]:
        """The filters whose operators a graph is prepared for."""

    def prepare(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        num_nodes: int | None = None,
        batch: Tensor | None = None,
    ) -> PreparedGraph:
        """Builds the operators once, for a loop that owns its graph, to be passed in the place of `edge_index`.

        Args:
            edge_index: `[2, E]`, edge (i, j) from node i to node j.
            edge_weight: `[E]`, one if not given.
            num_nodes: `N`; the largest index plus one if neither this nor `batch` is given.
            batch: `[N]`, the graph each node belongs to.

        Raises:
            ValueError: if shapes, dtypes or devices do not fit, an index is out of range, or a weight is not finite.
        """
        who = type(self).__name__
        if isinstance(edge_index, PreparedGraph):
            raise ValueError(f"{who}: expected edge_index to prepare, got a PreparedGraph")
        num_nodes = _check_edges(who, edge_index, edge_weight, num_nodes, batch)
        # No autograd history is kept with the graph: learnable weights are read anew at each use.
        fixed = None if edge_weight is None else edge_weight.detach()
        operators = _operators(who, self.filters, edge_index, fixed, num_nodes, batch, plain_tensors())
        learnable = edge_weight is not None and edge_weight.requires_grad
        return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, learnable)


def as_graph(
    who: str,
    filters: Sequence["Filter"],
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
    look = plain_tensors() and edge_index.device.type == "cpu"
    operators = _operators(who, filters, edge_index, edge_weight, num_nodes, batch, look)
    return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, current=True)


def _operators(
    who: str,
    filters: Sequence["Filter"],
    edge_index: Tensor,
    edge_weight: Tensor | None,
    num_nodes: int,
    batch: Tensor | None,
    look: bool,
) -> dict["Filter", tuple[Operator, ...]]:
    if batch is not None and plain_tensors():
        last_seen.get((batch,), ("in range", num_nodes), partial(_check_batch, who, batch, num_nodes))
    if not any(kind.per_graph for kind in filters):
        batch = None
    # What the edges alone decide: their patterns, and the operators of filters without weights.
    memory: dict[Any, Any] = last_seen.get((edge_index, batch), (num_nodes,), dict)
    edges = Edges(who, edge_index, edge_weight, num_nodes, batch, memory, look)
    with durable():
        if not filters:
            edges.check()
        if edge_weight is not None:
            return {
                kind: last_seen.get((edge_index, edge_weight, batch), (num_nodes, kind), partial(_build, kind, edges))
                for kind in filters
            }
        for kind in filters:
            if kind not in memory:
                memory[kind] = _build(kind, edges)
        return {kind: memory[kind] for kind in filters}


def _build(kind: "Filter", edges: Edges) -> tuple[Operator, ...]:
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


def _check_batch(who: str, batch: Tensor, num_nodes: int) -> bool:
    smallest, largest = (int(extreme) for extreme in batch.aminmax())
    if smallest < 0 or largest >= num_nodes:
        raise ValueError(f"{who}: expected graphs of batch in 0..{num_nodes - 1}, got {smallest}..{largest}")
    return True


def _check_beside(who: str, name: str, tensor: Tensor, length: int, device: torch.device) -> None:
    if tensor.dim() != 1 or tensor.numel() != length:
        raise ValueError(f"{who}: expected {name} of shape [{length}], got {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{who}: expected {name} on {device}, where edge_index is, got {tensor.device}")


def _check_prepared(
    who: str,
    filters: Sequence["Filter"],
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
        if kind not in graph.operators and kind.hops > 0:
            raise ValueError(f"{who}: expected a PreparedGraph that was prepared for {kind}, got {graph}")


def check_place(who: str, x: Tensor, edge_index: Any) -> None:
    """Whether a graph, however it was passed, is where x is, before anything is built from it.

    Raises:
        ValueError: if it is not.
    """
    tensor = edge_index.edge_index if isinstance(edge_index, PreparedGraph) else edge_index
    if isinstance(tensor, Tensor) and tensor.device != x.device:
        raise ValueError(f"{who}: expected the graph on {x.device}, where the input is, got {tensor.device}")


def check_signal(who: str, x: Tensor, graph: PreparedGraph) -> None:
    """Whether x `[..., N, F]` fits the graph, as far as that costs nothing."""
    if x.dim() < 2 or x.size(-2) != graph.num_nodes:
        raise ValueError(f"{who}: expected x of shape [..., {graph.num_nodes}, F], got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{who}: expected x of a floating dtype, got {x.dtype}")
    if x.device != graph.edge_index.device:
        raise ValueError(f"{who}: expected x on {graph.edge_index.device}, where the graph is, got {x.device}")
