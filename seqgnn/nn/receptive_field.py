"""The receptive field of a convolution."""

import math
from typing import Any

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
