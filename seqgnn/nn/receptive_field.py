"""How far a convolution hears."""

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
    """How many edges away a convolution hears, by its structure.

    A `MessagePassing` hears the hops of its filter; K - 1 for `ChebConv`; `num_layers` for `ARMAConv`, `GatedGraphConv`
    and `LabelPropagation`; the largest power for `MixHopConv`; `filter_size` for `PANConv`; else K where it has an
    integer of that name (`APPNP`, `SGConv`, `SSGConv`, `TAGConv`), and one without (all others of PyG's). What stands
    inside it, or inside any other module, is added. `DirGNNConv` and `HeteroConv` hear what the farthest of their
    convolutions does, `AntiSymmetricConv` its own `num_iters` times, `GPSConv` all of the graph.

    No structure tells of convolutions side by side in a module of one's own, which are added up as well, nor of one
    that is called in a loop, which counts once. Those that look for neighbors themselves (`DynamicEdgeConv`,
    `GravNetConv`) hear one edge of the graph that they make; `HypergraphConv` hears one hyperedge. A module in which
    there is no convolution of PyG's or ours is taken for one by itself.
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
