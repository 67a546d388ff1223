"""The graph convolution of Kipf and Welling, a drop-in replacement for PyG's `GCNConv`."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import Linear
from torch_geometric.typing import Adj, OptTensor, SparseTensor

from seqgnn._utils.validation import check_channels, check_dense, check_sizes, one_of
from seqgnn.nn.conv.message_passing import OperatorMessagePassing, is_plain_linear
from seqgnn.nn.graph.adjacency import edges_of_adjacency, is_adjacency
from seqgnn.nn.graph.filters import GCN, Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph, check_place, check_signal
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import layer_call, layer_options


class GCNConv(OperatorMessagePassing, GraphPreparer):
    r"""A graph convolution: the normalized sum over each node and its neighbors, followed by a linear map.

    `Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
    Welling 2017), equation 2.

    .. math::
        X' = P X W^\top + b, \qquad
        P_{ij} = \frac{w_{ji}}{\sqrt{d_j d_i}} \;\text{(sym)} \quad\text{or}\quad \frac{w_{ji}}{d_i} \;\text{(rw)},
        \qquad d_i = \sum_j w_{ji}, \quad \text{self-loops included}

    A drop-in replacement for `torch_geometric.nn.GCNConv`, with the same arguments, parameter names (`lin.weight`,
    `bias`) and inputs. The propagation is a sparse matrix product whose transpose is prepared for the backward pass,
    and the cheaper of (P X) W and P (X W) is computed. Overridden `message`, `aggregate` or `update`, hooks, explain
    mode, `decomposed_layers` and other aggregations use PyG's `propagate`.

    Deviations from the paper: degrees are in-degrees and sums run over incoming edges (the paper's graphs are
    undirected), as in PyG. Deviations from PyG: `improved` also applies without edge weights; if a node has several
    self-loops, only the last one is used and gets a gradient; weights must have a floating dtype and the shape `[E]` or
    `[E, 1]`; a sparse adjacency is converted to edges, so an overridden `message_and_aggregate` is never called.

    The operators of the last graphs are cached by the identity, storage and version counter of their tensors. This does
    not detect writes to the same storage through `.data` or numpy: pass a new tensor after such a write.

    Args:
        in_channels: `F`, or -1 to infer it from the first input.
        out_channels: `H`.
        improved: give added self-loops the weight 2 instead of 1.
        cached: reuse the operator of the first call for all later calls, whatever their graph.
        add_self_loops: add missing self-loops; by default the same as `normalize`.
        normalize: normalize by the degrees.
        bias: add the bias b.
        normalization: `"sym"` or `"rw"` (each row sums to one).
        kwargs: arguments of `MessagePassing`, such as `flow`.

    Shapes:
        x `[N, F]`, or `[..., N, F]` on one graph; edge_index `[2, E]`, a PreparedGraph, or a sparse transposed
        adjacency `[N, N]` (COO, CSR or CSC, or a `torch_sparse.SparseTensor`); edge_weight `[E]` -> `[..., N, H]`.

    Raises:
        ValueError: for unknown names, self-loops without normalization, or inputs that do not match; and, the first
            time a graph is used, for indices out of range, weights that are not finite, or square roots of negative
            degrees.

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

    @layer_options
    def __init__(
        self,
        in_channels: int | tuple[int, int],
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
        super().__init__(**kwargs)
        name = type(self).__name__
        in_channels = check_channels(name, in_channels)
        check_sizes(name, out_channels=out_channels)
        if add_self_loops is None:
            add_self_loops = normalize
        if add_self_loops and not normalize:
            hint = "it does not support adding self-loops without normalization"
            raise ValueError(f"{name}: expected normalize=True, since {hint}")
        one_of(name, "normalization", normalization, ["sym", "rw"])
        if normalization != "sym" and not normalize:
            raise ValueError(f"{name}: expected normalize=True with normalization={normalization!r}, got False")
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
        """Reset the weight (Glorot) and the bias (zero), and clear the cached operator."""
        super().reset_parameters()
        self.lin.reset_parameters()
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)
        # Two attributes, since code written for PyG's layer reads both.
        self._cached_edge_index: tuple[PreparedGraph, GCN] | None = None
        self._cached_adj_t: tuple[PreparedGraph, GCN] | None = None

    @property
    def filter(self) -> GCN:
        """The graph filter whose operator this layer applies."""
        return GCN(self.normalization if self.normalize else None, self.improved, self.add_self_loops, self.flow)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.filter,)

    @layer_call
    def forward(self, x: Tensor, edge_index: Adj | PreparedGraph, edge_weight: OptTensor = None) -> Tensor:
        self._check_features(x)
        operator = self._operator(x, edge_index, edge_weight)
        if not self.passes_messages and self._propagate_first(x, operator):
            out = self.lin(self.multiply(operator, x))
        else:
            out = self.multiply(operator, self.lin(x), x.dtype).contiguous()
        bias = self.bias
        return out if bias is None else out + bias

    def _operator(self, x: Tensor, edge_index: Adj | PreparedGraph, edge_weight: OptTensor) -> Operator:
        name, kind, node_dim = type(self).__name__, self.filter, int(self.node_dim)
        num_nodes = x.size(node_dim)
        cache = "_cached_adj_t" if isinstance(edge_index, SparseTensor) else "_cached_edge_index"
        cached = getattr(self, cache) if self.cached and self.normalize else None
        if cached is None:
            check_place(name, x, edge_index)
            if is_adjacency(edge_index):
                edge_index, edge_weight = self._edges_of(edge_index, edge_weight, num_nodes, x.dtype)
                kind = replace(kind, add_self_loops=False)
            cached = as_graph(name, [kind], edge_index, edge_weight, num_nodes), kind
            if self.cached and self.normalize:
                setattr(self, cache, cached)
        graph, kind = cached
        if node_dim == -2:
            check_signal(name, x, graph)
        return graph.operators[kind][0]

    def _edges_of(
        self, adj_t: Any, edge_weight: OptTensor, num_nodes: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return the edges of a sparse transposed adjacency, with the self-loops that PyG would add to it."""
        name = type(self).__name__
        if self.flow != "source_to_target":
            raise ValueError(f"{name}: expected flow 'source_to_target' for a sparse adjacency, got {self.flow!r}")
        (source, target), weight = edges_of_adjacency(name, adj_t, edge_weight, num_nodes)
        weight = torch.ones(target.numel(), dtype=dtype, device=target.device) if weight is None else weight
        if self.add_self_loops:
            if isinstance(adj_t, SparseTensor):  # PyG replaces its diagonal ...
                other = target != source
                target, source, weight = target[other], source[other], weight[other]
            nodes = torch.arange(num_nodes, device=target.device)  # ... and adds to that of a torch.sparse tensor
            target, source = torch.cat([target, nodes]), torch.cat([source, nodes])
            weight = torch.cat([weight, weight.new_full((num_nodes,), 2.0 if self.improved else 1.0)])
        return torch.stack([source, target]), weight

    def _propagate_first(self, x: Tensor, operator: Operator) -> bool:
        """Return True if (P X) W costs less than P (X W), counting the products of forward and backward pass."""
        lin = self.lin
        if x.layout != torch.strided or not is_plain_linear(lin) or lin.bias is not None:
            return False  # hooks on `lin` expect x as its input
        if torch.is_autocast_enabled(x.device.type):
            return False  # so that the dtype of the result does not depend on the order
        if not operator.exact and torch.promote_types(x.dtype, operator.values.dtype) != x.dtype:
            return False  # edge weights of a wider dtype: the result has it, as in PyG, but `lin` does not accept it
        weights = operator.values.requires_grad
        before = x.size(-1) * (1 + x.requires_grad + weights)
        after = self.out_channels * (1 + (x.requires_grad or lin.weight.requires_grad) + weights)
        return before < after

    def _message_weights(self, operator: Operator, values: Tensor) -> OptTensor:
        return values if self.normalize or not operator.exact else None

    def _check_features(self, x: Tensor) -> None:
        name = type(self).__name__
        if isinstance(x, (tuple, list)):
            raise ValueError(f"{name}: expected a tensor of node features (no bipartite graphs), got a tuple")
        if not isinstance(x, Tensor):
            raise ValueError(f"{name}: expected x as a tensor, got {type(x).__name__}")
        check_dense(name, "the input", x, sparse=True)
        if x.dim() < 2:
            raise ValueError(f"{name}: expected x of shape [..., N, F], got {tuple(x.shape)}")
        lin = self.lin
        if type(lin) is not Linear:
            return  # a custom `lin` checks its own inputs
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
