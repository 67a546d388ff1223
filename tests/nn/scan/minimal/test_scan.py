"""The engines of minGRU and minLSTM against the equations under autograd."""

import copy
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from seqgnn.nn.scan import dispatch, double_backward
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp import minimal as compiled
from seqgnn.nn.scan.cpp.minimal import CompiledSteps
from seqgnn.nn.scan.minimal import passes
from seqgnn.nn.scan.minimal import scan as minimal
from seqgnn.nn.scan.minimal.steps import LogDepthSteps, TorchSteps
from seqgnn.nn.scan.reference import record_states
from tests.support.oracles import close, gradient, leaf, tricky_graph, tricky_graphs

NO_LIBRARY = pytest.mark.skipif(library.load()[0] is None, reason=f"no compiled library: {library.load()[1]}")
ENGINES = ("fused", pytest.param("cpp", marks=NO_LIBRARY))
LAYERS = (sg.MinGRU, sg.MinLSTM)
GRAPH_LAYERS = (sg.GCNMinGRU, sg.GCNMinLSTM)
EDGES, WEIGHTS, N = tricky_graph()
T, B, F, H = 7, 3, 2, 5

every_engine = pytest.mark.parametrize("engine", ENGINES)
every_layer = pytest.mark.parametrize("layer", LAYERS)
every_graph_layer = pytest.mark.parametrize("layer", GRAPH_LAYERS)


@pytest.fixture
def scans(monkeypatch):
    """The units that are scanned by an engine of this package."""
    calls = []

    def counted(unit, *args, **options):
        calls.append(unit)
        return original(unit, *args, **options)

    original = minimal.minimal_scan
    monkeypatch.setattr(dispatch.minimal, "minimal_scan", counted)
    return calls


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(layer, engine, channels=F, hidden=H, **options):
    """The same layer with an engine and with the reference, with gates that differ from 1/2."""
    torch.manual_seed(0)
    layer = layer(channels, hidden, engine=engine, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3)
    other = copy.deepcopy(layer)
    other.engine = "reference"
    return layer, other


def small_chunks(monkeypatch, chunk, block, step_bytes):
    for steps in (TorchSteps, CompiledSteps):
        monkeypatch.setattr(steps, "cached", chunk * step_bytes)
    monkeypatch.setattr(compiled, "BLOCK", block * step_bytes)


def outcome(layer, x, state, *graph, **options):
    """Output, last state, and all gradients of a random weighting of both."""
    layer.zero_grad()
    x, state = leaf(x), leaf(state)
    edges, *weights = graph or [None]
    weights = [leaf(weight) for weight in weights]
    if edges is None:
        output, last = layer(x, state, **options)
    else:
        output, last = layer(x, edges, *weights, state=state, **options)
    loss = (output * signal(*output.shape, seed=8)).sum() + (last * signal(*last.shape, seed=9)).sum()
    loss.backward()
    return [output, last, *(gradient(part) for part in (x, state, *weights, *layer.parameters()))]


def agree(layers, *args, **options):
    for a, b in zip(*(outcome(layer, *args, **options) for layer in layers), strict=True):
        close(a, b)


@every_engine
@every_layer
@pytest.mark.parametrize("lengths", [None, [7, 1, 4]])
@pytest.mark.parametrize("sizes", [(1, 1), (4, 2), (5, 9), (9, 3)])
@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("hidden", [H, 37])
def test_minimal_scan_equals_reference(layer, engine, lengths, sizes, recomputed, hidden, monkeypatch, scans):
    """With chunks, and blocks in them, of about so many steps."""
    small_chunks(monkeypatch, *sizes, 8 * 3 * B * hidden)
    monkeypatch.setattr(passes, "RECOMPUTED", 1000 if recomputed else 0)
    layers = build(layer, engine, hidden=hidden, num_layers=2, bidirectional=True)
    lengths = None if lengths is None else torch.tensor(lengths)
    agree(layers, signal(T, B, F), signal(4, B, hidden, seed=1), lengths=lengths)
    assert len(scans) == 4


@every_engine
@every_layer
@pytest.mark.parametrize("options", [{"bias": False}, {"batch_first": True}, {"checkpoint_every": 3}], ids=str)
def test_minimal_scan_with_options_equals_reference(layer, engine, options):
    x = signal(B, T, F) if "batch_first" in options else signal(T, B, F)
    agree(build(layer, engine, num_layers=2, bidirectional=True, **options), x, signal(4, B, H, seed=1))


