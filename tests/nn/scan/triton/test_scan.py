"""Triton's kernels against the equations: in its interpreter on the CPU, or, marked gpu, on a device.

A process has the kernels interpreted or compiled. They are compiled here where there is CUDA, and the tests on the CPU
are then left out; `CUDA_VISIBLE_DEVICES= pytest` runs those.
"""

import copy

import numpy as np
import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan import dispatch
from seqgnn.nn.scan.fused import passes
from tests.nn.scan.fused import test_double_backward, test_nonfinite
from tests.nn.scan.fused import test_scan as fused_tests
from tests.nn.test_cuda_graphs import agree_in_a_graph, all_calls, no_synchronization  # noqa: F401
from tests.support import fused_scans
from tests.support.fused_scans import PLAIN, B, F, H, N, T, agree, both, signal
from tests.support.layer_cases import CASES, PUBLISHED, Case
from tests.support.oracles import close, gradient, leaf, tricky_graph, tricky_graphs

triton = pytest.importorskip("triton", minversion="3.3")
with pytest.MonkeyPatch.context() as environment:
    if not torch.cuda.is_available():
        environment.setenv("TRITON_INTERPRET", "1")
    from seqgnn.nn.scan.triton import pointwise as triton_kernels
    from seqgnn.nn.scan.triton import scan as triton_loop

interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels are compiled, for a device")
EDGES, WEIGHTS, _ = tricky_graph()
SOME = [case for case in PUBLISHED if str(case) in ("GCRN", "GCRN gru", "GCLSTM paper")]
NAMES = {
    *("GCNRNN GCN()", "GCNRNN relu Identity()", "GCNLSTM peephole", "GCNLSTM Identity()"),
    *("GCNLSTM Chebyshev(K=2, normalization='rw', lambda_max=1.5)", "GCNGRU Diffusion(K=3)", "GCNGRU before GCN()"),
    *("GCNGRU before Identity()", "GCRN gru", "DCRNN", "DCRNN authors", "TGCN paper", "GCLSTM paper"),
}
IN_A_LOOP = [case for case in CASES if str(case) in NAMES]
TWO_MAPS = [case for case in IN_A_LOOP if str(case) in ("GCNGRU before GCN()", "DCRNN", "GCLSTM paper")]


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(fused_scans, "ENGINE", "triton")


@pytest.fixture
def step_by_step(monkeypatch):
    monkeypatch.setattr(triton_loop, "STATE", 0)


@pytest.fixture
def loops(monkeypatch):
    """How often a kernel takes many steps there, and back."""
    taken = {"forward": 0, "backward": 0}

    def counted(name, original):
        def run(*args):
            taken[name] += 1
            return original(*args)

        return run

    for name in taken:
        monkeypatch.setattr(triton_loop.ScanKernel, name, counted(name, getattr(triton_loop.ScanKernel, name)))
    return taken


@interpreted
@pytest.mark.parametrize("case", CASES, ids=str)
def test_triton_scan_step_by_step_equals_reference(case, step_by_step, loops):
    layers = both(case, bidirectional=True)
    states = [signal(2, B, N, H, seed=3 + i) for i in range(2 if layers[0].kind == "lstm" else 1)]
    agree(case, layers, signal(3, B, N, F), EDGES, [WEIGHTS], states, lengths=torch.tensor([3, 2]))
    assert not loops["forward"]


def answers(layer, case, x, state, **options):
    """What a layer returns, and the derivatives, but for those by the graph."""
    inputs = [leaf(x), *(leaf(part) for part in state)]
    hx = tuple(inputs[1:]) if len(state) == 2 else inputs[1] if state else None
    layer.zero_grad()
    parts = case.parts(layer(inputs[0], EDGES, WEIGHTS, hx, **options))
    torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
    return [*parts, *(gradient(part) for part in (*inputs, *layer.parameters()))]


@interpreted
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 2])], ids=["whole", "lengths"])
@pytest.mark.parametrize("case", IN_A_LOOP, ids=str)
def test_triton_scan_in_one_kernel_equals_reference(case, lengths, loops):
    layers = both(case, bidirectional=True)
    states = [signal(2, B, N, H, seed=3 + i) for i in range(2 if layers[0].kind == "lstm" else 1)]
    for a, b in zip(*(answers(layer, case, signal(3, B, N, F), states, lengths=lengths) for layer in layers)):
        close(a, b)
    assert loops == {"forward": 2, "backward": 2}


@interpreted
def test_triton_scan_in_one_kernel_has_a_single_chunk(loops, monkeypatch):
    """However many rows a product may have."""
    monkeypatch.setattr(passes, "ROWS", 1)
    case = Case("GCNGRU", sg.GCNGRU)
    for a, b in zip(*(answers(layer, case, signal(3, N, F), ()) for layer in both(case))):
        close(a, b)
    assert loops == {"forward": 1, "backward": 1}


@interpreted
@pytest.mark.parametrize("case", TWO_MAPS, ids=str)
def test_triton_scan_layers_and_segments_equal_reference(case, loops):
    layers = both(case, num_layers=2, checkpoint_every=2)
    for a, b in zip(*(answers(layer, case, signal(T, N, F), ()) for layer in layers)):
        close(a, b)
    assert loops == {"forward": 8, "backward": 4}  # both segments of a layer twice there


