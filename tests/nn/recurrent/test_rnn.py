"""RNN, LSTM and GRU: the written equations against torch's kernels, and what the layers add to torch's."""

import copy
import io
import random

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import seqgnn.nn as ours
from seqgnn.nn import init
from tests.support.releases import lstm_autocasts
from tests.support.rnn_layers import CELLS, LAYERS, close, flat


def configurations(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        name = draw.choice(LAYERS)
        options = {
            "num_layers": draw.randint(1, 3),
            "bias": draw.random() < 0.7,
            "batch_first": draw.random() < 0.5,
            "bidirectional": draw.random() < 0.5,
        }
        if name == "RNN":
            options["nonlinearity"] = draw.choice(["tanh", "relu"])
        if name == "LSTM" and draw.random() < 0.5:
            options["proj_size"] = 3
        form = draw.choice(["padded", "packed", "unsorted", "unbatched"])
        yield name, options, form, draw.random() < 0.5, draw.randint(1, 6)


@pytest.mark.parametrize("name, options, form, given, steps", list(configurations(60, seed=0)))
def test_rnn_layer_reference_engine_equals_torch(name, options, form, given, steps):
    generator = torch.Generator().manual_seed(steps)
    theirs = getattr(nn, name)(4, 5, dtype=torch.float64, **options)
    layer = getattr(ours, name)(4, 5, dtype=torch.float64, engine="reference", **options)
    layer.load_state_dict(theirs.state_dict())
    batch = 3
    shape = (steps, 4) if form == "unbatched" else (batch, steps, 4) if options["batch_first"] else (steps, batch, 4)
    data = torch.randn(shape, dtype=torch.float64, generator=generator)
    lengths = torch.tensor([max(1, steps - 2), steps, max(1, steps - 1)])
    rows = options["num_layers"] * (2 if options["bidirectional"] else 1)
    sizes = [options.get("proj_size", 5), 5] if name == "LSTM" else [5]
    state = [
        torch.randn((rows, n) if form == "unbatched" else (rows, batch, n), dtype=torch.float64, generator=generator)
        for n in sizes
    ]

    def answer(module):
        leaves = [data.clone().requires_grad_()] + [s.clone().requires_grad_() for s in state]
        x = leaves[0]
        if form in ("packed", "unsorted"):
            ends = lengths.sort(descending=True).values if form == "packed" else lengths
            x = pack_padded_sequence(x, ends, options["batch_first"], enforce_sorted=form == "packed")
        hx = (tuple(leaves[1:]) if name == "LSTM" else leaves[1]) if given else None
        result = module(x, hx)
        outputs = flat(result)
        weights = list(module.parameters())
        loss = sum((o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view_as(o)).sum() for o in outputs)
        return result, outputs, torch.autograd.grad(loss, leaves + weights, allow_unused=True)

    expected, outputs, gradients = answer(theirs)
    actual, our_outputs, our_gradients = answer(layer)
    for a, b in zip(our_outputs, outputs, strict=True):
        close(a, b)
    for a, b in zip(our_gradients, gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            close(a, b)
    if isinstance(expected[0], PackedSequence):
        for ours_, theirs_ in zip(actual[0][1:], expected[0][1:], strict=True):
            assert (ours_ is None and theirs_ is None) or torch.equal(ours_, theirs_)


@pytest.mark.parametrize("name", LAYERS)
def test_rnn_layer_dropout_is_equal_for_all_engines(name):
    layer = getattr(ours, name)(4, 5, num_layers=3, dropout=0.5, dtype=torch.float64)
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    answers = []
    for engine in ("auto", "reference"):  # torch's own LSTM has no autocast on CPUs without AVX-512
        layer.engine = engine
        torch.manual_seed(7)
        answers.append(layer(x)[0])
    close(answers[1], answers[0])
    layer.eval()
    evaluated = layer(x)[0]
    layer.engine = "native"
    close(evaluated, layer(x)[0])


@pytest.mark.parametrize("name", LAYERS)
def test_rnn_layer_seeded_weights_and_state_dict_equal_torch(name):
    torch.manual_seed(3)
    theirs = getattr(nn, name)(4, 5, 2, bidirectional=True)
    torch.manual_seed(3)
    layer = getattr(ours, name)(4, 5, 2, bidirectional=True)
    for key, value in theirs.state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)
    theirs.load_state_dict(getattr(ours, name)(4, 5, 2, bidirectional=True).state_dict())
    assert isinstance(layer, getattr(nn, name))


@pytest.mark.parametrize("name", LAYERS + CELLS)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_rnn_layer_and_cell_copies_are_equal_and_independent(name, engine):
    module = getattr(ours, name)(4, 5, engine=engine)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    x = torch.randn(2, 4) if name in CELLS else torch.randn(3, 2, 4)
    for other in (copy.deepcopy(module), torch.load(buffer, weights_only=False)):
        assert other.engine == engine
        assert torch.equal(flat(other(x))[0], flat(module(x))[0])
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1)
        assert not torch.equal(flat(other(x))[0], flat(module(x))[0])


