"""How far a model hears, by its structure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from seqgnn.models.encoders import GCNEncoder, GCNInLSTM
from seqgnn.models.sequence_model import SequenceModel
from seqgnn.nn import EvolveGCN
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.receptive_field import CONVS, conv_hops
from seqgnn.nn.recurrent.dag_rnn import DAGRecurrent
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.tree_lstm import TreeLSTM


@dataclass(frozen=True)
class ReceptiveField:
    """How far a model hears, by its structure alone.

    Attributes:
        hops: edges, within one graph or one time step; infinite where no node is too far.
        positions: elements or time steps back, those between included; infinite for whatever carries a state.
        hops_per_step: further edges with every time step back: the neighbors' states have heard their neighbors.
    """

    hops: float = 0
    positions: float = 0
    hops_per_step: float = 0


def reach(model: nn.Module) -> ReceptiveField:
    """How far a model hears: what its layers hear, one after the other, added up.

    A model may hear less than that: which weights are zero, or which layers stand side by side, no structure tells. It
    may hear more if it calls a layer several times, or has layers of its own making.
    `seqgnn.nn.receptive_field.conv_hops` says what each of PyG's convolutions is taken to hear.

    Example:
        >>> from seqgnn.nn import GCRN
        >>> reach(GCRN(2, 8, num_layers=2, K=3))
        ReceptiveField(hops=4, positions=inf, hops_per_step=2)
        >>> from seqgnn.models.sequence_model import build
        >>> reach(build("gcn", num_classes=2, num_tokens=3, num_layers=3, hops=(1, 2, 4)))
        ReceptiveField(hops=3, positions=10, hops_per_step=0)
    """
    parts = [_reach(layer, hops) for layer, hops in layers_on_paths(model)]
    hops, positions = (sum(getattr(part, name) for part in parts) for name in ("hops", "positions"))
    return ReceptiveField(hops, positions, max((part.hops_per_step for part in parts), default=0))


def path_receptive_field(num_layers: int, hops: tuple[int, ...] = (1,)) -> int:
    """How far back a GNN on a directed path hears everything: the greatest d such that each of the last d elements
    before a node lies at most `num_layers` hops from it.

    Args:
        num_layers: rounds of message passing, at least 1.
        hops: the distances that edges span, each at least 1.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> path_receptive_field(2), path_receptive_field(3, hops=(1, 2, 4)), path_receptive_field(1, hops=(2,))
        (2, 10, 0)
    """
    if num_layers < 1 or not hops or min(hops) < 1:
        raise ValueError(
            f"path_receptive_field: expected num_layers >= 1 and hops of at least 1, got {num_layers} and {hops}"
        )
    heard = {0}
    for _ in range(num_layers):
        heard |= {distance + hop for distance in heard for hop in hops}
    return next(d for d in range(max(heard) + 1) if d + 1 not in heard)


def _reach(layer: Any, hops: tuple[int, ...] | None) -> ReceptiveField:
    if isinstance(layer, GCNEncoder):
        return ReceptiveField(len(layer.layers), 0 if hops is None else path_receptive_field(len(layer.layers), hops))
    if isinstance(layer, GCNInLSTM | nn.RNNBase | nn.RNNCellBase):
        return ReceptiveField(positions=math.inf)
    if isinstance(layer, GraphRecurrent):
        return ReceptiveField(layer.hops, math.inf, layer.hops_per_step)
    if isinstance(layer, EvolveGCN):
        return ReceptiveField(math.inf if layer.variant == "H" else layer.num_layers, math.inf)
    if isinstance(layer, TreeLSTM | DAGRecurrent):
        return ReceptiveField(math.inf)
    return ReceptiveField(conv_hops(layer))


def layers_of(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model that hear, not those that these are made of."""
    return (layer for layer, _ in layers_on_paths(module))


def layers_on_paths(
    module: nn.Module, hops: tuple[int, ...] | None = None
) -> Iterator[tuple[nn.Module, tuple[int, ...] | None]]:
    """The same with the hops of the paths that they read, None where nothing around them knows."""
    hops = module.hops if isinstance(module, SequenceModel | GCNEncoder) and module.hops else hops
    heard = (GraphRecurrent, EvolveGCN, TreeLSTM, DAGRecurrent, GCNEncoder, GCNInLSTM, *CONVS)
    if isinstance(module, (*heard, nn.RNNBase, nn.RNNCellBase)):
        yield module, hops
        return
    for child in module.children():
        yield from layers_on_paths(child, hops)


def filters_of(layer: Any) -> tuple[Filter, ...]:
    if isinstance(layer, GCNInLSTM):
        return filters_of(layer.layer)
    if isinstance(layer, GraphRecurrent):
        return layer.filters
    return (layer.filter,) if isinstance(getattr(layer, "filter", None), Filter) else ()
