"""MinGRU and MinLSTM: forms of input, states, options and errors; their equations are in test_minimal_oracle.py."""

import copy
import math
import pickle

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqgnn import nn as sg
from seqgnn.nn import init
from tests.support.oracles import close, gradient, leaf

LAYERS = (sg.MinGRU, sg.MinLSTM)
CELLS = (sg.MinGRUCell, sg.MinLSTMCell)
F, H, T, B = 4, 5, 6, 3


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def build(layer, **options):
    torch.manual_seed(0)
    return layer(F, H, dtype=torch.float64, **options)


@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_step_by_step_equals_whole(layer):
    layer, x, state = build(layer, num_layers=2), signal(50, B, F), signal(2, B, H, seed=1)
    expected, last = layer(x, state)
    outputs = []
    for step in x:
        output, state = layer(step[None], state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-10)


@pytest.mark.parametrize("layer, cell", list(zip(LAYERS, CELLS)))
def test_minimal_cell_equals_one_step_of_layer(layer, cell):
    layer, cell, x, h = build(layer), build(cell), signal(B, F), signal(B, H, seed=1)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    close(cell(x, h), layer(x[None], h[None])[0][0])
    close(cell(x), layer(x[None])[0][0])
    close(cell(x[0], h[0]), cell(x, h)[0])


@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_forms_of_input_are_equal(layer):
    layer, x, state = build(layer, num_layers=2, bidirectional=True), signal(T, B, F), signal(4, B, H, seed=1)
    output, last = layer(x, state)
    layer.batch_first = True
    swapped, swapped_last = layer(x.transpose(0, 1), state)
    close(swapped.transpose(0, 1), output)
    close(swapped_last, last)
    for b in range(B):
        one, one_last = layer(x[:, b], state[:, b])
        close(one, output[:, b])
        close(one_last, last[:, b])


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_packed_and_lengths_equal_single_sequences(layer, is_sorted):
    layer, x, state = build(layer, num_layers=2, bidirectional=True), signal(T, B, F), signal(4, B, H, seed=1)
    lengths = torch.tensor([6, 4, 1] if is_sorted else [4, 1, 6])
    spoilt = x.clone()
    for b, length in enumerate(lengths):
        spoilt[length:, b] = torch.nan
    padded, last = layer(spoilt, state, lengths)
    packed, packed_last = layer(pack_padded_sequence(x, lengths, enforce_sorted=is_sorted), state)
    assert isinstance(packed, PackedSequence)
    close(pad_packed_sequence(packed)[0], padded)
    close(packed_last, last)
    for b, length in enumerate(lengths):
        one, one_last = layer(x[:length, b], state[:, b])
        close(padded[:length, b], one)
        close(last[:, b], one_last)
        assert not padded[length:, b].any()
    padded.sum().backward()
    assert all(gradient(p).isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_passes_gradcheck(layer):
    layer = build(layer, bidirectional=True)
    x, state = leaf(signal(3, 2, F)), leaf(signal(2, 2, H, seed=1))
    lengths = torch.tensor([3, 2])
    assert torch.autograd.gradcheck(lambda *inputs: layer(*inputs, lengths), (x, state))
    assert torch.autograd.gradgradcheck(lambda *inputs: layer(*inputs, lengths), (x, state))


@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_parameters_have_torch_names_and_shapes(layer):
    gates = 2 if layer is sg.MinGRU else 3
    shapes = {name: tuple(value.shape) for name, value in layer(F, H, 2, bidirectional=True).named_parameters()}
    assert shapes == {
        f"{name}_l{number}{end}": (gates * H, (F, 2 * H)[number])[: 2 if name == "weight_ih" else 1]
        for number in (0, 1)
        for end in ("", "_reverse")
        for name in ("weight_ih", "bias_ih")
    }
    assert [name for name, _ in layer(F, H, bias=False).named_parameters()] == ["weight_ih_l0"]


@pytest.mark.parametrize("kind", LAYERS + CELLS)
def test_minimal_layer_copies_are_equal_until_reset(kind):
    module, x = build(kind), signal(B, F) if kind in CELLS else signal(T, B, F)
    expected = module(x)
    expected = expected if kind in CELLS else expected[0]
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        output = copied(x)
        assert torch.equal(output if kind in CELLS else output[0], expected)
        assert repr(copied) == repr(module) == f"{kind.__name__}({F}, {H})"
    module.reset_parameters()
    output = module(x)
    assert not torch.equal(output if kind in CELLS else output[0], expected)


def test_minimal_layer_repr_lists_options_other_than_defaults():
    layer = sg.MinLSTM(4, 5, num_layers=2, dropout=0.1, engine="reference", forget_bias=1.0)
    expected = "MinLSTM(4, 5, num_layers=2, dropout=0.1, engine='reference', init=[forget_bias(value=1.0)])"
    assert repr(layer) == expected


def test_minimal_layer_chrono_init_sets_time_scales():
    lstm, gru = sg.MinLSTM(3, 1000, init=init.chrono(t_max=100)), sg.MinGRU(3, 1000, init=init.chrono(t_max=100))
    f, i, _ = lstm.bias_ih_l0.chunk(3)
    assert torch.equal(f, -i) and f.min() >= 0 and f.max() <= math.log(99)
    keep = f.sigmoid() / (f.sigmoid() + i.sigmoid())
    torch.testing.assert_close(keep, f.sigmoid())
    z, _ = gru.bias_ih_l0.chunk(2)
    assert -math.log(99) <= z.min() and z.max() <= 0
    f, i, _ = sg.MinLSTM(3, 4, forget_bias=2.0).bias_ih_l0.chunk(3)
    assert (f == 2).all() and not (i == 2).any()


@pytest.mark.parametrize("layer", LAYERS)
def test_minimal_layer_dropout_is_between_layers_in_training(layer):
    layer, x = build(layer, num_layers=2, dropout=0.5), signal(T, B, F)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="between layers, and num_layers is 1"):
        type(layer)(F, H, dropout=0.5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"engine": "native"}, "MinGRU: expected engine to be one of .*reference.*, got 'native'"),
        ({"init": "orthogonal"}, "init orthogonal on a layer of kind rnn or lstm or gru, got it on mingru"),
        ({"forget_bias": 1.0}, "got it on mingru"),
        ({"num_layers": 0}, "MinGRU: expected num_layers"),
        ({"bias": False, "init": init.chrono(t_max=9)}, "expected bias=True for chrono, got bias=False"),
        ({"bias": False, "init": "ramp"}, "expected bias=True for ramp, got bias=False"),
        ({"init": ["ramp", "xavier"]}, "expected xavier before chrono, forget_bias or ramp, got it after"),
    ],
)
def test_minimal_layer_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        sg.MinGRU(F, H, **options)


