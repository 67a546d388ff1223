"""Published graph-recurrent layers, each a cell and its gate maps: GCRN, DCRNN, TGCN, GCLSTM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from seqgnn.errors import one_of
from seqgnn.nn import cells
from seqgnn.nn.cells import Cell
from seqgnn.nn.checks import check_sizes
from seqgnn.nn.filters import GCN, Chebyshev, Diffusion, Filter, Identity
from seqgnn.nn.gate_maps import GateMap, at_every_step
from seqgnn.nn.graph_recurrent import GraphRecurrent
from seqgnn.nn.init import Gates, Init, Recipe
from seqgnn.nn.step_graphs import StepGraph


class Options(TypedDict, total=False):
    """What every published layer takes, by keyword, as :class:`seqgnn.nn.graph_recurrent.GraphRecurrent` does; filters,
    convolutions, peepholes and resets are those of its publication."""

    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    nonlinearity: str
    init: Init
    forget_bias: float | None
    engine: str
    checkpoint_every: int | None
    device: Any
    dtype: Any


class Published(GraphRecurrent):
    """A layer whose maps are those of its publication: `fixed` is what these say, `options` what is left to choose."""

    _decided = ("peephole", "reset")

    def __init__(self, in_channels: int, hidden_channels: int, num_layers: int, options: Options, **fixed: Any) -> None:
        for name in options:
            one_of(type(self).__name__, "option", name, Options.__annotations__)
        super().__init__(in_channels, hidden_channels, num_layers, **options, **fixed)


class GCRN(Published):
    r"""A recurrent net with Chebyshev convolutions, in its gates or before them.

    `Structured sequence modeling with graph convolutional recurrent networks <https://arxiv.org/abs/1612.07659>`_ (Seo,
    Defferrard, Vandergheynst and Bresson 2016, version 1). ``model=2`` has a convolution :math:`*_G` of input and
    hidden state in every gate; ``model=1`` one of the input, with weights of its own, before the plain cell.

    .. math::
        i &= \sigma(W_{xi} *_G x_t + W_{hi} *_G h_{t-1} + w_{ci} c_{t-1} + b_i) \\
        f &= \sigma(W_{xf} *_G x_t + W_{hf} *_G h_{t-1} + w_{cf} c_{t-1} + b_f) \\
        c_t &= f \, c_{t-1} + i \tanh(W_{xc} *_G x_t + W_{hc} *_G h_{t-1} + b_c) \\
        o &= \sigma(W_{xo} *_G x_t + W_{ho} *_G h_{t-1} + w_{co} c_t + b_o), \qquad h_t = o \tanh(c_t)

    Deviation from the paper: peepholes ``[H]`` are the same for all nodes, so that nodes can be permuted and batched;
    the paper prints them per node. The GRU resets before the convolution, as in the paper.

    Args:
        K: terms of the polynomials, which reach K - 1 hops.
        cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
        model: 2 or 1.
        peephole: whether the LSTM's gates see its memory; None: an LSTM's do.
        normalization, lambda_max: of the Laplacian, see :class:`seqgnn.nn.Chebyshev`.
        options: those of :class:`Options`; shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> layer = GCRN(2, 8, K=3)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> output, (h, c) = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        *,
        K: int,
        cell: str = "lstm",
        model: int = 2,
        peephole: bool | None = None,
        normalization: str | None = "sym",
        lambda_max: float | tuple[float, ...] | None = None,
        **options: Unpack[Options],
    ) -> None:
        who = type(self).__name__
        self.kind = one_of(who, "cell", cell, ("lstm", "gru", "rnn"))
        if isinstance(model, bool) or model not in (1, 2):
            raise ValueError(f"{who}: expected model to be 1 or 2, got {model!r}")
        self.model = model
        check_sizes(who, K=K)
        self.chebyshev = Chebyshev(K, normalization, lambda_max)
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            filter=self.chebyshev if model == 2 else Identity(),
            peephole=cell == "lstm" if peephole is None else peephole,
            reset="before" if cell == "gru" else "after",
        )
        if model == 1:
            placed = {"device": options.get("device"), "dtype": options.get("dtype")}
            self.weight_conv = nn.Parameter(torch.empty(hidden_channels, K * in_channels, **placed))
            self.bias_conv = nn.Parameter(torch.empty(hidden_channels, **placed)) if self.bias else None
            self._reset_conv()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_conv()

    @torch.no_grad()
    def _reset_conv(self) -> None:
        if self.model == 1:
            _glorot(self.weight_conv, self.in_channels)
            if self.bias_conv is not None:
                nn.init.zeros_(self.bias_conv)

    @property
    def _first_channels(self) -> int:
        return self.in_channels if self.model == 2 else self.hidden_channels

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.chebyshev,)

    @property
    def _feature_hops(self) -> int:
        return self.chebyshev.hops if self.model == 1 else 0

    def _features(self, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
        if self.model == 2:
            return x
        return at_every_step(self._filter_map(self.chebyshev, self.weight_conv, self.bias_conv), x, graphs)

    def _maps_repr(self) -> list[str]:
        shown = {
            "cell": (self.kind, "lstm"),
            "model": (self.model, 2),
            "peephole": (self.peephole, self.kind == "lstm"),
        }
        named = [f"{name}={value!r}" for name, (value, default) in shown.items() if value != default]
        return [f"filter={self.chebyshev}", *named]


class DCRNN(Published):
    r"""A GRU with diffusion convolutions :math:`\star_G` in its gates, reset before.

    `Diffusion convolutional recurrent neural network <https://arxiv.org/abs/1707.01926>`_ (Li et al. 2018), section
    2.3.

    .. math::
        r &= \sigma(\Theta_r \star_G [x_t, h_{t-1}] + b_r), \qquad u = \sigma(\Theta_u \star_G [x_t, h_{t-1}] + b_u) \\
        C &= \tanh(\Theta_C \star_G [x_t, r \, h_{t-1}] + b_C), \qquad h_t = u \, h_{t-1} + (1 - u) \, C

    Args:
        K: terms of each walk, see :class:`seqgnn.nn.Diffusion`; the authors' `max_diffusion_step` is K - 1.
        variant: ``"paper"``, or ``"authors"`` for the walks of their code.
        options: those of :class:`Options`; shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> layer = DCRNN(2, 8, K=3)
        >>> output, h = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "gru"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        *,
        K: int,
        variant: str = "paper",
        **options: Unpack[Options],
    ) -> None:
        one_of(type(self).__name__, "variant", variant, ("paper", "authors"))
        check_sizes(type(self).__name__, K=K)
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            filter=Diffusion(K, variant),
            reset="before",
        )

    def _maps_repr(self) -> list[str]:
        return [f"filter={self.input_filter}"]


class TGCN(Published):
    r"""A GRU over what graph convolutions make of the signal, or with them in its gates; reset before.

    `T-GCN: a temporal graph convolutional network for traffic prediction <https://arxiv.org/abs/1811.05320>`_ (Zhao et
    al. 2019).

    .. math::
        \text{paper:}\quad & f(x_t) = \sigma(\hat{A} \, \mathrm{relu}(\hat{A} x_t W_0) W_1) \\
        & u, r = \sigma(W [f(x_t), h_{t-1}] + b), \quad c = \tanh(W_c [f(x_t), r \, h_{t-1}] + b_c), \quad
        h_t = u \, h_{t-1} + (1 - u) \, c \\
        \text{authors:}\quad & u, r = \sigma(\hat{A} [x_t, h_{t-1}] W + b), \quad
        c = \tanh(\hat{A} [x_t, r \, h_{t-1}] W_c + b_c)

    ``variant="authors"`` is what their code computes, its gates' bias starting at 1 (but for a slip that cuts r and u
    along the nodes). ``variant="pyg-temporal"`` has, in each gate, a convolution of x alone and then a linear map of it
    and h, as PyTorch Geometric Temporal does.

    Args:
        variant: ``"paper"``, ``"authors"`` or ``"pyg-temporal"``.
        normalization, improved: of :math:`\hat{A}`, see :class:`seqgnn.nn.GCN`.
        options: those of :class:`Options`; shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> layer = TGCN(2, 8)
        >>> output, h = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "gru"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        *,
        variant: str = "paper",
        normalization: str = "sym",
        improved: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self.variant = one_of(type(self).__name__, "variant", variant, ("paper", "authors", "pyg-temporal"))
        self.gcn = GCN(normalization, improved)
        inside = self.gcn if variant == "authors" else Identity()
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            filter=inside,
            reset="before",
        )
        if variant == "paper":
            placed = {"device": options.get("device"), "dtype": options.get("dtype")}
            self.weight_0 = nn.Parameter(torch.empty(hidden_channels, in_channels, **placed))
            self.weight_1 = nn.Parameter(torch.empty(hidden_channels, hidden_channels, **placed))
        self._reset_convs()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_convs()

    @torch.no_grad()
    def _reset_convs(self) -> None:
        for name, weight in self.named_parameters():
            if name in ("weight_0", "weight_1"):
                _glorot(weight, weight.size(1))
            if name.startswith("weight_conv"):
                for block in weight.chunk(3):
                    _glorot(block, weight.size(1))
            if name.startswith("bias_conv"):
                nn.init.zeros_(weight)

    @property
    def _first_channels(self) -> int:
        return self.hidden_channels if self.variant == "paper" else self.in_channels

    @property
    def _own_recipes(self) -> tuple[Recipe, ...]:
        return (open_gates(),) if self.variant == "authors" and self.bias else ()

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.gcn,)

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(channels)
        if self.variant == "pyg-temporal":
            own = {"weight_conv": (self._rows, channels)} | ({"bias_conv": (self._rows,)} if self.bias else {})
            shapes = own | shapes | {"weight_ih": (self._rows, self.hidden_channels)}
        return shapes

    @property
    def _feature_hops(self) -> int:
        return {"paper": 2, "authors": 0, "pyg-temporal": self.num_layers}[self.variant]

    def _features(self, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
        if self.variant != "paper":
            return x
        inner = torch.relu(at_every_step(self._filter_map(self.gcn, self.weight_0, None), x, graphs))
        return torch.sigmoid(at_every_step(self._filter_map(self.gcn, self.weight_1, None), inner, graphs))

    def _input_map(self, suffix: str) -> GateMap:
        if self.variant != "pyg-temporal":
            return super()._input_map(suffix)
        weight_conv, weight = (
            getattr(self, name + suffix).unflatten(0, (3, -1)) for name in ("weight_conv", "weight_ih")
        )
        both = torch.bmm(weight, weight_conv).flatten(0, 1)
        if not self.bias:
            return self._filter_map(self.gcn, both, None)
        heard = torch.bmm(weight, getattr(self, "bias_conv" + suffix).view(3, -1, 1)).flatten()
        return self._filter_map(self.gcn, both, heard + getattr(self, "bias_ih" + suffix))

    def _maps_repr(self) -> list[str]:
        return [f"filter={self.gcn}", f"variant={self.variant!r}"]


class GCLSTM(Published):
    r"""An LSTM with plain weights on the input and Chebyshev convolutions of h, and of c.

    `GC-LSTM: graph convolution embedded LSTM for dynamic link prediction <https://arxiv.org/abs/1812.04206>`_ (Chen et
    al. 2018).

    .. math::
        (i, f, g, o) &= x_t W_{ih}^\top + b_{ih} + \sum_k T_k h_{t-1} W_{hh,k}^\top + b_{hh} \\
        c_t &= \sigma(f) \left(\sum_k T_k c_{t-1} W_{cc,k}^\top + b_{cc}\right) + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    ``variant="pyg-temporal"`` keeps :math:`c_{t-1}` itself, as PyTorch Geometric Temporal does. Where the graph changes
    from step to step, the states meet that of step t.

    Args:
        K: terms of the polynomials, which reach K - 1 hops.
        variant: ``"paper"`` or ``"pyg-temporal"``.
        normalization, lambda_max: of the Laplacian, see :class:`seqgnn.nn.Chebyshev`.
        options: those of :class:`Options`; shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> layer = GCLSTM(2, 8, K=2)
        >>> output, (h, c) = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "lstm"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        *,
        K: int,
        variant: str = "paper",
        normalization: str | None = "sym",
        lambda_max: float | tuple[float, ...] | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.variant = one_of(type(self).__name__, "variant", variant, ("paper", "pyg-temporal"))
        check_sizes(type(self).__name__, K=K)
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            input_filter=Identity(),
            hidden_filter=Chebyshev(K, normalization, lambda_max),
        )

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(channels)
        if self.variant == "paper":
            assert self.hidden_filter is not None
            shapes["weight_cc"] = (self.hidden_channels, self.hidden_filter.num_terms * self.hidden_channels)
            shapes |= {"bias_cc": (self.hidden_channels,)} if self.bias else {}
        return shapes

    def _hidden_maps(self, suffix: str) -> tuple[GateMap, ...]:
        if self.variant != "paper":
            return super()._hidden_maps(suffix)
        assert self.hidden_filter is not None
        weight, bias = getattr(self, "weight_cc" + suffix), getattr(self, "bias_cc" + suffix, None)
        return (*super()._hidden_maps(suffix), self._filter_map(self.hidden_filter, weight, bias))

    def _cell(self, suffix: str) -> Cell:
        return cells.memory_map_lstm if self.variant == "paper" else super()._cell(suffix)

    def _maps_repr(self) -> list[str]:
        return [f"filter={self.hidden_filter}", f"variant={self.variant!r}"]


@dataclass(frozen=True)
class open_gates:
    """Gates r and z begin with a bias of 1, n with 0, as in the code of T-GCN's authors. A recipe for GRUs."""

    def __call__(self, kind: str, gates: Gates) -> None:
        for gate, value in enumerate((1.0, 1.0, 0.0)):
            gates.set_bias(gate, value)


def _glorot(weight: Tensor, channels: int) -> None:
    """Each block `[H, channels]` by Glorot's uniform rule."""
    for block in weight.split(channels, dim=1):
        nn.init.xavier_uniform_(block)
