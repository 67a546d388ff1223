"""Layers in a CUDA graph: what a capture forbids, looked for without a device, and, marked gpu, captured on one.

Meta tensors replace tensors on a device: they have no values, so any code that reads one fails.
"""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqgnn import nn as sg
from seqgnn._utils import torch_internals
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.operator import Edges
from seqgnn.nn.graph.pattern import Pattern
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.recurrent import evolve_gcn
from tests.support.layer_cases import CASES, PUBLISHED, Case
from tests.support.oracles import close, tricky_graph

T, B, F, H = 2, 2, 2, 3
EDGES, WEIGHTS, N = tricky_graph()
PLAIN = {"rnn": sg.RNN, "lstm": sg.LSTM, "gru": sg.GRU}
ENGINES = ["fused", "reference"]
SEQUENCES = [Case("A3TGCN", sg.A3TGCN, both=False), Case("DCRNNForecaster", sg.DCRNNForecaster, options={"K": 2})]
SEQUENCES += [Case(f"EvolveGCN {variant}", sg.EvolveGCN, options={"variant": variant}) for variant in "OH"]


class Watched(TorchDispatchMode):
    """Notes operations that have to do with the CPU; stands in for products that meta tensors have not."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name, kwargs = operation.name(), kwargs or {}
        if name == "aten::addmm.out" and args[1].layout == torch.sparse_csr:
            result = kwargs["out"]
        elif name == "aten::mm" and args[0].layout == torch.sparse_csr:
            result = torch.empty_like(args[1])
        elif name == "aten::sparse_sampled_addmm":
            result = args[0]
        else:
            result = operation(*args, **kwargs)
        tensors = [part for part in tree_leaves((args, kwargs, result)) if isinstance(part, Tensor)]
        if any(tensor.device.type == "cpu" and tensor.numel() > 0 for tensor in tensors):  # checkpoints of torch 2.6
            self.found.append(name)
        return result


@pytest.fixture
def no_synchronization(monkeypatch):
    """Takes steps a second time, as a capture does after warming up, and looks for who asks for the CPU."""
    monkeypatch.setattr(torch_internals, "dispatch_mode_active", lambda: False)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: False)  # which of meta it does not know

    def run(warm_up, *steps):
        with Watched() as mode, monkeypatch.context() as patched:
            warm_up()
            mode.found.clear()
            asked = (torch, "tensor"), (torch, "as_tensor"), (Tensor, "new_tensor"), (torch, "get_rng_state")
            for place, name in asked:
                patched.setattr(place, name, lambda *_, name=name, **__: mode.found.append(name))
            for step in (warm_up, *steps):
                step()
        assert mode.found == []

    return run


def train(layer, *args, **options):
    torch.autograd.backward([part.sum() for part in tree_leaves(layer(*args, **options)) if part.requires_grad])


infer = torch.no_grad()(lambda layer, *args: layer(*args))


def all_calls(layer):
    """Training, ragged sequences, and inference, on a prepared graph."""
    graph = layer.prepare(EDGES, WEIGHTS, N).to("meta", torch.float32)
    layer.to("meta", torch.float32)
    x, lengths = torch.empty(T, B, N, F, device="meta"), torch.empty(B, dtype=torch.long, device="meta")
    given = layer, x.requires_grad_(), graph
    return partial(train, *given), partial(train, *given, lengths=lengths), partial(infer, *given)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_scan_does_not_synchronize(case, no_synchronization, fused_calls):
    no_synchronization(*all_calls(case.make(engine="fused", bidirectional=True)))
    assert len(fused_calls) == 8


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_reference_engine_does_not_synchronize(case, no_synchronization):
    no_synchronization(*all_calls(case.make(engine="reference")))


@pytest.mark.parametrize("engine", ENGINES)
def test_checkpoint_every_does_not_synchronize(engine, no_synchronization):
    no_synchronization(*all_calls(sg.GCRN(F, H, K=2, checkpoint_every=1, engine=engine)))


@pytest.mark.parametrize("case", SEQUENCES, ids=str)
def test_sequence_models_do_not_synchronize(case, no_synchronization):
    no_synchronization(*all_calls(case.make()))


def test_evolve_gcn_top_k_per_graph_does_not_synchronize(no_synchronization, monkeypatch):
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    monkeypatch.setattr(evolve_gcn, "_sizes", lambda _: [4, 3])  # which are counted once
    layer = sg.EvolveGCN(F, H, variant="H")
    graph = layer.prepare(EDGES, WEIGHTS.float(), batch=batch).to("meta")
    no_synchronization(partial(train, layer.to("meta"), torch.empty(T, N, F, device="meta"), graph))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", PLAIN)
def test_rnn_layers_do_not_synchronize(kind, engine, no_synchronization):
    layer = PLAIN[kind](F, H, num_layers=2, bidirectional=True, engine=engine, device="meta")
    x = torch.empty(T, B, F, device="meta")
    no_synchronization(partial(train, layer, x), partial(infer, layer, x))


def learned(layer, monkeypatch):
    """A graph on a device whose edges have been seen, and whose weights are learned."""
    layer.prepare(EDGES, None, N)
    kept, edges = tensor_cache.get((EDGES, None), (N,), dict), EDGES.to("meta")
    memory = tensor_cache.get((edges, None), (N,), dict)
    memory |= {key: part.to("meta") for key, part in kept.items() if isinstance(part, Pattern)}
    monkeypatch.setattr(Edges, "check", lambda self: None)
    weights = WEIGHTS.float().to("meta").requires_grad_()
    return PreparedGraph(edges, weights, N, None, dict.fromkeys(layer.filters, ()), learnable=True)


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_graph_layer_learnable_weights_do_not_synchronize(case, no_synchronization, monkeypatch):
    layer = case.make(engine="fused")
    graph = learned(layer, monkeypatch)
    layer.to("meta", torch.float32)
    no_synchronization(partial(train, layer, torch.empty(T, B, N, F, device="meta"), graph))


def test_no_synchronization_detects_item_and_copies(no_synchronization):
    x = torch.empty(3, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        no_synchronization(lambda: x.sum().item())
    with pytest.raises(AssertionError, match="_to_copy"):
        no_synchronization(lambda: torch.empty(3).to(x))
    with pytest.raises(AssertionError, match="new_tensor"):
        no_synchronization(lambda: x.new_tensor([1.0]))


# On a device, in single precision


class Held(torch.nn.Module):
    """A layer with the graph that it is called with: only tensors go in and come out."""

    def __init__(self, layer, *graph):
        super().__init__()
        self.layer, self.graph = layer, graph

    def forward(self, x):
        return self.layer(x, *self.graph)[0]


def agree_in_a_graph(layer, graph, x):
    """Outputs and gradients of a captured layer are those of the layer, for inputs one after the other."""
    held = Held(layer, *graph)
    captured = torch.cuda.make_graphed_callables(Held(copy.deepcopy(layer), *graph), (x.clone().requires_grad_(),))
    for _ in range(3):
        given, up, found = torch.randn_like(x), torch.randn_like(held(x)), []
        for module in (captured, held):
            module.zero_grad()
            leaf = given.clone().requires_grad_()
            output = module(leaf)
            output.backward(up)
            found.append([part.clone() for part in (output, leaf.grad, *(p.grad for p in module.parameters()))])
        for a, b in zip(*found, strict=True):
            close(a.cpu(), b.cpu(), 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_graph_layer_in_cuda_graph_equals_eager(case, engine):
    layer = case.make(num_layers=2, bidirectional=True, engine=engine).float().cuda()
    graph = layer.prepare(EDGES.cuda(), WEIGHTS.float().cuda(), N)
    agree_in_a_graph(layer, [graph], torch.randn(T, B, N, F, device="cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", PLAIN)
def test_rnn_layer_in_cuda_graph_equals_eager(kind, engine):
    layer = PLAIN[kind](F, H, num_layers=2, bidirectional=True, engine=engine, device="cuda")
    agree_in_a_graph(layer, [], torch.randn(T, B, F, device="cuda"))