def test_minimal_layer_invalid_input_raises_value_error():
    layer, x = build(sg.MinLSTM), signal(T, B, F)
    wrong = {
        "expected input of rank 2 or 3 with 4 channels": (x[..., 1:],),
        "expected input of torch.float64": (x.float(),),
        "expected a tensor, got list": ([1.0],),
        "expected at least one time step": (x[:0],),
        r"expected a state h of shape \(1, 3, 5\)": (x, signal(1, 2, H)),
        "expected a state h": (x, (signal(1, B, H), signal(1, B, H))),
        "expected lengths between 1 and 6": (x, None, torch.tensor([0, 1, 2])),
        r"expected integer lengths of shape \(3,\)": (x, None, torch.tensor([1, 2])),
        "expected lengths with a batch of padded sequences, got shape": (x[:, 0], None, torch.tensor([1])),
        "expected lengths with a batch of padded sequences, got PackedSequence": (
            pack_padded_sequence(x, torch.tensor([3, 2, 1])), None, torch.tensor([3, 2, 1]),
        ),
    }  # fmt: skip
    for message, arguments in wrong.items():
        with pytest.raises(ValueError, match=f"^MinLSTM: {message}"):
            layer(*arguments)


def test_minimal_cell_invalid_input_raises_value_error():
    with pytest.raises(ValueError, match="MinGRUCell: expected input of rank 1 or 2 with 4 channels"):
        build(sg.MinGRUCell)(signal(B, F + 1))
    with pytest.raises(ValueError, match="MinGRUCell: expected a state h of shape"):
        build(sg.MinGRUCell)(signal(B, F), signal(B, H + 1))
