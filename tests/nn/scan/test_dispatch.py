"""The choice of the engine and of segments: rules, checkpoints, errors."""

import sys
from functools import partial
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan import dispatch
from seqgnn.nn.scan.cpp import library
from tests.support.fused_scans import (
    EDGES,
    OPTIONS,
    PLAIN,
    SOME,
    WEIGHTS,
    B,
    F,
    H,
    N,
    T,
    agree,
    peak,
    signal,
)
from tests.support.oracles import close, gradient, leaf, tricky_graphs

needs_library = pytest.mark.skipif(library.load()[0] is None, reason=f"no compiled library: {library.load()[1]}")


def test_fused_trains_faster_depends_on_width_steps_and_batch():
    """From so many channels, steps and elements on."""
    faster = dispatch.fused_trains_faster
    assert faster("gru", 64, 40, 20) and faster("gru", 128, 800, 1) and faster("gru", 320, 20, 1)
    assert not (faster("gru", 63, 100, 100) or faster("gru", 64, 39, 100) or faster("gru", 64, 40, 19))
    assert not (faster("gru", 319, 20, 30) or faster("gru", 320, 19, 1))
    assert faster("rnn", 512, 20, 5) and faster("rnn", 512, 100, 1)
    assert not (faster("rnn", 511, 20, 5) or faster("rnn", 512, 19, 99) or faster("rnn", 512, 20, 4))
    assert not faster("rnn", 512, 33, 3) and not faster("gru", 64, 47, 17)  # 99 and 799 elements
    assert not faster("lstm", 1024, 100, 64)


def test_cpp_is_faster_depends_on_steps_and_for_lstms_on_width_and_batch():
    faster = dispatch.cpp_is_faster
    for kind in ("rnn", "gru"):
        assert faster(kind, 1, 10, 1) and faster(kind, 1024, 100, 64) and not faster(kind, 64, 9, 1000)
    assert faster("lstm", 256, 20, 30) and faster("lstm", 8, 30, 20)
    assert not (faster("lstm", 257, 20, 30) or faster("lstm", 256, 1000, 15) or faster("lstm", 256, 20, 29))


@needs_library
@pytest.mark.parametrize("kind", PLAIN)
def test_choose_plain_engine_is_compiled_where_that_is_faster(kind):
    """From 10 steps on, or for the LSTM from 16 sequences and 600 elements on."""
    layer = PLAIN[kind](2, 3)

    def engine(x, layer=layer, packed=False):
        return dispatch.choose_plain_engine(layer, x, None, 0, packed)

    many, few = map(torch.zeros, ((30, 20, 2), (29, 20, 2)) if kind == "lstm" else ((10, 1, 2), (9, 99, 2)))
    assert (engine(many), engine(few), engine(many, packed=True)) == ("cpp", "native", "native")
    with torch.no_grad():
        assert engine(many) == "cpp"
    if kind == "lstm":
        assert engine(many, layer=sg.LSTM(2, 3, proj_size=1)) == "native"


@needs_library
@pytest.mark.parametrize(("shape", "training"), [((1, 199, 1), "reference"), ((1, 200, 1), "cpp"), ((2, 1, 1), "cpp")])
def test_auto_engine_is_compiled_except_for_the_training_of_a_small_step(shape, training):
    layer, x = sg.GCNLSTM(1, 2), torch.zeros(shape)
    unit = layer._unit("_l0")
    assert dispatch.choose_engine("auto", unit, x, "GCNLSTM") == training
    with torch.no_grad():
        assert dispatch.choose_engine("auto", unit, x, "GCNLSTM") == "cpp"
    assert dispatch.choose_engine("auto", unit, x.half(), "GCNLSTM") == training


def test_auto_engine_trains_rnn_and_gru_with_fused_scan(monkeypatch, fused_calls, no_library):
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


@pytest.mark.parametrize(("time_dim", "shape"), [(0, (40, 20, 2)), (1, (20, 40, 2))])
def test_choose_plain_engine_counts_steps_and_sequences(time_dim, shape, no_library):
    """From 40 steps and 800 elements on, for a GRU with 64 channels."""
    layer = sg.GRU(2, 64, batch_first=time_dim == 1)

    def engine(*shape):
        return dispatch.choose_plain_engine(layer, torch.zeros(shape), None, time_dim, packed=False)

    fewer_steps, fewer_sequences = list(shape), list(shape)
    fewer_steps[time_dim] -= 1
    fewer_sequences[1 - time_dim] -= 1
    assert [engine(*sizes) for sizes in (shape, fewer_steps, fewer_sequences)] == ["fused", "native", "native"]
    if time_dim == 0:  # as of one sequence without a dimension for it
        assert (engine(799, 2), engine(800, 2)) == ("native", "fused")
        assert dispatch.choose_plain_engine(layer, torch.zeros(800, 2), None, 0, packed=True) == "native"