@interpreted
@pytest.mark.parametrize("case", [Case("GCNGRU", sg.GCNGRU), *TWO_MAPS], ids=str)
def test_triton_scan_edge_weight_gradients_run_step_by_step(case, loops):
    layers = both(case)
    agree(case, layers, signal(3, N, F), EDGES, [WEIGHTS])
    assert loops == {"forward": 1, "backward": 0}
    with torch.no_grad():
        close(*(layer(signal(3, N, F), EDGES)[0] for layer in layers))
    assert loops == {"forward": 2, "backward": 0}


@interpreted
@pytest.mark.parametrize("case", TWO_MAPS, ids=str)
def test_triton_scan_backward_twice_equals_reference(case, loops):
    layer, reference = both(case)
    for module in (layer, reference):
        output = module(signal(3, N, F), EDGES)[0]
        for _ in range(2):
            output.square().sum().backward(retain_graph=True)
    for a, b in zip(layer.parameters(), reference.parameters()):
        close(gradient(a), gradient(b))
    assert loops == {"forward": 1, "backward": 2}


@interpreted
def test_triton_scan_kernel_is_used_up_to_its_size_limits(loops):
    empty = torch.empty(2, 0, dtype=torch.long)
    graphs = tricky_graphs(2)[0]
    for layer, edges, nodes, taken in (
        (sg.GCNRNN(F, H), empty, 64, 1),
        (sg.GCNRNN(F, 33), empty, 64, 1),
        (sg.GCNRNN(F, 65), empty, 64, 0),
        (sg.GCNRNN(F, H), empty, 128, 1),
        (sg.GCNRNN(F, H), empty, 129, 0),
        (sg.GCNRNN(F, H), [edges for edges, _ in graphs], N, 0),
        (sg.GCNRNN(F, H, conv=sg.Identity()), empty, 257, 1),
        (sg.GCNRNN(F, 129, conv=sg.Identity()), empty, 1, 0),
        (sg.GCNGRU(F, H, reset="before"), empty, 64, 1),
        (sg.GCNGRU(F, 65, reset="before"), empty, 64, 0),
        (sg.GCLSTM(F, H, K=2), empty, 64, 1),
    ):
        other = copy.deepcopy(layer)
        layer.engine, other.engine, before = "triton", "reference", loops["forward"]
        x = signal(2, nodes, F).float()
        close(layer(x, edges)[0], other(x, edges)[0], 1e-5)
        assert loops["forward"] - before == taken


@interpreted
@pytest.mark.parametrize("case", SOME, ids=str)
def test_triton_scan_with_graph_per_step_equals_reference(case):
    graphs = tricky_graphs(3)[0]
    lengths = torch.arange(N) % 3 + 1
    agree(case, both(case), signal(3, N, F), [e for e, _ in graphs], [w for _, w in graphs], lengths=lengths)


@interpreted
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("options", [{}, {"bias": False, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("kind", PLAIN)
def test_triton_scan_of_rnn_layers_equals_native(kind, options, loop, monkeypatch, fused_calls):
    monkeypatch.setattr(triton_loop, "STATE", triton_loop.STATE if loop else 0)
    fused_tests.test_fused_scan_of_rnn_layers_equals_native(kind, options, fused_calls)


@interpreted
@pytest.mark.parametrize("kind", PLAIN)
def test_triton_scan_of_rnn_layers_passes_gradcheck(kind):
    layer = PLAIN[kind](F, H, dtype=torch.float64, engine="triton")
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), (x,))[0]

    inputs = leaf(signal(2, B, F)), *(leaf(p) for p in layer.parameters())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@interpreted
@pytest.mark.parametrize("loop", [True, False])
def test_triton_scan_of_gcrn_passes_gradcheck(loop, monkeypatch):
    monkeypatch.setattr(triton_loop, "STATE", triton_loop.STATE if loop else 0)
    layer = sg.GCRN(F, H, K=2, dtype=torch.float64, engine="triton")
    names = [name for name, _ in layer.named_parameters()]

    def run(x, weights, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), (x, EDGES, weights))[0]

    inputs = leaf(signal(2, N, F)), leaf(WEIGHTS), *(leaf(p) for p in layer.parameters())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@interpreted
@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize(
    "test",
    [
        test_double_backward.test_fused_scan_second_order_gradients_equal_reference,
        fused_tests.test_fused_scan_repeated_or_checkpointed_backward_is_equal,
        fused_tests.test_fused_scan_any_strides_and_duplicate_edges_are_equal,
    ],
    ids=lambda test: test.__name__[5:],
)
def test_triton_scan_passes_tests_of_the_fused_scan(test, case, step_by_step):
    test(case)


@interpreted
@pytest.mark.parametrize("case", SOME, ids=str)
def test_triton_scan_without_or_with_some_gradients_is_equal(case, monkeypatch, step_by_step):
    fused_tests.test_fused_scan_without_or_with_some_gradients_is_equal(case, monkeypatch)


