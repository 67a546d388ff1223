"""MinGRU and MinLSTM (Feng et al. 2024) with a graph convolution of the input in their gates."""

from typing import Any

from seqgnn._utils.validation import shown
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.minimal import ENGINES
from seqgnn.nn.scan.functional import MINIMAL_CELLS, Cell
from seqgnn.nn.scan.gates import Projection


class _Minimal(GraphRecurrent):
    """A layer whose gates do not see the hidden state, so that it has no hidden projection."""

    engines: tuple[str, ...] = ENGINES

    def _hidden_conv(self, conv: Any, hidden_conv: Any) -> tuple[None, None]:
        if hidden_conv is not None:
            why = "since its gates do not see the hidden state"
            raise ValueError(f"{type(self).__name__}: expected no hidden_conv, {why}, got {shown(hidden_conv)}")
        return None, None

    def _hidden_projections(self, suffix: str) -> tuple[Projection, ...]:
        return ()

    @property
    def _hidden_rows(self) -> tuple[int, ...]:
        return ()

    def _cell(self, suffix: str) -> Cell:
        return MINIMAL_CELLS[self.kind]

    def _conv_repr(self) -> list[str]:
        return [] if self.input_filter is None else [f"conv={self.input_filter}"]


class GCNMinGRU(_Minimal):
    r"""A MinGRU on every node, with a graph convolution of the input in gate and candidate.

    .. math::
        z_t &= \sigma(\hat{A} x_t W_z^T + b_z), \qquad c_t = \hat{A} x_t W_h^T + b_h \\
        h_t &= (1 - z_t) \, h_{t-1} + z_t \, c_t

    The cell is that of :class:`MinGRU`; `Feng et al. 2024 <https://arxiv.org/abs/2410.01201>`_ have no graph. States do
    not spread over the graph, so each layer sees neighbors through the inputs of the same step alone, and one
    propagation serves all steps of a graph that does not change.

    Arguments, shapes and errors are those of :class:`GraphRecurrent`, without `hidden_conv`, `peephole`, `reset`,
    `nonlinearity` and `forget_bias`; engines are those of :class:`MinGRU`. Weights are ``weight_ih_l0 [2 H, m F]`` and
    ``bias_ih_l0 [2 H]``, z before c.

    Example:
        >>> import torch
        >>> layer = GCNMinGRU(2, 8)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
        >>> from seqgnn.nn import Chebyshev
        >>> GCNMinGRU(2, 8, conv=Chebyshev(3), bidirectional=True)(torch.randn(5, 3, 2), edge_index)[0].shape
        torch.Size([5, 3, 16])
    """

    kind = "mingru"


class GCNMinLSTM(_Minimal):
    r"""A MinLSTM on every node, with a graph convolution of the input in gates and candidate.

    .. math::
        f_t &= \sigma(\hat{A} x_t W_f^T + b_f), \quad i_t = \sigma(\hat{A} x_t W_i^T + b_i), \quad
            c_t = \hat{A} x_t W_h^T + b_h \\
        h_t &= \frac{f_t}{f_t + i_t} \, h_{t-1} + \frac{i_t}{f_t + i_t} \, c_t

    The cell is that of :class:`MinLSTM`; `Feng et al. 2024 <https://arxiv.org/abs/2410.01201>`_ have no graph. States
    do not spread over the graph, so each layer sees neighbors through the inputs of the same step alone, and one
    propagation serves all steps of a graph that does not change.

    Arguments, shapes and errors are those of :class:`GraphRecurrent`, without `hidden_conv`, `peephole`, `reset` and
    `nonlinearity`; engines are those of :class:`MinGRU`. The state is h alone. Weights are ``weight_ih_l0 [3 H, m F]``
    and ``bias_ih_l0 [3 H]`` in the order f, i, c.

    Example:
        >>> import torch
        >>> layer = GCNMinLSTM(2, 8, forget_bias=1.0)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 16, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 16, 3, 8]), torch.Size([1, 16, 3, 8]))
        >>> from torch_geometric.nn import GATConv
        >>> attentive = GCNMinLSTM(2, 8, conv=lambda i, o: GATConv(i, o // 2, heads=2))
        >>> attentive(torch.randn(5, 3, 2), edge_index)[0].shape
        torch.Size([5, 3, 8])
    """

    kind = "minlstm"
