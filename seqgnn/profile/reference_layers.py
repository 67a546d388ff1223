"""Graph-recurrent layers of other libraries, the equivalent layers of seqgnn, and how closely their outputs agree."""

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
NEIGHBORS = 8
TOLERANCE = 1e-10  # of outputs and gradients in float64, relative to the largest
TOLERANCE_TIMED = 1e-4  # of outputs as they are timed, in float32


@dataclass(frozen=True)
class ReferenceLayer:
    """A layer of another library, to compare with.

    Args:
        name: its name in tables.
        equivalent_name: the name of the equivalent layer of seqgnn.
        make: `(in_channels, hidden_channels) -> layer`; the layer takes one time step per call.
        equivalent: returns the layer of seqgnn that computes the same, with a copy of the weights.
        num_states: 1 for h, 2 for h and c.
        graph_formats: the formats in which it accepts a graph; empty if it is seqgnn's own layer.
    """

    name: str
    equivalent_name: str
    make: Callable[[int, int], nn.Module]
    equivalent: Callable[[Any], GraphRecurrent]
    num_states: int
    graph_formats: tuple[str, ...]


class TwoConvs(nn.Module):
    """One step of an LSTM with two of PyG's graph convolutions, each for all four gates."""

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
    equivalent = GCNLSTM(layer.conv_x.in_channels, layer.conv_h.in_channels)
    parts = {"ih": layer.conv_x, "hh": layer.conv_h}
    weights = {f"weight_{name}_l0": conv.lin.weight for name, conv in parts.items()}
    biases = {f"bias_{name}_l0": conv.bias for name, conv in parts.items()}
    equivalent.to(layer.conv_x.bias).load_state_dict(weights | biases)
    return equivalent


def pyg_temporal() -> Any:
    """Return PyTorch Geometric Temporal's module of recurrent layers, or None if it is not installed.

    If torch_sparse is missing, a stub replaces it: only the name of one of its classes is needed.
    """
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


def reference_layers() -> list[ReferenceLayer]:
    """Return the reference layers that are installed.

    PyTorch Geometric Temporal's Chebyshev convolutions accept no CSR matrix and normalize the graph in every call.
    """
    layers = [ReferenceLayer("two GCNConv", "GCNLSTM", TwoConvs, from_two_convs, 2, ("edge_index", "csr"))]
    temporal = pyg_temporal()
    if temporal is None:
        return layers
    edges, both = ("edge_index",), ("edge_index", "csr")
    return [
        ReferenceLayer("GConvLSTM", "GCRN", lambda f, h: temporal.GConvLSTM(f, h, K=2), from_pyg_temporal, 2, edges),
        ReferenceLayer("GConvGRU", "GCRN, GRU", lambda f, h: temporal.GConvGRU(f, h, K=2), from_pyg_temporal, 1, edges),
        ReferenceLayer("TGCN", "TGCN", lambda f, h: temporal.TGCN(f, h, cached=True), from_pyg_temporal, 1, both),
        ReferenceLayer("GCLSTM", "GCLSTM", lambda f, h: temporal.GCLSTM(f, h, K=2), from_pyg_temporal, 2, edges),
        *layers,
    ]


def layers_without_reference() -> list[ReferenceLayer]:
    """Return the layers whose reference layers are not installed; their engines are still compared with each other."""
    if pyg_temporal() is not None:
        return []
    makes: dict[str, Callable[[int, int], nn.Module]] = {
        "GCRN": lambda f, h: GCRN(f, h, K=2),
        "GCRN, GRU": lambda f, h: GCRN(f, h, K=2, cell="gru"),
        "TGCN": lambda f, h: TGCN(f, h, variant="pyg-temporal"),
        "GCLSTM": lambda f, h: GCLSTM(f, h, K=2, variant="pyg-temporal"),
    }
    return [ReferenceLayer("", name, make, lambda layer: layer, 0, ()) for name, make in makes.items()]


class LayerInputs(Protocol):
    """The input of a layer and a gradient of its output."""

    x: Tensor
    grad_output: Tensor


