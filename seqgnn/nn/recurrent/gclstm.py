"""GC-LSTM (Chen et al. 2018): an LSTM with graph convolutions of its hidden state."""

from typing import Unpack

from seqgnn._utils.validation import check_sizes, one_of
from seqgnn.nn.graph.filters import Chebyshev, Identity
from seqgnn.nn.recurrent._published import Options, Published
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.functional import Cell
from seqgnn.nn.scan.gates import Projection


class GCLSTM(Published):
    r"""An LSTM with plain weights on the input and Chebyshev convolutions of h, and of c.

    `GC-LSTM: graph convolution embedded LSTM for dynamic link prediction <https://arxiv.org/abs/1812.04206>`_ (Chen et
    al. 2018).

    .. math::
        (i, f, g, o) &= x_t W_{ih}^\top + b_{ih} + \sum_k T_k h_{t-1} W_{hh,k}^\top + b_{hh} \\
        c_t &= \sigma(f) \left(\sum_k T_k c_{t-1} W_{cc,k}^\top + b_{cc}\right) + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    ``variant="pyg-temporal"`` uses :math:`c_{t-1}` itself, as PyTorch Geometric Temporal does. Where the graph changes
    from step to step, the states are convolved on that of step t.

    Args:
        K: terms of the polynomials, with a receptive field of K - 1 hops.
        variant: ``"paper"`` or ``"pyg-temporal"``.
        normalization, lambda_max: of the Laplacian, see :class:`seqgnn.nn.Chebyshev`.
        options: those of :class:`Options`; shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> import torch
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
            input_conv=Identity(),
            hidden_conv=Chebyshev(K, normalization, lambda_max),
        )

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(channels)
        if self.variant == "paper":
            assert self.hidden_filter is not None
            shapes["weight_cc"] = (self.hidden_channels, self.hidden_filter.num_terms * self.hidden_channels)
            shapes |= {"bias_cc": (self.hidden_channels,)} if self.bias else {}
        return shapes

    def _hidden_projections(self, suffix: str) -> tuple[Projection, ...]:
        if self.variant != "paper":
            return super()._hidden_projections(suffix)
        assert self.hidden_filter is not None
        weight, bias = getattr(self, "weight_cc" + suffix), getattr(self, "bias_cc" + suffix, None)
        return (*super()._hidden_projections(suffix), self._filter_projection(self.hidden_filter, weight, bias))

    def _cell(self, suffix: str) -> Cell:
        return cells.conv_cell_state_lstm if self.variant == "paper" else super()._cell(suffix)

    def _conv_repr(self) -> list[str]:
        return [f"conv={self.hidden_filter}", f"variant={self.variant!r}"]
