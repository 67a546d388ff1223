"""Encoders of forecasters: recurrent layers on the graph or on each node, or a GCN over the lags.

An encoder is called as ``encoder(x, edge_index, edge_weight) -> h``, from input steps ``[T, B, N, F]`` to one vector
for each node of each window, ``[B, N, H]``. With a graph per step, `edge_index` and `edge_weight` are lists over the
disjoint unions of all windows, in which node n of window b is b * N + n.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn.nn import GCNConv
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import GraphPreparer
from seqgnn.nn.recurrent._sequence_layer import SequenceLayer


class Encoder(GraphPreparer, nn.Module, ABC):
    """Base class of encoders.

    Attributes:
        in_channels, hidden_channels: F and H.
    """

    in_channels: int
    hidden_channels: int

    @abstractmethod
    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        """Return one vector for the input steps of every node."""


class GraphEncoder(Encoder):
    """A graph-recurrent layer, such as :class:`seqgnn.nn.GCNLSTM`: its output at the last step, or its summary of all
    steps if it returns one, as :class:`seqgnn.nn.A3TGCN` does."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        directions = 2 if getattr(layer, "bidirectional", False) else 1
        self.in_channels, self.hidden_channels = layer.in_channels, directions * layer.hidden_channels

    @property
    def filters(self) -> tuple[Filter, ...]:
        return self.layer.filters

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        nodes = disjoint(x, edge_index)
        h, _ = self.layer(nodes, edge_index, edge_weight)
        last = h[-1] if h.dim() == nodes.dim() else h
        return last.view(*x.shape[1:3], -1)


class NodewiseEncoder(Encoder):
    """A plain recurrent layer, such as :class:`seqgnn.nn.LSTM`, on each node independently; the graph is not used."""

    def __init__(self, layer: nn.RNNBase | SequenceLayer) -> None:
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
    """GCN layers with ReLU, with the lags of a node as its features.

    Args:
        in_channels, hidden_channels: F and H.
        lags: T.
        num_layers: number of GCN layers.
        dropout: dropout before each layer except the first.
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
            raise ValueError(f"gcn: expected one graph for all steps, got {len(edge_index)}, one per step")
        h = lags_as_features(x)
        for index, layer in enumerate(self.layers):
            h = F.dropout(h, self.dropout, self.training and index > 0)
            h = torch.relu(layer(h, edge_index, edge_weight))
        return h


def disjoint(x: Tensor, edge_index: Any) -> Tensor:
    """Return ``[T, B, N, F]`` unchanged or, with a graph per step, as ``[T, B * N, F]`` for the disjoint unions."""
    return x.flatten(1, 2) if isinstance(edge_index, list | tuple) else x


def lags_as_features(x: Tensor) -> Tensor:
    """Return ``[T, B, N, F]`` as ``[B, N, T * F]``, the oldest step first."""
    return x.permute(1, 2, 0, 3).flatten(2)