def test_lstm_repr_lists_options_other_than_defaults():
    assert repr(ours.LSTM(4, 5)) == "LSTM(4, 5)"
    layer = ours.LSTM(4, 5, num_layers=2, engine="reference", recurrent_bias=False, forget_bias=1.0)
    expected = "LSTM(4, 5, num_layers=2, engine='reference', recurrent_bias=False, init=[forget_bias(value=1.0)])"
    assert repr(layer) == expected


@pytest.mark.parametrize("name, gates", [("RNN", 1), ("LSTM", 4), ("RNNCell", 1), ("LSTMCell", 4)])
def test_rnn_layer_with_one_bias_equals_torch(name, gates):
    module = getattr(ours, name)(3, 5, recurrent_bias=False)
    assert sum(p.numel() for p in module.parameters()) == gates * (3 * 5 + 5 * 5 + 5)
    theirs = getattr(nn, name)(3, 5)
    module.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3) if name.endswith("Cell") else torch.randn(4, 2, 3)
    close(flat(module(x))[0], flat(theirs(x))[0], 1e-5)
    assert all(not buffer.any() for buffer in module.buffers())
    theirs.load_state_dict(module.state_dict())
    close(flat(module(x))[0], flat(theirs(x))[0], 1e-5)
    module.reset_parameters()
    assert all(not buffer.any() for buffer in module.buffers())
    flat(module.double()(x.double()))[0].sum().backward()
    copied = copy.deepcopy(module)
    close(flat(copied(x.double()))[0], flat(module(x.double()))[0], 0)


def test_lstm_pruned_state_dict_loads_with_its_mask():
    layer, other = (prune.random_unstructured(ours.LSTM(4, 6), "weight_hh_l0", 0.5) for _ in range(2))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight_hh_l0_mask, layer.weight_hh_l0_mask) and layer.weight_hh_l0_mask.any()


def test_lstm_one_bias_stays_one_after_partial_or_failed_load():
    layer, theirs = ours.LSTM(3, 5, recurrent_bias=False), nn.LSTM(3, 5)
    before = layer.bias_ih_l0.detach().clone()
    part = {key: value for key, value in theirs.state_dict().items() if key != "bias_ih_l0"}
    layer.load_state_dict(part, strict=False)
    assert not layer.bias_hh_l0.any()
    close(layer.bias_ih_l0, before + theirs.bias_hh_l0, 1e-6)
    with pytest.raises(RuntimeError, match="size mismatch for bias_ih_l0"):
        layer.load_state_dict({**theirs.state_dict(), "bias_ih_l0": torch.zeros(1)})
    assert not layer.bias_hh_l0.any()


@pytest.mark.parametrize("name", LAYERS)
def test_rnn_layer_functorch_and_forward_mode_equal_loop(name):
    layer = getattr(ours, name)(3, 4)
    x = torch.randn(5, 6, 2, 3)
    close(torch.func.vmap(lambda x: layer(x)[0])(x), torch.stack([layer(row)[0] for row in x]), 1e-5)
    tangent = torch.func.jvp(lambda x: layer(x)[0], (x[0],), (torch.ones_like(x[0]),))[1]
    step = (layer(x[0] + 1e-3)[0] - layer(x[0] - 1e-3)[0]) / 2e-3
    close(tangent, step, 1e-2)


