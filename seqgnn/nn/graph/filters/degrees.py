"""Degrees, by which filters normalize edge weights."""

import torch
from torch import Tensor

from seqgnn.nn.graph.operator import Edges


def at_least_single(w: Tensor) -> Tensor:
    """Return weights in at least single precision, since sums in half precision stop growing at some hundreds."""
    return w.float() if w.dtype.itemsize < 4 else w


def inverse_degrees(edges: Edges, at: Tensor, w: Tensor, root: bool, positive: bool = False) -> Tensor:
    """Return 1 / d or, with `root`, 1 / sqrt(d) of all nodes; zero with zero gradient where d is zero.

    Args:
        edges: the graph.
        at: the node to whose degree d each weight belongs.
        w: the weights.
        root: whether the square root is taken.
        positive: whether all degrees are known to be above zero, so that zeros need no check.

    Raises:
        ValueError: for a negative degree under the square root.
    """
    d = torch.index_add(w.new_zeros(edges.num_nodes), 0, at, w)
    if root and edges.weight is not None and edges.check_values and bool((d < 0).any()):
        least = d.min().item()
        raise ValueError(f"{edges.caller}: expected degrees >= 0 under the square root of 'sym', got {least:g}")
    d = d if positive else d.masked_fill(d == 0, float("inf"))
    return d.rsqrt() if root else d.reciprocal()
