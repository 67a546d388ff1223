"""The hand-written backward pass against autograd's through the equations."""

import copy
import sys
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, product
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GraphConv

from seqgnn import nn as sg
from seqgnn.nn.graph.filters import Filter, RecursionStep, apply_operator
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan import dispatch
from seqgnn.nn.scan.fused import passes
from seqgnn.nn.scan.fused import scan as fused
from seqgnn.nn.scan.reference import record_states
from tests.support.layer_cases import CASES, PUBLISHED, Case
from tests.support.oracles import close, gradient, leaf, tricky_graph, tricky_graphs

ENGINE = "fused"  # triton/test_scan.py sets another
T, B, F, H = 4, 2, 2, 3
EDGES, WEIGHTS, N = tricky_graph()
PLAIN = {"rnn": sg.RNN, "lstm": sg.LSTM, "gru": sg.GRU}


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def fused_calls(monkeypatch):
    """Calls of the fused engine."""
    taken = []
    original = fused.fused_scan
    monkeypatch.setattr(fused, "fused_scan", lambda *args: taken.append(1) or original(*args))
    return taken


def both(case, **options):
    """The same layer with its engine and with the reference."""
    layer = case.make(**options, engine=ENGINE)
    other = copy.deepcopy(layer)
    other.engine = "reference"
    return layer, other


def outcome(layer, case, x, graph, weights, state=None, **options):
    """Everything a layer returns, and all gradients of a random weighting of it."""
    inputs = [leaf(x), *(leaf(w) for w in weights), *(() if state is None else (leaf(s) for s in state))]
    given = inputs[1 : 1 + len(weights)]
    start = inputs[1 + len(weights) :]
    hx = None if state is None else tuple(start) if len(start) == 2 else start[0]
    layer.zero_grad()
    parts = case.parts(layer(inputs[0], graph, given if isinstance(graph, list) else given[0], hx, **options))
    torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
    return parts, [gradient(part) for part in (*inputs, *layer.parameters())]


def agree(case, layers, *args, **options):
    (parts, found), (expected_parts, expected) = (outcome(layer, case, *args, **options) for layer in layers)
    for a, b in zip([*parts, *found], [*expected_parts, *expected], strict=True):
        close(a, b)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("rows", [1, 4096])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_scan_equals_reference(case, rows, dense, monkeypatch, fused_calls):
    monkeypatch.setattr(passes, "ROWS", rows)
    monkeypatch.setattr(fused, "DENSE", N if dense else 0)
    layers = both(case, num_layers=2, bidirectional=True)
    states = [signal(4, B, N, H, seed=3 + i) for i in range(2 if layers[0].kind == "lstm" else 1)]
    lengths = torch.tensor([4, 2])
    agree(case, layers, signal(T, B, N, F), EDGES, [WEIGHTS], states, lengths=lengths)
    assert len(fused_calls) == 4


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_fused_scan_graph_per_step_and_lengths_equal_reference(case, dense, monkeypatch):
    monkeypatch.setattr(fused, "DENSE", N if dense else 0)
    graphs = tricky_graphs(T)[0]
    edges, weights = [e for e, _ in graphs], [w for _, w in graphs]
    lengths = torch.arange(N) % T + 1
    agree(case, both(case, bidirectional=True), signal(T, N, F), edges, weights, lengths=lengths)


def test_fused_scan_with_input_convolution_equals_reference(fused_calls):
    case = Case("GCNGRU", sg.GCNGRU, options={"input_conv": GraphConv, "hidden_conv": sg.Chebyshev(2)})
    agree(case, both(case, num_layers=2), signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == 2


OPTIONS = [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}]
ONE_BIAS = [(kind, {"recurrent_bias": False}) for kind in ("rnn", "lstm")]


@pytest.mark.parametrize(("kind", "options"), [*product(PLAIN, OPTIONS), *ONE_BIAS], ids=str)
def test_fused_scan_of_rnn_layers_equals_native(kind, options, fused_calls):
    layer = PLAIN[kind](F, H, dtype=torch.float64, engine=ENGINE, **options)
    native = copy.deepcopy(layer)
    native.engine = "native"
    packed = torch.nn.utils.rnn.pack_padded_sequence(signal(T, 3, F), [4, 3, 1])
    found = []
    for module in (layer, native):
        module.zero_grad()
        x = leaf(signal(T, 3, F))
        output, state = module(x)
        ragged, last = module(packed)
        parts = [output, ragged.data, *(state if kind == "lstm" else [state]), *(last if kind == "lstm" else [last])]
        torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
        found.append([*parts, gradient(x), *(gradient(p) for p in module.parameters())])
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert fused_calls