def test_lstm_state_in_a_list_equals_a_tuple():
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    for engine in ("native", "reference"):
        layer, cell = ours.LSTM(3, 4, engine=engine), ours.LSTMCell(3, 4, engine=engine)
        close(layer(x, [h, h])[0], layer(x, (h, h))[0], 0)
        close(cell(x[0], [h[0], h[0]])[0], cell(x[0], (h[0], h[0]))[0], 0)


def test_lstm_one_bias_parameter_count_equals_formula():
    layer = ours.LSTM(10, 128, recurrent_bias=False)
    assert sum(p.numel() for p in layer.parameters()) == 4 * (10 * 128 + 128 * 128 + 128)


@pytest.mark.parametrize("name", LAYERS)
def test_rnn_layer_bias_false_has_no_bias(name):
    layer = getattr(ours, name)(3, 5, bias=False)
    assert not any("bias" in key for key in layer.state_dict())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_lstm_compiled_and_autocast_are_close():
    layer = ours.LSTM(3, 5, engine="reference")
    x = torch.randn(4, 2, 3)
    compiled = torch.compile(layer, backend="eager")
    close(compiled(x)[0], layer(x)[0], 1e-6)
    for engine in ("auto", "native", "reference") if lstm_autocasts() else ("auto", "reference"):
        layer.engine = engine
        with torch.autocast("cpu", torch.bfloat16):
            output = layer(x)[0]
        close(output.float(), layer(x)[0], 3e-2)


def test_gru_bfloat16_weights_are_close():
    layer = ours.GRU(3, 5, engine="reference")
    x = torch.randn(4, 2, 3)
    expected = layer(x)[0]
    close(layer.bfloat16()(x.bfloat16())[0].float(), expected, 3e-2)


def test_lstm_functional_call_passes_gradcheck():
    layer = ours.LSTM(2, 3, dtype=torch.float64, engine="reference")
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*((n, p.detach().requires_grad_()) for n, p in layer.named_parameters()))
    call = lambda x, *weights: torch.func.functional_call(layer, dict(zip(names, weights)), (x,))[0]  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, *values))


