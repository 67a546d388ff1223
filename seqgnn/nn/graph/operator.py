"""Sparse operators y = P x of a graph, built once and reused."""

import functools
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import is_batched, is_eager, is_readable
from seqgnn.nn.graph.cache import persistent_tensors
from seqgnn.nn.graph.edge_masks import with_loops
from seqgnn.nn.graph.pattern import Pattern

# Up to this many multiplications gather and index_add are as fast as a CSR product, and need no preparation.
SMALL_PRODUCT = 2048


@functools.cache
def _silence_beta_warning() -> None:
    """Trigger torch's warning that sparse CSR is in beta, given once per process, while warnings are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        none = torch.empty(0, dtype=torch.long, device="cpu")
        torch.sparse_csr_tensor(none.new_zeros(2), none, none, (1, 1), device=none.device, check_invariants=False)


@dataclass(frozen=True)
class Edges:
    """The checked edges that a filter builds its operators from.

    Args:
        caller: the class to name in errors.
        index: `[2, E]`.
        weight: `[E]` or None.
        num_nodes: `N`.
        batch: `[N]`, the graph that each node belongs to; None for a single graph or for filters that do not need it.
        shared: results that depend on `index` only, shared by all filters and edge weights.
        check_values: whether the values of weights may be checked, which synchronizes with the device.
    """

    caller: str
    index: Tensor
    weight: Tensor | None
    num_nodes: int
    batch: Tensor | None
    shared: dict[Any, Any]
    check_values: bool

    def pattern(self, self_loops: bool, flow: str) -> Pattern:
        """Return the pattern of these edges, with one self-loop per node if `self_loops`."""
        key = self_loops, flow
        if key not in self.shared:
            self.shared[key] = Pattern(self.index, self.num_nodes, self_loops, flow)
        return self.shared[key]

    def check(self) -> None:
        """Check the range of indices, once, and that weights are finite, each time an operator is built from them."""
        if "checked" not in self.shared and self.index.numel() > 0 and is_readable(self.index):
            smallest, largest = (int(extreme) for extreme in self.index.aminmax())
            if smallest < 0 or largest >= self.num_nodes:
                expected = f"node indices in 0..{self.num_nodes - 1} (num_nodes={self.num_nodes})"
                hint = "; for ids from 1 pass edge_index - 1" if smallest == 1 and largest == self.num_nodes else ""
                raise ValueError(f"{self.caller}: expected {expected}, got {smallest}..{largest}{hint}")
            self.shared["checked"] = True
        if self.weight is not None and self.check_values and not bool(self.weight.isfinite().all()):
            raise ValueError(f"{self.caller}: expected finite edge_weight, got nan or inf")


class Operator:
    r"""A sparse operator, with its transpose for the backward pass.

    .. math:: Y = P X, \qquad \partial L / \partial X = P^\top \, \partial L / \partial Y, \qquad
        \partial L / \partial P_{ij} = \langle \partial L / \partial Y_i, X_j \rangle

    The product uses CSR where torch supports it (float32, float64; on CUDA also half and bfloat16). Other dtypes, tiny
    products, torch.compile, functorch and forward-mode AD use gather and index_add.

    Args:
        pattern: positions of the entries.
        values: one per entry; they may require gradients.
        exact: True if the values depend on the edges only (float64, without edge weights): they are cast to the dtype
            of x. Otherwise, the product has the common dtype of values and x, as in PyG.
    """

    def __init__(self, pattern: Pattern, values: Tensor, exact: bool) -> None:
        self.pattern, self.values, self.exact = pattern, values, exact
        self._cast: dict[torch.dtype, Tensor] = {}
        self._csr: dict[tuple[torch.dtype, bool], Tensor] = {}
        self._dense: dict[tuple[torch.dtype, bool], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cast": {}, "_csr": {}, "_dense": {}}

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.product(x)

    def product(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return P x for x `[N, F]`, computed in the dtype of x, or, under autocast, in at least single precision."""
        dtype = dtype or x.dtype
        if torch.is_autocast_enabled(x.device.type) and dtype.itemsize < 4:
            dtype = torch.float32
        dtype = dtype if self.exact else torch.promote_types(dtype, self.values.dtype)
        return self.multiply(x.to(dtype), self.values_as(dtype), transposed=False)

    def multiply(self, x: Tensor, values: Tensor, transposed: bool) -> Tensor:
        """Return P x, or P^T x, with the given values of the entries, in CSR where that is supported and faster."""
        row, col = self.pattern.row, self.pattern.col
        # Sizes are compared last: under torch.export, a comparison would specialize the program to its result.
        if _has_csr_product(x, values) and x.size(1) * row.numel() > SMALL_PRODUCT:
            return _Product.apply(x, values, self, transposed)
        row, col = (col, row) if transposed else (row, col)
        terms = x.index_select(0, col) * values.unsqueeze(-1)
        return torch.index_add(torch.zeros_like(x), 0, row, terms)

    def values_as(self, dtype: torch.dtype) -> Tensor:
        """Return the values in this dtype; a copy is cached unless gradients flow through it."""
        if dtype == self.values.dtype:
            return self.values
        if self.values.requires_grad or not is_eager():
            return self.values.to(dtype)
        if dtype not in self._cast:
            with persistent_tensors():
                self._cast[dtype] = self.values.to(dtype)
        return self._cast[dtype]

    def masked(self, edge_mask: Tensor) -> "Operator":
        """Return the operator with the entries of its edges multiplied by a mask `[E]`, and self-loops unchanged."""
        values = self.values_as(edge_mask.dtype) if self.exact else self.values
        return Operator(self.pattern, values * with_loops(edge_mask, values.numel()), exact=False)

    def csr(self, values: Tensor, transposed: bool) -> Tensor:
        """Return P, or its transpose, as a CSR tensor; cached unless its values require gradients."""
        key = values.dtype, transposed
        if key in self._csr:
            return self._csr[key]
        _silence_beta_warning()
        pointers, index, order = self.pattern.compressed(transposed)
        size = (self.pattern.num_nodes, self.pattern.num_nodes)
        with persistent_tensors():
            values = values.detach().index_select(0, order)
            matrix = torch.sparse_csr_tensor(
                pointers, index, values, size, device=values.device, check_invariants=False
            )
        if not self.values.requires_grad:
            self._csr[key] = matrix
        return matrix

    def matrix(self, values: Tensor, transposed: bool, dense: bool) -> Tensor:
        """Return P, or its transpose, as a CSR or a dense tensor; cached unless its values require gradients."""
        if not dense:
            return self.csr(values, transposed)
        key = values.dtype, transposed
        if key in self._dense:
            return self._dense[key]
        nodes = self.pattern.num_nodes
        row, col = (self.pattern.col, self.pattern.row) if transposed else (self.pattern.row, self.pattern.col)
        with persistent_tensors():
            entries = values.detach().new_zeros(nodes * nodes)
            matrix = entries.index_add_(0, row * nodes + col, values.detach()).view(nodes, nodes)
        if not self.values.requires_grad:
            self._dense[key] = matrix
        return matrix

    def values_grad(self, dy: Tensor, x: Tensor) -> Tensor:
        """Return the gradient of the values for y = P x: per entry, the inner product of a row of dy and one of x."""
        row, col, nodes = self.pattern.row, self.pattern.col, self.pattern.num_nodes
        if row.numel() > nodes**2:  # more than sampled_addmm supports
            return (dy @ x.t()).flatten().index_select(0, row * nodes + col)
        _silence_beta_warning()
        pointers, index, order = self.pattern.compressed(transposed=False)
        zeros = dy.new_zeros(index.numel())
        entries = torch.sparse_csr_tensor(
            pointers, index, zeros, (nodes, nodes), device=dy.device, check_invariants=False
        )
        products = torch.sparse.sampled_addmm(entries, dy, x.t()).values()
        return torch.zeros_like(products).index_add_(0, order, products)

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> "Operator":
        values = self.values.to(device=device, dtype=None if self.exact else dtype)
        pattern = self.pattern if values.device == self.values.device else self.pattern.to(values.device)
        return Operator(pattern, values, self.exact)


