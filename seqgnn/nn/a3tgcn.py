"""A3T-GCN: attention over the states of a T-GCN."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn.nn.checks import check_sizes
from seqgnn.nn.layer_call import layer_call
from seqgnn.nn.published import TGCN
from seqgnn.nn.step_graphs import Edges, active_steps


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
        who = type(self).__name__
        if options.get("bidirectional"):
            raise ValueError(f"{who}: expected one direction, got bidirectional=True")
        rows = hidden_channels if attention_channels is None else attention_channels
        check_sizes(who, in_channels=in_channels, hidden_channels=hidden_channels, attention_channels=rows)
        super().__init__(in_channels, hidden_channels, **options)
        placed: dict[str, Any] = {name: options.get(name) for name in ("device", "dtype")}
        placed["bias"] = self.bias
        self.attention = nn.Sequential(nn.Linear(hidden_channels, rows, **placed), nn.Linear(rows, 1, **placed))

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
        **others: Any,
    ) -> tuple[Tensor, Tensor]:
        """Reads the graph signal `x`, each sequence up to its end; arguments as those of :class:`TGCN`."""
        h, state = super().forward(x, edge_index, edge_weight, state, lengths=lengths, **others)
        h = h.transpose(0, 1) if self.batch_first and x.dim() == 4 else h
        scores = self.attention(h)
        if lengths is not None:
            scores = scores.masked_fill(~active_steps(type(self).__name__, lengths, h), -torch.inf)
        return (scores.softmax(0) * h).sum(0), state
