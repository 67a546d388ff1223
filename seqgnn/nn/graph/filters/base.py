"""The base of graph filters, and the filter without neighbors."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.validation import check_dense, check_sizes
from seqgnn.nn.graph.operator import Edges, Operator
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph, check_signal
from seqgnn.nn.graph.prepared_graph import PreparedGraph

Multiply = Callable[[Operator, Tensor], Tensor]


@dataclass(frozen=True)
class RecursionStep:
    r"""One step of a filter's recursion, the signal :math:`z_k = s P z_i - z_j`, from those before it; :math:`z_0 = x`.

    Args:
        operator: the index of P among the filter's operators.
        source: i.
        scale: s.
        minus: j, or None without a second term.
    """

    operator: int
    source: int
    scale: float = 1.0
    minus: int | None = None


class Filter(GraphPreparer, ABC):
    """A graph filter: immutable, and equal to others with the same options, so that it is a key of `PreparedGraph`.

    Attributes:
        num_terms: m, the blocks of the basis.
        hops: the receptive field in edges; a filter with 0 accepts any prepared graph.
        per_graph: whether its operators depend on the assignment of nodes to the graphs of a batch.
        recursion: the steps by which the signals :math:`z_1, z_2, ...` follow from earlier ones. A filter may instead
            override `basis`; the fused engine then falls back to the reference.
        keeps_input: whether x itself is the first block of the basis; the other blocks are those of the recursion.
    """

    num_terms: int = 1
    hops: int = 1
    per_graph: bool = False
    recursion: Sequence[RecursionStep] = ()
    keeps_input: bool = True

    @abstractmethod
    def build(self, edges: Edges) -> tuple[Operator, ...]:
        """Return the operators of this filter on checked edges."""

    def basis(self, x: Tensor, graph: PreparedGraph, multiply: Multiply | None = None) -> list[Tensor]:
        """Return the blocks `[P_0 x, ..., P_(m-1) x]` for x `[..., N, F]`, each of the shape of x.

        Args:
            x: the signal.
            graph: prepared for this filter.
            multiply: ``multiply(P, z)`` gives P z; None: one sparse product.
        """
        operators, multiply = self.operators(x, graph), multiply or apply_operator
        return self.follow(x, lambda k, z: multiply(operators[k], z))

    def follow(self, x: Tensor, times: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
        """Return the blocks of x by the recursion, where ``times(k, z)`` is the product of the k-th operator and z."""
        z = [x]
        for step in self.recursion:
            Pz = times(step.operator, z[step.source])
            scaled = Pz if step.scale == 1 else step.scale * Pz
            z.append(scaled if step.minus is None else scaled - z[step.minus])
        return z if self.keeps_input else z[1:]

    @property
    def filters(self) -> tuple["Filter", ...]:
        return (self,)

    def operators(self, x: Tensor, graph: PreparedGraph) -> tuple[Operator, ...]:
        """Return the operators of a prepared graph that x `[..., N, F]` fits.

        Raises:
            ValueError: if it does not fit, or the graph was prepared for other filters.
        """
        caller = type(self).__name__
        check_dense(caller, "the input", x)
        check_signal(caller, x, graph)
        return () if self.hops == 0 else as_graph(caller, [self], graph, None, graph.num_nodes).operators[self]

    def __repr__(self) -> str:
        settings = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]  # type: ignore[arg-type]
        shown = [f"{name}={value!r}" for name, value, default in settings if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Identity(Filter):
    """The filter without neighbors: `basis(x) = [x]`, on any prepared graph.

    Example:
        >>> import torch
        >>> graph = Identity().prepare(torch.tensor([[0], [1]]))
        >>> Identity().basis(torch.tensor([[1.0], [2.0]]), graph)
        [tensor([[1.],
                [2.]])]
    """

    hops = 0

    def build(self, edges: Edges) -> tuple[Operator, ...]:
        return ()


def apply_operator(operator: Operator, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return P x for x `[..., N, F]`: one product for all leading dimensions, nodes first."""
    if x.dim() == 2:
        return operator.product(x, dtype)
    nodes_first = x.movedim(-2, 0)
    y = operator.product(nodes_first.flatten(1), dtype)
    return y.reshape(nodes_first.shape).movedim(0, -2)


def power_steps(operator: int, place: int, terms: int) -> list[RecursionStep]:
    """Return the steps to the powers P x, P² x, ..., P^(terms - 1) x, of which `place` is the index of P x."""
    indices = [0, *range(place, place + terms - 1)]
    return [RecursionStep(operator, source) for source in indices[:-1]]


def chebyshev_steps(operator: int, start: int, place: int, terms: int) -> list[RecursionStep]:
    """Return the steps to T_1(P) z, ..., T_(terms - 1)(P) z; `start` and `place` are the indices of z and P z."""
    indices = [start, *range(place, place + terms - 1)]
    later = [RecursionStep(operator, source, 2.0, minus) for minus, source in pairwise(indices)]
    return [RecursionStep(operator, start), *later][: terms - 1]


def check_terms(filter: Any) -> None:
    """Check the number of terms K of a polynomial filter; K = 1 warns, since it is often taken for one hop."""
    caller = type(filter).__name__
    check_sizes(caller, K=filter.K)
    if filter.K == 1:
        warnings.warn(f"{caller}: K=1 sees no neighbor: K is the number of terms, not of hops", stacklevel=4)
