"""Graph-recurrent layers of others, the layers of seqgnn that compute the same, and how closely they do."""

import copy
import importlib
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch_geometric.typing
from torch import Tensor, nn
from torch_geometric.nn import GCNConv
from torch_geometric.utils import coalesce, to_torch_csr_tensor

from seqgnn.nn import GCLSTM, GCNLSTM, GCRN, TGCN
from seqgnn.nn.convert import from_pyg_temporal
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent

Size = tuple[int, int, int, int, int]  # T, N, B, F, H
SIZES: list[Size] = [
    (12, 207, 16, 2, 64),
    (12, 207, 64, 2, 64),
    (12, 325, 64, 2, 64),
    (4, 20, 1, 4, 32),
    (12, 10000, 1, 8, 32),
    (100, 50, 8, 8, 64),
]
NEIGHBOURS = 8
TOLERANCE = 1e-10  # of outputs and gradients in float64, relative to the largest
TOLERANCE_TIMED = 1e-4  # of outputs as they are timed, in float32


@dataclass(frozen=True)
class Peer:
    """A layer of others.

    Args:
        name: what it is called in tables.
        same: what its twin in seqgnn is called.
        make: `(in_channels, hidden_channels) -> layer`, one step a call.
        twin: the layer of seqgnn that computes the same, with a copy of its weights.
        num_states: of the layer, h alone or h and c.
        ways: how it can be given its graph; none where it is seqgnn's own layer.
    """

    name: str
    same: str
    make: Callable[[int, int], nn.Module]
    twin: Callable[[Any], GraphRecurrent]
    num_states: int
    ways: tuple[str, ...]


class TwoConvs(nn.Module):
    """A step of an LSTM by two of PyG's graph convolutions, for all four gates each."""

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.conv_x = GCNConv(in_channels, 4 * hidden_channels, cached=True)
        self.conv_h = GCNConv(hidden_channels, 4 * hidden_channels, cached=True)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        gates = self.conv_x(x, edge_index, edge_weight) + self.conv_h(h, edge_index, edge_weight)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def from_two_convs(layer: TwoConvs) -> GCNLSTM:
    ours = GCNLSTM(layer.conv_x.in_channels, layer.conv_h.in_channels)
    parts = {"ih": layer.conv_x, "hh": layer.conv_h}
    weights = {f"weight_{name}_l0": conv.lin.weight for name, conv in parts.items()}
    biases = {f"bias_{name}_l0": conv.bias for name, conv in parts.items()}
    ours.to(layer.conv_x.bias).load_state_dict(weights | biases)
    return ours


def pyg_temporal() -> Any:
    """PyTorch Geometric Temporal's recurrent layers, None without them; a stub stands for torch_sparse, of which they
    only name a class."""
    missing = "torch_sparse" not in sys.modules
    if missing:
        stub: Any = types.ModuleType("torch_sparse")
        stub.SparseTensor = torch_geometric.typing.SparseTensor
        sys.modules["torch_sparse"] = stub
    try:
        return importlib.import_module("torch_geometric_temporal.nn.recurrent")
    except ImportError:
        return None
    finally:
        if missing:
            del sys.modules["torch_sparse"]


def peers() -> list[Peer]:
    """All that are installed. Their Chebyshev convolutions take no CSR matrix, and normalize the graph in each call."""
    found = [Peer("two GCNConv", "GCNLSTM", TwoConvs, from_two_convs, 2, ("edge_index", "csr"))]
    theirs = pyg_temporal()
    if theirs is None:
        return found
    index, both = ("edge_index",), ("edge_index", "csr")
    return [
        Peer("GConvLSTM", "GCRN", lambda f, h: theirs.GConvLSTM(f, h, K=2), from_pyg_temporal, 2, index),
        Peer("GConvGRU", "GCRN, GRU", lambda f, h: theirs.GConvGRU(f, h, K=2), from_pyg_temporal, 1, index),
        Peer("TGCN", "TGCN", lambda f, h: theirs.TGCN(f, h, cached=True), from_pyg_temporal, 1, both),
        Peer("GCLSTM", "GCLSTM", lambda f, h: theirs.GCLSTM(f, h, K=2), from_pyg_temporal, 2, index),
        *found,
    ]


def alone() -> list[Peer]:
    """The layers whose peers are not installed: each of their engines still has the others beside it."""
    if pyg_temporal() is not None:
        return []
    makes: dict[str, Callable[[int, int], nn.Module]] = {
        "GCRN": lambda f, h: GCRN(f, h, K=2),
        "GCRN, GRU": lambda f, h: GCRN(f, h, K=2, cell="gru"),
        "TGCN": lambda f, h: TGCN(f, h, variant="pyg-temporal"),
        "GCLSTM": lambda f, h: GCLSTM(f, h, K=2, variant="pyg-temporal"),
    }
    return [Peer("", name, make, lambda layer: layer, 0, ()) for name, make in makes.items()]


class Signals(Protocol):
    """What a layer reads, and a gradient of its output."""

    x: Tensor
    up: Tensor


