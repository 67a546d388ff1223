"""The compiled steps of minGRU and minLSTM: instruction sets, threads, and what happens without a library."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp import minimal as compiled
from seqgnn.nn.scan.minimal import scan as minimal
from tests.nn.scan.minimal.test_scan import agree, build, signal
from tests.support.oracles import close

NO_LIBRARY = pytest.mark.skipif(library.load()[0] is None, reason=f"no compiled library: {library.load()[1]}")
LAYERS = (sg.MinGRU, sg.MinLSTM)
every_layer = pytest.mark.parametrize("layer", LAYERS)
T, F = 9, 3


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@NO_LIBRARY
@every_layer
@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("hidden", [1, 8, 37])
def test_cpp_minimal_of_every_instruction_set_equals_reference(layer, name, hidden, instruction_set):
    instruction_set(name)
    layers = build(layer, "cpp", F, hidden, bidirectional=True)
    agree(layers, signal(T, 3, F), signal(2, 3, hidden, seed=1), lengths=torch.tensor([9, 2, 5]))
    agree(layers, signal(T, 3, F), signal(2, 3, hidden, seed=1))


@NO_LIBRARY
@every_layer
@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_cpp_minimal_of_several_threads_equals_reference(layer, batch, number, threads, monkeypatch):
    """Threads share rows or channels, of which some have none."""
    monkeypatch.setattr(compiled, "PARALLEL", 0)
    threads(number)
    layers = build(layer, "cpp", F, 37)
    agree(layers, signal(T, batch, F), signal(1, batch, 37, seed=1), lengths=torch.arange(batch) % T + 1)


@NO_LIBRARY
@every_layer
def test_cpp_minimal_in_several_python_threads_is_equal(layer, threads, monkeypatch):
    monkeypatch.setattr(compiled, "PARALLEL", 0)
    threads(2)
    layer = build(layer, "cpp", F, 24)[0]
    inputs = [signal(T, 4, F, seed=seed) for seed in range(24)]

    def gradient_of(x):
        return torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))

    expected = [gradient_of(x) for x in inputs]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(gradient_of, inputs))
    for parts, others in zip(results, expected):
        for a, b in zip(parts, others):
            close(a, b)


@NO_LIBRARY
@every_layer
def test_cpp_minimal_retained_graph_keeps_what_it_saved(layer):
    layer = build(layer, "cpp")[0]
    total = layer(signal(T, 2, 2))[0].square().sum()
    first = torch.autograd.grad(total, layer.weight_ih_l0, retain_graph=True)[0]
    layer(signal(T, 2, 2, seed=1))[0].sum().backward()
    assert torch.equal(torch.autograd.grad(total, layer.weight_ih_l0)[0], first)


@NO_LIBRARY
@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 3e-7), (torch.float64, 2e-15)])
def test_cpp_minimal_gates_are_accurate(name, dtype, tolerance, instruction_set):
    """With c = 1 and h = 0 the output is the gate."""
    instruction_set(name)
    a = torch.cat([torch.linspace(-30, 30, 601), torch.tensor([-1e4, -100.0, 100.0, 1e4])]).to(dtype)
    f, i = (part.flatten() for part in torch.meshgrid(a, a, indexing="ij"))
    gru, lstm = sg.MinGRU(1, len(a), engine="cpp", dtype=dtype), sg.MinLSTM(1, len(f), engine="cpp", dtype=dtype)
    for layer, bias in ((gru, (a, torch.ones_like(a))), (lstm, (f, i, torch.ones_like(f)))):
        with torch.no_grad():
            layer.weight_ih_l0.zero_()
            layer.bias_ih_l0.copy_(torch.cat(bias))
            output = layer(torch.zeros(1, 1, 1, dtype=dtype))[0].flatten().double()
        if layer is gru:
            expected = a.double().sigmoid()
        else:
            log_sigmoid = torch.nn.functional.logsigmoid
            expected = (log_sigmoid(i.double()) - log_sigmoid(f.double())).sigmoid()
        assert (output - expected).abs().max() <= tolerance


@every_layer
def test_minimal_auto_is_compiled_where_there_is_a_library(layer, monkeypatch):
    engines = []
    original = minimal.TorchSteps.forward
    monkeypatch.setattr(minimal.TorchSteps, "forward", lambda *args: engines.append("fused") or original(*args))
    layer, x = build(layer, "auto")[0], signal(T, 3, 2)
    expected = layer(x)[0]
    layer(x[: minimal.STEPS - 1])
    assert bool(engines) == (library.load()[0] is None)
    monkeypatch.setattr(compiled, "is_supported", lambda x: False)
    close(layer(x)[0], expected)
    assert engines == ["fused"] * len(engines) and engines


def test_minimal_engine_cpp_without_library_is_fused():
    program = """
import torch
from seqgnn import nn as sg
from seqgnn.nn.scan.cpp import library
layer, x = sg.MinGRU(2, 3, engine="cpp"), torch.randn(20, 2, 2)
output = layer(x)[0]
output.sum().backward()
layer.engine = "fused"
print(library.load()[1], torch.equal(output, layer(x)[0]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=120, env={**os.environ, "SEQGNN_CPP": "0"},
    )  # fmt: skip
    assert done.stdout == "SEQGNN_CPP=0 switches it off True\n", done.stderr
