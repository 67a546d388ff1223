"""What is wrong with a model on its data, or wasted."""

import inspect
import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv, MessagePassing

from seqgnn.analysis.receptive_field import filters_of, layers_of, reach
from seqgnn.data import SequenceGraph, sequence_lengths
from seqgnn.models.encoders import GCNEncoder, GCNInLSTM
from seqgnn.models.sequence_model import SequenceModel
from seqgnn.nn import EvolveGCN
from seqgnn.nn.graph.filters import Diffusion
from seqgnn.nn.receptive_field import conv_hops
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.scan.gates import edge_arguments
from seqgnn.tasks import Task


def describe(model: nn.Module, data: Data | Task) -> list[str]:
    """What is wrong with a model on its data, or wasted, one line each: filters of one term, a reach below the length,
    a state that is dropped, a future that is visible, isolated nodes, weights that nobody uses.

    Whether a graph is wider than the reach is looked up from as many of its nodes as take a few seconds, all in graphs
    of up to some ten thousand: of a larger one, a few far nodes may go unnoticed.

    Args:
        model: any module; what is known of seqgnn's and PyG's layers in it is told.
        data: a graph, a sequence or a batch of them, or a task to draw some from.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> describe(build("gcn", num_classes=10, num_tokens=10, num_layers=2), Palindromes(20))
        ['reach: an element hears 2 of the 18 before it']
    """
    task = data if isinstance(data, Task) else None
    batch: Any = task.draw(32, torch.Generator().manual_seed(0)) if task is not None else data
    layers, found = list(layers_of(model)), []
    for layer in layers:
        for filter in filters_of(layer):
            if filter.hops == 0 and getattr(filter, "K", None) == 1:
                found.append(f"no neighbor: {filter} of {type(layer).__name__} has one term, the node itself")
        for conv in getattr(layer, "convs", [layer] if isinstance(layer, MessagePassing) else []):
            if conv_hops(conv) == 0:
                found.append(f"no neighbor: {conv} hears the node itself alone")
    found += _short(model, batch)
    if hasattr(task, "stream") and _carries(model):
        found.append("state dropped: windows begin afresh; TrainConfig(stateful=True) carries it from one to the next")
    found += _future(layers, batch)
    found += _unheard(layers, batch)
    return list(dict.fromkeys(found))


def _short(model: nn.Module, batch: Any) -> list[str]:
    """Whether GNNs hear less of a sequence, or of a graph, than there is."""
    heard = reach(model)
    if isinstance(batch, SequenceGraph) or hasattr(batch, "ptr"):
        longest = int(sequence_lengths(batch).max()) - 1
        rounds = [layer for layer in layers_of(model) if isinstance(layer, GCNEncoder)]
        if rounds and heard.positions < longest and _on_path(batch):
            return [f"reach: an element hears {heard.positions:g} of the {longest} before it"]
    edges = getattr(batch, "edge_index", None)
    if edges is None or not 0 < heard.hops < math.inf or heard.hops_per_step or _on_path(batch):
        return []
    if _both_ways(model):
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    if _lies_farther(edges, int(batch.num_nodes), int(heard.hops)):
        return [f"reach: a node hears others up to distance {heard.hops:g}, and some that it could hear are farther"]
    return []


def _carries(model: nn.Module) -> bool:
    """Whether there is a state, and not each window read anew."""
    models = [part for part in model.modules() if isinstance(part, SequenceModel)]
    anew = any(part.readout.kind != "last" or part.inputs.length is not None for part in models)
    recurrent = (GraphRecurrent, EvolveGCN, GCNInLSTM, nn.RNNBase, nn.RNNCellBase)
    return not anew and any(
        layer.hops is not None if isinstance(layer, GCNEncoder) else isinstance(layer, recurrent)
        for layer in layers_of(model)
    )


