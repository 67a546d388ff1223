"""The receptive fields of convolutions and graph-recurrent layers, by their structure."""

import math
from typing import Any

from torch import nn
from torch_geometric.nn import (
    AntiSymmetricConv,
    ARMAConv,
    ChebConv,
    DirGNNConv,
    GatedGraphConv,
    GPSConv,
    HeteroConv,
    LabelPropagation,
    MessagePassing,
    MixHopConv,
    PANConv,
)

from seqgnn.nn.conv.filter_conv import FilterConv
from seqgnn.nn.graph.filters import Filter

CONVS = (MessagePassing, FilterConv, AntiSymmetricConv, DirGNNConv, GPSConv, HeteroConv)


class RecurrentReceptiveField:
    """The receptive field of a graph-recurrent layer, in hops."""

    num_layers: int
    reset: str
    input_filter: Filter | None
    hidden_filter: Filter | None

    @property
    def hops(self) -> float:
        """The receptive field of all layers within one step."""
        each = self._projection_hops("input", self.input_filter)
        if self.reset == "before":  # the neighbors' reset gates have their own receptive field
            each += self._hidden_hops
        return self._feature_hops + self.num_layers * each

    @property
    def hops_per_step(self) -> float:
        """The hops that each earlier step adds to the receptive field, through the neighbors' states."""
        return self._hidden_hops * (2 if self.reset == "before" else 1)

    @property
    def _hidden_hops(self) -> float:
        return self._projection_hops("hidden", self.hidden_filter)

    @property
    def _feature_hops(self) -> int:
        """The hops of a convolution before the first layer."""
        return 0

    def _projection_hops(self, side: str, filter: Filter | None) -> float:
        return max(map(conv_hops, self.convs_of(side)), default=0) if filter is None else filter.hops

    def convs_of(self, side: str) -> list[nn.Module]:
        """Return the convolutions of the ``"input"`` or the ``"hidden"`` projections, of all layers and directions."""
        raise NotImplementedError


def conv_hops(conv: Any) -> float:
    """Return the receptive field of a convolution in edges, by its structure.

    That is the hops of a `MessagePassing`'s filter; K - 1 for `ChebConv`; `num_layers` for `ARMAConv`,
    `GatedGraphConv` and `LabelPropagation`; the largest power for `MixHopConv`; `filter_size` for `PANConv`; else K if
    that is an integer (`APPNP`, `SGConv`, `SSGConv`, `TAGConv`), else one (all others of PyG). Convolutions inside it,
    or inside any other module, are added. `DirGNNConv` and `HeteroConv` have the largest of their convolutions',
    `AntiSymmetricConv` its convolution's `num_iters` times, `GPSConv` the whole graph.

    The structure does not show parallel convolutions in a custom module, which are added up as well, nor one that is
    called in a loop, which counts once. Those that build their own graph (`DynamicEdgeConv`, `GravNetConv`) count one
    edge of that graph; `HypergraphConv` counts one hyperedge. A module in which
    there is no convolution of PyG's or ours counts as one.
    """
    if any(isinstance(part, CONVS) for part in conv.modules()):
        return _inside(conv)
    return _own(conv)


def _inside(module: Any) -> float:
    if isinstance(module, GPSConv):
        return math.inf
    if isinstance(module, AntiSymmetricConv):
        return module.num_iters * _inside(module.phi)
    if isinstance(module, DirGNNConv):
        return _inside(module.conv_in)
    if isinstance(module, HeteroConv):
        return max(map(_inside, module.convs.values()), default=0)
    return sum(map(_inside, module.children()), _own(module) if isinstance(module, CONVS) else 0)


def _own(conv: Any) -> int:
    if isinstance(getattr(conv, "filter", None), Filter):
        return conv.filter.hops
    if isinstance(conv, ChebConv):
        return len(conv.lins) - 1
    if isinstance(conv, ARMAConv | GatedGraphConv | LabelPropagation):
        return conv.num_layers
    if isinstance(conv, MixHopConv):
        return max(conv.powers)
    if isinstance(conv, PANConv):
        return conv.filter_size
    return conv.K if isinstance(getattr(conv, "K", None), int) else 1
