"""T-GCN (Zhao et al. 2018) and A3T-GCN (Zhu et al. 2020): graph convolutions in the gates of a GRU, and attention over
its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import check_sizes, one_of
from seqgnn.nn.graph.filters import GCN, Filter, Identity
from seqgnn.nn.init import Gates, Recipe
from seqgnn.nn.layer_call import layer_call, layer_options
from seqgnn.nn.recurrent._published import Options, Published, glorot_blocks
from seqgnn.nn.scan.gates import Projection, at_every_step
from seqgnn.nn.scan.graph_inputs import Edges, StepGraph, active_steps


class TGCN(Published):
    r"""A GRU with graph convolutions before it or in its gates, with ``reset="before"``.

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

    @layer_options
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
            conv=inside,
            reset="before",
        )
        if variant == "paper":
            factory_kwargs = {"device": options.get("device"), "dtype": options.get("dtype")}
            self.weight_0 = nn.Parameter(torch.empty(hidden_channels, in_channels, **factory_kwargs))
            self.weight_1 = nn.Parameter(torch.empty(hidden_channels, hidden_channels, **factory_kwargs))
        self._reset_convs()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_convs()

    @torch.no_grad()
    def _reset_convs(self) -> None:
        for name, weight in self.named_parameters():
            if name in ("weight_0", "weight_1"):
                glorot_blocks(weight, weight.size(1))
            if name.startswith("weight_conv"):
                for block in weight.chunk(3):
                    glorot_blocks(block, weight.size(1))
            if name.startswith("bias_conv"):
                nn.init.zeros_(weight)

    @property
    def _first_channels(self) -> int:
        return self.hidden_channels if self.variant == "paper" else self.in_channels

    @property
    def _default_recipes(self) -> tuple[Recipe, ...]:
        return (ones_gate_bias(),) if self.variant == "authors" and self.bias else ()

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.gcn,)

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(channels)
        if self.variant == "pyg-temporal":
            conv = {"weight_conv": (self._rows, channels)} | ({"bias_conv": (self._rows,)} if self.bias else {})
            shapes = conv | shapes | {"weight_ih": (self._rows, self.hidden_channels)}
        return shapes

    @property
    def _feature_hops(self) -> int:
        return {"paper": 2, "authors": 0, "pyg-temporal": self.num_layers}[self.variant]

    def _features(self, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
        if self.variant != "paper":
            return x
        inner = torch.relu(at_every_step(self._filter_projection(self.gcn, self.weight_0, None), x, graphs))
        return torch.sigmoid(at_every_step(self._filter_projection(self.gcn, self.weight_1, None), inner, graphs))

    def _input_projection(self, suffix: str) -> Projection:
        if self.variant != "pyg-temporal":
            return super()._input_projection(suffix)
        weight_conv, weight = (
            getattr(self, name + suffix).unflatten(0, (3, -1)) for name in ("weight_conv", "weight_ih")
        )
        combined = torch.bmm(weight, weight_conv).flatten(0, 1)
        if not self.bias:
            return self._filter_projection(self.gcn, combined, None)
        bias_conv = torch.bmm(weight, getattr(self, "bias_conv" + suffix).view(3, -1, 1)).flatten()
        return self._filter_projection(self.gcn, combined, bias_conv + getattr(self, "bias_ih" + suffix))

    def _conv_repr(self) -> list[str]:
        return [f"conv={self.gcn}", f"variant={self.variant!r}"]


@dataclass(frozen=True)
class ones_gate_bias:
    """Gates r and z begin with a bias of 1, n with 0, as in the code of T-GCN's authors. A recipe for GRUs."""

    def __call__(self, kind: str, gates: Gates) -> None:
        for gate, value in enumerate((1.0, 1.0, 0.0)):
            gates.set_bias(gate, value)


class A3TGCN(TGCN):
    r"""One summary of a sequence: the states of a :class:`TGCN`, weighted by attention.

    `A3T-GCN: attention temporal graph convolutional network for traffic forecasting <https://arxiv.org/abs/2006.11583>`_
    (Bai et al. 2021).

    .. math::
        e_t = w_2 (W_1 h_t + b_1) + b_2, \qquad a_t = \frac{\exp e_t}{\sum_s \exp e_s}, \qquad C = \sum_t a_t h_t

    over the states :math:`h_1, \dots, h_T`, with h carried from step to step. The scores are per node, so that nodes
    can be permuted and batched (the authors' code has one for all).

    Args:
        in_channels, hidden_channels: F and H.
        attention_channels: rows of W_1; None: H.
        options: those of :class:`TGCN`, `num_layers` among them; one direction only.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; summary ``[(B,) N, H]``; the state as that of :class:`TGCN`.

    Raises:
        ValueError: as :class:`TGCN` does.

    Example:
        >>> layer = A3TGCN(2, 8)
        >>> summary, h = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> summary.shape, h.shape
        (torch.Size([3, 8]), torch.Size([1, 3, 8]))
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, *, attention_channels: int | None = None, **options: Any
    ) -> None:
        caller = type(self).__name__
        if options.get("bidirectional") is True:
            raise ValueError(f"{caller}: expected one direction, got bidirectional=True")
        rows = hidden_channels if attention_channels is None else attention_channels
        check_sizes(caller, in_channels=in_channels, hidden_channels=hidden_channels, attention_channels=rows)
        super().__init__(in_channels, hidden_channels, **options)
        factory_kwargs: dict[str, Any] = {name: options.get(name) for name in ("device", "dtype")}
        factory_kwargs["bias"] = self.bias
        self.attention = nn.Sequential(
            nn.Linear(hidden_channels, rows, **factory_kwargs), nn.Linear(rows, 1, **factory_kwargs)
        )

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for linear in self.attention:
            linear.reset_parameters()  # type: ignore[operator]

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        **arguments: Any,
    ) -> tuple[Tensor, Tensor]:
        """Summarizes each sequence up to its end; arguments as those of :class:`TGCN`."""
        h, state = super().forward(x, edge_index, edge_weight, state, lengths=lengths, **arguments)
        h = h.transpose(0, 1) if self.batch_first and x.dim() == 4 else h
        scores = self.attention(h)
        if lengths is not None:
            scores = scores.masked_fill(~active_steps(type(self).__name__, lengths, h), -torch.inf)
        return (scores.softmax(0) * h).sum(0), state
