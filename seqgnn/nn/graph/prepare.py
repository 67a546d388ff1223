"""Checks and preparation of graphs: the operators of graph filters, built once for each graph."""

from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any, Protocol

import torch
from torch import Tensor

from seqgnn._utils.torch_internals import is_eager, is_readable
from seqgnn._utils.validation import check_count, check_dense, describe
from seqgnn.nn.graph.adjacency import edges_of_adjacency, is_adjacency, unwrap
from seqgnn.nn.graph.cache import persistent_tensors, tensor_cache
from seqgnn.nn.graph.operator import Edges, Operator
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import refuse_script


class OperatorBuilder(Protocol):
    """The part of a graph filter that builds its operators; see :class:`seqgnn.nn.graph.filters.Filter`."""

    @property
    def hops(self) -> int: ...

    @property
    def per_graph(self) -> bool: ...

    def build(self, edges: Edges) -> tuple[Operator, ...]: ...


class GraphPreparer:
    """A graph filter, or a layer with filters, whose operators can be built in advance.

    It is a plain class, and comes after `torch.nn.Module` in the bases of a layer: before it, it would change the
    layout of instances, and torch's FSDP could not replace the class of a layer.
    """

    @property
    def filters(self) -> tuple[OperatorBuilder, ...]:
        """The filters whose operators `prepare` builds."""
        raise NotImplementedError

    __prepare_scriptable__ = refuse_script

    def prepare(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        num_nodes: int | None = None,
        batch: Tensor | None = None,
    ) -> PreparedGraph:
        """Return the graph with its operators, built once, for example for a custom loop; pass it as `edge_index`.

        Args:
            edge_index: `[2, E]`, edge (i, j) from node i to node j.
            edge_weight: `[E]`; None: all 1.
            num_nodes: `N`; None: the length of `batch` or, without it, the largest index plus one.
            batch: `[N]`, the graph that each node belongs to.

        Raises:
            ValueError: if shapes, dtypes or devices do not match, an index is out of range, or a weight is not finite.
        """
        caller = type(self).__name__
        if isinstance(edge_index, PreparedGraph):
            raise ValueError(f"{caller}: expected edge_index to prepare, got a PreparedGraph")
        if num_nodes is not None and not isinstance(num_nodes, torch.SymInt):
            count = int(num_nodes) if type(num_nodes) is not bool and isinstance(num_nodes, Integral) else num_nodes
            num_nodes = check_count(caller, "num_nodes", count, 0)
        edge_index, edge_weight, num_nodes, batch = _checked(caller, edge_index, edge_weight, num_nodes, batch)
        # No autograd history is stored with the graph: learnable weights are read at each use.
        fixed = None if edge_weight is None else edge_weight.detach()
        operators = _operators(caller, self.filters, edge_index, fixed, num_nodes, batch, is_eager())
        learnable = edge_weight is not None and edge_weight.requires_grad
        return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, learnable)


def as_graph(
    caller: str,
    filters: Sequence[OperatorBuilder],
    edge_index: Tensor | PreparedGraph,
    edge_weight: Tensor | None,
    num_nodes: int | None,
    batch: Tensor | None = None,
) -> PreparedGraph:
    """Return the graph argument of a layer as a PreparedGraph with the operators of `filters`.

    Operators are looked up in the cache before they are built. Indices and values are checked only when operators are
    built, and the values of weights only on the CPU, where this does not synchronize with a device. Learnable weights
    are read at each call.

    Args:
        caller: the class to name in errors.
        filters: the filters whose operators are needed.
        edge_index: `[2, E]`, or a PreparedGraph, with which `edge_weight` and `batch` must be None.
        edge_weight: `[E]` or None.
        num_nodes: `N`; None: inferred from the prepared graph, from `batch`, or from the largest index.
        batch: `[N]` or None.
    """
    if isinstance(edge_index, PreparedGraph):
        graph = edge_index
        _check_prepared(caller, filters, graph, edge_weight, num_nodes, batch)
        if not graph.stale:
            return graph
        edge_index, edge_weight, num_nodes, batch = graph.edge_index, graph.edge_weight, graph.num_nodes, graph.batch
    else:
        edge_index, edge_weight, num_nodes, batch = _checked(caller, edge_index, edge_weight, num_nodes, batch)
    check_values = is_eager() and edge_index.device.type == "cpu"
    operators = _operators(caller, filters, edge_index, edge_weight, num_nodes, batch, check_values)
    return PreparedGraph(edge_index, edge_weight, num_nodes, batch, operators, current=True)