def _has_csr_product(x: Tensor, values: Tensor) -> bool:
    if not is_eager() or torch_internals.forward_ad_active():
        return False
    if is_batched(x, values):
        return False
    wide = x.dtype in (torch.float32, torch.float64)
    return wide or (x.is_cuda and x.dtype in (torch.float16, torch.bfloat16))


class _Product(torch.autograd.Function):
    """P x, with P^T in the backward pass, which consists of such products and so supports double backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, operator: Operator, transposed: bool) -> Tensor:
        ctx.operator, ctx.transposed = operator, transposed
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, values)
        matrix = operator.csr(values, transposed)
        if not torch.is_autocast_enabled(x.device.type):
            return torch.mm(matrix, x.contiguous())
        with torch.autocast(x.device.type, enabled=False):
            return torch.mm(matrix, x.contiguous())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, values = ctx.saved_tensors
        operator, transposed = ctx.operator, ctx.transposed
        grad_x = grad_values = None
        if ctx.needs_input_grad[0]:
            grad_x = operator.multiply(grad, values, not transposed)
        if ctx.needs_input_grad[1]:
            row, col = operator.pattern.row, operator.pattern.col
            if transposed:
                row, col = col, row
            grad_values = (grad.index_select(0, row) * x.index_select(0, col)).sum(-1)
        return grad_x, grad_values, None, None