class Problem:
    """B windows of a signal on one random graph, in which every node hears eight others, and a gradient of the output.

    The graph has neither self-loops nor double edges, of which PyG makes something else in a CSR matrix.
    """

    def __init__(self, size: Size, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.size = size
        num_steps, num_nodes, batch, in_channels, hidden = size
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

        nodes = torch.randperm(num_nodes, generator=generator)
        offsets = 1 + torch.randperm(num_nodes - 1, generator=generator)[:NEIGHBOURS]
        heard = (torch.arange(num_nodes) + offsets.unsqueeze(1)) % num_nodes
        self.edge_index = coalesce(torch.stack([nodes.repeat(len(offsets)), nodes[heard.flatten()]])).to(device)
        self.edge_weight = 0.5 + drawn(self.edge_index.size(1)).sigmoid()
        self.x = drawn(num_steps, batch, num_nodes, in_channels).requires_grad_()
        self.up = drawn(num_steps, batch, num_nodes, hidden)

    def disjoint(self, way: str) -> tuple[Tensor, Tensor | None]:
        """The graphs of all windows as one, as edges with weights or as a CSR matrix."""
        _, num_nodes, batch, _, _ = self.size
        copies = torch.arange(batch, device=self.edge_index.device).repeat_interleave(self.edge_index.size(1))
        edge_index = self.edge_index.repeat(1, batch) + num_nodes * copies
        edge_weight = self.edge_weight.repeat(batch)
        if way == "edge_index":
            return edge_index, edge_weight
        nodes = num_nodes * batch
        return to_torch_csr_tensor(edge_index.flip(0), edge_weight, size=(nodes, nodes)), None


@dataclass
class Contender:
    """A layer and how it is called: x -> output."""

    layer: nn.Module
    call: Callable[[Tensor], Tensor]

    def train(self, problem: Signals) -> None:
        """One training step: gradients of weights and input."""
        self.layer.zero_grad()
        problem.x.grad = None
        self.call(problem.x).backward(problem.up)

    @torch.no_grad()
    def infer(self, problem: Signals) -> Tensor:
        return self.call(problem.x)


def contenders(peer: Peer, problem: Problem, engines: Sequence[str]) -> dict[str, Contender]:
    """The peer, by each of its ways, and its twin, by each engine, with the same weights."""
    torch.manual_seed(0)
    layer = peer.make(*problem.size[-2:]).to(problem.x)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1)
    twin = peer.twin(layer)
    found = {way: _their(peer, copy.deepcopy(layer), problem, way) for way in peer.ways}
    return found | {engine: _ours(copy.deepcopy(twin), problem, engine) for engine in engines}


def _their(peer: Peer, layer: nn.Module, problem: Problem, way: str) -> Contender:
    _, num_nodes, batch, _, hidden = problem.size
    edge_index, edge_weight = problem.disjoint(way)

    def call(x: Tensor) -> Tensor:
        """The loop of their documentation, over the batch as one graph."""
        states: Any = (x.new_zeros(batch * num_nodes, hidden),) * peer.num_states
        outputs = []
        for step in x.flatten(1, 2):
            states = layer(step, edge_index, edge_weight, *states)
            states = states if isinstance(states, tuple) else (states,)
            outputs.append(states[0])
        return torch.stack(outputs).unflatten(1, (batch, num_nodes))

    return Contender(layer, call)


def _ours(layer: GraphRecurrent, problem: Problem, engine: str) -> Contender:
    layer.engine = engine
    graph = layer.prepare(problem.edge_index, problem.edge_weight, problem.size[1])
    return Contender(layer, lambda x: layer(x, graph)[0])


def disagreement(peer: Peer, size: Size, device: str, engines: Sequence[str]) -> float:
    """How far outputs and gradients, of the input and of all weights that a twin has copied, are from the peer's in
    float64: the largest difference relative to the largest value. Two windows of four steps show it as well as many."""
    num_steps, num_nodes, batch, in_channels, hidden = size
    few = min(num_steps, 4), num_nodes, min(batch, 2), in_channels, hidden
    problem = Problem(few, device, torch.float64)
    found = contenders(peer, problem, engines)
    expected, *rest = (_answers(peer, contender, problem) for contender in found.values())
    return max(relative(answers[name], expected[name]) for answers in rest for name in expected)


def disagreement_as_timed(found: dict[str, Contender], problem: Signals) -> float:
    """The same of the outputs alone, of contenders as they will run."""
    expected, *rest = (contender.infer(problem) for contender in found.values())
    return max(relative(output, expected) for output in rest)


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _answers(peer: Peer, contender: Contender, problem: Problem) -> dict[str, Tensor]:
    contender.train(problem)
    answers: dict[str, Any] = {"output": contender.infer(problem), "x": problem.x.grad}
    if isinstance(contender.layer, GraphRecurrent):
        return answers | {name: weight.grad for name, weight in contender.layer.named_parameters()}

    def converted(value: Callable[[Tensor], Any]) -> dict[str, Tensor]:
        filled = peer.make(*problem.size[-2:]).to(problem.x)
        for target, weight in zip(filled.parameters(), contender.layer.parameters()):
            target.data = value(weight)
        return peer.twin(filled).state_dict()

    # Gradients go the way of the weights, but for sums of biases: what is one where all weights are one was copied.
    copied = {name for name, value in converted(torch.ones_like).items() if bool((value == 1).all())}
    return answers | {name: grad for name, grad in converted(lambda weight: weight.grad).items() if name in copied}