def _operators(
    caller: str,
    filters: Sequence[OperatorBuilder],
    edge_index: Tensor,
    edge_weight: Tensor | None,
    num_nodes: int,
    batch: Tensor | None,
    check_values: bool,
) -> dict[OperatorBuilder, tuple[Operator, ...]]:
    if batch is not None and is_readable(batch):
        tensor_cache.get((batch,), ("in range", num_nodes), partial(_check_batch, caller, batch, num_nodes))
    if not any(kind.per_graph for kind in filters):
        batch = None
    # Results that depend on the edges only: their patterns, and the operators without edge weights.
    shared: dict[Any, Any] = tensor_cache.get((edge_index, batch), (num_nodes,), dict)
    edges = Edges(caller, edge_index, edge_weight, num_nodes, batch, shared, check_values)
    with persistent_tensors():
        if not filters:
            edges.check()
        if edge_weight is not None:
            tensors = (edge_index, edge_weight, batch)
            return {
                kind: tensor_cache.get(tensors, (num_nodes, kind), partial(_build, kind, edges)) for kind in filters
            }
        for kind in filters:
            if kind not in shared:
                shared[kind] = _build(kind, edges)
        return {kind: shared[kind] for kind in filters}


def _build(kind: OperatorBuilder, edges: Edges) -> tuple[Operator, ...]:
    edges.check()
    return kind.build(edges)


