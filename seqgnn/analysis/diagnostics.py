"""Checks for common mistakes in the combination of a model and its data."""

import inspect
import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv, MessagePassing

from seqgnn._utils.arrays import distinct
from seqgnn._utils.text import count
from seqgnn.analysis.receptive_field import filters_of, layers_of, receptive_field
from seqgnn.data import SequenceGraph, sequence_lengths
from seqgnn.models.encoders import GCNEncoder, GCNInGates
from seqgnn.models.sequence_model import SequenceModel
from seqgnn.nn import EvolveGCN
from seqgnn.nn.graph.filters import Diffusion
from seqgnn.nn.receptive_field import conv_hops
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.plain import PLAIN_CELLS, PLAIN_LAYERS
from seqgnn.nn.scan.gates import edge_arguments
from seqgnn.tasks import Task


def diagnose(model: nn.Module, data: Data | Task) -> list[str]:
    """Return likely mistakes in the combination of a model and its data, one line each: filters with a single term, a
    receptive field shorter than the sequences, a state that is not carried over, a visible future, isolated nodes and
    unused edge weights.

    Distances in a graph are computed from as many nodes as a few seconds allow, which is all of them in graphs of up
    to about ten thousand nodes. In larger graphs a few distant nodes may be missed.

    Args:
        model: any module; the layers of seqgnn and PyG in it are checked.
        data: a graph, a sequence or a batch of them, or a task to draw a batch from.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(20)
        >>> diagnose(build("gcn", task, num_layers=2), task)
        ['receptive field: 2 of 18 previous positions']
    """
    task = data if isinstance(data, Task) else None
    batch: Any = task.draw(32, torch.Generator().manual_seed(0)) if task is not None else data
    layers, problems = list(layers_of(model)), []
    for layer in layers:
        for filter in filters_of(layer):
            if filter.hops == 0 and getattr(filter, "K", None) == 1:
                problems.append(f"no neighbors: {filter} of {type(layer).__name__} sees only the node itself")
        for conv in getattr(layer, "convs", [layer] if isinstance(layer, MessagePassing) else []):
            if conv_hops(conv) == 0:
                problems.append(f"no neighbors: {conv} sees only the node itself")
    problems += _limited_receptive_field(model, batch)
    if hasattr(task, "stream") and _is_stateful(model):
        problems.append("state reset: each window starts from a zero state; TrainConfig(stateful=True) carries it over")
    problems += _visible_future(layers, batch)
    problems += _unused_inputs(layers, batch)
    return list(dict.fromkeys(problems))


def _limited_receptive_field(model: nn.Module, batch: Any) -> list[str]:
    """Return a line if the receptive field of a GNN does not cover the sequence or the graph."""
    field = receptive_field(model)
    if isinstance(batch, SequenceGraph) or hasattr(batch, "ptr"):
        longest = int(sequence_lengths(batch).max()) - 1
        encoders = [layer for layer in layers_of(model) if isinstance(layer, GCNEncoder)]
        if encoders and field.positions < longest and _on_path(batch):
            return [f"receptive field: {field.positions:g} of {longest} previous positions"]
    edges = getattr(batch, "edge_index", None)
    if edges is None or not 0 < field.hops < math.inf or field.hops_per_step or _on_path(batch):
        return []
    if _reads_both_directions(model):
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    if _has_farther_nodes(edges, int(batch.num_nodes), int(field.hops)):
        return [f"receptive field: up to {count(int(field.hops), 'hop')}, but some connected nodes are farther away"]
    return []


def _is_stateful(model: nn.Module) -> bool:
    """Return True if the model has a state that can be carried over to the next window."""
    models = [part for part in model.modules() if isinstance(part, SequenceModel)]
    whole_window = any(part.readout.kind != "last" or part.inputs.length is not None for part in models)
    recurrent = (GraphRecurrent, EvolveGCN, GCNInGates, *PLAIN_LAYERS, *PLAIN_CELLS)
    return not whole_window and any(
        layer.hops is not None if isinstance(layer, GCNEncoder) else isinstance(layer, recurrent)
        for layer in layers_of(model)
    )