@every_layer
@pytest.mark.parametrize("steps", [1, 2, 7, 33])
@pytest.mark.parametrize("chunk", [5, 100])
def test_minimal_scan_in_logarithmic_depth_equals_reference(layer, steps, chunk, monkeypatch, scans):
    """The form for GPUs, on the CPU."""
    monkeypatch.setattr(minimal, "TorchSteps", LogDepthSteps)
    monkeypatch.setattr(LogDepthSteps, "cached", chunk * 8 * 3 * B * H)
    layers = build(layer, "fused", bidirectional=True)
    x, state = signal(steps, B, F), signal(2, B, H, seed=1)
    agree(layers, x, state)
    agree(layers, x, state, lengths=torch.tensor([steps, 1, steps // 2 + 1]))
    assert scans


@every_engine
@every_graph_layer
@pytest.mark.parametrize("conv", [None, sg.Chebyshev(3), pyg.GraphConv], ids=str)
@pytest.mark.parametrize("by_node", [False, True])
def test_minimal_scan_on_graph_equals_reference(layer, engine, conv, by_node, monkeypatch, scans):
    small_chunks(monkeypatch, 4, 2, 8 * 3 * H * N * B)
    layers = build(layer, engine, num_layers=2, bidirectional=True, conv=conv)
    shape, lengths = ((N,), torch.arange(N) % T + 1) if by_node else ((B, N), torch.tensor([7, 1, 4]))
    agree(layers, signal(T, *shape, F), signal(4, *shape, H, seed=1), EDGES, WEIGHTS, lengths=lengths)
    assert len(scans) == 4


@every_engine
@every_graph_layer
@pytest.mark.parametrize("conv", [sg.Diffusion(2), pyg.GraphConv], ids=str)
def test_minimal_scan_graph_per_step_equals_reference(layer, engine, conv):
    edges, weights = zip(*tricky_graphs(T)[0])
    layers = build(layer, engine, bidirectional=True, conv=conv)
    x, found = signal(T, B, N, F), []
    for module in layers:
        values = [leaf(weight) for weight in weights]
        output, last = module(x, list(edges), values)
        loss = (output * signal(*output.shape, seed=8)).sum() + last.square().sum()
        found.append([output, last, *torch.autograd.grad(loss, [*module.parameters(), *values])])
    for a, b in zip(*found, strict=True):
        close(a, b)


@every_engine
@every_layer
def test_minimal_scan_passes_gradcheck_twice(layer, engine, scans):
    layer = build(layer, engine, bidirectional=True)[0]
    names = [name for name, _ in layer.named_parameters()]
    inputs = leaf(signal(3, 2, F)), leaf(signal(2, 2, H, seed=1)), *(leaf(p) for p in layer.parameters())

    def call(x, state, *values):
        weights = dict(zip(names, values))
        return torch.func.functional_call(layer, weights, (x, state, torch.tensor([3, 2])))

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)
    assert scans


@every_engine
@every_layer
def test_minimal_scan_repeated_or_checkpointed_backward_is_equal(layer, engine):
    layer, x = build(layer, engine)[0], signal(T, B, F)
    parameters = list(layer.parameters())
    loss = layer(x)[0].square().sum()
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    again = torch.autograd.grad(loss, parameters)
    held = checkpoint(lambda x: layer(x)[0], x, use_reentrant=False).square().sum()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.from_numpy):
        offloaded = layer(x)[0].square().sum()
    for found in (again, *(torch.autograd.grad(loss, parameters) for loss in (held, offloaded))):
        for a, b in zip(found, once, strict=True):
            assert torch.equal(a, b)


@every_engine
@every_layer
def test_minimal_scan_without_or_with_some_gradients_is_equal(layer, engine):
    layer, x = build(layer, engine, num_layers=2)[0], leaf(signal(T, B, F))
    output, last = layer(x)
    (expected,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    (bias,) = torch.autograd.grad(output.sum(), layer.bias_ih_l0)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(layer(x)[0], output) and torch.equal(layer(x)[1], last)
    layer.requires_grad_(False)
    close(torch.autograd.grad(layer(x)[0].sum(), x)[0], expected)
    layer.bias_ih_l0.requires_grad_()
    close(torch.autograd.grad(layer(x.detach())[0].sum(), layer.bias_ih_l0)[0], bias)


@every_engine
@every_layer
@pytest.mark.parametrize("part", [0, 1])
def test_minimal_scan_gradients_of_one_result_alone_equal_reference(layer, engine, part):
    found = []
    for module in build(layer, engine, bidirectional=True):
        x = leaf(signal(T, B, F))
        found.append(torch.autograd.grad(module(x)[part].square().sum(), [x, *module.parameters()]))
    for a, b in zip(*found, strict=True):
        close(a, b)


@every_engine
@every_layer
def test_minimal_scan_backward_alone_runs_no_equations(layer, engine, monkeypatch):
    monkeypatch.setattr(double_backward, "differentiable_backward", lambda *_: pytest.fail("the equations are slower"))
    layer = build(layer, engine)[0]
    layer(leaf(signal(T, B, F)))[0].sum().backward()
    assert layer.weight_ih_l0.grad.any()


@every_engine
@every_layer
def test_minimal_scan_transforms_and_recording_use_reference(layer, engine, scans):
    (layer, other), x = build(layer, engine), signal(T, B, F)
    results = []
    for module in (layer, other):
        call = lambda x: module(x)[0].square().sum()  # noqa: B023, E731
        along = torch.func.jvp(call, (x,), (signal(T, B, F, seed=3),))[1]
        results.append([torch.func.grad(call)(x), along])
    for a, b in zip(*results):
        close(a, b)
    with record_states() as steps:
        layer(x)
    assert len(steps[0]) == T
    assert not scans


@every_engine
@every_layer
def test_minimal_scan_batched_and_forward_mode_backward_is_equal(layer, engine):
    found = []
    for module in build(layer, engine):
        x = leaf(signal(T, B, F))
        output = module(x)[0]
        back = partial(torch.autograd.grad, output, [x, module.weight_ih_l0], retain_graph=True)
        many = signal(3, *output.shape)
        with forward_ad.dual_level():
            along = [forward_ad.unpack_dual(d).tangent for d in back(forward_ad.make_dual(many[0], many[1]))]
        found.append([*back(many, is_grads_batched=True), *torch.func.vmap(back)(many), *along])
    for a, b in zip(*found, strict=True):
        close(a, b)


@every_engine
@every_layer
def test_minimal_scan_outputs_may_be_changed_in_place(layer, engine):
    layer, x = build(layer, engine)[0], signal(T, B, F)
    expected = torch.autograd.grad(layer(x)[0].relu().sum(), layer.weight_ih_l0)[0]
    output, last = layer(x)
    last.mul_(2)
    close(torch.autograd.grad(output.relu_().sum(), layer.weight_ih_l0)[0], expected)


NAN, INF = float("nan"), float("inf")


@every_engine
@every_layer
@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e200])
@pytest.mark.parametrize("where", ["x", "state", "gradient", "weight", "bias"])
@pytest.mark.parametrize("lengths", [None, [7, 1, 4]])
def test_minimal_scan_nan_and_inf_stay_where_the_reference_has_them(layer, engine, where, bad, lengths):
    found = []
    for module in build(layer, engine, bidirectional=True):
        x, state = leaf(signal(T, B, F)), leaf(signal(2, B, H, seed=1))
        with torch.no_grad():
            if where == "x":
                x[2, 1, 0] = bad
            elif where == "state":
                state[:, 1, 2] = bad
            elif where in ("weight", "bias"):
                for gate in range(module.weight_ih_l0.size(0) // H):
                    getattr(module, f"{where}_ih_l0").view(-1, H, *[F] * (where == "weight"))[gate, gate] = bad
        output, last = module(x, state, None if lengths is None else torch.tensor(lengths))
        grad = signal(*output.shape, seed=8)
        if where == "gradient":
            grad[3, 0, 1] = bad
        gradients = torch.autograd.grad([output, last], [x, state, *module.parameters()], [grad, torch.ones_like(last)])
        found.append([output, last, *gradients])
    for a, b in zip(*found, strict=True):
        if lengths is None:
            assert torch.equal(a.isnan(), b.isnan()) and torch.equal(a.isfinite(), b.isfinite())
        finite = b.isfinite()  # with lengths, autograd multiplies states after the end by gradients of zero
        torch.testing.assert_close(a[finite], b[finite], rtol=1e-9, atol=1e-9)


@every_engine
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_minlstm_scan_is_finite_where_both_gates_underflow(engine, dtype):
    layer = sg.MinLSTM(1, 4, engine=engine, dtype=dtype)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        f, i, c = layer.bias_ih_l0.chunk(3)
        f.copy_(torch.tensor([-1e4, -1e4, -1e4, 1e4]))
        i.copy_(torch.tensor([-1e4, -1e4 - 1, -1e4 + 1, -1e4]))
        c.fill_(1.0)
    output = layer(torch.zeros(1, 1, 1, dtype=dtype))[0]
    expected = torch.tensor([0.0, -1.0, 1.0, -1e9], dtype=dtype).sigmoid()
    torch.testing.assert_close(output.flatten(), expected, rtol=1e-3 if dtype == torch.float32 else 1e-10, atol=0)
    output.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@every_engine
@every_layer
@pytest.mark.parametrize("gate", [-12.0, 0.0, 12.0])
def test_minimal_scan_of_100_000_steps_in_float32_is_close_to_float64(layer, engine, gate):
    """Gates near zero keep the state for about 100,000 steps, and gates near one for none."""
    torch.manual_seed(0)
    layer, x = layer(4, 8, engine=engine, dtype=torch.float64), signal(100_000, 1, 4)
    with torch.no_grad():
        layer.bias_ih_l0.view(-1, 8)[0 if layer.kind == "mingru" else 1] = gate
    results = []
    for dtype in (torch.float64, torch.float32):
        layer, x = layer.to(dtype), x.to(dtype)
        output, last = layer(x)
        grads = torch.autograd.grad((output[-1] + last[0]).sum(), list(layer.parameters()))
        results.append([output.double(), *(grad.double() for grad in grads)])
    for exact, single in zip(*results):
        assert single.isfinite().all()
        assert (single - exact).abs().max() <= 1e-4 * exact.abs().max()
