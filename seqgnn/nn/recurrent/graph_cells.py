"""One step of each graph-recurrent layer, for custom loops."""

from typing import Any

from torch import Tensor

from seqgnn._utils.validation import check_input, check_state, first_parameter
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import layer_call
from seqgnn.nn.recurrent.dcrnn import DCRNN
from seqgnn.nn.recurrent.evolve_gcn import EvolveGCN
from seqgnn.nn.recurrent.gclstm import GCLSTM
from seqgnn.nn.recurrent.gcn_minimal import GCNMinGRU, GCNMinLSTM
from seqgnn.nn.recurrent.gcn_rnn import GCNGRU, GCNLSTM, GCNRNN
from seqgnn.nn.recurrent.gcrn import GCRN
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.tgcn import TGCN


def _refuse(caller: str, options: dict[str, Any]) -> None:
    for name in ("num_layers", "batch_first", "dropout", "bidirectional"):
        if name in options:
            raise ValueError(f"{caller}: expected no {name}, which a single step does not have, got one")


class GraphRNNCellMixin(GraphRecurrent):
    """Turns a layer into its cell: one layer, one direction, one step; weights are those of the layer, by name.

    Called as ``cell(x, edge_index, edge_weight=None, state=None, *, edge_attr=None, batch=None)`` with x ``[N, F]`` or
    ``[B, N, F]``; returns the new state, h or (h, c), each ``[(B,) N, H]``.
    """

    def __init__(self, in_channels: int, hidden_channels: int, *, bias: bool = True, **options: Any) -> None:
        _refuse(type(self).__name__, options)
        super().__init__(in_channels, hidden_channels, bias=bias, **options)

    @layer_call
    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        edge_index: Tensor | PreparedGraph,
        edge_weight: Tensor | None = None,
        state: Any = None,
        *,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Any:
        caller, like = type(self).__name__, first_parameter(self, x)
        check_input(caller, x, (2, 3), self.in_channels, like)
        if state is not None:
            shape = (*x.shape[:-1], self.hidden_channels)
            check_state(caller, state, (shape,) * (2 if self.kind == "lstm" else 1), like)
            state = state[None] if isinstance(state, Tensor) else tuple(part[None] for part in state)
        _, state = super().forward(x[None], edge_index, edge_weight, state, edge_attr=edge_attr, batch=batch)
        return tuple(part[0] for part in state) if isinstance(state, tuple) else state[0]


class EvolveGCNCell(EvolveGCN):
    """One step of :class:`EvolveGCN`: returns the output ``[(B,) N, H]`` and the state: W, or (W, cell state) with O.

    Example:
        >>> import torch
        >>> output, (weight, cell_state) = EvolveGCNCell(2, 8)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, weight.shape
        (torch.Size([3, 8]), torch.Size([2, 8]))
    """

    def __init__(self, in_channels: int, hidden_channels: int, *, bias: bool = True, **options: Any) -> None:
        _refuse(type(self).__name__, options)
        super().__init__(in_channels, hidden_channels, bias=bias, **options)

    @layer_call
    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        edge_index: Tensor | PreparedGraph,
        edge_weight: Tensor | None = None,
        state: Any = None,
        *,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        check_input(type(self).__name__, x, (2, 3), self.in_channels, next(self.parameters(), x))
        states = None if state is None else (state,)
        output, (state,) = super().forward(x[None], edge_index, edge_weight, states, batch=batch)
        return output[0], state


class GCNRNNCell(GraphRNNCellMixin, GCNRNN):
    """One step of :class:`GCNRNN`.

    Example:
        >>> import torch
        >>> GCNRNNCell(2, 8)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """


class GCNLSTMCell(GraphRNNCellMixin, GCNLSTM):
    """One step of :class:`GCNLSTM`; the state is (h, c).

    Example:
        >>> import torch
        >>> h, c = GCNLSTMCell(2, 8)(torch.randn(16, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> h.shape
        torch.Size([16, 3, 8])
    """


class GCNGRUCell(GraphRNNCellMixin, GCNGRU):
    """One step of :class:`GCNGRU`.

    Example:
        >>> import torch
        >>> GCNGRUCell(2, 8, reset="before")(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """


class GCNMinGRUCell(GraphRNNCellMixin, GCNMinGRU):
    """One step of :class:`GCNMinGRU`.

    Example:
        >>> import torch
        >>> GCNMinGRUCell(2, 8)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """


class GCNMinLSTMCell(GraphRNNCellMixin, GCNMinLSTM):
    """One step of :class:`GCNMinLSTM`; the state is h alone.

    Example:
        >>> import torch
        >>> GCNMinLSTMCell(2, 8)(torch.randn(16, 3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([16, 3, 8])
    """


class GCRNCell(GraphRNNCellMixin, GCRN):
    """One step of :class:`GCRN`; the state of an LSTM is (h, c).

    Example:
        >>> import torch
        >>> h, c = GCRNCell(2, 8, K=3)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> h.shape
        torch.Size([3, 8])
    """


class DCRNNCell(GraphRNNCellMixin, DCRNN):
    """One step of :class:`DCRNN`.

    Example:
        >>> import torch
        >>> DCRNNCell(2, 8, K=3)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """


class TGCNCell(GraphRNNCellMixin, TGCN):
    """One step of :class:`TGCN`.

    Example:
        >>> import torch
        >>> TGCNCell(2, 8)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """


class GCLSTMCell(GraphRNNCellMixin, GCLSTM):
    """One step of :class:`GCLSTM`; the state is (h, c).

    Example:
        >>> import torch
        >>> h, c = GCLSTMCell(2, 8, K=2)(torch.randn(3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> h.shape
        torch.Size([3, 8])
    """
