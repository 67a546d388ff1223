"""What a model can hear, and where its gradients come from."""

import inspect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv

from seqgnn.data import SequenceGraph, Task, sequence_lengths
from seqgnn.encoders import GCNEncoder, GCNInLSTM
from seqgnn.models import SequenceModel
from seqgnn.nn import EvolveGCN
from seqgnn.nn.dag_recurrent import DAGRecurrent, TreeLSTM
from seqgnn.nn.filters import Diffusion, Filter
from seqgnn.nn.gate_maps import arguments
from seqgnn.nn.graph_recurrent import GraphRecurrent
from seqgnn.nn.hops import CONVS, conv_hops


@dataclass(frozen=True)
class Reach:
    """How far a model hears, by its structure alone.

    Attributes:
        hops: edges, within one graph or one time step; infinite where no node is too far.
        positions: elements or time steps back, those between included; infinite for whatever carries a state.
        hops_per_step: further edges with every time step back: the neighbours' states have heard their neighbours.
    """

    hops: float = 0
    positions: float = 0
    hops_per_step: float = 0


def reach(model: nn.Module) -> Reach:
    """How far a model hears: what its layers hear, one after the other, added up.

    A model may hear less than that: which weights are zero, or which layers stand side by side, no structure tells. It
    may hear more if it calls a layer several times, or has layers of its own making. `seqgnn.nn.hops.conv_hops` says
    what each of PyG's convolutions is taken to hear.

    Example:
        >>> from seqgnn.nn import GCRN
        >>> reach(GCRN(2, 8, num_layers=2, K=3))
        Reach(hops=4, positions=inf, hops_per_step=2)
        >>> from seqgnn.models import build
        >>> reach(build("gcn", num_classes=2, num_tokens=3, num_layers=3, hops=(1, 2, 4)))
        Reach(hops=3, positions=10, hops_per_step=0)
    """
    parts = [_reach(layer, hops) for layer, hops in _layers_on_paths(model)]
    hops, positions = (sum(getattr(part, name) for part in parts) for name in ("hops", "positions"))
    return Reach(hops, positions, max((part.hops_per_step for part in parts), default=0))


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
        >>> from seqgnn.models import build
        >>> describe(build("gcn", num_classes=10, num_tokens=10, num_layers=2), Palindromes(20))
        ['reach: an element hears 2 of the 18 before it']
    """
    task = data if isinstance(data, Task) else None
    batch: Any = task.draw(32, torch.Generator().manual_seed(0)) if task is not None else data
    layers, found = list(_layers(model)), []
    for layer in layers:
        for filter in _filters(layer):
            if filter.hops == 0 and getattr(filter, "K", None) == 1:
                found.append(f"no neighbour: {filter} of {type(layer).__name__} has one term, the node itself")
    found += _short(model, batch)
    if hasattr(task, "stream") and _carries(model):
        found.append("state dropped: windows begin afresh; TrainConfig(carry=True) carries it from one to the next")
    found += _future(layers, batch)
    found += _unheard(layers, batch)
    return list(dict.fromkeys(found))


def _short(model: nn.Module, batch: Any) -> list[str]:
    """Whether GNNs hear less of a sequence, or of a graph, than there is."""
    heard = reach(model)
    if isinstance(batch, SequenceGraph) or hasattr(batch, "ptr"):
        longest = int(sequence_lengths(batch).max()) - 1
        rounds = [layer for layer in _layers(model) if isinstance(layer, GCNEncoder)]
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
        for layer in _layers(model)
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
    """Nodes without neighbours, and what edges carry for nobody."""
    edges = getattr(batch, "edge_index", None)
    if edges is None or all(isinstance(layer, nn.RNNBase | nn.RNNCellBase) for layer in layers):
        return []
    found = []
    others = edges[:, edges[0] != edges[1]]
    alone = int(batch.num_nodes) - len(others.unique())
    if alone:
        found.append(f"isolated: {alone} of {int(batch.num_nodes)} nodes have no neighbour")
    for name in ("edge_weight", "edge_attr"):
        if getattr(batch, name, None) is not None and not any(_takes(layer, name) for layer in layers):
            found.append(f"unused: the data has {name}, which no layer of the model takes")
    return found


def _takes(layer: nn.Module, name: str) -> bool:
    if isinstance(layer, GraphRecurrent):
        return (name == "edge_weight" and bool(layer.filters)) or any(name in arguments(c) for c in layer.convs)
    if isinstance(layer, GCNEncoder | GCNInLSTM):  # their edges are those of the sequences
        return False
    parameters = inspect.signature(layer.forward).parameters
    passed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (passed_on and any(name in arguments(part) for part in layer.modules()))


def _both_ways(model: nn.Module) -> bool:
    """Whether some of its layers hear against the edges as well."""
    filters = (filter for layer in _layers(model) for filter in _filters(layer))
    return any(isinstance(part, Diffusion | DirGNNConv) for part in (*filters, *model.modules()))


def _on_path(batch: Any) -> bool:
    """Whether edges only run forwards between elements of sequences, as those of `path_graph`."""
    edges = batch.edge_index
    forwards = isinstance(batch, SequenceGraph) and bool((edges[0] < edges[1]).all())
    return forwards and len(edges.unique()) == batch.num_nodes


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


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model that hear, not those that these are made of."""
    return (layer for layer, _ in _layers_on_paths(module))