class GraphInputs:
    """B windows of node features over time on one random graph, with eight in-neighbors per node, and a gradient of
    the output.

    The graph has neither self-loops nor duplicate edges, which PyG treats differently in a CSR matrix.
    """

    def __init__(self, size: Size, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.size = size
        num_steps, num_nodes, batch, in_channels, hidden = size
        generator = torch.Generator().manual_seed(0)

        def randn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

        nodes = torch.randperm(num_nodes, generator=generator)
        offsets = 1 + torch.randperm(num_nodes - 1, generator=generator)[:NEIGHBORS]
        neighbors = (torch.arange(num_nodes) + offsets.unsqueeze(1)) % num_nodes
        self.edge_index = coalesce(torch.stack([nodes.repeat(len(offsets)), nodes[neighbors.flatten()]])).to(device)
        self.edge_weight = 0.5 + randn(self.edge_index.size(1)).sigmoid()
        self.x = randn(num_steps, batch, num_nodes, in_channels).requires_grad_()
        self.grad_output = randn(num_steps, batch, num_nodes, hidden)

    def disjoint(self, graph_format: str) -> tuple[Tensor, Tensor | None]:
        """Return one disjoint graph for all windows, as edges with weights or as a CSR matrix."""
        _, num_nodes, batch, _, _ = self.size
        copies = torch.arange(batch, device=self.edge_index.device).repeat_interleave(self.edge_index.size(1))
        edge_index = self.edge_index.repeat(1, batch) + num_nodes * copies
        edge_weight = self.edge_weight.repeat(batch)
        if graph_format == "edge_index":
            return edge_index, edge_weight
        nodes = num_nodes * batch
        return to_torch_csr_tensor(edge_index.flip(0), edge_weight, size=(nodes, nodes)), None


@dataclass
class Candidate:
    """A layer, and the call that maps x to its output."""

    layer: nn.Module
    call: Callable[[Tensor], Tensor]

    def train(self, inputs: LayerInputs) -> None:
        """Compute the gradients of weights and input, as one training step does."""
        self.layer.zero_grad()
        inputs.x.grad = None
        self.call(inputs.x).backward(inputs.grad_output)

    @torch.no_grad()
    def infer(self, inputs: LayerInputs) -> Tensor:
        return self.call(inputs.x)


def candidates(reference: ReferenceLayer, inputs: GraphInputs, engines: Sequence[str]) -> dict[str, Candidate]:
    """Return the reference layer with each graph format and its equivalent with each engine, all with the same
    weights."""
    torch.manual_seed(0)
    layer = reference.make(*inputs.size[-2:]).to(inputs.x)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1)
    equivalent = reference.equivalent(layer)
    references = {
        graph_format: _reference_candidate(reference, copy.deepcopy(layer), inputs, graph_format)
        for graph_format in reference.graph_formats
    }
    return references | {engine: _seqgnn_candidate(copy.deepcopy(equivalent), inputs, engine) for engine in engines}


def _reference_candidate(
    reference: ReferenceLayer, layer: nn.Module, inputs: GraphInputs, graph_format: str
) -> Candidate:
    _, num_nodes, batch, _, hidden = inputs.size
    edge_index, edge_weight = inputs.disjoint(graph_format)

    def call(x: Tensor) -> Tensor:
        """The loop of its documentation, over the batch as one disjoint graph."""
        states: Any = (x.new_zeros(batch * num_nodes, hidden),) * reference.num_states
        outputs = []
        for step in x.flatten(1, 2):
            states = layer(step, edge_index, edge_weight, *states)
            states = states if isinstance(states, tuple) else (states,)
            outputs.append(states[0])
        return torch.stack(outputs).unflatten(1, (batch, num_nodes))

    return Candidate(layer, call)


def _seqgnn_candidate(layer: GraphRecurrent, inputs: GraphInputs, engine: str) -> Candidate:
    layer.engine = engine
    graph = layer.prepare(inputs.edge_index, inputs.edge_weight, inputs.size[1])
    return Candidate(layer, lambda x: layer(x, graph)[0])


def disagreement(reference: ReferenceLayer, size: Size, device: str, engines: Sequence[str]) -> float:
    """Return the largest difference of outputs and gradients from the reference layer's in float64, relative to the
    largest value; the gradients are those of the input and of all copied weights. Two windows of four steps are enough
    to show a difference."""
    num_steps, num_nodes, batch, in_channels, hidden = size
    small_size = min(num_steps, 4), num_nodes, min(batch, 2), in_channels, hidden
    inputs = GraphInputs(small_size, device, torch.float64)
    layers = candidates(reference, inputs, engines).values()
    expected, *candidate_results = (_output_and_gradients(reference, candidate, inputs) for candidate in layers)
    return max(relative(results[name], expected[name]) for results in candidate_results for name in expected)


def disagreement_as_timed(candidates: dict[str, Candidate], inputs: LayerInputs) -> float:
    """Return the largest relative difference of the outputs, with each candidate configured as it will be timed."""
    expected, *outputs = (candidate.infer(inputs) for candidate in candidates.values())
    return max(relative(output, expected) for output in outputs)


def relative(values: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return ((values - expected).abs().max() / expected.abs().max()).item()


def _output_and_gradients(reference: ReferenceLayer, candidate: Candidate, inputs: GraphInputs) -> dict[str, Tensor]:
    candidate.train(inputs)
    results: dict[str, Any] = {"output": candidate.infer(inputs), "x": inputs.x.grad}
    if isinstance(candidate.layer, GraphRecurrent):
        return results | {name: weight.grad for name, weight in candidate.layer.named_parameters()}

    def converted(value: Callable[[Tensor], Any]) -> dict[str, Tensor]:
        layer = reference.make(*inputs.size[-2:]).to(inputs.x)
        for target, weight in zip(layer.parameters(), candidate.layer.parameters()):
            target.data = value(weight)
        return reference.equivalent(layer).state_dict()

    # Gradients are converted as weights are. A sum of two biases is no copy: with all weights one, it is not one.
    copied = {name for name, value in converted(torch.ones_like).items() if bool((value == 1).all())}
    return results | {name: grad for name, grad in converted(lambda weight: weight.grad).items() if name in copied}