def _visible_future(layers: list[nn.Module], batch: Any) -> list[str]:
    """Return lines if there is one target per position and a position sees later ones."""
    y, x = getattr(batch, "y", None), getattr(batch, "x", None)
    if y is None or x is None or len(y) != len(x) or not isinstance(batch, SequenceGraph):
        return []
    problems = [
        f"future visible: {type(layer).__name__} is bidirectional, but there is one target per position"
        for layer in layers
        if getattr(layer, "bidirectional", False)
    ]
    graph = any(not isinstance(layer, (*PLAIN_LAYERS, *PLAIN_CELLS)) for layer in layers)
    if graph and bool((batch.edge_index[0] > batch.edge_index[1]).any()):
        problems.append("future visible: some edges point backwards, but there is one target per position")
    return problems


def _unused_inputs(layers: list[nn.Module], batch: Any) -> list[str]:
    """Return lines about isolated nodes and about edge weights or attributes that no layer uses."""
    edges = getattr(batch, "edge_index", None)
    if edges is None or all(isinstance(layer, (*PLAIN_LAYERS, *PLAIN_CELLS)) for layer in layers):
        return []
    problems = []
    connected = edges[:, edges[0] != edges[1]].unique()
    isolated = int(batch.num_nodes) - len(connected)
    if isolated:
        problems.append(f"isolated: {isolated} of {int(batch.num_nodes)} nodes have no neighbors")
    for name in ("edge_weight", "edge_attr"):
        if getattr(batch, name, None) is not None and not any(_accepts(layer, name) for layer in layers):
            problems.append(f"unused: the data has {name}, but no layer of the model accepts it")
    return problems


def _accepts(layer: nn.Module, name: str) -> bool:
    if isinstance(layer, GraphRecurrent):
        filtered = name == "edge_weight" and any(filter.hops for filter in layer.filters)
        return filtered or any(name in edge_arguments(conv) for conv in layer.convs)
    if isinstance(layer, GCNEncoder | GCNInGates):  # their edges connect positions of sequences
        return False
    parameters = inspect.signature(layer.forward).parameters
    passed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (passed_on and any(name in edge_arguments(part) for part in layer.modules()))


def _reads_both_directions(model: nn.Module) -> bool:
    """Return True if a layer also aggregates against the direction of the edges."""
    filters = (filter for layer in layers_of(model) for filter in filters_of(layer))
    return any(isinstance(part, Diffusion | DirGNNConv) for part in (*filters, *model.modules()))


def _on_path(batch: Any) -> bool:
    """Return True if the edges are those of a directed `path_graph`: every hop from each position where it fits."""
    if not isinstance(batch, SequenceGraph) or batch.edge_index.numel() == 0:
        return False
    distances, counts = (batch.edge_index[1] - batch.edge_index[0]).unique(return_counts=True)
    lengths = sequence_lengths(batch)
    fit = [int((lengths - distance).clamp(min=0).sum()) for distance in distances.tolist()]
    return bool(distances[0] > 0) and counts.tolist() == fit


def _has_farther_nodes(edge_index: Tensor, num_nodes: int, hops: int, work: float = 5e8) -> bool:
    """Return True if the shortest path between some pair of nodes has more than `hops` edges.

    A breadth-first search from 64 nodes at a time, one bit each, in random order. It stops after `work` edge visits and
    then returns False, which in a large graph does not prove that there is no such pair.
    """
    edges = edge_index[:, edge_index[1].argsort()].cpu().numpy()
    targets, start = np.unique(edges[1], return_index=True)
    sources = np.random.default_rng(0).permutation(distinct(edges[0]))
    for chunk in np.split(sources, range(64, len(sources), 64)):
        visited = np.zeros(num_nodes, dtype=np.uint64)
        visited[chunk] = np.uint64(1) << np.arange(len(chunk), dtype=np.uint64)
        for distance in itertools.count(1):
            before = visited.copy()
            visited[targets] |= np.bitwise_or.reduceat(before[edges[0]], start)
            work -= num_nodes + edges.shape[1]
            if (visited == before).all():
                break
            if distance > hops or work < 0:
                return distance > hops
    return False
