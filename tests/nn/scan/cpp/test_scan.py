"""The compiled engine against the equations: all tests of the fused engine, and those of its own."""

import copy
import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan

import pytest
import torch
from torch.utils.weak import WeakIdKeyDictionary

from seqgnn import nn as sg
from seqgnn.nn.scan import dispatch, double_backward
from seqgnn.nn.scan.cpp import buffers, call, library
from seqgnn.nn.scan.cpp import scan as cpp
from seqgnn.nn.scan.fused.scan import fused_scan
from tests.nn.scan.fused import test_double_backward, test_nonfinite
from tests.nn.scan.fused import test_scan as fused_tests
from tests.support import fused_scans
from tests.support.fused_scans import B, F, H, N, T, agree, signal
from tests.support.layer_cases import Case
from tests.support.oracles import close

for module in (fused_tests, test_double_backward, test_nonfinite):
    for name, function in vars(module).items():
        if name.startswith("test_fused"):
            globals()[name.replace("fused", "cpp", 1)] = function

pytestmark = pytest.mark.skipif(library.load()[0] is None, reason=f"no compiled library: {library.load()[1]}")


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(fused_scans, "ENGINE", "cpp")


@pytest.fixture
def fused_calls(monkeypatch):
    """The units that the compiled engine scans."""
    calls = []

    def counted(unit, *args, **options):
        calls.append(unit)
        return original(unit, *args, **options)

    original = cpp.cpp_scan
    monkeypatch.setattr(dispatch.cpp, "cpp_scan", counted)
    return calls


def large_case(kind, options):
    """More nodes than a block, more channels than a panel of columns, and neither a multiple of them."""
    case = Case(kind, getattr(sg, kind), options=options)
    layer = case.layer(5, 37, engine="cpp", dtype=torch.float64, **options)
    reference = copy.deepcopy(layer)
    reference.engine = "reference"
    edges = torch.randint(0, 130, (2, 400), generator=torch.Generator().manual_seed(1))
    return case, (layer, reference), edges, signal(400).abs()


LARGE = [
    ("GCNRNN", {}),
    ("GCNLSTM", {"peephole": True, "conv": sg.Chebyshev(3)}),
    ("GCLSTM", {"K": 3}),
    ("GCNGRU", {"conv": sg.Diffusion(3)}),
    ("GCNGRU", {"reset": "before", "conv": sg.Chebyshev(3)}),
]


@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize(("kind", "options"), LARGE, ids=str)
def test_cpp_scan_of_every_instruction_set_equals_reference(kind, options, name, instruction_set):
    instruction_set(name)
    case, layers, edges, weights = large_case(kind, options)
    agree(case, layers, signal(3, 2, 130, 5), edges, [weights])


@pytest.mark.parametrize("windows", [1, 2, 3, 5])
@pytest.mark.parametrize(("kind", "options"), LARGE, ids=str)
def test_cpp_scan_of_two_threads_equals_reference(kind, options, windows, monkeypatch, two_threads):
    """Threads take windows of their own, or share the nodes of every window."""
    monkeypatch.setattr(call, "PARALLEL", 0)
    case, layers, edges, weights = large_case(kind, options)
    agree(case, layers, signal(3, windows, 130, 5), edges, [weights])


@pytest.mark.parametrize("windows", [1, 2, 3])
@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize(("kind", "options"), LARGE, ids=str)
def test_cpp_scan_of_dense_graph_equals_reference(
    kind, options, name, windows, instruction_set, monkeypatch, two_threads
):
    """Half of all entries, so that operators are multiplied as matrices."""
    instruction_set(name)
    monkeypatch.setattr(call, "PARALLEL", 0)
    case, layers, _, _ = large_case(kind, options)
    edges = (torch.rand(110, 110, generator=torch.Generator().manual_seed(1)) < 0.5).nonzero().t()
    agree(case, layers, signal(3, windows, 110, 5), edges, [signal(edges.size(1)).abs()])


@pytest.mark.parametrize("value", [inf, nan])
def test_cpp_scan_of_dense_graph_leaves_nonfinite_values_where_they_are(value):
    """A matrix would bring 0 * inf = nan to nodes without an edge to it."""
    edges = torch.cartesian_prod(torch.arange(6), torch.arange(6)).t()
    edges = edges[:, edges.max(0).values < 5]  # node 5 is isolated
    x = signal(3, 1, 6, 16).float()
    x[1, 0, 0, 3] = value
    layer = sg.GCNLSTM(16, 16, engine="cpp")
    reference = copy.deepcopy(layer)
    reference.engine = "reference"
    found, expected = layer(x, edges)[0], reference(x, edges)[0]
    assert torch.equal(found.isfinite(), expected.isfinite()) and found[:, :, 5].isfinite().all()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_cpp_scan_number_of_threads_may_change_before_backward(monkeypatch, two_threads):
    monkeypatch.setattr(call, "PARALLEL", 0)
    layer, edges = sg.GCNLSTM(F, H, engine="cpp", dtype=torch.float64), fused_scans.EDGES
    gradients = []
    for threads in (1, 3):
        torch.set_num_threads(2)
        output = layer(signal(T, 3, N, F), edges)[0]
        torch.set_num_threads(threads)
        gradients.append(torch.autograd.grad(output.sum(), list(layer.parameters())))
    for a, b in zip(*gradients):
        close(a, b)