def _layers_on_paths(
    module: nn.Module, hops: tuple[int, ...] | None = None
) -> Iterator[tuple[nn.Module, tuple[int, ...] | None]]:
    """The same with the hops of the paths that they read, None where nothing around them knows."""
    hops = module.hops if isinstance(module, SequenceModel | GCNEncoder) and module.hops else hops
    heard = (GraphRecurrent, EvolveGCN, TreeLSTM, DAGRecurrent, GCNEncoder, GCNInLSTM, *CONVS)
    if isinstance(module, (*heard, nn.RNNBase, nn.RNNCellBase)):
        yield module, hops
        return
    for child in module.children():
        yield from _layers_on_paths(child, hops)


def _filters(layer: Any) -> tuple[Filter, ...]:
    if isinstance(layer, GCNInLSTM):
        return _filters(layer.layer)
    if isinstance(layer, GraphRecurrent):
        return layer.filters
    return (layer.filter,) if isinstance(getattr(layer, "filter", None), Filter) else ()


def _reach(layer: Any, hops: tuple[int, ...] | None) -> Reach:
    if isinstance(layer, GCNEncoder):
        return Reach(len(layer.layers), 0 if hops is None else path_reach(len(layer.layers), hops))
    if isinstance(layer, GCNInLSTM | nn.RNNBase | nn.RNNCellBase):
        return Reach(positions=math.inf)
    if isinstance(layer, GraphRecurrent):
        return Reach(layer.hops, math.inf, layer.hops_per_step)
    if isinstance(layer, EvolveGCN):
        return Reach(math.inf if layer.variant == "H" else layer.num_layers, math.inf)
    if isinstance(layer, TreeLSTM | DAGRecurrent):
        return Reach(math.inf)
    return Reach(conv_hops(layer))


def path_reach(num_layers: int, hops: tuple[int, ...] = (1,)) -> int:
    """How far back a GNN on a directed path hears everything: the greatest d such that each of the last d elements
    before a node lies at most `num_layers` hops from it.

    Args:
        num_layers: rounds of message passing, at least 1.
        hops: the distances that edges span, each at least 1.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> path_reach(2), path_reach(3, hops=(1, 2, 4)), path_reach(1, hops=(2,))
        (2, 10, 0)
    """
    if num_layers < 1 or not hops or min(hops) < 1:
        raise ValueError(f"path_reach: expected num_layers >= 1 and hops of at least 1, got {num_layers} and {hops}")
    heard = {0}
    for _ in range(num_layers):
        heard |= {distance + hop for distance in heard for hop in hops}
    return next(d for d in range(max(heard) + 1) if d + 1 not in heard)


