"""Graph filters as convolutions: ChebConv and DiffusionConv."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.typing import Adj

from seqgnn._utils.validation import check_channels, check_dense, check_like, check_sizes, describe, shown
from seqgnn.nn.conv.message_passing import OperatorMessagePassing, is_plain_linear
from seqgnn.nn.graph.filters import Chebyshev, Diffusion, Filter
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph, check_place
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import layer_call, layer_options


class FilterConv(OperatorMessagePassing, GraphPreparer):
    r"""A linear map of the basis of a graph filter, :math:`X' = \sum_k P_k X \Theta_k^\top + b`.

    The base class of the layers below. Each term has its own weight, `lins.0.weight`, `lins.1.weight`, ..., with Glorot
    initialization and the same names as in PyG's ChebConv.
    """

    @layer_options
    def __init__(
        self, in_channels: int | tuple[int, int], out_channels: int, filter: Filter, bias: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(type(self).__name__, out_channels=out_channels)
        self.in_channels = in_channels = check_channels(type(self).__name__, in_channels)
        self.out_channels = out_channels
        self.filter = filter
        self.lins: Any = nn.ModuleList(
            Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") for _ in range(filter.num_terms)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def reset_parameters(self) -> None:
        """Reset the weights (Glorot) and the bias (zero)."""
        super().reset_parameters()
        for lin in self.lins:
            lin.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.filter,)

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Adj | PreparedGraph,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        return self._convolve(self.filter, x, edge_index, edge_weight, batch)

    def _convolve(
        self,
        filter: Filter,
        x: Tensor,
        edge_index: Adj | PreparedGraph,
        edge_weight: Tensor | None,
        batch: Tensor | None,
    ) -> Tensor:
        caller, first = type(self).__name__, self.lins[0]
        if isinstance(x, Tensor):
            check_dense(caller, "x", x)
        if not isinstance(x, Tensor) or x.dim() < 2 or self.in_channels not in (-1, x.size(-1)):
            raise ValueError(f"{caller}: expected x of shape [..., N, {self.in_channels}], got {describe(x)}")
        check_like(caller, "x", x, first.weight)
        check_place(caller, x, edge_index)
        prepared = as_graph(caller, [filter], edge_index, edge_weight, x.size(-2), batch)
        basis = filter.basis(x, prepared, self.multiply)
        if all(map(is_plain_linear, self.lins)):
            weight = torch.cat([lin.weight for lin in self.lins], dim=1)
            return F.linear(torch.cat(basis, dim=-1).to(x.dtype), weight, self.bias)
        out = sum(lin(block.to(x.dtype)) for lin, block in zip(self.lins, basis))
        return out if self.bias is None else out + self.bias

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, filter={self.filter})"


class ChebConv(FilterConv):
    r"""A graph convolution with Chebyshev polynomials of the Laplacian; see `seqgnn.nn.Chebyshev`.

    .. math::
        X' = \sum_{k=0}^{K-1} T_k(\tilde{L}) X \Theta_k^\top + b

    A drop-in replacement for `torch_geometric.nn.ChebConv`, with compatible weights. Deviations from PyG: with
    `lambda_max=None` and `batch`, each graph has its own `lambda_max`, so results do not depend on the other graphs in
    the batch; x may have more dimensions.

    Args:
        in_channels, out_channels: F and H; with -1, F is inferred from the first input.
        K: filter size (number of terms); the last term has a receptive field of K - 1 hops.
        normalization: `"sym"`, `"rw"` or None.
        bias: add the bias b.
        kwargs: arguments of `MessagePassing`.

    Shapes:
        x `[..., N, F]`, edge_index `[2, E]`, a PreparedGraph or a sparse transposed
        adjacency `[N, N]`, edge_weight `[E]`, batch `[N]` -> `[..., N, H]`;
        lambda_max a number, or one for each graph `[graphs]`.

    Raises:
        ValueError: for invalid arguments, or inputs that do not match.

    Example:
        >>> conv = ChebConv(8, 4, K=3)
        >>> conv(torch.randn(3, 8), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        K: int,
        normalization: str | None = "sym",
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, Chebyshev(K, normalization), bias, **kwargs)
        self.normalization = normalization

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Adj | PreparedGraph,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        lambda_max: float | Tensor | None = None,
    ) -> Tensor:
        filter = self.filter
        if lambda_max is not None:
            assert isinstance(filter, Chebyshev)
            try:
                values = torch.as_tensor(lambda_max).tolist()
            except (TypeError, ValueError, RuntimeError) as error:
                expected = "lambda_max to be a number, or one for each graph"
                raise ValueError(f"{type(self).__name__}: expected {expected}, got {shown(lambda_max)}") from error
            filter = replace(filter, lambda_max=tuple(values) if isinstance(values, list) else values)
        return self._convolve(filter, x, edge_index, edge_weight, batch)

    def __repr__(self) -> str:
        options = f"K={len(self.lins)}, normalization={self.normalization}"
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {options})"


class DiffusionConv(FilterConv):
    r"""A graph convolution over random walks along and against the edges; see `seqgnn.nn.Diffusion`.

    .. math::
        X' = X \Theta_0^\top + \sum_{k=1}^{K-1} P_f^k X \Theta_k^\top + \sum_{k=1}^{K-1} P_b^k X \Theta_{K-1+k}^\top + b

    Args:
        in_channels, out_channels: F and H; with -1, F is inferred from the first input.
        K: number of terms of each random walk, including one for the node itself.
        bias: add the bias b.
        variant: `"paper"` or `"authors"`.
        kwargs: arguments of `MessagePassing`.

    Shapes:
        x `[..., N, F]`, edge_index `[2, E]`, a PreparedGraph or a sparse transposed
        adjacency `[N, N]`, edge_weight `[E]` -> `[..., N, H]`.

    Raises:
        ValueError: for invalid arguments, or inputs that do not match.

    Example:
        >>> conv = DiffusionConv(8, 4, K=2)
        >>> conv(torch.randn(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        K: int,
        bias: bool = True,
        *,
        variant: str = "paper",
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, Diffusion(K, variant), bias, **kwargs)
