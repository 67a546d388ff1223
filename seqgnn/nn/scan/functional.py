r"""The equations of one step, and nothing else.

A cell is ``cell(gx, hidden_projection, state) -> output, state``. ``gx`` holds the pre-activations that the input
contributes, with the gates side by side in the last dimension; ``hidden_projection`` maps the hidden state to the
pre-activations that it contributes; ``state`` is a tuple. With matrices as projections these are torch's cells, with
graph filters they are graph-recurrent cells: :math:`g = g(x)` and :math:`u = u(h)` below denote either.
"""

from __future__ import annotations  # torch.compile cannot evaluate annotations of nested functions

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]
HiddenProjection = Callable[[Tensor], Tensor]
TwoProjections = tuple[HiddenProjection, HiddenProjection]
Cell = Callable[[Tensor, Any, State], tuple[Tensor, State]]


def rnn_tanh(gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
    r""":math:`h_t = \tanh(g + u(h_{t-1}))` (Elman 1990)."""
    (h,) = state
    h = torch.tanh(gx + hidden_projection(h))
    return h, (h,)


def rnn_relu(gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
    r""":math:`h_t = \max(0, g + u(h_{t-1}))`."""
    (h,) = state
    h = torch.relu(gx + hidden_projection(h))
    return h, (h,)


def lstm(gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
    r"""LSTM with a forget gate (Gers et al. 2000), gates in torch's order i, f, g, o.

    .. math::
        c_t = \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g), \qquad h_t = \sigma(o) \tanh(c_t)
    """
    h, c = state
    i, f, g, o = (gx + hidden_projection(h)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, (h, c)


@dataclass(frozen=True, eq=False)
class PeepholeLSTM:
    r"""LSTM whose gates see the cell state (Gers et al. 2002): :math:`c_{t-1}` enters i and f, :math:`c_t` enters o."""

    weight_ci: Tensor
    weight_cf: Tensor
    weight_co: Tensor

    def __call__(self, gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = (gx + hidden_projection(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f + self.weight_cf * c) * c + torch.sigmoid(i + self.weight_ci * c) * torch.tanh(g)
        h = torch.sigmoid(o + self.weight_co * c) * torch.tanh(c)
        return h, (h, c)


def conv_cell_state_lstm(gx: Tensor, hidden_projections: TwoProjections, state: State) -> tuple[Tensor, State]:
    r"""LSTM with a projection of its cell state (Chen et al. 2018): two projections, of h to the gates and of c.

    .. math::
        c_t = \sigma(f) \, m(c_{t-1}) + \sigma(i) \tanh(g), \qquad h_t = \sigma(o) \tanh(c_t)
    """
    h, c = state
    gate_projection, cell_state_projection = hidden_projections
    i, f, g, o = (gx + gate_projection(h)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * cell_state_projection(c) + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, (h, c)


def gru(gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
    r"""GRU with the reset gate after the hidden projection, as in torch; gates r, z, n.

    .. math::
        n = \tanh(g_n + \sigma(r) \, u_n(h_{t-1})), \qquad h_t = (1 - \sigma(z)) \, n + \sigma(z) \, h_{t-1}
    """
    (h,) = state
    g_r, g_z, g_n = gx.chunk(3, dim=-1)
    u_r, u_z, u_n = hidden_projection(h).chunk(3, dim=-1)
    r = torch.sigmoid(g_r + u_r)
    z = torch.sigmoid(g_z + u_z)
    n = torch.tanh(g_n + r * u_n)
    h = (1 - z) * n + z * h
    return h, (h,)


def gru_reset_before(gx: Tensor, hidden_projections: TwoProjections, state: State) -> tuple[Tensor, State]:
    r"""GRU with the reset gate before the hidden projection (Cho et al. 2014), which is therefore two: one to the gates
    r and z, one from the reset state to the candidate n.

    .. math::
        n = \tanh(g_n + u_n(\sigma(r) \, h_{t-1})), \qquad h_t = (1 - \sigma(z)) \, n + \sigma(z) \, h_{t-1}
    """
    (h,) = state
    gate_projection, candidate_projection = hidden_projections
    g_r, g_z, g_n = gx.chunk(3, dim=-1)
    u_r, u_z = gate_projection(h).chunk(2, dim=-1)
    r = torch.sigmoid(g_r + u_r)
    z = torch.sigmoid(g_z + u_z)
    n = torch.tanh(g_n + candidate_projection(r * h))
    h = (1 - z) * n + z * h
    return h, (h,)


def min_gru(gx: Tensor, hidden_projections: tuple[()], state: State) -> tuple[Tensor, State]:
    r"""minGRU (Feng et al. 2024, section 3.1), whose gate z and candidate c depend on the input alone.

    .. math::
        h_t = (1 - \sigma(z)) \, h_{t-1} + \sigma(z) \, c
    """
    (h,) = state
    z, c = gx.chunk(2, dim=-1)
    z = torch.sigmoid(z)
    h = (1 - z) * h + z * c
    return h, (h,)


def min_lstm(gx: Tensor, hidden_projections: tuple[()], state: State) -> tuple[Tensor, State]:
    r"""minLSTM (Feng et al. 2024, section 3.2), whose gates f and i, which are normalized to the sum 1, and candidate c
    depend on the input alone.

    .. math::
        h_t = \frac{\sigma(f)}{\sigma(f) + \sigma(i)} \, h_{t-1} + \frac{\sigma(i)}{\sigma(f) + \sigma(i)} \, c

    The ratio is :math:`\sigma(\log \sigma(i) - \log \sigma(f))`, which is finite where both gates underflow.
    """
    (h,) = state
    f, i, c = gx.chunk(3, dim=-1)
    i = torch.sigmoid(F.logsigmoid(i) - F.logsigmoid(f))
    h = (1 - i) * h + i * c
    return h, (h,)


MINIMAL_CELLS: dict[str, Cell] = {"mingru": min_gru, "minlstm": min_lstm}  # those without hidden projections


def cell_key(cell: Cell) -> Any:
    """Return what stands for a cell in the tables of engines: its function, or its class if it has weights."""
    return PeepholeLSTM if isinstance(cell, PeepholeLSTM) else cell


def projected(cell: Cell, weight_hr: Tensor) -> Cell:
    r"""An LSTM whose output is projected, :math:`h_t = W_{hr} \sigma(o) \tanh(c_t)` (Sak et al. 2014, eq. 6)."""

    def step(gx: Tensor, hidden_projection: HiddenProjection, state: State) -> tuple[Tensor, State]:
        _, (h, c) = cell(gx, hidden_projection, state)
        h = h @ weight_hr.t()
        return h, (h, c)

    return step