@torch.no_grad()
def bptt_gradients(
    x: Tensor,
    target: Tensor,
    W_hx: Tensor,
    W_hh: Tensor,
    W_ph: Tensor,
    b_h: Tensor | None = None,
    b_p: Tensor | None = None,
) -> dict[str, Tensor]:
    r"""Backpropagation through time of the vanilla RNN by the chain rule, without autograd.

    .. math::
        a_t &= W_{hx} x_t + W_{hh} h_{t-1} + b_h, \quad h_t = \tanh(a_t), \quad h_0 = 0 \\
        p &= W_{ph} h_T + b_p, \quad L = -\frac{1}{B} \sum_b \log \mathrm{softmax}(p_b)_{y_b} \\
        \frac{\partial L}{\partial p} &= \frac{1}{B} (\mathrm{softmax}(p) - \mathrm{onehot}(y)), \quad
        \frac{\partial L}{\partial h_T} = W_{ph}^T \frac{\partial L}{\partial p} \\
        \frac{\partial L}{\partial a_t} &= \mathrm{diag}(1 - h_t^2) \frac{\partial L}{\partial h_t}, \quad
        \frac{\partial L}{\partial h_{t-1}} = W_{hh}^T \frac{\partial L}{\partial a_t} \\
        \frac{\partial L}{\partial W_{hh}} &= \sum_t \frac{\partial L}{\partial a_t} h_{t-1}^T, \quad
        \frac{\partial L}{\partial W_{hx}} = \sum_t \frac{\partial L}{\partial a_t} x_t^T, \quad
        \frac{\partial L}{\partial W_{ph}} = \frac{\partial L}{\partial p} h_T^T

    The factor diag(1 - h²) stands at every step, the last one included.

    Args:
        x: inputs.
        target: class of each sequence.
        W_hx, W_hh, W_ph: weights from input to hidden, hidden to hidden, hidden to output.
        b_h, b_p: biases, zero if None.

    Shapes:
        x ``[T, B, d]``, target ``[B]``, W_hx ``[n, d]``, W_hh ``[n, n]``, W_ph ``[C, n]``, b_h ``[n]``, b_p ``[C]``.

    Returns:
        The gradients under the names ``"W_hx"``, ``"W_hh"``, ``"W_ph"``, shaped as the weights.

    Raises:
        ValueError: if shapes, dtypes or devices do not fit each other, or a target is out of range.

    Example:
        >>> W = torch.eye(3)
        >>> gradients = bptt_gradients(torch.ones(4, 2, 3), torch.tensor([0, 2]), W, W, W)
        >>> sorted(gradients)
        ['W_hh', 'W_hx', 'W_ph']
    """
    if x.dim() != 3 or 0 in x.shape or target.shape != x.shape[1:2]:
        raise ValueError(
            "bptt_gradients: expected x of shape [T, B, d], not empty, and target of shape [B], "
            f"got {tuple(x.shape)} and {tuple(target.shape)}"
        )
    if W_hh.dim() != 2 or W_ph.dim() != 2:
        raise ValueError(f"bptt_gradients: expected matrices W_hh and W_ph, got ranks {W_hh.dim()} and {W_ph.dim()}")
    n, num_classes = W_hh.size(0), W_ph.size(0)
    expected = {"W_hx": (n, x.size(2)), "W_hh": (n, n), "W_ph": (num_classes, n), "b_h": (n,), "b_p": (num_classes,)}
    given = {"W_hx": W_hx, "W_hh": W_hh, "W_ph": W_ph, "b_h": b_h, "b_p": b_p}
    for name, tensor in given.items():
        if tensor is not None and tensor.shape != expected[name]:
            raise ValueError(f"bptt_gradients: expected {name} of {expected[name]}, got {tuple(tensor.shape)}")
        if tensor is not None and (tensor.dtype, tensor.device) != (x.dtype, x.device):
            raise ValueError(
                f"bptt_gradients: expected {name} of {x.dtype} on {x.device}, as x, "
                f"got {tensor.dtype} on {tensor.device}"
            )
    if target.dtype != torch.int64 or target.device != x.device:
        raise ValueError(
            f"bptt_gradients: expected target of torch.int64 on {x.device}, got {target.dtype} on {target.device}"
        )
    if not 0 <= int(target.min()) <= int(target.max()) < num_classes:
        raise ValueError(f"bptt_gradients: expected targets between 0 and {num_classes - 1}, got {target.tolist()}")
    b_h = x.new_zeros(n) if b_h is None else b_h
    b_p = x.new_zeros(num_classes) if b_p is None else b_p

    h = [x.new_zeros(x.size(1), n)]
    for x_t in x:
        h.append(torch.tanh(x_t @ W_hx.t() + h[-1] @ W_hh.t() + b_h))
    p = h[-1] @ W_ph.t() + b_p

    dL_dp = (p.softmax(-1) - torch.nn.functional.one_hot(target, num_classes)) / x.size(1)
    dL_dW_hx, dL_dW_hh = torch.zeros_like(W_hx), torch.zeros_like(W_hh)
    dL_dh = dL_dp @ W_ph
    for t in range(len(x), 0, -1):
        dL_da = dL_dh * (1 - h[t] ** 2)
        dL_dW_hh += dL_da.t() @ h[t - 1]
        dL_dW_hx += dL_da.t() @ x[t - 1]
        dL_dh = dL_da @ W_hh
    return {"W_hx": dL_dW_hx, "W_hh": dL_dW_hh, "W_ph": dL_dp.t() @ h[-1]}
