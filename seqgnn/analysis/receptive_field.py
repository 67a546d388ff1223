"""Receptive field of a model, derived from its structure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from seqgnn.models.encoders import GCNEncoder, GCNInGates
from seqgnn.models.sequence_model import SequenceModel
from seqgnn.nn import EvolveGCN
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.receptive_field import CONVS, conv_hops
from seqgnn.nn.recurrent.dag_rnn import DAGRecurrent
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.plain import PLAIN_CELLS, PLAIN_LAYERS
from seqgnn.nn.recurrent.tree_lstm import TreeLSTM


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a model, derived from its structure alone.

    Attributes:
        hops: number of hops (edges) within one graph or time step; infinite if there is no limit.
        positions: number of consecutive previous positions or time steps; infinite for recurrent layers.
        hops_per_step: additional hops for each earlier time step, through the states of neighbors.
    """

    hops: float = 0
    positions: float = 0
    hops_per_step: float = 0


def receptive_field(model: nn.Module) -> ReceptiveField:
    """Return the receptive field of a model: the sum over its layers, as if they were applied in sequence.

    The true receptive field is smaller if weights are zero or layers run in parallel. It is larger if a layer is called
    several times or the model contains custom layers, which are not counted. For PyG convolutions, see
    `seqgnn.nn.receptive_field.conv_hops`.

    Example:
        >>> from seqgnn.nn import GCRN
        >>> receptive_field(GCRN(2, 8, num_layers=2, K=3))
        ReceptiveField(hops=4, positions=inf, hops_per_step=2)
        >>> from seqgnn.models.sequence_model import build
        >>> receptive_field(build("gcn", num_classes=2, num_tokens=3, num_layers=3, hops=(1, 2, 4)))
        ReceptiveField(hops=3, positions=10, hops_per_step=0)
    """
    parts = [_layer_receptive_field(layer, hops) for layer, hops in layers_on_paths(model)]
    hops, positions = (sum(getattr(part, name) for part in parts) for name in ("hops", "positions"))
    return ReceptiveField(hops, positions, max((part.hops_per_step for part in parts), default=0))


def path_receptive_field(num_layers: int, hops: tuple[int, ...] = (1,)) -> int:
    """Return the receptive field of a GNN on a directed path: the largest d such that each of the d positions before a
    node is at most `num_layers` edges away from it.

    Args:
        num_layers: number of message-passing steps, at least 1.
        hops: the distances along the path that edges span, each at least 1.

    Example:
        >>> path_receptive_field(2), path_receptive_field(3, hops=(1, 2, 4)), path_receptive_field(1, hops=(2,))
        (2, 10, 0)
    """
    if num_layers < 1 or not hops or min(hops) < 1:
        raise ValueError(
            f"path_receptive_field: expected num_layers >= 1 and hops of at least 1, got {num_layers} and {hops}"
        )
    distances = {0}
    for _ in range(num_layers):
        distances |= {distance + hop for distance in distances for hop in hops}
    return next(d for d in range(max(distances) + 1) if d + 1 not in distances)


def _layer_receptive_field(layer: Any, hops: tuple[int, ...] | None) -> ReceptiveField:
    if isinstance(layer, GCNEncoder):
        return ReceptiveField(len(layer.layers), 0 if hops is None else path_receptive_field(len(layer.layers), hops))
    if isinstance(layer, (GCNInGates, *PLAIN_LAYERS, *PLAIN_CELLS)):
        return ReceptiveField(positions=math.inf)
    if isinstance(layer, GraphRecurrent):
        return ReceptiveField(layer.hops, math.inf, layer.hops_per_step)
    if isinstance(layer, EvolveGCN):
        return ReceptiveField(math.inf if layer.variant == "H" else layer.num_layers, math.inf)
    if isinstance(layer, TreeLSTM | DAGRecurrent):
        return ReceptiveField(math.inf)
    return ReceptiveField(conv_hops(layer))


def layers_of(module: nn.Module) -> Iterator[nn.Module]:
    """Iterate over the layers of a model that pass information between nodes or time steps, not over their parts."""
    return (layer for layer, _ in layers_on_paths(module))


def layers_on_paths(
    module: nn.Module, hops: tuple[int, ...] | None = None
) -> Iterator[tuple[nn.Module, tuple[int, ...] | None]]:
    """Iterate over these layers, each with the hops of the path graphs that it processes, None where unknown."""
    hops = module.hops if isinstance(module, SequenceModel | GCNEncoder) and module.hops else hops
    kinds = (GraphRecurrent, EvolveGCN, TreeLSTM, DAGRecurrent, GCNEncoder, GCNInGates, *CONVS)
    if isinstance(module, (*kinds, *PLAIN_LAYERS, *PLAIN_CELLS)):
        yield module, hops
        return
    for child in module.children():
        yield from layers_on_paths(child, hops)


def filters_of(layer: Any) -> tuple[Filter, ...]:
    if isinstance(layer, GCNInGates):
        return filters_of(layer.layer)
    if isinstance(layer, GraphRecurrent):
        return layer.filters
    return (layer.filter,) if isinstance(getattr(layer, "filter", None), Filter) else ()
