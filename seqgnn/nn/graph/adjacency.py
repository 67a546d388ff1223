"""Graphs in the forms of other libraries, as `edge_index` and `edge_weight`."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex, Index
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, to_edge_index


def unwrap(tensor: Any) -> Any:
    """Return the tensor inside PyG's `EdgeIndex` and `Index`, each time as a new one; anything else as it is.

    Writes through such a wrapper move no version counter but its own, not even that of the tensor inside (PyG 2.8), so
    nothing that was built from it may be cached by the tensor.
    """
    return tensor.as_tensor().detach() if isinstance(tensor, (EdgeIndex, Index)) else tensor


def is_adjacency(edge_index: Any) -> bool:
    """True for a sparse tensor of torch (COO, CSR, CSC) or torch_sparse."""
    return isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index)


def edges_of_adjacency(
    caller: str, adj_t: Any, edge_weight: Tensor | None, num_nodes: int | None
) -> tuple[Tensor, Tensor | None]:
    """Return the edges and weights of a sparse transposed adjacency `[N, N]`: entry (i, j) is the edge from j to i.

    Args:
        caller: the class to name in errors.
        adj_t: a sparse tensor of torch (COO, CSR, CSC) or torch_sparse.
        edge_weight: must be None.
        num_nodes: N, if it is known.

    Raises:
        ValueError: if it is of another size, or edge weights are given as well.
    """
    if edge_weight is not None:
        raise ValueError(f"{caller}: expected no edge_weight with a sparse adjacency, which has its own, got one")
    size = (adj_t.size(0), adj_t.size(1)) if isinstance(adj_t, SparseTensor) else tuple(adj_t.size())
    nodes = size[0] if num_nodes is None else num_nodes
    if size != (nodes, nodes):
        raise ValueError(f"{caller}: expected a sparse adjacency of {nodes} x {nodes} nodes, got {size}")
    if isinstance(adj_t, SparseTensor):
        target, source, weight = adj_t.coo()
    elif adj_t.layout == torch.sparse_coo:  # PyG's conversion is not differentiable
        adj_t = adj_t.coalesce()
        (target, source), weight = adj_t.indices(), adj_t.values()
    else:
        (target, source), weight = to_edge_index(adj_t)
    if weight is not None and not weight.is_floating_point():
        weight = weight.to(torch.get_default_dtype())
    return torch.stack([source, target]), weight