def test_fused_trains_faster_depends_on_width_steps_and_batch():
    """From so many channels, steps and elements on."""
    faster = dispatch.fused_trains_faster
    assert faster("gru", 64, 40, 20) and faster("gru", 128, 800, 1) and faster("gru", 320, 20, 1)
    assert not (faster("gru", 63, 100, 100) or faster("gru", 64, 39, 100) or faster("gru", 64, 40, 19))
    assert not (faster("gru", 319, 20, 30) or faster("gru", 320, 19, 1))
    assert faster("rnn", 512, 20, 5) and faster("rnn", 512, 100, 1)
    assert not (faster("rnn", 511, 20, 5) or faster("rnn", 512, 19, 99) or faster("rnn", 512, 20, 4))
    assert not faster("lstm", 1024, 100, 64)


def test_auto_engine_trains_rnn_and_gru_with_fused_scan(monkeypatch, fused_calls):
    """On the CPU, where gradients are asked for."""
    monkeypatch.setattr(dispatch, "FUSED", {"rnn": [(H, T, 2 * T)], "gru": [(H, T, 2 * T)], "lstm": []})
    x = signal(T, 2, F)
    for kind, make in PLAIN.items():
        layer, narrow = (make(F, hidden, dtype=torch.float64) for hidden in (H, H - 1))
        output = layer(x)[0]
        assert len(fused_calls) == (kind != "lstm")
        fused_calls.clear()
        narrow(x)
        layer(x[1:])
        layer(x[:, 0])
        with torch.no_grad():
            close(layer(x)[0], output)
        layer(torch.nn.utils.rnn.pack_sequence([x[:, 0], x[:2, 1]]))
        layer.requires_grad_(False)
        layer(x)
        assert not fused_calls
        layer(leaf(x))
        state = leaf(signal(1, 2, H))
        layer(x, (state, state) if kind == "lstm" else state)
        assert len(fused_calls) == 2 * (kind != "lstm")
        make(F, H, batch_first=True, dtype=torch.float64)(x.transpose(0, 1))
        assert len(fused_calls) == 3 * (kind != "lstm")
        layer.engine = "native"
        layer(leaf(x))
        assert len(fused_calls) == 3 * (kind != "lstm")
        fused_calls.clear()


@pytest.mark.parametrize(
    ("shape", "training", "inference"),
    [((7, 1, 3, 1), 0, 0), ((8, 1, 3, 1), 1, 0), ((1, 333, 3, 1), 0, 0), ((1, 334, 3, 1), 1, 1)],
)
def test_auto_engine_uses_fused_scan_where_worthwhile(shape, training, inference, fused_calls):
    """From 1,000 elements on, and with a backward pass from 8 steps on."""
    layer = sg.GCNLSTM(1, 2)
    for recording, expected in ((True, training), (False, inference)):
        with torch.set_grad_enabled(recording):
            layer(torch.randn(shape), torch.tensor([[0, 1], [1, 2]]))
        assert len(fused_calls) == expected
        fused_calls.clear()


SOME = [
    case for case in PUBLISHED if str(case) in ("GCRN", "GCRN gru", "GCNLSTM mixed", "GCLSTM paper", "TGCN authors")
]


