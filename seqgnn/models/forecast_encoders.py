"""What a forecaster reads the past with: layers over time, on the graph or on each node alone, or a GCN over the lags.

An encoder is called as ``encoder(x, edge_index, edge_weight) -> h``, from the past ``[T, B, N, F]`` to one row for each
node of each window, ``[B, N, H]``. With a graph a step, `edge_index` and `edge_weight` are lists over the disjoint
unions of all windows, in which node n of window b is b * N + n.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn.nn import GCNConv
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import GraphPreparer


class Encoder(GraphPreparer, nn.Module, ABC):
    """The base of those below.

    Attributes:
        in_channels, hidden_channels: F and H.
    """

    in_channels: int
    hidden_channels: int

    @abstractmethod
    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """The past of every node as one row."""


class GraphEncoder(Encoder):
    """A graph layer over time, such as :class:`seqgnn.nn.GCNLSTM`: what it returns of the last step, or, if it returns
    a summary of all steps as :class:`seqgnn.nn.A3TGCN` does, that."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        directions = 2 if getattr(layer, "bidirectional", False) else 1
        self.in_channels, self.hidden_channels = layer.in_channels, directions * layer.hidden_channels

    @property
    def filters(self) -> tuple[Filter, ...]:
        return self.layer.filters

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        signal = disjoint(x, edge_index)
        h, _ = self.layer(signal, edge_index, edge_weight)
        last = h[-1] if h.dim() == signal.dim() else h
        return last.view(*x.shape[1:3], -1)


class NodewiseEncoder(Encoder):
    """A recurrent layer in torch's vocabulary, such as :class:`seqgnn.nn.LSTM`, on each node alone: the graph has no
    say."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer
        self.in_channels = layer.input_size
        self.hidden_channels = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return ()

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        h, _ = self.layer(x.flatten(1, 2))
        return h[-1].view(*x.shape[1:3], -1)


class LagGCN(Encoder):
    """Rounds of graph convolution and ReLU without time: the lags of a node are its features.

    Args:
        in_channels, hidden_channels: F and H.
        lags: T.
        num_layers: rounds.
        dropout: before each round but the first.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, lags: int, num_layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.in_channels, self.hidden_channels, self.dropout = in_channels, hidden_channels, dropout
        sizes = [lags * in_channels, *[hidden_channels] * (num_layers - 1)]
        self.layers = nn.ModuleList(GCNConv(size, hidden_channels) for size in sizes)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return self.layers[0].filters  # type: ignore[return-value]

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        if isinstance(edge_index, list | tuple):
            raise ValueError(f"gcn: expected one graph for all steps, got {len(edge_index)}, one a step")
        h = lags_as_features(x)
        for index, layer in enumerate(self.layers):
            h = F.dropout(h, self.dropout, self.training and index > 0)
            h = torch.relu(layer(h, edge_index, edge_weight))
        return h


def disjoint(x: Tensor, edge_index: Any) -> Tensor:
    """``[T, B, N, F]`` as it is, or, beside a graph a step, as the nodes of the disjoint unions ``[T, B * N, F]``."""
    return x.flatten(1, 2) if isinstance(edge_index, list | tuple) else x


def lags_as_features(x: Tensor) -> Tensor:
    """``[T, B, N, F]`` to ``[B, N, T * F]``, the oldest step first."""
    return x.permute(1, 2, 0, 3).flatten(2)
