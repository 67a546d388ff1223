"""Linear graph filters: basis(x) = [P_0 x, ..., P_(m-1) x]."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor

from seqgnn._utils.validation import check_sizes, one_of
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
    """A small immutable description of a graph filter; equal if configured equally, and so a key of PreparedGraph.

    Attributes:
        num_terms: m, the blocks of the basis.
        hops: the receptive field in edges; with 0 any prepared graph will do.
        per_graph: whether its operators depend on which nodes make a graph of a batch.
        recursion: how each of the signals :math:`z_1, z_2, ...` follows from earlier ones. A filter may instead
            override `basis`, which the fused engine leaves to the reference.
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
        for hop in self.recursion:
            propagated = times(hop.operator, z[hop.source])
            propagated = propagated if hop.scale == 1 else hop.scale * propagated
            z.append(propagated if hop.minus is None else propagated - z[hop.minus])
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
        check_signal(caller, x, graph)
        return () if self.hops == 0 else as_graph(caller, [self], graph, None, graph.num_nodes).operators[self]

    def __repr__(self) -> str:
        settings = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]  # type: ignore[arg-type]
        shown = [f"{name}={value!r}" for name, value, default in settings if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Identity(Filter):
    """The filter without neighbors: `basis(x) = [x]`. Any prepared graph will do for it.

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


@dataclass(frozen=True, repr=False)
class GCN(Filter):
    r"""The renormalized adjacency of a graph convolutional network.

    `Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
    Welling 2017), equation 2; `rw` averages over neighbors instead.

    .. math::
        \text{sym:}\quad y_i = \sum_j \frac{w_{ji} x_j}{\sqrt{d_j d_i}} \qquad
        \text{rw:}\quad y_i = \sum_j \frac{w_{ji} x_j}{d_i} \qquad d_i = \sum_j w_{ji}

    The sums run over incoming edges, self-loops included, and degrees are in-degrees on both sides, as in PyG (the
    paper has undirected graphs). Duplicate edges add up. A node of degree zero gets zero, never inf. A self-loop
    that is there keeps its weight, the last one if there are several. Unit weights are the same as no weights; PyG
    forgets `improved` where no weights are given.

    Args:
        normalization: `"sym"`, `"rw"`, or None for the weights as they are.
        improved: a missing self-loop weighs 2, not 1.
        add_self_loops: whether missing self-loops are added.
        flow: `"target_to_source"` turns every edge round.

    Shapes:
        x `[..., N, F]` -> one block of the same shape.

    Raises:
        ValueError: for an unknown name; where a graph is prepared, also for a negative degree under the square root.

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
        exact = edges.weight is None  # computed in double precision, and rounded to whatever dtype x has
        w = pattern.entry_weights(edges.weight, 2.0 if self.improved else 1.0)
        if self.normalization is None:
            return (Operator(pattern, w, exact),)
        wide = _wide(w)
        positive = exact and self.add_self_loops
        root = self.normalization == "sym"
        s = _inverse_degrees(edges, pattern.row, wide, root, positive)
        values = s.index_select(0, pattern.row) * wide
        if root:
            values = values * s.index_select(0, pattern.col)
        return (Operator(pattern, values.to(w.dtype), exact),)


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

    Edge (i, j) is :math:`W_{ij}`, and i's degree is the sum of its *outgoing* weights, self-loops removed, as in PyG's
    ChebConv (the paper's graphs are undirected). A node of degree zero has no neighbors.

    Args:
        K: terms, at least 1; K = 1 sees no neighbor and warns.
        normalization: `"sym"`, `"rw"` or None.
        lambda_max: the largest eigenvalue that is assumed, for all graphs or a tuple with one for each; None takes
            twice the largest entry of each graph's own Laplacian, as PyG does of one graph.

    Shapes:
        x `[..., N, F]` -> K blocks of the same shape.

    Raises:
        ValueError: for arguments out of range; where a graph is prepared, also for a negative degree under the square
            root, or another number of graphs than of eigenvalues.

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
        _check_terms(self)
        if self.normalization is not None:
            one_of("Chebyshev", "normalization", self.normalization, ["sym", "rw"])
        values = self.lambda_max if isinstance(self.lambda_max, tuple) else (self.lambda_max,)
        for value in values if self.lambda_max is not None else ():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ValueError(f"Chebyshev: expected lambda_max to be above 0 and finite, got {value!r}")

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
        given = edges.weight
        w = torch.ones_like(source, dtype=torch.float64) if given is None else _wide(given)
        if pattern.loops is not None:
            w = w.masked_fill(pattern.loops, 0)
        if self.normalization is None:
            own = torch.index_add(w.new_zeros(edges.num_nodes), 0, source, w)
        else:
            root = self.normalization == "sym"
            s = _inverse_degrees(edges, source, w, root)
            w = s.index_select(0, source) * w
            w = w * s.index_select(0, target) if root else w
            own = w.new_ones(edges.num_nodes)
        laplacian = torch.cat([-w, own])  # its entries, where the pattern has them
        scale = 2 / self._largest(laplacian, pattern.row, edges)
        values = torch.cat([-w * scale.index_select(0, target), own * scale - 1])
        return (Operator(pattern, values if given is None else values.to(given.dtype), given is None),)

    def _largest(self, laplacian: Tensor, row: Tensor, edges: Edges) -> Tensor:
        """lambda_max at each node, `[N]`."""
        nodes = edges.num_nodes
        if isinstance(self.lambda_max, (int, float)):
            return laplacian.new_full((nodes,), self.lambda_max)
        graph = row.new_zeros(nodes) if edges.batch is None else edges.batch.to(row.dtype)
        if self.lambda_max is None:
            # As many places as there can be graphs: how many there are, a device would have to say.
            least = laplacian.new_full((nodes,), -float("inf"))
            largest = 2 * least.scatter_reduce(0, graph.index_select(0, row).long(), laplacian, "amax")
        else:
            if edges.check_values and int(graph.max()) + 1 != len(self.lambda_max):
                found = f"{len(self.lambda_max)} for {int(graph.max()) + 1} graphs"
                raise ValueError(f"{edges.caller}: expected one lambda_max for each graph, got {found}")
            largest = laplacian.new_tensor(self.lambda_max)
        largest = largest.index_select(0, graph)
        # Of a graph without edges the Laplacian is zero, whatever its scale.
        return largest.masked_fill(largest == 0, 1)

    @property
    def recursion(self) -> Sequence[RecursionStep]:  # type: ignore[override]
        return _polynomials(0, 0, 1, self.K)


@dataclass(frozen=True, repr=False)
class Diffusion(Filter):
    r"""Random walks along and against the edges, up to K - 1 steps each.

    `Diffusion convolutional recurrent neural network <https://arxiv.org/abs/1707.01926>`_ (Li et al. 2018), equation 2.

    .. math::
        I, \; P_f, \dots, P_f^{K-1}, \; P_b, \dots, P_b^{K-1}, \qquad
        P_f = D_O^{-1} W, \quad P_b = D_I^{-1} W^\top

    With edge (i, j) as :math:`W_{ij}` the forward walk, as printed, gathers from *out*-neighbors. Duplicate edges add
    up; degree zero gives a zero row. The authors' code differs, and so does `variant="authors"`: its random walks are
    :math:`P_f^\top` and :math:`P_b^\top`. It uses the recursion :math:`x_k = 2 P x_{k-1} - x_{k-2}` of Chebyshev
    polynomials, and starts the second random walk from the last but one step of the first.

    Args:
        K: terms of each random walk, at least 1; K = 1 sees no neighbor and warns. The authors' `max_diffusion_step`
            is K - 1.
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
        _check_terms(self)
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
            return tuple(self._walk(edges, flow, transposed=False) for flow in flows)
        return tuple(self._walk(edges, flow, transposed=True) for flow in reversed(flows))

    def _walk(self, edges: Edges, flow: str, transposed: bool) -> Operator:
        """Gathers along `flow`, each weight divided by all of its row, or of its column."""
        pattern = edges.pattern(self_loops=False, flow=flow)
        w = pattern.entry_weights(edges.weight, 1.0)
        wide, at = _wide(w), pattern.col if transposed else pattern.row
        values = _inverse_degrees(edges, at, wide, root=False).index_select(0, at) * wide
        return Operator(pattern, values.to(w.dtype), edges.weight is None)

    @property
    def recursion(self) -> Sequence[RecursionStep]:  # type: ignore[override]
        if self.variant == "paper":
            return _powers(0, 1, self.K) + _powers(1, self.K, self.K)
        return _polynomials(0, 0, 1, self.K) + _polynomials(1, max(self.K - 2, 0), self.K, self.K)


def _powers(operator: int, place: int, terms: int) -> list[RecursionStep]:
    """P x, P² x, ...: as many terms, x among them; `place` is that of P x."""
    places = [0, *range(place, place + terms - 1)]
    return [RecursionStep(operator, source) for source in places[:-1]]


def _polynomials(operator: int, start: int, place: int, terms: int) -> list[RecursionStep]:
    """P z, 2 P (P z) - z, ...: as many terms, z among them; `start` and `place` are those of z and P z."""
    places = [start, *range(place, place + terms - 1)]
    hops = [RecursionStep(operator, source, 2.0, minus) for minus, source in pairwise(places)]
    return [RecursionStep(operator, start), *hops][: terms - 1]


def apply_operator(operator: Operator, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """P x for x `[..., N, F]`: one product for all leading dimensions, nodes first."""
    if x.dim() == 2:
        return operator.product(x, dtype)
    nodes_first = x.movedim(-2, 0)
    y = operator.product(nodes_first.flatten(1), dtype)
    return y.reshape(nodes_first.shape).movedim(0, -2)


def _wide(w: Tensor) -> Tensor:
    """A sum in half precision stops growing at some hundreds."""
    return w.float() if w.dtype.itemsize < 4 else w


def _inverse_degrees(edges: Edges, at: Tensor, w: Tensor, root: bool, positive: bool = False) -> Tensor:
    """1 / d, or its square root, of the sums d of the weights `at` each node; zero where d is, as is its gradient.

    Where every d is known to be `positive`, zeros are not looked for.
    """
    d = torch.index_add(w.new_zeros(edges.num_nodes), 0, at, w)
    if root and edges.weight is not None and edges.check_values and bool((d < 0).any()):
        least = d.min().item()
        raise ValueError(f"{edges.caller}: expected degrees >= 0 under the square root of 'sym', got {least:g}")
    d = d if positive else d.masked_fill(d == 0, float("inf"))
    return d.rsqrt() if root else d.reciprocal()


def _check_terms(filter: "Chebyshev | Diffusion") -> None:
    caller = type(filter).__name__
    check_sizes(caller, K=filter.K)
    if filter.K == 1:
        warnings.warn(f"{caller}: K=1 sees no neighbor: K is the number of terms, not of hops", stacklevel=4)