@interpreted
@pytest.mark.parametrize("where", ["x", "state", "gradient", "weight"])
@pytest.mark.parametrize("case", [*SOME, test_nonfinite.RELU], ids=str)
def test_triton_scan_nan_and_inf_spread_along_edges_only(case, where):
    with np.errstate(invalid="ignore"):  # the interpreter computes with numpy
        test_nonfinite.test_fused_scan_nan_and_inf_spread_along_edges_only(case, where, float("inf"))


@interpreted
def test_triton_scan_overflow_stays_in_its_window_and_component():
    with np.errstate(invalid="ignore", over="ignore"):
        test_nonfinite.test_fused_scan_overflow_stays_in_its_window_and_component(1)


@interpreted
def test_triton_scan_unsupported_inputs_use_the_reference(fused_calls):
    fused_tests.test_fused_scan_recording_uses_reference(fused_calls)
    fused_calls.clear()
    fused_tests.test_fused_scan_in_functorch_transforms_uses_reference(SOME[0], fused_calls)


@interpreted
def test_auto_engine_does_not_use_triton(monkeypatch):
    monkeypatch.setattr(dispatch, "check_triton", None)
    sg.GCNLSTM(F, H)(signal(T, N, F).float(), EDGES)
    sg.LSTM(F, H)(signal(T, N, F).float())


@interpreted
@pytest.mark.parametrize("layer", [sg.GCNLSTM, sg.LSTM])
def test_triton_engine_without_gpu_or_interpreter_raises(layer, monkeypatch):
    monkeypatch.setattr(triton_kernels, "sigmoid", triton.jit(triton_kernels.sigmoid.fn))
    args = [signal(T, N, F).float()] + [EDGES] * (layer is sg.GCNLSTM)
    with pytest.raises(
        ValueError, match="LSTM: expected x on a GPU, or TRITON_INTERPRET=1, for engine='triton', got cpu"
    ):
        layer(F, H, engine="triton")(*args)


@interpreted
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("case", IN_A_LOOP + SOME, ids=str)
def test_triton_scan_does_not_synchronize(case, loop, monkeypatch, loops, no_synchronization):  # noqa: F811
    """But for the kernels, which are left out."""
    monkeypatch.setattr(triton_loop, "STATE", triton_loop.STATE if loop else 0)
    monkeypatch.setattr(type(triton_kernels.sigmoid), "__getitem__", lambda kernel, grid: lambda *_, **__: None)
    no_synchronization(*all_calls(case.make(engine="triton")))
    assert loop or not loops["forward"]
    assert case in SOME or not loop or loops == {"forward": 4, "backward": 3}


# On a device, in single precision


@pytest.mark.gpu
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_triton_scan_on_gpu_equals_reference(case, loop, monkeypatch):
    monkeypatch.setattr(triton_loop, "STATE", triton_loop.STATE if loop else 0)
    layer, reference = both(case, num_layers=2, bidirectional=True)
    layer.float().cuda()
    x, lengths = signal(T, B, N, F), torch.tensor([4, 2])
    found = []
    for module, like in ((layer, x.float().cuda()), (reference, x)):
        given, weights = like.clone().requires_grad_(), WEIGHTS.to(like)
        parts = case.parts(module(given, EDGES.to(like.device), weights, lengths=lengths.to(like.device)))
        torch.autograd.backward([(signal(*part.shape, seed=9).to(like) * part).sum() for part in parts])
        found.append(
            [part.cpu().double() for part in (*parts, given.grad, *(gradient(p) for p in module.parameters()))]
        )
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("hidden", [3, 64, 128, 200])
@pytest.mark.parametrize("kind", PLAIN)
def test_triton_scan_of_rnn_layers_on_gpu_equals_reference(kind, hidden):
    layer = PLAIN[kind](F, hidden, num_layers=2, bidirectional=True, engine="triton", device="cuda")
    reference = copy.deepcopy(layer).double().cpu()
    reference.engine = "reference"
    x = signal(20, 37, F)
    found = []
    for module, like in ((layer, x.float().cuda()), (reference, x)):
        output, _ = module(like)
        (signal(*output.shape, seed=9).to(like) * output).sum().backward()
        found.append([part.cpu().double() for part in (output, *(p.grad for p in module.parameters()))])
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_triton_scan_in_cuda_graph_is_equal(case, loop, monkeypatch):
    monkeypatch.setattr(triton_loop, "STATE", triton_loop.STATE if loop else 0)
    layer = case.make(num_layers=2, bidirectional=True, engine="triton").float().cuda()
    graph = layer.prepare(EDGES.cuda(), WEIGHTS.float().cuda(), N)
    agree_in_a_graph(layer, [graph], torch.randn(T, B, N, F, device="cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", PLAIN)
def test_triton_scan_of_rnn_layers_in_cuda_graph_is_equal(kind):
    layer = PLAIN[kind](F, H, num_layers=2, bidirectional=True, engine="triton", device="cuda")
    agree_in_a_graph(layer, [], torch.randn(T, B, F, device="cuda"))