# Errors


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ours.LSTM(3, 4, engine="refrence"), "LSTM: expected engine .* did you mean 'reference'"),
        (lambda: ours.RNN(3, 4, nonlinearity="tan"), "RNN: expected nonlinearity .* got 'tan'"),
        (lambda: ours.RNNCell(3, 4, nonlinearity="sin"), "RNNCell: expected nonlinearity .* got 'sin'"),
        (lambda: ours.LSTM(3, 4, init="ortogonal"), "LSTM: expected init .* did you mean 'orthogonal'"),
        (lambda: ours.LSTM(3, 4, init="chrono"), "LSTM: expected init.chrono.* without t_max"),
        (lambda: init.chrono(t_max=1), "expected t_max to be an integer >= 2, got 1"),
        (lambda: init.chrono(t_max=float("nan")), "expected t_max to be an integer >= 2, got nan"),
        (lambda: ours.LSTM(3, 4, forget_bias=float("nan")), "init.forget_bias: expected a finite number .*got nan"),
        (lambda: ours.LSTM(3, 4, init=[init.chrono(9), init.forget_bias(1.0)]), "chrono or forget_bias, got both"),
        (lambda: ours.LSTM(3, 4, init=[init.chrono(9), "xavier"]), "expected xavier before chrono, forget_bias"),
        (lambda: ours.LSTM(3, 4, init=init.orthogonal), "expected an initialization, such as init.orthogonal\\(\\)"),
        (lambda: ours.LSTM(3, 4, init=[None]), "expected an initialization, .* got None"),
        (lambda: ours.LSTMCell(3, 0), "LSTMCell: expected hidden_size to be an integer of at least 1, got 0"),
        (lambda: ours.LSTM(3, 4, init=init.chrono(t_max=9), forget_bias=1.0), "chrono or forget_bias, got both"),
        (lambda: ours.RNN(3, 4, init=init.chrono(t_max=9)), "RNN: expected init chrono .* gru .*, got it on rnn"),
        (lambda: ours.RNN(3, 4, init=init.latch(gain=1)), "init.latch: expected gain to be a number above 1, got 1"),
        (lambda: ours.LSTM(3, 4, init="identity"), "LSTM: expected init identity .* rnn, got it on lstm"),
        (lambda: ours.GRU(3, 4, forget_bias=1.0), "GRU: expected init forget_bias .* lstm .*, got it on gru"),
        (lambda: ours.LSTM(3, 4, bias=False, forget_bias=1.0), "LSTM: expected bias=True for forget_bias"),
        (lambda: ours.GRU(3, 4, recurrent_bias=False), "GRU: expected recurrent_bias=True"),
        (lambda: ours.GRUCell(3, 4, recurrent_bias=False), "GRUCell: expected recurrent_bias=True"),
    ],
)
def test_rnn_layer_invalid_options_raise_value_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize(
    "x, hx, message",
    [
        (torch.zeros(2, 3, 4, 5), None, "LSTM: expected input of rank 2 or 3 with 4 channels .* shape"),
        (torch.zeros(2, 3, 5), None, "LSTM: expected input .* with 4 channels .* \\(2, 3, 5\\)"),
        (torch.zeros(0, 3, 4), None, "LSTM: expected at least one time step, got shape \\(0, 3, 4\\)"),
        (torch.zeros(2, 3, 4, dtype=torch.float64), None, "LSTM: expected input of torch.float32"),
        (torch.zeros(2, 3, 4, device="meta"), None, "LSTM: expected input on cpu, .* got meta"),
        ([1, 2], None, "LSTM: expected a tensor, got list"),
        (torch.zeros(2, 3, 4), torch.zeros(1, 3, 6), "LSTM: expected a state \\(h, c\\) .* got shape \\(1, 3, 6\\)"),
        (torch.zeros(2, 3, 4), (torch.zeros(1, 2, 6), torch.zeros(1, 3, 6)), "expected a state .* \\(1, 3, 6\\)"),
        (torch.zeros(2, 4), (torch.zeros(1, 1, 6), torch.zeros(1, 1, 6)), "expected a state .* \\(1, 6\\)"),
        (torch.zeros(2, 3, 4), (torch.zeros(1, 3, 6), torch.zeros(1, 3, 6, device="meta")), "state on cpu.* got meta"),
        (torch.zeros(2, 3, 4), (torch.zeros(1, 3, 6).double(),) * 2, "LSTM: expected a state of torch.float32"),
        (torch.zeros(2, 3, 4, device="meta").double(), None, "LSTM: expected input on cpu"),
        (torch.zeros(2, 3, 4), (1, 2), "LSTM: expected a state .* got \\(int, int\\)"),
    ],
)
def test_lstm_invalid_input_or_state_raises_value_error(engine, x, hx, message):
    with pytest.raises(ValueError, match=message):
        ours.LSTM(4, 6, engine=engine)(x, hx)


def test_gru_invalid_cell_or_packed_input_raises_value_error():
    with pytest.raises(ValueError, match="GRUCell: expected input of rank 1 or 2 with 4 channels"):
        ours.GRUCell(4, 6)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="GRUCell: expected a state h of shape \\(2, 6\\)"):
        ours.GRUCell(4, 6)(torch.zeros(2, 4), torch.zeros(3, 6))
    packed = pack_padded_sequence(torch.zeros(3, 2, 4), torch.tensor([3, 1]))
    with pytest.raises(ValueError, match="GRU: expected a state h of shape \\(1, 2, 6\\), got shape \\(1, 3, 6\\)"):
        ours.GRU(4, 6)(packed, torch.zeros(1, 3, 6))


@pytest.mark.gpu
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_rnn_layer_on_gpu_equals_cpu(name, engine):
    layer = getattr(ours, name)(4, 5, 2, bidirectional=True, dtype=torch.float64, engine=engine)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    expected = layer(x)[0]
    close(layer.cuda()(x.cuda())[0].cpu(), expected, 1e-9)
    with pytest.raises(ValueError, match="expected input on cuda:0"):
        layer(x)


@pytest.mark.gpu
def test_lstm_with_one_bias_on_gpu_equals_torch():
    layer = ours.LSTM(4, 5, recurrent_bias=False).cuda()
    expected = nn.LSTM(4, 5).cuda()
    expected.load_state_dict(layer.state_dict())
    x = torch.randn(6, 3, 4, device="cuda")
    output = layer(x)[0]
    close(output, expected(x)[0], 1e-3)
    output.sum().backward()
    assert layer.weight_hh_l0.grad is not None