def inputs_of(layer):
    names, values = zip(*((name, leaf(p)) for name, p in layer.named_parameters()))
    return names, (leaf(signal(2, N, 1)), leaf(WEIGHTS), *values)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_second_order_gradients_equal_reference(case):
    found = []
    for layer in both(case, in_channels=1, hidden_channels=2):
        names, inputs = inputs_of(layer)
        x, weight, *values = inputs
        output = case.parts(functional_call(layer, dict(zip(names, values)), (x, EDGES, weight)))[0]
        first = torch.autograd.grad(output.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        found.append([*first, *second])
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_in_functorch_transforms_uses_reference(case, fused_calls):
    layer, other = both(case)
    x, direction = signal(T, N, F), signal(T, N, F, seed=5)

    def answer(layer, x):
        return case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum()

    for transform in (torch.func.grad, torch.func.jacrev, lambda f: torch.func.vmap(torch.func.grad(f))):
        at = torch.stack([x, direction]) if "lambda" in transform.__name__ else x
        close(transform(partial(answer, layer))(at), transform(partial(answer, other))(at))
    along, expected = (torch.func.jvp(partial(answer, each), (x,), (direction,))[1] for each in (layer, other))
    close(along, expected)
    assert not fused_calls


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_scan_repeated_or_checkpointed_backward_is_equal(case):
    layer, x = case.make(engine=ENGINE), signal(T, B, N, F)
    losses = [case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum() for _ in range(2)]
    parameters = list(layer.parameters())
    once = torch.autograd.grad(losses[0], parameters, retain_graph=True)
    again = torch.autograd.grad(losses[0], parameters)
    saved = torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.from_numpy)
    held = checkpoint(lambda x: case.parts(layer(x, EDGES, WEIGHTS))[0], x, use_reentrant=False).square().sum()
    with saved:
        offloaded = case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum()
    for found in (again, *(torch.autograd.grad(loss, parameters) for loss in (losses[1], held, offloaded))):
        for a, b in zip(found, once, strict=True):
            close(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        losses[0].backward()


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_without_or_with_some_gradients_is_equal(case, monkeypatch):
    monkeypatch.setattr(passes, "ROWS", 2 * N)
    layer, x = case.make(num_layers=2, engine=ENGINE), leaf(signal(T, B, N, F))
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    (wanted,) = torch.autograd.grad(expected[0].sum(), x, retain_graph=True)
    (hidden,) = torch.autograd.grad(expected[0].sum(), layer.weight_hh_l0)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for a, b in zip(case.parts(layer(x, EDGES, WEIGHTS)), expected, strict=True):
                close(a, b)
    layer.requires_grad_(False)
    close(torch.autograd.grad(case.parts(layer(x, EDGES, WEIGHTS))[0].sum(), x)[0], wanted)
    layer.weight_hh_l0.requires_grad_()
    output = case.parts(layer(x.detach(), EDGES, WEIGHTS))[0]
    close(torch.autograd.grad(output.sum(), layer.weight_hh_l0)[0], hidden)


def test_fused_scan_outputs_may_be_changed_in_place():
    layer, x = sg.GCRN(F, H, K=2, engine=ENGINE, dtype=torch.float64), signal(T, N, F)
    expected = torch.autograd.grad(layer(x, EDGES)[0].relu().sum(), layer.weight_hh_l0)[0]
    output, (h, c) = layer(x, EDGES)
    h.mul_(2)
    c.zero_()
    close(torch.autograd.grad(output.relu_().sum(), layer.weight_hh_l0)[0], expected)


def test_fused_scan_recording_autocast_and_half_use_reference(fused_calls):
    layer, x = sg.GCRN(F, H, K=2, engine=ENGINE), signal(T, N, F).float()
    with record_states() as steps:
        layer(x, EDGES)
    assert len(steps) == 1 and len(steps[0]) == T
    with torch.autocast("cpu", torch.bfloat16):
        layer(x, EDGES)[0].sum().backward()
    half = copy.deepcopy(layer).bfloat16()
    assert half(x.bfloat16(), EDGES)[0].dtype == torch.bfloat16
    assert not fused_calls
    layer(x, EDGES)
    assert fused_calls


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_in_float32_is_close_to_float64(case):
    layer, x = case.make(engine=ENGINE), signal(T, B, N, F)
    exact = case.parts(layer(x, EDGES, WEIGHTS))
    close_to = case.parts(layer.float()(x.float(), EDGES, WEIGHTS.float()))
    for a, b in zip(close_to, exact, strict=True):
        close(a, b, 1e-5)


def test_fused_scan_without_edges_or_of_one_node_is_equal():
    empty = torch.empty(2, 0, dtype=torch.long)
    for nodes in (1, 40):
        layer, other = both(Case("GCRN", sg.GCRN, options={"K": 3}))
        x = signal(1, nodes, F)
        outputs = [module(x, empty)[0] for module in (layer, other)]
        close(*outputs)
        close(*(torch.autograd.grad(o.sum(), m.weight_hh_l0)[0] for o, m in zip(outputs, (layer, other))))


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_checkpoint_every_of_graph_layers_equals_whole(case, engine):
    layer = case.make(num_layers=2, bidirectional=True, engine=engine)
    other = case.make(num_layers=2, bidirectional=True, engine=engine, checkpoint_every=3)
    assert "checkpoint_every=3" in repr(other)
    x, lengths = signal(8, B, N, F), torch.tensor([8, 5])
    agree(case, (layer, other), x, EDGES, [WEIGHTS], lengths=lengths)
    graphs = tricky_graphs(8)[0]
    agree(case, (layer, other), x, [e for e, _ in graphs], [w for _, w in graphs])


def peak(layer, x, *graph):
    """Bytes of tensors that are alive at once in a training step."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        layer(x, *graph)[0].sum().backward()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes))


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("make", [partial(sg.GCRN, K=2), sg.LSTM])
def test_checkpoint_every_reduces_peak_memory(engine, make):
    graph = () if make is sg.LSTM else (EDGES,)
    whole, parts = (make(F, 16, engine=engine, checkpoint_every=every) for every in (None, 6))
    x = torch.randn(36, N, F)
    assert peak(parts, x, *graph) < 0.7 * peak(whole, x, *graph)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_fused_scan_has_lower_peak_memory_than_reference(cell, monkeypatch):
    monkeypatch.setattr(passes, "ROWS", 16 * N)
    fast, slow = (sg.GCRN(F, 32, K=2, cell=cell, engine=engine) for engine in ("fused", "reference"))
    x = torch.randn(12, 16, N, F)
    assert peak(fast, x, EDGES) < 0.55 * peak(slow, x, EDGES)


@pytest.mark.parametrize("engine", ["auto", "fused", "reference"])
@pytest.mark.parametrize(("kind", "options"), [*product(PLAIN, OPTIONS), ("lstm", {"proj_size": 2})], ids=str)
def test_checkpoint_every_of_rnn_layers_equals_whole(kind, options, engine):
    layer = PLAIN[kind](F, H, dtype=torch.float64, engine=engine, **options, checkpoint_every=3)
    assert "checkpoint_every=3" in repr(layer)
    x, found = signal(8, 3, F), []
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [8, 6, 1])
    for every in (3, None):
        layer.checkpoint_every = every
        layer.zero_grad()
        given = leaf(x)
        (output, state), (ragged, last) = layer(given), layer(packed)
        parts = [output, ragged.data, *(state if kind == "lstm" else [state]), *(last if kind == "lstm" else [last])]
        torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
        found.append([*parts, gradient(given), *(gradient(p) for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.parametrize("every", [0, 1.5, "2"])
def test_checkpoint_every_invalid_value_raises_value_error(every):
    for layer, make in (("GCRN", partial(sg.GCRN, K=2)), ("LSTM", sg.LSTM)):
        with pytest.raises(ValueError, match=f"{layer}: expected checkpoint_every"):
            make(F, H, checkpoint_every=every)


def test_checkpoint_every_with_native_engine_raises_value_error():
    with pytest.raises(ValueError, match="GRU: expected another engine with checkpoint_every, got 'native'"):
        sg.GRU(F, H, engine="native", checkpoint_every=2)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_second_order_of_dependent_inputs_is_equal(case):
    found = []
    for layer in both(case, in_channels=H):
        x, weight = leaf(signal(T, N, H)), leaf(WEIGHTS)
        first = layer(x, EDGES, weight)
        second = case.parts(layer(x, EDGES, weight * x.exp().mean(), first[1]))
        inputs = [x, weight, *layer.parameters()]
        slopes = torch.autograd.grad(sum(part.square().sum() for part in second), inputs, create_graph=True)
        found.append([*slopes, *torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)])
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_batched_and_forward_mode_backward_is_equal(case, fused_calls):
    found = []
    for layer in both(case):
        x = leaf(signal(T, N, F))
        output = case.parts(layer(x, EDGES, WEIGHTS))[0]
        back = partial(torch.autograd.grad, output, [x, layer.weight_hh_l0], retain_graph=True)
        many = signal(3, *output.shape)
        with forward_ad.dual_level():
            along = [forward_ad.unpack_dual(d).tangent for d in back(forward_ad.make_dual(many[0], many[1]))]
        found.append([*back(many, is_grads_batched=True), *torch.func.vmap(back)(many), *along])
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert len(fused_calls) == 1


@pytest.mark.parametrize("again", [False, True])
def test_fused_scan_without_output_gradients_returns_none(again):
    class Deaf(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, d):
            return None

    layer, x = sg.GCRN(F, H, K=2, engine=ENGINE, dtype=torch.float64), leaf(signal(T, N, F))
    loss = Deaf.apply(layer(x, EDGES)[0]).sum()
    inputs = [x, *layer.parameters()]
    assert set(torch.autograd.grad(loss, inputs, create_graph=again, allow_unused=True)) == {None}


@dataclass(frozen=True, repr=False)
class Recursion(Filter):
    """x A / 2, -2 B (A x / 2) - x and 3 A of that."""

    num_terms = 3
    keeps_input = False
    recursion = (RecursionStep(0, 0, 0.5), RecursionStep(1, 1, -2.0, 0), RecursionStep(0, 2, 3.0))

    def build(self, edges):
        patterns = [edges.pattern(False, "source_to_target"), edges.pattern(True, "target_to_source")]
        return tuple(Operator(p, p.entry_weights(edges.weight, 1.0), edges.weight is None) for p in patterns)


@dataclass(frozen=True, repr=False)
class Basis(Recursion):
    """The same, by a basis of its own."""

    recursion = ()

    def basis(self, x, graph):
        a, b = (partial(apply_operator, operator) for operator in self.operators(x, graph))
        first = 0.5 * a(x)
        second = -2 * b(first) - x
        return [first, second, 3 * a(second)]


@pytest.mark.parametrize("sides", [["conv"], ["input_conv"], ["hidden_conv"]], ids=str)
@pytest.mark.parametrize("layer", [sg.GCNLSTM, partial(sg.GCNGRU, reset="before")])
def test_fused_scan_custom_filter_recursion_equals_its_basis(layer, sides, fused_calls):
    options = {side: Recursion() for side in sides}
    case = Case("", layer, options=options)
    agree(case, both(case), signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == 1
    other = Case("", layer, options={side: Basis() for side in sides})
    agree(case, (case.make(engine=ENGINE), other.make(engine=ENGINE)), signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == (3 if sides == ["input_conv"] else 2)


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("side", ["input_conv", "hidden_conv"])
def test_filter_with_wrong_num_terms_raises_runtime_error(side, engine):
    @dataclass(frozen=True, repr=False)
    class Short(Recursion):
        num_terms = 4

    layer = sg.GCNLSTM(F, H, engine=engine, dtype=torch.float64, **{side: Short()})
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(signal(T, N, F), EDGES)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_any_strides_and_duplicate_edges_are_equal(case):
    layers, edges, weights = both(case), torch.zeros(2, 3, dtype=torch.long), signal(3).exp()
    for x in (
        signal(B, T, 1, F).transpose(0, 1),
        signal(T, B, 1, 1).expand(T, B, 1, F),
        signal(F, T, B, 1).movedim(0, 3),
    ):
        found = []
        for layer in layers:
            given = leaf(weights)
            output = case.parts(layer(x, edges, given))[0]
            found.append([output, *torch.autograd.grad(output.sum(), [given, *layer.parameters()], allow_unused=True)])
        for a, b in zip(*found, strict=True):
            close(a, b)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_nan_and_inf_spread_along_edges_only(case, bad):
    x, layers = signal(T, B, N, F), both(case)
    x[1, 0, 1, 0] = bad
    found, expected = (case.parts(layer(x, EDGES, WEIGHTS)) for layer in layers)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.isfinite(), b.isfinite()) and a.isfinite().any()
        close(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize(("layer", "x"), [(sg.GCNLSTM(F, H), (T, N, F)), (sg.LSTM(F, H), (T, B, F))])
def test_triton_engine_without_triton_raises_value_error(layer, x, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    layer.engine = "triton"
    with pytest.raises(ValueError, match="LSTM: expected triton to be installed for engine='triton', got no module"):
        layer(signal(*x).float(), *([EDGES] if len(x) == 3 and x[1] == N else []))
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.2.0"))
    with pytest.raises(ValueError, match=r"LSTM: expected triton 3.3 or newer for engine='triton', got 3\.2\.0"):
        layer(signal(*x).float(), *([EDGES] if len(x) == 3 and x[1] == N else []))
