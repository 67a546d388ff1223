"""The graph convolution of Kipf and Welling, a drop-in for PyG's."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.aggr import SumAggregation
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.typing import Adj, OptTensor, SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, to_edge_index

from seqgnn.errors import one_of
from seqgnn.nn import torch_internals
from seqgnn.nn.filters import GCN, Filter, apply_operator
from seqgnn.nn.operator import Operator, PreparedGraph
from seqgnn.nn.prepare import Preparable, as_graph, check_place, check_signal

FORWARD_HOOKS = "forward_pre_hooks", "forward_hooks"
# Where PyG keeps what was registered to see messages; where it does not, messages are passed as if somebody had.
MESSAGE_HOOKS = [
    f"_{what}_forward{pre}_hooks" for what in ("propagate", "message", "aggregate") for pre in ("_pre", "")
]


class GCNConv(Preparable, MessagePassing):
    r"""Mixes each node with its neighbours, then maps the features linearly.

    `Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
    Welling 2017), equation 2.

    .. math::
        X' = P X W^\top + b, \qquad
        P_{ij} = \frac{w_{ji}}{\sqrt{d_j d_i}} \;\text{(sym)} \quad\text{or}\quad \frac{w_{ji}}{d_i} \;\text{(rw)},
        \qquad d_i = \sum_j w_{ji}, \quad \text{self-loops included}

    The drop-in for `torch_geometric.nn.GCNConv`: its arguments, its parameters by name (`lin.weight`, `bias`), its
    inputs. The product is a sparse one with its transpose prepared, and of (P X) W and P (X W) the cheaper is taken.
    Overridden `message`, `aggregate` or `update`, hooks, explain mode, `decomposed_layers` and other aggregations run
    through PyG's `propagate`.

    Deviations from the paper: degrees are in-degrees and sums run over incoming edges (the paper's graphs are
    undirected), as in PyG. Deviations from PyG: `improved` also holds where no weights are given;
    of several self-loops at a node only the last, which counts, gets a gradient; weights must be floating and `[E]`; a
    sparse adjacency is taken as its edges, so an overridden `message_and_aggregate` is never called.

    The operators of the last graphs are kept, by the identity, storage and version counter of their tensors. What that
    cannot notice is a write into the same storage through `.data` or numpy: pass a new tensor after one.

    Args:
        in_channels: `F`, or -1 to take it from the first input.
        out_channels: `H`.
        improved: a missing self-loop weighs 2, not 1.
        cached: keep the operator of the first call, whatever graph later calls bring.
        add_self_loops: add the missing self-loops; by default as `normalize`.
        normalize: divide by the degrees.
        bias: add b.
        normalization: `"sym"` or `"rw"` (each row sums to one).
        kwargs: those of `MessagePassing`, such as `flow`.

    Shapes:
        x `[N, F]`, or `[..., N, F]` on one graph; edge_index `[2, E]`, a PreparedGraph, or a sparse transposed
        adjacency `[N, N]` (COO, CSR or CSC, or a `torch_sparse.SparseTensor`); edge_weight `[E]` -> `[..., N, H]`.

    Raises:
        ValueError: for unknown names, self-loops without normalization, inputs that do not fit; where a graph is
            first seen, for indices out of range, weights that are not finite, negative degrees under the root.

    Example:
        >>> import torch
        >>> conv = GCNConv(8, 4)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> conv(torch.randn(3, 8), edge_index).shape
        torch.Size([3, 4])
        >>> graph = conv.prepare(edge_index)
        >>> conv(torch.randn(3, 8), graph).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
        *,
        normalization: str = "sym",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        name = type(self).__name__
        if out_channels < 1 or (in_channels < 1 and in_channels != -1):
            raise ValueError(f"{name}: expected at least one channel, got {in_channels} in and {out_channels} out")
        if add_self_loops is None:
            add_self_loops = normalize
        if add_self_loops and not normalize:
            raise ValueError(f"{name}: expected normalize=True, since it does not support adding self-loops without")
        one_of(name, "normalization", normalization, ["sym", "rw"])
        if normalization != "sym" and not normalize:
            raise ValueError(f"{name}: expected normalize=True beside normalization={normalization!r}, got False")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.improved = improved
        self.cached = cached
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self.normalization = normalization
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")
        if bias:
            self.bias = Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot for the weight, zero for the bias; forgets a cached operator."""
        super().reset_parameters()
        self.lin.reset_parameters()
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)
        # Two names, because callers of PyG's look at both.
        self._cached_edge_index: tuple[PreparedGraph, GCN] | None = None
        self._cached_adj_t: tuple[PreparedGraph, GCN] | None = None

    @property
    def filter(self) -> GCN:
        """The filter whose operator this layer applies."""
        return GCN(self.normalization if self.normalize else None, self.improved, self.add_self_loops, self.flow)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.filter,)

    def forward(self, x: Tensor, edge_index: Adj | PreparedGraph, edge_weight: OptTensor = None) -> Tensor:
        self._check_features(x)
        operator = self._operator(x, edge_index, edge_weight)
        if self._customized():
            out = self._pass_messages(self.lin(x), operator, x.dtype)
        elif self._propagate_first(x, operator):
            out = self.lin(apply_operator(operator, x))
        else:
            out = apply_operator(operator, self.lin(x), x.dtype).contiguous()
        bias = self.bias
        return out if bias is None else out + bias

    def _operator(self, x: Tensor, edge_index: Adj | PreparedGraph, edge_weight: OptTensor) -> Operator:
        name, kind, node_dim = type(self).__name__, self.filter, int(self.node_dim)
        num_nodes = x.size(node_dim)
        cache = "_cached_adj_t" if isinstance(edge_index, SparseTensor) else "_cached_edge_index"
        kept = getattr(self, cache) if self.cached and self.normalize else None
        if kept is None:
            check_place(name, x, edge_index)
            if isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index):
                edge_index, edge_weight = self._edges_of(edge_index, edge_weight, num_nodes, x.dtype)
                kind = replace(kind, add_self_loops=False)
            kept = as_graph(name, [kind], edge_index, edge_weight, num_nodes), kind
            if self.cached and self.normalize:
                setattr(self, cache, kept)
        graph, kind = kept
        if node_dim == -2:
            check_signal(name, x, graph)
        return graph.operators[kind][0]

    def _edges_of(
        self, adj_t: Any, edge_weight: OptTensor, num_nodes: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The edges of a sparse transposed adjacency, with the self-loops that PyG gives it."""
        name = type(self).__name__
        if edge_weight is not None:
            raise ValueError(f"{name}: expected no edge_weight beside a sparse adjacency, which holds its own, got one")
        if self.flow != "source_to_target":
            raise ValueError(f"{name}: expected flow 'source_to_target' for a sparse adjacency, got {self.flow!r}")
        size = (adj_t.size(0), adj_t.size(1))
        if size != (num_nodes, num_nodes):
            raise ValueError(f"{name}: expected a sparse adjacency of {num_nodes} x {num_nodes} nodes, got {size}")
        fill = 2.0 if self.improved else 1.0
        if isinstance(adj_t, SparseTensor):
            target, source, weight = adj_t.coo()
            weight = torch.ones(target.numel(), dtype=dtype, device=target.device) if weight is None else weight
            if self.add_self_loops:  # PyG replaces the diagonal of these ...
                other = target != source
                target, source, weight = target[other], source[other], weight[other]
        elif adj_t.layout == torch.sparse_coo:  # PyG's conversion has no derivative
            adj_t = adj_t.coalesce()
            (target, source), weight = adj_t.indices(), adj_t.values()
        else:
            (target, source), weight = to_edge_index(adj_t)
        if self.add_self_loops:  # ... and adds to that of torch's own sparse tensors
            nodes = torch.arange(num_nodes, device=target.device)
            target, source = torch.cat([target, nodes]), torch.cat([source, nodes])
            weight = torch.cat([weight, weight.new_full((num_nodes,), fill)])
        return torch.stack([source, target]), weight

    def _customized(self) -> bool:
        """Whether the caller sees or changes the messages one by one."""
        kind, own = type(self), self.__dict__
        overridden = (
            kind.message is not GCNConv.message
            or kind.aggregate is not MessagePassing.aggregate
            or kind.update is not MessagePassing.update
            or not kind.propagate.__module__.endswith(("_propagate", "message_passing"))  # where PyG's own are
            or any(method in own for method in ("message", "aggregate", "update"))
        )
        hooked = any(getattr(self, name, True) for name in MESSAGE_HOOKS)
        other_sum = type(self.aggr_module) is not SumAggregation or self.node_dim != -2
        return bool(overridden or hooked or self.explain or self.decomposed_layers > 1 or other_sum)

    def _propagate_first(self, x: Tensor, operator: Operator) -> bool:
        """Whether (P X) W costs less than P (X W), counting the products of forward and backward pass."""
        lin = self.lin
        if x.layout != torch.strided or type(lin) is not Linear or lin.bias is not None:
            return False
        if torch_internals.has_hooks(lin):
            return False  # they expect x W
        if torch.is_autocast_enabled(x.device.type):
            return False  # so that the dtype of the result does not depend on the order
        if not operator.exact and torch.promote_types(x.dtype, operator.values.dtype) != x.dtype:
            return False  # edge weights of a wider dtype: the result takes it, as in PyG, but `lin` cannot
        weights = operator.values.requires_grad
        before = x.size(-1) * (1 + x.requires_grad + weights)
        after = self.out_channels * (1 + (x.requires_grad or lin.weight.requires_grad) + weights)
        return before < after

    def _pass_messages(self, x: Tensor, operator: Operator, dtype: torch.dtype) -> Tensor:
        values = operator.values_as(dtype) if operator.exact else operator.values
        row, col, values = operator.pattern.edges(values)
        edge_index = torch.stack([col, row] if self.flow == "source_to_target" else [row, col]).long()
        # propagate_type: (x: Tensor, edge_weight: OptTensor)
        return self.propagate(edge_index, x=x, edge_weight=values if self.normalize or not operator.exact else None)

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """What an edge carries: its value in P times the features of its source."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def _check_features(self, x: Tensor) -> None:
        name = type(self).__name__
        if isinstance(x, (tuple, list)):
            raise ValueError(f"{name}: expected a tensor of node features (no bipartite graphs), received a tuple")
        if x.dim() < 2:
            raise ValueError(f"{name}: expected x of shape [..., N, F], got {tuple(x.shape)}")
        lin = self.lin
        if type(lin) is not Linear:
            return  # the user's own map knows what it takes
        channels, weight = lin.in_channels, lin.weight
        if channels > 0 and x.size(-1) != channels:
            raise ValueError(f"{name}: expected x of shape [..., N, {channels}], got {tuple(x.shape)}")
        if x.device != weight.device:
            raise ValueError(f"{name}: expected x on {weight.device}, where the layer is, got {x.device}")
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"{name}: expected x of dtype {weight.dtype}, as the layer, got {x.dtype}")

    def __repr__(self) -> str:
        rest = "" if self.normalization == "sym" else f", normalization={self.normalization!r}"
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}{rest})"
