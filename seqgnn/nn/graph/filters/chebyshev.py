"""The filter of Chebyshev polynomials."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn._utils.validation import one_of, shown
from seqgnn.nn.graph.filters.base import Filter, RecursionStep, chebyshev_steps, check_terms
from seqgnn.nn.graph.filters.degrees import at_least_single, inverse_degrees
from seqgnn.nn.graph.operator import Edges, Operator


@dataclass(frozen=True, repr=False)
class Chebyshev(Filter):
    r"""Chebyshev polynomials of the scaled Laplacian, up to K - 1 hops.

    `Convolutional neural networks on graphs with fast localized spectral filtering <https://arxiv.org/abs/1606.09375>`_
    (Defferrard et al. 2016), equation 4.

    .. math::
        T_0 = I, \quad T_1 = \tilde{L}, \quad T_k = 2 \tilde{L} T_{k-1} - T_{k-2}, \qquad
        \tilde{L} = \frac{2}{\lambda_{max}} L - I

        \text{sym:}\; L = I - D^{-1/2} W^\top D^{-1/2} \qquad \text{rw:}\; L = I - W^\top D^{-1} \qquad
        \text{None:}\; L = D - W^\top

    Edge (i, j) has the weight :math:`W_{ij}`, and the degree of i is the sum of its *outgoing* weights, without
    self-loops, as in PyG's ChebConv (the paper's graphs are undirected). A node of degree zero has no neighbors.

    Args:
        K: filter size (number of terms), at least 1; K = 1 uses no neighbors and raises a warning.
        normalization: `"sym"`, `"rw"` or None.
        lambda_max: the assumed largest eigenvalue, one for all graphs or a tuple with one per graph; None: twice the
            largest entry of each graph's Laplacian, as in PyG for a single graph.

    Shapes:
        x `[..., N, F]` -> K blocks of the same shape.

    Raises:
        ValueError: for arguments out of range and, when a graph is prepared, for the square root of a negative degree,
            or if the numbers of graphs and eigenvalues differ.

    Example:
        >>> import torch
        >>> chebyshev = Chebyshev(3)
        >>> graph = chebyshev.prepare(torch.tensor([[0, 1], [1, 0]]))
        >>> torch.cat(chebyshev.basis(torch.tensor([[1.0], [0.0]]), graph), dim=1)
        tensor([[ 1.,  0.,  1.],
                [ 0., -1.,  0.]])
    """

    K: int
    normalization: str | None = "sym"
    lambda_max: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_terms(self)
        if self.normalization is not None:
            one_of("Chebyshev", "normalization", self.normalization, ["sym", "rw"])
        values = self.lambda_max if isinstance(self.lambda_max, tuple) else (self.lambda_max,)
        for value in values if self.lambda_max is not None else ():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
                raise ValueError(f"Chebyshev: expected lambda_max to be above 0 and finite, got {shown(value)}")

    @property
    def num_terms(self) -> int:  # type: ignore[override]
        return self.K

    @property
    def hops(self) -> int:  # type: ignore[override]
        return self.K - 1

    @property
    def per_graph(self) -> bool:  # type: ignore[override]
        return not isinstance(self.lambda_max, (int, float))

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        if self.hops == 0:
            return ()
        pattern = edges.pattern(self_loops=True, flow="source_to_target")
        target, source = pattern.row[: pattern.num_edges], pattern.col[: pattern.num_edges]
        weight = edges.weight
        w = torch.ones_like(source, dtype=torch.float64) if weight is None else at_least_single(weight)
        if pattern.loops is not None:
            w = w.masked_fill(pattern.loops, 0)
        if self.normalization is None:
            diagonal = torch.index_add(w.new_zeros(edges.num_nodes), 0, source, w)
        else:
            root = self.normalization == "sym"
            s = inverse_degrees(edges, source, w, root)
            w = s.index_select(0, source) * w
            w = w * s.index_select(0, target) if root else w
            diagonal = w.new_ones(edges.num_nodes)
        laplacian = torch.cat([-w, diagonal])  # its entries in the order of the pattern
        scale = 2 / self._largest_eigenvalue(laplacian, pattern.row, edges)
        values = torch.cat([-w * scale.index_select(0, target), diagonal * scale - 1])
        return (Operator(pattern, values if weight is None else values.to(weight.dtype), weight is None),)

    def _largest_eigenvalue(self, laplacian: Tensor, row: Tensor, edges: Edges) -> Tensor:
        """Return lambda_max of the graph of each node, `[N]`."""
        nodes = edges.num_nodes
        if isinstance(self.lambda_max, (int, float)):
            return laplacian.new_full((nodes,), self.lambda_max)
        graph = row.new_zeros(nodes) if edges.batch is None else edges.batch.to(row.dtype)
        if self.lambda_max is None:
            # Of size N, the most graphs that there can be; their number would need a device synchronization.
            least = laplacian.new_full((nodes,), -float("inf"))
            largest = 2 * least.scatter_reduce(0, graph.index_select(0, row).long(), laplacian, "amax")
        else:
            if edges.check_values and int(graph.max()) + 1 != len(self.lambda_max):
                found = f"{len(self.lambda_max)} for {int(graph.max()) + 1} graphs"
                raise ValueError(f"{edges.caller}: expected one lambda_max for each graph, got {found}")
            largest = laplacian.new_tensor(self.lambda_max)
        largest = largest.index_select(0, graph)
        # The Laplacian of a graph without edges is zero, so its scale does not matter.
        return largest.masked_fill(largest == 0, 1)

    @property
    def recursion(self) -> Sequence[RecursionStep]:  # type: ignore[override]
        return chebyshev_steps(0, 0, 1, self.K)
