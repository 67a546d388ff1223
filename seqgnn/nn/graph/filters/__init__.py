"""Linear graph filters: basis(x) = [P_0 x, ..., P_(m-1) x]."""

from seqgnn.nn.graph.filters.base import Filter, Identity, Multiply, RecursionStep, apply_operator
from seqgnn.nn.graph.filters.chebyshev import Chebyshev
from seqgnn.nn.graph.filters.diffusion import Diffusion
from seqgnn.nn.graph.filters.gcn import GCN

__all__ = ["GCN", "Chebyshev", "Diffusion", "Filter", "Identity", "Multiply", "RecursionStep", "apply_operator"]
