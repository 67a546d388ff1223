"""The filter of diffusion convolutions: random walks along and against the edges."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqgnn._utils.validation import one_of
from seqgnn.nn.graph.filters.base import Filter, RecursionStep, chebyshev_steps, check_terms, power_steps
from seqgnn.nn.graph.filters.degrees import at_least_single, inverse_degrees
from seqgnn.nn.graph.operator import Edges, Operator


@dataclass(frozen=True, repr=False)
class Diffusion(Filter):
    r"""Random walks along and against the edges, up to K - 1 steps each.

    `Diffusion convolutional recurrent neural network <https://arxiv.org/abs/1707.01926>`_ (Li et al. 2018), equation 2.

    .. math::
        I, \; P_f, \dots, P_f^{K-1}, \; P_b, \dots, P_b^{K-1}, \qquad
        P_f = D_O^{-1} W, \quad P_b = D_I^{-1} W^\top

    With edge (i, j) as :math:`W_{ij}`, the forward walk of the paper aggregates from *out*-neighbors. Weights of
    duplicate edges are added; a node of degree zero has a zero row. The authors' code, and thus `variant="authors"`,
    differs: its random walks are :math:`P_f^\top` and :math:`P_b^\top`, it uses the recursion :math:`x_k = 2 P x_{k-1}
    - x_{k-2}` of Chebyshev polynomials, and it starts the second random walk from the second-to-last step of the first.

    Args:
        K: number of terms of each random walk, at least 1; K = 1 uses no neighbors and raises a warning.
            `max_diffusion_step` in the authors' code is K - 1.
        variant: `"paper"` or `"authors"`.

    Shapes:
        x `[..., N, F]` -> 2 K - 1 blocks of the same shape.

    Raises:
        ValueError: for arguments out of range.

    Example:
        >>> import torch
        >>> diffusion = Diffusion(2)
        >>> graph = diffusion.prepare(torch.tensor([[0, 0], [1, 2]]))
        >>> torch.cat(diffusion.basis(torch.tensor([[1.0], [2.0], [4.0]]), graph), dim=1)
        tensor([[1., 3., 0.],
                [2., 0., 1.],
                [4., 0., 1.]])
    """

    K: int
    variant: str = "paper"

    def __post_init__(self) -> None:
        check_terms(self)
        one_of("Diffusion", "variant", self.variant, ["paper", "authors"])

    @property
    def num_terms(self) -> int:  # type: ignore[override]
        return 2 * self.K - 1

    @property
    def hops(self) -> int:  # type: ignore[override]
        last = self.K - 1
        return last if self.variant == "paper" else last + max(last - 1, 0)  # the second walk starts from the first

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        flows = ("target_to_source", "source_to_target")
        if self.hops == 0:
            return ()
        if self.variant == "paper":
            return tuple(self._random_walk(edges, flow, transposed=False) for flow in flows)
        return tuple(self._random_walk(edges, flow, transposed=True) for flow in reversed(flows))

    def _random_walk(self, edges: Edges, flow: str, transposed: bool) -> Operator:
        """Return the operator of one random walk: each weight divided by the sum of its row, or of its column."""
        pattern = edges.pattern(self_loops=False, flow=flow)
        w = pattern.entry_weights(edges.weight, 1.0)
        wide, at = at_least_single(w), pattern.col if transposed else pattern.row
        values = inverse_degrees(edges, at, wide, root=False).index_select(0, at) * wide
        return Operator(pattern, values.to(w.dtype), edges.weight is None)

    @property
    def recursion(self) -> Sequence[RecursionStep]:  # type: ignore[override]
        if self.variant == "paper":
            return power_steps(0, 1, self.K) + power_steps(1, self.K, self.K)
        return chebyshev_steps(0, 0, 1, self.K) + chebyshev_steps(1, max(self.K - 2, 0), self.K, self.K)