@pytest.mark.parametrize("supported", [True, False])
def test_choose_plain_engine_for_half_precision_on_the_cpu(supported, monkeypatch):
    monkeypatch.setattr(dispatch.torch_internals, "supports_half_on_cpu", lambda dtype: supported)
    for make, projected in ((sg.LSTM, False), (sg.GRU, False), (lambda *sizes: sg.LSTM(*sizes, proj_size=2), True)):
        layer, x = make(2, 3), torch.zeros(4, 1, 2)
        assert dispatch.choose_plain_engine(layer, x, None, 0, packed=False) == "native"
        engines = [dispatch.choose_plain_engine(layer, x.bfloat16(), None, 0, packed=False)]
        with torch.autocast("cpu", torch.bfloat16):
            engines.append(dispatch.choose_plain_engine(layer, x, None, 0, packed=False))
        assert engines == ["native" if supported or projected else "cpp"] * 2


def test_choose_plain_engine_with_segments_is_compiled_where_gradients_are_recorded():
    for make, engine in (("auto", "cpp"), ("reference", "reference")):
        layer, x = sg.LSTM(2, 3, engine=make, checkpoint_every=2), torch.zeros(4, 1, 2)
        assert dispatch.choose_plain_engine(layer, x, None, 0, packed=False) == engine
        layer.requires_grad_(False)
        native = "native" if make == "auto" else engine
        assert dispatch.choose_plain_engine(layer, x, None, 0, packed=False) == native


def test_reference_engine_runs_no_fused_scan(fused_calls):
    for engine, calls in (("reference", 0), ("fused", 1)):
        sg.GCNLSTM(F, H, engine=engine)(signal(T, B, N, F).float(), EDGES)
        assert len(fused_calls) == calls


def test_requires_grad_looks_at_input_states_and_weights():
    layer, x, state = sg.LSTM(2, 3), torch.zeros(4, 1, 2), torch.zeros(1, 1, 3)
    assert dispatch.requires_grad(layer, x, None)
    with torch.no_grad():
        assert not dispatch.requires_grad(layer, leaf(x), None)
    layer.requires_grad_(False)
    assert not any(dispatch.requires_grad(layer, x, hx) for hx in (None, state, (state, state), [state]))
    assert dispatch.requires_grad(layer, leaf(x), None) and dispatch.requires_grad(layer, x, leaf(state))
    assert dispatch.requires_grad(layer, x, (state, leaf(state)))


