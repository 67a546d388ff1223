"""The call of a layer: parametrized weights, torch.fx and torch.jit."""

import sys
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from seqgnn import nn as sg
from tests.support.oracles import close
from tests.support.tool_cases import (
    ON_GRAPHS,
    SMALL,
    every_layer,
    every_size,
    tensors,
    total,
)


class Counting(nn.Module):
    """A parametrization that counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, weight):
        self.times += 1
        return weight + 0.0


@every_size
@every_layer
def test_layer_parametrized_weight_is_computed_once_per_call(layer, size):
    module, inputs = layer.build(), layer.inputs(size)
    expected = tensors(module(*inputs))
    counters = []
    for part in list(module.modules()):
        for name, _ in list(part.named_parameters(recurse=False)):
            if name.startswith("weight"):
                counters.append(Counting())
                parametrize.register_parametrization(part, name, counters[-1])
    for counter in counters:
        counter.times = 0
    found = tensors(module(*inputs))
    assert [counter.times for counter in counters] == [1] * len(counters)
    total(found).backward()
    assert [counter.times for counter in counters] == [1] * len(counters)
    for a, b in zip(found, expected, strict=True):
        close(a, b)


def test_gcn_lstm_weight_norm_in_threads_has_no_gradient_errors():
    module, x, edges = sg.GCNLSTM(2, 3), torch.randn(3, 6, 2), torch.randint(6, (2, 9))
    weight_norm(module, "weight_hh_l0")
    failed, done = [], threading.Event()

    def evaluate():
        while not done.is_set():
            with torch.no_grad():
                module(x, edges)

    threads = [threading.Thread(target=evaluate) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(60):
            try:
                torch.autograd.grad(module(x, edges)[0].sum(), list(module.parameters()))
            except RuntimeError as error:
                failed.append(str(error))
    finally:
        done.set()
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert not failed


class Model(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x, *edges):
        return self.layer(x, *edges)


class OnGraph(Model):
    def forward(self, x, edge_index):
        return self.layer(x, edge_index)


class Alone(Model):
    def forward(self, x):
        return self.layer(x)


@every_layer
def test_torch_fx_traces_a_layer_as_one_node(layer):
    model, inputs = (OnGraph if layer.on_graph else Alone)(layer.build()), layer.inputs(SMALL)
    traced = torch.fx.symbolic_trace(model)
    assert [node.op for node in traced.graph.nodes if node.op.startswith("call")] == ["call_module"]
    for a, b in zip(tensors(traced(*inputs)), tensors(model(*inputs)), strict=True):
        assert torch.equal(a, b)


@every_layer
def test_torch_fx_leaves_hooks_and_subclasses_to_the_program(layer):
    class Doubled(type(layer.build())):
        def forward(self, *args):
            return tensors(super().forward(*args))[0] * 2

    module, inputs = layer.build(), layer.inputs(SMALL)
    expected = tensors(module(*inputs))[0] * 6
    module.__class__, seen = Doubled, []
    module.register_forward_hook(lambda module, args, output: seen.append(output) or output * 3)
    traced = torch.fx.symbolic_trace((OnGraph if layer.on_graph else Alone)(module))
    assert not seen
    assert torch.equal(traced(*inputs), expected)
    assert len(seen) == 1


class OnBuffer(Model):
    def __init__(self, layer, x):
        super().__init__(layer)
        self.register_buffer("x", x)

    def forward(self, edge_index):
        return self.layer(self.x, edge_index)


class OnKeptGraph(Model):
    def __init__(self, layer, edge_index):
        super().__init__(layer)
        self.register_buffer("edges", edge_index)

    def forward(self, x):
        return self.layer(edge_index=self.edges, x=x)


@pytest.mark.parametrize("layer", ON_GRAPHS, ids=str)
def test_torch_fx_with_buffer_as_first_argument_equals_layer(layer):
    module, (x, edges) = layer.build(), layer.inputs(SMALL)
    for traced, given in ((OnBuffer(module, x), edges), (OnKeptGraph(module, edges), x)):
        found = torch.fx.symbolic_trace(traced)(given)
        for a, b in zip(tensors(found), tensors(module(x, edges)), strict=True):
            assert torch.equal(a, b)


def test_torch_fx_with_only_the_state_as_input_equals_layer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = sg.LSTM(2, 3)

        def forward(self, h, c):
            return self.layer(torch.ones(4, 2, 2), (h, c))[0]

    model, state = Model(), torch.randn(2, 1, 2, 3)
    assert torch.equal(torch.fx.symbolic_trace(model)(*state), model(*state))


@every_layer
def test_layer_torch_jit_script_raises_not_implemented_error(layer):
    module = layer.build()
    name = type(module).__name__
    with warnings.catch_warnings(), pytest.raises(NotImplementedError, match=f"{name}: .* torch.export"):
        warnings.simplefilter("ignore")  # torch has deprecated TorchScript
        torch.jit.script(nn.Sequential(module))
