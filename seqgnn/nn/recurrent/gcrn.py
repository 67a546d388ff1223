"""GCRN (Seo et al. 2016): an LSTM or GRU with Chebyshev convolutions in its gates, or before them."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import check_sizes, one_of, shown
from seqgnn.nn.graph.filters import Chebyshev, Filter, Identity
from seqgnn.nn.recurrent._published import Options, Published, glorot_blocks
from seqgnn.nn.scan.gates import at_every_step
from seqgnn.nn.scan.graph_inputs import StepGraph


class GCRN(Published):
    r"""An LSTM, GRU or RNN with Chebyshev convolutions, in its gates or before them.

    `Structured sequence modeling with graph convolutional recurrent networks <https://arxiv.org/abs/1612.07659>`_ (Seo,
    Defferrard, Vandergheynst and Bresson 2016, version 1). ``model=2`` has a convolution :math:`*_G` of input and
    hidden state in every gate; ``model=1`` one of the input, with separate weights, before the plain cell.

    .. math::
        i &= \sigma(W_{xi} *_G x_t + W_{hi} *_G h_{t-1} + w_{ci} c_{t-1} + b_i) \\
        f &= \sigma(W_{xf} *_G x_t + W_{hf} *_G h_{t-1} + w_{cf} c_{t-1} + b_f) \\
        c_t &= f \, c_{t-1} + i \tanh(W_{xc} *_G x_t + W_{hc} *_G h_{t-1} + b_c) \\
        o &= \sigma(W_{xo} *_G x_t + W_{ho} *_G h_{t-1} + w_{co} c_t + b_o), \qquad h_t = o \tanh(c_t)

    Deviation from the paper: peepholes ``[H]`` are the same for all nodes, so that nodes can be permuted and batched;
    the paper prints them per node. The GRU resets before the convolution, as in the paper.

    Args:
        K: terms of the polynomials, with a receptive field of K - 1 hops.
        cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
        model: 2 or 1.
        peephole: whether the gates see the cell state; None: those of an LSTM do.
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
        caller = type(self).__name__
        self.kind = one_of(caller, "cell", cell, ("lstm", "gru", "rnn"))
        if isinstance(model, bool) or model not in (1, 2):
            raise ValueError(f"{caller}: expected model to be 1 or 2, got {shown(model)}")
        self.model = model
        check_sizes(caller, K=K)
        self.chebyshev = Chebyshev(K, normalization, lambda_max)
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            conv=self.chebyshev if model == 2 else Identity(),
            peephole=cell == "lstm" if peephole is None else peephole,
            reset="before" if cell == "gru" else "after",
        )
        if model == 1:
            factory_kwargs = {"device": options.get("device"), "dtype": options.get("dtype")}
            self.weight_conv = nn.Parameter(torch.empty(hidden_channels, K * in_channels, **factory_kwargs))
            self.bias_conv = nn.Parameter(torch.empty(hidden_channels, **factory_kwargs)) if self.bias else None
            self._reset_conv()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_conv()

    @torch.no_grad()
    def _reset_conv(self) -> None:
        if self.model == 1:
            glorot_blocks(self.weight_conv, self.in_channels)
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
        return at_every_step(self._filter_projection(self.chebyshev, self.weight_conv, self.bias_conv), x, graphs)

    def _conv_repr(self) -> list[str]:
        shown = {
            "cell": (self.kind, "lstm"),
            "model": (self.model, 2),
            "peephole": (self.peephole, self.kind == "lstm"),
        }
        named = [f"{name}={value!r}" for name, (value, default) in shown.items() if value != default]
        return [f"conv={self.chebyshev}", *named]