def _future(layers: list[nn.Module], batch: Any) -> list[str]:
    """Whether elements that answer for themselves see what comes after them."""
    y, x = getattr(batch, "y", None), getattr(batch, "x", None)
    if y is None or x is None or len(y) != len(x) or not isinstance(batch, SequenceGraph):
        return []
    found = [
        f"future visible: {type(layer).__name__} reads in both directions, and each element has an answer of its own"
        for layer in layers
        if getattr(layer, "bidirectional", False)
    ]
    graph = any(not isinstance(layer, nn.RNNBase | nn.RNNCellBase) for layer in layers)
    if graph and bool((batch.edge_index[0] > batch.edge_index[1]).any()):
        found.append("future visible: edges run backwards, and each element has an answer of its own")
    return found


def _unheard(layers: list[nn.Module], batch: Any) -> list[str]:
    """Nodes without neighbors, and what edges carry for nobody."""
    edges = getattr(batch, "edge_index", None)
    if edges is None or all(isinstance(layer, nn.RNNBase | nn.RNNCellBase) for layer in layers):
        return []
    found = []
    others = edges[:, edges[0] != edges[1]]
    alone = int(batch.num_nodes) - len(others.unique())
    if alone:
        found.append(f"isolated: {alone} of {int(batch.num_nodes)} nodes have no neighbor")
    for name in ("edge_weight", "edge_attr"):
        if getattr(batch, name, None) is not None and not any(_takes(layer, name) for layer in layers):
            found.append(f"unused: the data has {name}, which no layer of the model takes")
    return found


def _takes(layer: nn.Module, name: str) -> bool:
    if isinstance(layer, GraphRecurrent):
        filtered = name == "edge_weight" and any(filter.hops for filter in layer.filters)
        return filtered or any(name in edge_arguments(conv) for conv in layer.convs)
    if isinstance(layer, GCNEncoder | GCNInLSTM):  # their edges are those of the sequences
        return False
    parameters = inspect.signature(layer.forward).parameters
    passed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (passed_on and any(name in edge_arguments(part) for part in layer.modules()))


def _both_ways(model: nn.Module) -> bool:
    """Whether some of its layers hear against the edges as well."""
    filters = (filter for layer in layers_of(model) for filter in filters_of(layer))
    return any(isinstance(part, Diffusion | DirGNNConv) for part in (*filters, *model.modules()))


def _on_path(batch: Any) -> bool:
    """Whether edges only run forwards between elements of sequences, each distance wherever it fits, as those of
    `path_graph`."""
    if not isinstance(batch, SequenceGraph) or batch.edge_index.numel() == 0:
        return False
    distances, counts = (batch.edge_index[1] - batch.edge_index[0]).unique(return_counts=True)
    lengths = sequence_lengths(batch)
    fit = [int((lengths - distance).clamp(min=0).sum()) for distance in distances.tolist()]
    return bool(distances[0] > 0) and counts.tolist() == fit


def _lies_farther(edge_index: Tensor, num_nodes: int, hops: int, work: float = 5e8) -> bool:
    """Whether some node can be heard by another, but only over more than so many edges.

    Walks from 64 nodes at a time, a bit for each, in random order until all are done or `work`, edges times rounds, is:
    then it has found none, which in a large graph is no proof that there is none.
    """
    edges = edge_index[:, edge_index[1].argsort()].cpu().numpy()
    heard_by, start = np.unique(edges[1], return_index=True)
    speakers = np.random.default_rng(0).permutation(np.unique(edges[0]))
    for some in np.split(speakers, range(64, len(speakers), 64)):
        heard = np.zeros(num_nodes, dtype=np.uint64)
        heard[some] = np.uint64(1) << np.arange(len(some), dtype=np.uint64)
        for distance in itertools.count(1):
            before = heard.copy()
            heard[heard_by] |= np.bitwise_or.reduceat(before[edges[0]], start)
            work -= num_nodes + edges.shape[1]
            if (heard == before).all():
                break
            if distance > hops or work < 0:
                return distance > hops
    return False
