"""A graph with the operators of filters, built once."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn.nn.graph.edge_masks import check_edge_mask
from seqgnn.nn.graph.operator import Operator


@dataclass(frozen=True, eq=False, repr=False)
class PreparedGraph:
    """A graph with the operators of graph filters, built once and immutable; pass it in place of `edge_index`.

    It is built by `prepare` of a filter or layer, and refers to the tensors of the caller: changing them in place
    afterwards does not change the operators, except that edge weights that require gradients are read at each use.

    Args:
        edge_index: `[2, E]`.
        edge_weight: `[E]` or None.
        num_nodes: `N`.
        batch: `[N]`, the graph that each node belongs to, or None.
        operators: by filter.
        learnable: whether the weights required gradients when the graph was prepared, so that they may have changed
            since.
        current: whether the operators were built from the present weights in this call.
        edge_mask: `[E]`, a factor of each message, see `masked`, or None.

    Example:
        >>> import torch
        >>> from seqgnn.nn.graph.filters import GCN
        >>> GCN().prepare(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        PreparedGraph(num_nodes=3, num_edges=2, filters=[GCN()])
    """

    edge_index: Tensor
    edge_weight: Tensor | None
    num_nodes: int
    batch: Tensor | None
    operators: dict[Any, tuple[Operator, ...]] = field(default_factory=dict)
    learnable: bool = False
    current: bool = False
    edge_mask: Tensor | None = None

    @property
    def num_edges(self) -> int:
        return self.edge_index.size(1)

    @property
    def stale(self) -> bool:
        """True if learnable weights may have changed since the operators were built."""
        if self.edge_weight is None or self.current:
            return False
        return self.learnable or self.edge_weight.requires_grad

    def masked(self, edge_mask: Tensor) -> "PreparedGraph":
        """Return this graph for one call, with messages multiplied by `edge_mask` `[E]`; added self-loops are not."""
        check_edge_mask("PreparedGraph", edge_mask, self.num_edges)
        operators = {key: tuple(op.masked(edge_mask) for op in ops) for key, ops in self.operators.items()}
        return replace(self, operators=operators, current=True, edge_mask=edge_mask)

    def to(self, *args: Any, **kwargs: Any) -> "PreparedGraph":
        """Return a copy on another device or in another floating dtype; the graph itself if nothing changes.

        Args:
            args, kwargs: as those of `torch.nn.Module.to`.

        Raises:
            ValueError: if the dtype is not a floating one, or the edge weights are learnable: a copy of them would
                get no gradient.
        """
        device, dtype, non_blocking = torch_internals.parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"PreparedGraph: expected a floating dtype, got {dtype}")

        weight = self.edge_weight
        if device in (None, self.edge_index.device) and (weight is None or dtype in (None, weight.dtype)):
            return self
        if self.stale:
            hint = "call prepare() on the target device instead"
            raise ValueError(f"PreparedGraph.to: expected fixed edge weights, got ones that require grad; {hint}")

        def move(tensor: Tensor | None, dtype: torch.dtype | None = None) -> Any:
            return None if tensor is None else tensor.to(device=device, dtype=dtype, non_blocking=non_blocking)

        operators = {key: tuple(op.to(device, dtype) for op in ops) for key, ops in self.operators.items()}
        index, batch = move(self.edge_index), move(self.batch)
        return PreparedGraph(index, move(weight, dtype), self.num_nodes, batch, operators, current=self.current)

    def __repr__(self) -> str:
        filters = ", ".join(map(repr, self.operators))
        return f"PreparedGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges}, filters=[{filters}])"
