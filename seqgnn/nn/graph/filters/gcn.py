"""The filter of graph convolutional networks."""

from dataclasses import dataclass

from seqgnn._utils.validation import one_of
from seqgnn.nn.graph.filters.base import Filter, RecursionStep
from seqgnn.nn.graph.filters.degrees import at_least_single, inverse_degrees
from seqgnn.nn.graph.operator import Edges, Operator


@dataclass(frozen=True, repr=False)
class GCN(Filter):
    r"""The renormalized adjacency of a graph convolutional network.

    `Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
    Welling 2017), equation 2; `rw` averages over neighbors instead.

    .. math::
        \text{sym:}\quad y_i = \sum_j \frac{w_{ji} x_j}{\sqrt{d_j d_i}} \qquad
        \text{rw:}\quad y_i = \sum_j \frac{w_{ji} x_j}{d_i} \qquad d_i = \sum_j w_{ji}

    The sums run over incoming edges, self-loops included, and degrees are in-degrees on both sides, as in PyG (the
    paper has undirected graphs). Duplicate edges add up. A node of degree zero gets zero, never inf. Existing
    self-loops keep their weight; if a node has several, only the last one is used. Weights of 1 give the same result as
    no weights, whereas PyG ignores `improved` without weights.

    Args:
        normalization: `"sym"`, `"rw"`, or None for unnormalized weights.
        improved: give added self-loops the weight 2 instead of 1.
        add_self_loops: whether missing self-loops are added.
        flow: `"target_to_source"` reverses every edge.

    Shapes:
        x `[..., N, F]` -> one block of the same shape.

    Raises:
        ValueError: for an unknown name and, when a graph is prepared, for the square root of a negative degree.

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
    recursion = (RecursionStep(0, 0),)
    keeps_input = False

    def __post_init__(self) -> None:
        if self.normalization is not None:
            one_of("GCN", "normalization", self.normalization, ["sym", "rw"])
        one_of("GCN", "flow", self.flow, ["source_to_target", "target_to_source"])

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        pattern = edges.pattern(self.add_self_loops, self.flow)
        exact = edges.weight is None  # computed in double precision, then rounded to the dtype of x
        w = pattern.entry_weights(edges.weight, 2.0 if self.improved else 1.0)
        if self.normalization is None:
            return (Operator(pattern, w, exact),)
        wide = at_least_single(w)
        positive = exact and self.add_self_loops
        root = self.normalization == "sym"
        s = inverse_degrees(edges, pattern.row, wide, root, positive)
        values = s.index_select(0, pattern.row) * wide
        if root:
            values = values * s.index_select(0, pattern.col)
        return (Operator(pattern, values.to(w.dtype), exact),)