def test_is_supported_input_needs_elements_and_half_precision_the_cpu():
    x = torch.zeros(4, 1, 2)
    assert dispatch.is_supported_input(x) and dispatch.is_supported_input(x.double())
    assert dispatch.is_supported_input(x.half()) and not dispatch.is_supported_input(x[:, :0])
    assert not dispatch.is_supported_input(x.half().to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert dispatch.is_supported_input(x) and not dispatch.is_supported_input(x.double())


def test_choose_plain_engine_in_transforms_depends_on_the_option():
    """Torch's kernels support neither torch.func nor forward-mode AD."""
    layer, x = sg.LSTM(2, 3), torch.zeros(4, 1, 2)

    def engines(x):
        for layer.engine in ("auto", "native"):
            yield dispatch.choose_plain_engine(layer, x, None, 0, packed=False)

    seen = [tuple(engines(x))]
    torch.func.vmap(lambda x: seen.append(tuple(engines(x))) or x)(x[None])
    with torch.autograd.forward_ad.dual_level():
        seen.append(tuple(engines(x)))
    assert seen == [("native", "native"), ("cpp", "native"), ("cpp", "native")]  # which leave it to the reference


@pytest.mark.parametrize("layer", [sg.LSTM, sg.GRU, sg.RNN])
def test_auto_engine_of_rnn_layers_in_forward_mode_equals_finite_differences(layer):
    module, x, direction = layer(2, 3, dtype=torch.float64), signal(4, 1, 2), signal(4, 1, 2, seed=1)
    with torch.autograd.forward_ad.dual_level():
        output = module(torch.autograd.forward_ad.make_dual(x, direction))[0]
        slope = torch.autograd.forward_ad.unpack_dual(output).tangent
    step = 1e-6
    expected = (module(x + step * direction)[0] - module(x - step * direction)[0]) / (2 * step)
    close(slope, expected, 1e-8)


@pytest.mark.parametrize(
    ("shape", "training", "inference"),
    [((7, 1, 3, 1), 0, 0), ((8, 1, 3, 1), 1, 0), ((1, 333, 3, 1), 0, 0), ((1, 250, 4, 1), 1, 1)],
)
def test_auto_engine_uses_fused_scan_where_worthwhile(shape, training, inference, fused_calls, no_library):
    """From 1,000 elements on, and with a backward pass from 8 steps on."""
    layer = sg.GCNLSTM(1, 2)
    for recording, expected in ((True, training), (False, inference)):
        with torch.set_grad_enabled(recording):
            layer(torch.randn(shape), torch.tensor([[0, 1], [1, 2]]))
        assert len(fused_calls) == expected
        fused_calls.clear()


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_checkpoint_every_of_graph_layers_equals_whole(case, engine):
    layer = case.make(num_layers=2, bidirectional=True, engine=engine)
    other = case.make(num_layers=2, bidirectional=True, engine=engine, checkpoint_every=3)
    assert "checkpoint_every=3" in repr(other)
    x, lengths = signal(8, B, N, F), torch.tensor([8, 5])
    agree(case, (layer, other), x, EDGES, [WEIGHTS], lengths=lengths)
    states = [signal(4, B, N, H, seed=3 + i) for i in range(2 if layer.kind == "lstm" else 1)]
    agree(case, (layer, other), x, EDGES, [WEIGHTS], states)
    graphs = tricky_graphs(8)[0]
    agree(case, (layer, other), x, [e for e, _ in graphs], [w for _, w in graphs])


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("make", [partial(sg.GCRN, K=2), sg.LSTM])
def test_checkpoint_every_reduces_peak_memory(engine, make):
    graph = () if make is sg.LSTM else (EDGES,)
    whole, parts = (make(F, 16, engine=engine, checkpoint_every=every) for every in (None, 6))
    x = torch.randn(36, N, F)
    assert peak(parts, x, *graph) < 0.7 * peak(whole, x, *graph)


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


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev])
@pytest.mark.parametrize("engine", ["auto", "fused", "reference"])
def test_checkpoint_every_has_no_effect_in_functorch_transforms(engine, transform):
    """They do not support the hooks of checkpoints."""
    options = {"dtype": torch.float64, "engine": engine, "checkpoint_every": 2}
    for layer, graph in ((sg.LSTM(F, H, **options), ()), (sg.GCNGRU(F, H, **options), (EDGES,))):
        x = leaf(signal(5, N, F))
        (expected,) = torch.autograd.grad(layer(x, *graph)[0].sin().sum(), x)
        close(transform(lambda x, layer=layer, graph=graph: layer(x, *graph)[0].sin().sum())(x.detach()), expected)


@pytest.mark.parametrize("every", [0, 1.5, "2"])
def test_checkpoint_every_invalid_value_raises_value_error(every):
    for layer, make in (("GCRN", partial(sg.GCRN, K=2)), ("LSTM", sg.LSTM)):
        with pytest.raises(ValueError, match=f"{layer}: expected checkpoint_every"):
            make(F, H, checkpoint_every=every)


def test_checkpoint_every_with_native_engine_raises_value_error():
    with pytest.raises(ValueError, match="GRU: expected another engine with checkpoint_every, got 'native'"):
        sg.GRU(F, H, engine="native", checkpoint_every=2)


@pytest.mark.parametrize("version", ["3.3.0", "3.3.1+git1a2b3c", "3.10.0", "4.0"])
def test_check_triton_accepts_versions_from_3_3_on(version, monkeypatch):
    kernels = SimpleNamespace(pointwise=SimpleNamespace(sigmoid=SimpleNamespace()))
    monkeypatch.setitem(sys.modules, "seqgnn.nn.scan.triton", kernels)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__=version, JITFunction=int))
    dispatch.check_triton("Layer", torch.zeros(1))  # interpreted kernels run on the CPU
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__=version, JITFunction=SimpleNamespace))
    with pytest.raises(ValueError, match=r"Layer: expected x on a GPU, or TRITON_INTERPRET=1, .*, got cpu"):
        dispatch.check_triton("Layer", torch.zeros(1))


@pytest.mark.parametrize(("layer", "x"), [(sg.GCNLSTM(F, H), (T, N, F)), (sg.LSTM(F, H), (T, B, F))])
def test_triton_engine_without_triton_raises_value_error(layer, x, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    layer.engine = "triton"
    with pytest.raises(ValueError, match="LSTM: expected triton to be installed for engine='triton', got no module"):
        layer(signal(*x).float(), *([EDGES] if len(x) == 3 and x[1] == N else []))
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.2.0"))
    with pytest.raises(ValueError, match=r"LSTM: expected triton 3.3 or newer for engine='triton', got 3\.2\.0"):
        layer(signal(*x).float(), *([EDGES] if len(x) == 3 and x[1] == N else []))