def test_cpp_scan_in_several_python_threads_is_equal(monkeypatch, two_threads):
    monkeypatch.setattr(call, "PARALLEL", 0)
    layer, edges = sg.GCNGRU(F, 24, engine="cpp"), fused_scans.EDGES
    inputs = [signal(6, 4, N, F, seed=seed).float() for seed in range(24)]

    def gradient_of(x):
        return torch.autograd.grad(layer(x, edges)[0].square().sum(), list(layer.parameters()))

    expected = [gradient_of(x) for x in inputs]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(gradient_of, inputs))
    for parts, wanted in zip(found, expected):
        for a, b in zip(parts, wanted):
            close(a, b, 1e-5)


def test_cpp_scan_in_forked_process_is_equal():
    """A child has none of the parent's threads, as the workers of a DataLoader."""
    program = """
import os, torch
from seqgnn import nn as sg
from seqgnn.nn.scan.cpp import call
call.PARALLEL = 0
torch.set_num_threads(2)
layer, x, edges = sg.GCNLSTM(2, 8, engine="cpp"), torch.randn(5, 4, 6, 2), torch.tensor([[0, 1], [1, 2]])
def total():
    with torch.no_grad():
        return layer(x, edges)[0].sum().item()
expected = total()
child = os.fork()
if child == 0:
    os._exit(0 if total() == expected else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), total() == expected)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "0 True\n", done.stderr


@pytest.mark.parametrize("name", ["portable", "avx2", "avx512"])
def test_cpp_scan_tanh_and_relative_accuracy_of_small_values(name, instruction_set):
    """One unit without weights on the state is tanh(x): within 4e-7 in single, 1e-15 in double precision."""
    instruction_set(name)
    x = torch.cat([torch.linspace(-20, 20, 100_001), torch.logspace(-30, 0, 1000), torch.tensor([-inf, inf, nan])])
    for dtype, tolerance in ((torch.float32, 4e-7), (torch.float64, 1e-15)):
        layer = sg.RNN(1, 1, engine="cpp", dtype=dtype)
        for parameter, value in zip(layer.parameters(), (1.0, 0.0, 0.0, 0.0)):
            torch.nn.init.constant_(parameter, value)
        with torch.no_grad():
            found = layer(x.to(dtype).view(1, -1, 1))[0].flatten()
        expected = x.to(dtype).double().tanh()
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=0, equal_nan=True)
        assert found.nan_to_num(0).abs().max() == 1


def test_cpp_scan_sigmoid_is_exact_at_infinity(monkeypatch):
    """The gates of an LSTM that the biases open and close entirely; c = 3 stays or goes."""
    layer, x = sg.LSTM(1, 1, engine="cpp", dtype=torch.float64), torch.zeros(1, 1, 1, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    state = x, x + 3
    for f, expected in ((inf, 3.0), (-inf, 0.0), (nan, nan)):
        with torch.no_grad():
            layer.bias_ih_l0[:2] = torch.tensor([-inf, f])
            cell = layer(x, state)[1][1].item()
        assert cell == expected or (cell != cell and expected != expected)


def test_cpp_scan_buffers_are_used_again_and_freed_with_the_layer(monkeypatch):
    monkeypatch.setattr(buffers, "_pools", WeakIdKeyDictionary())
    layer, edges = sg.GCNLSTM(F, 16, engine="cpp"), fused_scans.EDGES
    x = signal(T, B, N, F).float()
    layer(x, edges)[0].sum().backward()
    (pool,) = buffers._pools.values()
    addresses = {buffer.data_ptr() for buffer in pool.free.values()}
    for _ in range(3):
        layer(x, edges)[0].sum().backward()
    assert {buffer.data_ptr() for buffer in pool.free.values()} == addresses and len(addresses) > 1
    del layer, pool
    gc.collect()
    assert len(buffers._pools) == 0


def test_cpp_scan_of_too_many_terms_or_entries_uses_fused(fused_calls, monkeypatch):
    edges, x = fused_scans.EDGES, signal(2, N, F)
    for terms, calls in ((library.MAX_TERMS, 1), (library.MAX_TERMS + 1, 1)):
        layers = [sg.GCRN(F, H, K=terms, engine=engine, dtype=torch.float64) for engine in ("cpp", "reference")]
        layers[1].load_state_dict(layers[0].state_dict())
        close(*(layer(x, edges)[0] for layer in layers))
        assert len(fused_calls) == calls
    large = [sg.GCNRNN(F, H, engine=engine, dtype=torch.float64) for engine in ("cpp", "reference")]
    large[1].load_state_dict(large[0].state_dict())
    used = []
    monkeypatch.setattr(cpp, "fused_scan", lambda *args: used.append(1) or fused_scan(*args))
    monkeypatch.setattr(library, "MAX_INDEX", N - 1)
    close(*(layer(x, edges)[0] for layer in large))
    assert used == [1]


class Tagged(torch.Tensor):
    """A tensor of a class that the library does not know."""


CHANGES = {
    "shape of a bias": lambda layer: {"bias_ih_l0": torch.zeros(2)},
    "shape of a weight": lambda layer: {"weight_ih_l0": layer.weight_ih_l0.new_zeros(2, layer.weight_ih_l0.size(1))},
    "dtype of a bias": lambda layer: {"bias_ih_l0": layer.bias_ih_l0.double()},
    "class of a bias": lambda layer: {"bias_ih_l0": layer.bias_ih_l0.as_subclass(Tagged)},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "MinGRU", "MinLSTM", "GCNLSTM", "GCNGRU", "GCNMinGRU"])
def test_cpp_scan_of_changed_weights_is_what_the_reference_makes_of_them(kind, change):
    """The library would read memory that is not theirs, or in another dtype."""
    graph = [fused_scans.EDGES] if kind.startswith("GCN") else []
    outcomes = []
    for engine in ("reference", "cpp"):
        torch.manual_seed(0)
        layer, x = getattr(sg, kind)(F, H, engine=engine), signal(T, N, F).float()
        for name, value in CHANGES[change](layer).items():
            setattr(layer, name, torch.nn.Parameter(value.detach()))
        try:
            outcomes.append(layer(x, *graph)[0].detach().as_subclass(torch.Tensor))
        except (RuntimeError, ValueError) as error:
            outcomes.append(type(error))
    expected, found = outcomes
    if isinstance(expected, type):
        assert found is expected
    else:
        close(found, expected, 1e-5)


def test_cpp_scan_retained_graph_keeps_its_buffer():
    layer, edges = sg.GCNLSTM(F, 16, engine="cpp"), fused_scans.EDGES
    x, other = signal(T, B, N, F).float(), signal(T, B, N, F, seed=1).float()
    total = layer(x, edges)[0].square().sum()
    first = torch.autograd.grad(total, layer.weight_hh_l0, retain_graph=True)[0]
    layer(other, edges)[0].sum().backward()
    assert torch.equal(torch.autograd.grad(total, layer.weight_hh_l0)[0], first)


def test_buffer_pool_keeps_no_more_than_its_limit(monkeypatch):
    monkeypatch.setattr(buffers, "_pools", WeakIdKeyDictionary())
    monkeypatch.setattr(buffers, "LIMIT", 1000)
    weight = torch.ones(1)
    pool = buffers.pool_of(weight)
    pool.give(torch.empty(600, dtype=torch.uint8))
    pool.give(torch.empty(600, dtype=torch.uint8))
    assert pool.size == 600
    assert pool.take(200).numel() == 200 and pool.take(600).numel() == 600 and pool.size == 0


@pytest.mark.parametrize("case", fused_scans.SOME, ids=str)
def test_cpp_scan_backward_alone_runs_no_equations(case, monkeypatch):
    monkeypatch.setattr(double_backward, "differentiable_backward", lambda *_: pytest.fail("the equations are slower"))
    layer = case.make(engine="cpp")
    case.parts(layer(signal(T, B, N, F), fused_scans.EDGES, fused_scans.WEIGHTS))[0].sum().backward()
    assert layer.weight_hh_l0.grad.any()


def test_cpp_scan_float32_gradients_of_many_rows_are_accurate():
    """Weight gradients are summed up block by block: in one sum over 12,800 rows, rounding errors are 9e-7."""
    torch.manual_seed(0)
    layer, x = sg.LSTM(8, 32, engine="cpp"), signal(200, 64, 8)
    reference = copy.deepcopy(layer).double()
    reference.engine = "reference"
    for module, value in ((layer, x.float()), (reference, x)):
        module(value)[0].square().sum().backward()
    for a, b in zip(layer.parameters(), reference.parameters()):
        assert (a.grad.double() - b.grad).norm() < 4e-7 * b.grad.norm()
