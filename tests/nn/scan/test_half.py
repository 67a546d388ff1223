"""Half precision on the CPU: dtypes of the reference, and the accuracy of float32."""

import copy

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan import dispatch, half
from seqgnn.nn.scan.cpp import buffers, library
from seqgnn.nn.scan.cpp import scan as cpp
from tests.support.fused_scans import EDGES, B, F, H, N, T, signal
from tests.support.oracles import close

LAYERS = {
    "GCNRNN": lambda **options: sg.GCNRNN(F, H, nonlinearity="relu", **options),
    "GCNLSTM": lambda **options: sg.GCNLSTM(F, H, num_layers=2, bidirectional=True, **options),
    "GCRN": lambda **options: sg.GCRN(F, H, K=3, **options),  # with peepholes
    "GCNGRU": lambda **options: sg.GCNGRU(F, H, conv=sg.Diffusion(2), **options),
    "GCNGRU before": lambda **options: sg.GCNGRU(F, H, reset="before", **options),
    "GCLSTM": lambda **options: sg.GCLSTM(F, H, K=2, **options),
    "GCNMinGRU": lambda **options: sg.GCNMinGRU(F, H, **options),
    "GCNMinLSTM": lambda **options: sg.GCNMinLSTM(F, H, **options),
}
ENGINES = ["fused", pytest.param("cpp", marks=pytest.mark.skipif(not cpp.is_available(), reason=library.load()[1]))]

every_layer = pytest.mark.parametrize("name", LAYERS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def parts(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def make_state(layer, dtype):
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), B, N, H)
    states = tuple(signal(*shape, seed=seed).to(dtype) for seed in (5, 6))
    return states if layer.kind == "lstm" else states[0]


@pytest.fixture
def reference_calls(monkeypatch):
    calls, original = [], dispatch.reference.reference_scan
    monkeypatch.setattr(
        dispatch.reference, "reference_scan", lambda unit, *args: calls.append(unit) or original(unit, *args)
    )
    return calls


@every_engine
@every_layer
@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("input_dtype", [torch.float32, torch.bfloat16], ids=str)
def test_half_under_autocast_has_accuracy_of_float32(name, engine, input_dtype, state, reference_calls):
    layer, x = LAYERS[name](engine=engine), signal(T, B, N, F).to(input_dtype)
    state = None if state is None else make_state(layer, state)
    reference = copy.deepcopy(layer)
    reference.engine = "reference"
    with torch.autocast("cpu", torch.bfloat16):
        found = parts(layer(x, EDGES, state=state))
    assert not reference_calls
    with torch.autocast("cpu", torch.bfloat16):
        expected = parts(reference(x, EDGES, state=state))
    wide_state = tuple(map(torch.Tensor.double, state)) if isinstance(state, tuple) else state
    if isinstance(state, torch.Tensor):
        wide_state = state.double()
    wide = reference.double()(x.double(), EDGES, state=wide_state)
    assert [part.dtype for part in found] == [part.dtype for part in expected]
    for part, exact in zip(found, parts(wide), strict=True):
        if part.dtype == torch.float32:
            close(part.double(), exact, 1e-5)
        else:  # rounded once, by at most half of the last of 8 bits, and between layers
            torch.testing.assert_close(part.double(), exact, rtol=2**-8, atol=1e-5 if layer.num_layers == 1 else 0.01)


@every_engine
@every_layer
@pytest.mark.parametrize("dtype", half.HALF, ids=str)
def test_half_weights_have_results_of_float32_rounded_once(name, engine, dtype, reference_calls):
    layer = LAYERS[name](engine=engine)
    if layer.num_layers > 1:  # between layers and directions, results are rounded too
        layer = sg.GCNLSTM(F, H, engine=engine)
    layer.to(dtype)
    wide = copy.deepcopy(layer).float()
    lengths = torch.tensor([T, T - 1])
    results = []
    for module, number in ((layer, dtype), (wide, torch.float32)):
        x = signal(T, B, N, F).to(dtype).to(number).requires_grad_()
        output = parts(module(x, EDGES, lengths=lengths))
        sum((part.float() * signal(*part.shape, seed=3).to(dtype).float()).sum() for part in output).backward()
        results.append([*output, x.grad, *(weight.grad for weight in module.parameters())])
    assert not reference_calls
    for found, expected in zip(*results, strict=True):
        assert found.dtype == dtype and torch.equal(found, expected.to(dtype))


@every_engine
@every_layer
def test_half_gradients_under_autocast_are_those_of_float32(name, engine):
    """Wherever backward is called; its own backward pass consists of torch's operators, which autocast rounds."""
    layer = LAYERS[name](engine=engine)
    results = []
    for forward, backward in ((False, False), (True, False), (True, True), (False, True)):
        x = signal(T, B, N, F).float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=forward):
            output = layer(x, EDGES)[0].float()
        with torch.autocast("cpu", torch.bfloat16, enabled=backward):
            inputs = [x, *layer.parameters()]
            first = torch.autograd.grad(output.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), inputs, allow_unused=True)
        results.append([part for part in (*first, *second) if part is not None])
    expected, *others = results
    tolerance = 1e-5 if name != "GCNRNN" and name != "GCLSTM" else 0.05  # whose outputs are rounded
    for found in others:
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == torch.float32
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item() + 1e-6)


def test_half_convolution_in_gates_uses_reference(reference_calls):
    from torch_geometric.nn import GraphConv

    layer = sg.GCNLSTM(F, H, input_conv=GraphConv, engine="fused")
    with torch.autocast("cpu", torch.bfloat16):
        layer(signal(T, B, N, F).float(), EDGES)
    assert len(reference_calls) == 1


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "MinGRU", "MinLSTM"])
@every_engine
def test_half_plain_layer_equals_float32(kind, engine, reference_calls):
    layer, x = getattr(sg, kind)(F, H, engine=engine), signal(T, B, F).float()
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)[0]
    assert not reference_calls and output.dtype == (torch.bfloat16 if kind == "RNN" else torch.float32)
    torch.testing.assert_close(output.float(), layer(x)[0], rtol=2**-8, atol=1e-5)


@pytest.mark.skipif(not cpp.is_available(), reason=library.load()[1])
def test_half_weights_share_buffers_of_their_layer():
    layer = sg.GCNLSTM(F, H, engine="cpp", dtype=torch.bfloat16)
    for _ in range(2):
        layer(signal(T, B, N, F).bfloat16(), EDGES)[0].sum().backward()
        assert len(buffers.pool_of(layer.weight_hh_l0).free) == 3  # two workspaces, and what is saved


def test_is_half_is_true_on_the_cpu_only():
    x = torch.zeros(3)
    assert half.is_half(x.bfloat16()) and half.is_half(x.half())
    assert not half.is_half(x) and not half.is_half(x.double()) and not half.is_half(x.half().to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert half.is_half(x) and not half.is_half(x.double())
