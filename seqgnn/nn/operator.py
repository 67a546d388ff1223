"""Sparse operators y = P x of a graph, built once and used many times."""

import contextlib
import functools
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from seqgnn.nn import torch_internals
from seqgnn.nn.edge_masks import check_edge_mask, masked_operator

Value = TypeVar("Value")

# Up to so many multiplications gather and index_add are as fast as a CSR product, and need no preparation.
SMALL_PRODUCT = 2048


def plain_tensors() -> bool:
    """False in torch.compile, functorch and tracing, where values cannot be looked at nor tensors be remembered."""
    if torch.compiler.is_compiling():
        return False
    transformed = torch_internals.transforms_active() or torch_internals.dispatch_mode_active()
    return not transformed and not torch.jit.is_tracing()


def is_readable(tensor: Tensor) -> bool:
    """True if the values of a tensor can be looked at."""
    return plain_tensors() and not tensor.is_meta


def is_batched(*tensors: Tensor | None) -> bool:
    """True if one of them is many at once, as gradients are with `is_grads_batched=True`."""
    return any(tensor is not None and torch_internals.is_legacy_batched(tensor) for tensor in tensors)


def durable() -> contextlib.AbstractContextManager[Any]:
    """What is built in here may be kept: under `torch.inference_mode` it could not be used in training later."""
    if not plain_tensors() or not torch.is_inference_mode_enabled():
        return contextlib.nullcontext()
    contexts = contextlib.ExitStack()
    contexts.enter_context(torch.inference_mode(False))
    contexts.enter_context(torch.no_grad())
    return contexts


@functools.cache
def _silence_beta_warning() -> None:
    """torch says once per process that sparse CSR is in beta; it says so here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        none = torch.empty(0, dtype=torch.long, device="cpu")
        torch.sparse_csr_tensor(none.new_zeros(2), none, none, (1, 1), device=none.device, check_invariants=False)


def _stable_sort(key: Tensor, bound: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keys below `bound` in order, of this dtype, and where they were.

    On the CPU key and position are packed into one number, as narrow as can be, for numpy's vectorised sort of plain
    numbers: as fast as torch's, which has to carry the positions, at a million keys, 14 times as fast at ten thousand.
    """
    bits = key.numel().bit_length()
    if key.device.type != "cpu" or bits > 31:
        sorted_key, order = torch.sort(key.to(dtype), stable=True)
        return sorted_key, order
    packed: Any = key.numpy().astype(np.int32 if bits + bound.bit_length() < 32 else np.int64)
    packed <<= bits
    packed |= np.arange(len(packed), dtype=packed.dtype)
    packed.sort()
    return torch.from_numpy(packed >> bits).to(dtype), torch.from_numpy(packed & ((1 << bits) - 1))