def _checked(
    caller: str, edge_index: Any, edge_weight: Any, num_nodes: int | None, batch: Any
) -> tuple[Tensor, Tensor | None, int, Tensor | None]:
    """Return edges `[2, E]`, weights `[E]`, N and batch `[N]`, after the checks that read no values."""
    if is_adjacency(edge_index):
        edge_index, edge_weight = edges_of_adjacency(caller, edge_index, edge_weight, num_nodes)
        if edge_weight is not None and _are_ones(edge_weight):
            edge_weight = None  # an unweighted adjacency, for convolutions without weights
    edge_index, edge_weight, batch = unwrap(edge_index), unwrap(edge_weight), unwrap(batch)
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided or edge_index.is_nested:
        got = type(edge_index).__name__
        if isinstance(edge_index, Tensor):
            got = "a nested tensor" if edge_index.is_nested else str(edge_index.layout)
        hint = "" if isinstance(edge_index, Tensor) else "; convert it with torch.as_tensor(edge_index)"
        hint = "; pass its edge_index" if hasattr(edge_index, "edge_index") else hint
        raise ValueError(f"{caller}: expected edge_index to be a dense tensor of shape [2, E], got {got}{hint}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        hint = "; pass edge_index.t()" if edge_index.dim() == 2 and edge_index.size(1) == 2 else ""
        raise ValueError(f"{caller}: expected edge_index of shape [2, E], got {tuple(edge_index.shape)}{hint}")
    if edge_index.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{caller}: expected edge_index of dtype torch.int64, got {edge_index.dtype}")
    if edge_weight is not None:
        if isinstance(edge_weight, Tensor) and edge_weight.dim() == 2 and edge_weight.size(1) == 1:
            edge_weight = edge_weight.squeeze(1)  # one feature per edge, as in PyG's `edge_attr`
        _check_along(caller, "edge_weight", edge_weight, edge_index.size(1), edge_index.device)
        if not edge_weight.is_floating_point():
            raise ValueError(f"{caller}: expected edge_weight of a floating dtype, got {edge_weight.dtype}")
    if num_nodes is not None and num_nodes < 0:
        raise ValueError(f"{caller}: expected num_nodes of at least 0, got {num_nodes}")
    if batch is not None:
        length = num_nodes if num_nodes is not None or not isinstance(batch, Tensor) else batch.numel()
        _check_along(caller, "batch", batch, length, edge_index.device)
        if batch.dtype not in (torch.int64, torch.int32):
            raise ValueError(f"{caller}: expected batch of dtype torch.int64, got {batch.dtype}")
    if num_nodes is None:
        num_nodes = int(edge_index.max()) + 1 if edge_index.numel() > 0 else 0
        num_nodes = num_nodes if batch is None else batch.numel()
    return edge_index, edge_weight, num_nodes, batch


def _are_ones(weight: Tensor) -> bool:
    """Return True if all weights are 1; False for learnable weights, or if reading them would synchronize."""
    readable = is_readable(weight) and weight.device.type == "cpu" and not weight.requires_grad
    return readable and bool((weight == 1).all())


def _check_batch(caller: str, batch: Tensor, num_nodes: int) -> bool:
    smallest, largest = (int(extreme) for extreme in batch.aminmax()) if batch.numel() else (0, -1)
    if smallest < 0 or largest >= num_nodes:
        raise ValueError(f"{caller}: expected graph indices in batch in 0..{num_nodes - 1}, got {smallest}..{largest}")
    return True


def _check_along(caller: str, name: str, tensor: Any, length: int | None, device: torch.device) -> None:
    if isinstance(tensor, Tensor):
        check_dense(caller, name, tensor)
    if not isinstance(tensor, Tensor) or tensor.dim() != 1 or tensor.numel() != length:
        hint = "; pass a state as state=..." if name == "edge_weight" and is_state(tensor) else ""
        got = tuple(tensor.shape) if isinstance(tensor, Tensor) else describe(tensor)
        raise ValueError(f"{caller}: expected {name} of shape [{length}], got {got}{hint}")
    if tensor.device != device:
        raise ValueError(f"{caller}: expected {name} on {device}, where edge_index is, got {tensor.device}")


def is_state(value: Any) -> bool:
    """Return True if the value may be a state, h or (h, c)."""
    parts = value if isinstance(value, (tuple, list)) else [value]
    return all(isinstance(part, Tensor) and part.dim() > 2 for part in parts)


def _check_prepared(
    caller: str,
    filters: Sequence[OperatorBuilder],
    graph: PreparedGraph,
    edge_weight: Tensor | None,
    num_nodes: int | None,
    batch: Tensor | None,
) -> None:
    for name, value in (("edge_weight", edge_weight), ("batch", batch)):
        if value is not None:
            raise ValueError(f"{caller}: expected no {name} with a PreparedGraph, which has its own, got one")
    if num_nodes is not None and num_nodes != graph.num_nodes:
        raise ValueError(f"{caller}: expected a PreparedGraph of {num_nodes} nodes, got one of {graph.num_nodes}")
    for kind in filters:
        if kind not in graph.operators and kind.hops > 0:
            raise ValueError(f"{caller}: expected a PreparedGraph that was prepared for {kind}, got {graph}")


def check_place(caller: str, x: Tensor, edge_index: Any) -> None:
    """Check that the graph is on the device of x, before its operators are built.

    Raises:
        ValueError: if it is not.
    """
    tensor = edge_index.edge_index if isinstance(edge_index, PreparedGraph) else edge_index
    if isinstance(tensor, Tensor) and tensor.device != x.device:
        raise ValueError(f"{caller}: expected the graph on {x.device}, where the input is, got {tensor.device}")


def check_signal(caller: str, x: Tensor, graph: PreparedGraph) -> None:
    """Check that x `[..., N, F]` matches the graph, without reading values."""
    if x.dim() < 2 or x.size(-2) != graph.num_nodes:
        raise ValueError(f"{caller}: expected x of shape [..., {graph.num_nodes}, F], got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{caller}: expected x of a floating dtype, got {x.dtype}")
    if x.device != graph.edge_index.device:
        raise ValueError(f"{caller}: expected x on {graph.edge_index.device}, where the graph is, got {x.device}")