class Pattern:
    """Where the entries of an `N x N` operator are: entry `e` carries `x[col[e]]` to `y[row[e]]`.

    Entries come in the order of the edges, then, with `self_loops`, one loop per node. A self-loop among the edges
    then keeps its place as an entry of value zero and gives its weight to the node's own loop (the last one does, if
    there are several: `add_remaining_self_loops` of PyG). So no shape depends on the values of `edge_index`.

    Args:
        edge_index: `[2, E]`, checked.
        num_nodes: `N`.
        self_loops: append one loop per node.
        flow: `"source_to_target"` gathers over incoming edges, `"target_to_source"` over outgoing ones.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, self_loops: bool, flow: str) -> None:
        self.num_nodes, self.num_edges, self.self_loops = num_nodes, edge_index.size(1), self_loops
        self.loops: Tensor | None = None
        if self_loops:
            loops = edge_index[0] == edge_index[1]
            if not is_readable(loops) or bool(loops.any()):
                self.loops = loops
            nodes = torch.arange(num_nodes, device=edge_index.device, dtype=edge_index.dtype)
            entries = torch.cat([edge_index, nodes.expand(2, -1)], 1)
        else:
            entries = edge_index.clone()
        source, target = entries
        self.row, self.col = (target, source) if flow == "source_to_target" else (source, target)
        self._origin: Tensor | None = None
        self._sorted: dict[bool, tuple[Tensor, Tensor, Tensor]] = {}

    def entry_weights(self, weight: Tensor | None, fill: float) -> Tensor:
        """Weights `[E]` of the edges, or None for ones -> of the entries; a missing self-loop weighs `fill`."""
        if weight is None:
            weight = torch.ones(self.row.numel(), dtype=torch.float64, device=self.row.device)
            if fill == 1 and self.loops is not None:
                weight[: self.num_edges].masked_fill_(self.loops, 0)
            if fill == 1 or not self.self_loops:
                return weight
            weight = weight[: self.num_edges]
        if not self.self_loops:
            return weight.clone()  # the caller may write into the original
        if self.loops is None:
            return torch.cat([weight, weight.new_full((self.num_nodes,), fill)])
        if self._origin is None:
            with durable():
                self._origin = self._find_origin(self.loops)
        others = weight.new_zeros(1), weight.new_full((1,), fill)
        return torch.cat([weight, *others]).index_select(0, self._origin)

    def _find_origin(self, loops: Tensor) -> Tensor:
        """Where an entry has its weight from: an edge, the zero behind the edges, or the fill value behind that."""
        num_nodes, num_edges = self.num_nodes, self.num_edges
        edges = torch.arange(num_edges, device=loops.device)
        node = torch.where(loops, self.row[:num_edges].long(), num_nodes)
        own = torch.full((num_nodes + 1,), num_edges + 1, device=loops.device)
        own = own.scatter_reduce(0, node, edges, "amax", include_self=False)[:num_nodes]
        return torch.cat([torch.where(loops, num_edges, edges), own])

    def compressed(self, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointers, column indices and the order of the entries, of P or of its transpose; kept once built."""
        if transposed not in self._sorted:
            row, col = (self.col, self.row) if transposed else (self.row, self.col)
            # 32 bit is what MKL and cuSPARSE multiply with, without a copy at each product.
            index = torch.int32 if max(self.num_nodes, row.numel()) < 2**31 else torch.int64
            with durable():
                key, order = _stable_sort(row, self.num_nodes, index)
                pointers = torch_internals.row_pointers(key, self.num_nodes, index)
                self._sorted[transposed] = pointers, col.to(index).index_select(0, order), order
        return self._sorted[transposed]

    def edges(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values of the entries as PyG has them: without what the loops have taken over."""
        if self.loops is None or not plain_tensors():
            return self.row, self.col, values
        keep = torch.cat([~self.loops, self.loops.new_ones(self.num_nodes)]).nonzero().squeeze(1)
        return self.row[keep], self.col[keep], values[keep]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sorted": {}}

    def to(self, device: torch.device) -> "Pattern":
        copy = object.__new__(Pattern)
        copy.num_nodes, copy.num_edges, copy.self_loops = self.num_nodes, self.num_edges, self.self_loops
        copy.loops = None if self.loops is None else self.loops.to(device)
        copy._origin = None if self._origin is None else self._origin.to(device)
        copy.row, copy.col = self.row.to(device), self.col.to(device)
        copy._sorted = {}
        for side, (pointers, index, order) in self._sorted.items():
            copy._sorted[side] = pointers.to(device), index.to(device), order.to(device)
        return copy


@dataclass(frozen=True)
class Edges:
    """What a filter builds its operators from.

    Args:
        who: the class to name in errors.
        index: `[2, E]`.
        weight: `[E]` or None.
        num_nodes: `N`.
        batch: `[N]`, the graph each node belongs to; None: all are one, or the filters do not ask.
        memory: what was made of the index alone, for other filters and weights to share.
        look: whether the values of weights may be checked, for which a device would have to be waited for.
    """

    who: str
    index: Tensor
    weight: Tensor | None
    num_nodes: int
    batch: Tensor | None
    memory: dict[Any, Any]
    look: bool

    def pattern(self, self_loops: bool, flow: str) -> Pattern:
        """The pattern of these edges, with one self-loop per node if asked for."""
        key = self_loops, flow
        if key not in self.memory:
            self.memory[key] = Pattern(self.index, self.num_nodes, self_loops, flow)
        return self.memory[key]

    def check(self) -> None:
        """Index ranges, once; finite weights, whenever an operator is built from them."""
        if "checked" not in self.memory and self.index.numel() > 0 and is_readable(self.index):
            smallest, largest = (int(extreme) for extreme in self.index.aminmax())
            if smallest < 0 or largest >= self.num_nodes:
                wanted = f"node indices in 0..{self.num_nodes - 1} (num_nodes={self.num_nodes})"
                hint = "; for ids from 1 pass edge_index - 1" if smallest == 1 and largest == self.num_nodes else ""
                raise ValueError(f"{self.who}: expected {wanted}, got {smallest}..{largest}{hint}")
            self.memory["checked"] = True
        if self.weight is not None and self.look and not bool(self.weight.isfinite().all()):
            raise ValueError(f"{self.who}: expected finite edge_weight, got nan or inf")


class Operator:
    r"""A sparse operator, with its transpose for the way back.

    .. math:: Y = P X, \qquad \partial L / \partial X = P^\top \, \partial L / \partial Y, \qquad
        \partial L / \partial P_{ij} = \langle \partial L / \partial Y_i, X_j \rangle

    The product is one in CSR where torch has it (float32, float64; on CUDA also half and bfloat16). Other dtypes, tiny
    products, torch.compile, functorch and forward-mode derivatives take gather and index_add.

    Args:
        pattern: where the entries are.
        values: one per entry; may need gradients.
        exact: the values come from the edges alone (float64, no weights given), so they take the dtype of x.
            Otherwise the product has the common dtype of values and x, as in PyG.
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
        """P x for x `[N, F]`, computed in the dtype of x, or, under autocast, in at least single precision."""
        dtype = dtype or x.dtype
        if torch.is_autocast_enabled(x.device.type) and dtype.itemsize < 4:
            dtype = torch.float32
        dtype = dtype if self.exact else torch.promote_types(dtype, self.values.dtype)
        return self.multiply(x.to(dtype), self.values_as(dtype), transposed=False)

    def multiply(self, x: Tensor, values: Tensor, transposed: bool) -> Tensor:
        """P x, or its transpose times x, with these values of the entries, in CSR if torch has and is worth that."""
        row, col = self.pattern.row, self.pattern.col
        # Sizes come second: while torch.export traces, comparing one would bind the program to the answer.
        if _has_csr_product(x, values) and x.size(1) * row.numel() > SMALL_PRODUCT:
            return _Product.apply(x, values, self, transposed)
        row, col = (col, row) if transposed else (row, col)
        terms = x.index_select(0, col) * values.unsqueeze(-1)
        return torch.index_add(torch.zeros_like(x), 0, row, terms)

    def values_as(self, dtype: torch.dtype) -> Tensor:
        """The values in this dtype; a copy is kept unless gradients flow through it."""
        if dtype == self.values.dtype:
            return self.values
        if self.values.requires_grad or not plain_tensors():
            return self.values.to(dtype)
        if dtype not in self._cast:
            with durable():
                self._cast[dtype] = self.values.to(dtype)
        return self._cast[dtype]

    def csr(self, values: Tensor, transposed: bool) -> Tensor:
        """P, or its transpose, as a CSR tensor; kept unless its values change from call to call."""
        key = values.dtype, transposed
        if key in self._csr:
            return self._csr[key]
        _silence_beta_warning()
        pointers, index, order = self.pattern.compressed(transposed)
        size = (self.pattern.num_nodes, self.pattern.num_nodes)
        with durable():
            values = values.detach().index_select(0, order)
            matrix = torch.sparse_csr_tensor(
                pointers, index, values, size, device=values.device, check_invariants=False
            )
        if not self.values.requires_grad:
            self._csr[key] = matrix
        return matrix

    def matrix(self, values: Tensor, transposed: bool, dense: bool) -> Tensor:
        """P, or its transpose, as a CSR or a dense tensor; kept unless its values change from call to call."""
        if not dense:
            return self.csr(values, transposed)
        key = values.dtype, transposed
        if key in self._dense:
            return self._dense[key]
        nodes = self.pattern.num_nodes
        row, col = (self.pattern.col, self.pattern.row) if transposed else (self.pattern.row, self.pattern.col)
        with durable():
            entries = values.detach().new_zeros(nodes * nodes)
            matrix = entries.index_add_(0, row * nodes + col, values.detach()).view(nodes, nodes)
        if not self.values.requires_grad:
            self._dense[key] = matrix
        return matrix

    def joined(self, dy: Tensor, x: Tensor) -> Tensor:
        """The products of the rows of dy and x `[N, F]` that each entry joins: the derivative by it where y = P x."""
        row, col, nodes = self.pattern.row, self.pattern.col, self.pattern.num_nodes
        if row.numel() > nodes**2:  # more than sampled_addmm takes
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
    if not plain_tensors() or torch_internals.forward_ad_active():
        return False
    if is_batched(x, values):
        return False
    wide = x.dtype in (torch.float32, torch.float64)
    return wide or (x.is_cuda and x.dtype in (torch.float16, torch.bfloat16))


class _Product(torch.autograd.Function):
    """P x with P^T in the backward pass, which is made of products again and so can be differentiated again."""

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


@dataclass(frozen=True, eq=False, repr=False)
class PreparedGraph:
    """A graph with the operators of some filters, built once and never changed; accepted wherever an `edge_index` is.

    Made by `prepare` of a filter or a layer. It holds the caller's own tensors: changing them in place afterwards does
    not change the operators, except that edge weights which needed gradients are read anew at each use.

    Args:
        edge_index: `[2, E]`.
        edge_weight: `[E]` or None.
        num_nodes: `N`.
        batch: `[N]`, the graph each node belongs to, or None.
        operators: by filter.
        learnable: the weights needed gradients when the graph was prepared, so they may have changed since.
        current: the operators were built from the weights as they are in this call.
        edge_mask: `[E]`, what messages are multiplied by, see `masked`; None: they are not.

    Example:
        >>> import torch
        >>> from seqgnn.nn.filters import GCN
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
        """Whether learnable weights may have changed since the operators were built."""
        if self.edge_weight is None or self.current:
            return False
        return self.learnable or self.edge_weight.requires_grad

    def masked(self, edge_mask: Tensor) -> "PreparedGraph":
        """This graph for one call: each edge's message times its `edge_mask` `[E]`, operators' own self-loops not."""
        check_edge_mask("PreparedGraph", edge_mask, self.num_edges)
        operators = {key: tuple(masked_operator(op, edge_mask) for op in ops) for key, ops in self.operators.items()}
        return replace(self, operators=operators, current=True, edge_mask=edge_mask)

    def to(self, *args: Any, **kwargs: Any) -> "PreparedGraph":
        """A copy on another device or in another floating dtype; itself where nothing changes.

        Args:
            args, kwargs: as those of `torch.nn.Module.to`.

        Raises:
            ValueError: if the dtype is not a floating one, or the edge weights are learnable: a copy of them would not
                learn.
        """
        device, dtype, non_blocking = torch_internals.parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"PreparedGraph: expected a floating dtype, got {dtype}")

        weight = self.edge_weight
        if device in (None, self.edge_index.device) and (weight is None or dtype in (None, weight.dtype)):
            return self
        if self.stale:
            raise ValueError("PreparedGraph: expected fixed edge weights to move, got learnable ones; prepare it there")

        def move(tensor: Tensor | None, dtype: torch.dtype | None = None) -> Any:
            return None if tensor is None else tensor.to(device=device, dtype=dtype, non_blocking=non_blocking)

        operators = {key: tuple(op.to(device, dtype) for op in ops) for key, ops in self.operators.items()}
        index, batch = move(self.edge_index), move(self.batch)
        return PreparedGraph(index, move(weight, dtype), self.num_nodes, batch, operators, current=self.current)

    def __repr__(self) -> str:
        filters = ", ".join(map(repr, self.operators))
        return f"PreparedGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges}, filters=[{filters}])"


def _counts_versions(tensor: Tensor) -> bool:
    """True if any change of its values shows in its version counter (but writes through `.data` and numpy)."""
    known = type(tensor) is Tensor or type(tensor) is torch.nn.Parameter
    return known and not (tensor.requires_grad or tensor.is_inference() or is_batched(tensor))


class LastSeen:
    """What was built from tensors, kept while those tensors live and are unchanged.

    The key is the tensors' identity, storage, dtype, shape, strides and version counter, which together do not notice
    writes into the same storage through `.data`, numpy or another view without a counter. Nothing is kept for tensors
    that need gradients, for those made under `torch.inference_mode`, which count no versions, for subclasses of
    tensors, whose counters may stand still while what they wrap is written, or inside torch.compile, functorch, tracing
    and forward-mode derivatives. The values must not refer to the tensors, or these would never be freed.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self._entries: OrderedDict[tuple, tuple[list[tuple], list[weakref.ref], Any]] = OrderedDict()
        self.unlock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.unlock)

    def unlock(self) -> None:
        """A new lock; reentrant, since freeing a tensor calls `_drop`, maybe while this thread is in here."""
        self._lock = threading.RLock()

    def get(self, tensors: tuple[Tensor | None, ...], extra: tuple, build: Callable[[], Value]) -> Value:
        """What was kept under these tensors and `extra`, or else what `build` makes."""
        given = [tensor for tensor in tensors if tensor is not None]
        plain = plain_tensors() and not torch_internals.forward_ad_active()
        if not plain or not all(map(_counts_versions, given)):
            return build()
        key = (*map(id, tensors), *extra)
        versions = [(t._version, t.data_ptr(), t.dtype, t.shape, t.stride()) for t in given]
        with self._lock:
            # An entry goes when one of its tensors does, so the same id is the same tensor.
            kept = self._entries.get(key)
            if kept is not None and kept[0] == versions:
                self._entries.move_to_end(key)
                return kept[2]
        with durable():
            value = build()
        refs = [weakref.ref(tensor, functools.partial(self._drop, key)) for tensor in given]
        with self._lock:
            self._entries[key] = versions, refs, value
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)
        return value

    def _drop(self, key: tuple, ref: weakref.ref) -> None:
        with self._lock:
            self._entries.pop(key, None)


last_seen = LastSeen()
