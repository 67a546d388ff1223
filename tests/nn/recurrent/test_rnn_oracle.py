"""RNN, LSTM and GRU against loops over time steps and gates, and those loops against torch.nn."""

import pytest
import torch

import seqgnn.nn
from tests.support import oracles
from tests.support.rnn_oracle import CASES, B, F, H, T, name, oracle_parameters

LENGTHS = torch.tensor([3, 5, 1, 4])


def draw_state(layer, kind, generator):
    slots = layer.num_layers * (2 if layer.bidirectional else 1)
    h = torch.randn(slots, B, layer.proj_size or H, generator=generator, dtype=torch.float64)
    c = torch.randn(slots, B, H, generator=generator, dtype=torch.float64)
    return (h, c) if kind == "lstm" else (h,)


def compare(layer, kind, cell_options, lengths, with_state, seed=0):
    """Outputs, last states and the gradients of all of them, layer against oracle, on the same draw."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, F, generator=generator, dtype=torch.float64)
    state = draw_state(layer, kind, generator) if with_state else None

    parameters, oracle_x = oracle_parameters(layer), oracles.leaf(x)
    oracle_state = None if state is None else tuple(oracles.leaf(s) for s in state)
    expected, expected_states = oracles.recurrent(
        kind,
        parameters,
        oracle_x,
        num_layers=layer.num_layers,
        bidirectional=layer.bidirectional,
        lengths=lengths,
        state=oracle_state,
        **cell_options,
    )

    x = x.requires_grad_()
    state = None if state is None else tuple(s.requires_grad_() for s in state)
    given = state if state is None or kind == "lstm" else state[0]
    if lengths is None:
        output, states = layer(x.transpose(0, 1) if layer.batch_first else x, given)
        output = output.transpose(0, 1) if layer.batch_first else output
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        output, states = layer(packed, given)
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=T)
    states = states if kind == "lstm" else (states,)

    oracles.close(output, expected)
    for found, wanted in zip(states, expected_states, strict=True):
        oracles.close(found, wanted)

    weights = [torch.randn(s.shape, generator=generator, dtype=torch.float64) for s in (expected, *expected_states)]
    sum((value * w).sum() for value, w in zip((output, *states), weights)).backward()
    sum((value * w).sum() for value, w in zip((expected, *expected_states), weights)).backward()
    oracles.close(x.grad, oracle_x.grad)
    for key, parameter in layer.named_parameters():
        oracles.close(parameter.grad, parameters[key].grad)
    for found, wanted in zip(state or (), oracle_state or ()):
        oracles.close(found.grad, wanted.grad)


@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
def test_oracle_recurrent_equals_torch(case, lengths):
    kind, options, cell_options = case
    torch.manual_seed(1)
    layer = getattr(torch.nn, kind.upper())(F, H, 2, bidirectional=True, dtype=torch.float64, **options)
    compare(layer, kind, cell_options, lengths, with_state=True)


def test_oracle_recurrent_without_bias_or_state_equals_torch():
    torch.manual_seed(2)
    compare(torch.nn.GRU(F, H, bias=False, dtype=torch.float64), "gru", {}, None, with_state=False)


# The library


def build(kind, *args, **options):
    torch.manual_seed(3)
    return getattr(seqgnn.nn, kind.upper())(*args, dtype=torch.float64, **options)


@pytest.mark.parametrize("engine", ["reference", "auto", "native"])
@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
def test_rnn_layer_equals_oracle(case, lengths, engine):
    kind, options, cell_options = case
    layer = build(kind, F, H, 2, bidirectional=True, engine=engine, **options)
    compare(layer, kind, cell_options, lengths, with_state=True)


@pytest.mark.parametrize("engine", ["reference", "auto", "native"])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("options", [{"bias": False}, {"batch_first": True}], ids=str)
def test_rnn_layer_from_zero_state_equals_oracle(kind, options, engine):
    compare(build(kind, F, H, engine=engine, **options), kind, {}, None, with_state=False)


@pytest.mark.parametrize("engine", ["reference", "auto", "native"])
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_rnn_layer_with_one_bias_equals_oracle(kind, engine):
    layer = build(kind, F, H, 2, engine=engine, recurrent_bias=False)
    assert not [key for key, _ in layer.named_parameters() if key.startswith("bias_hh")]
    compare(layer, kind, {}, LENGTHS, with_state=False)


@pytest.mark.parametrize("forget_bias", [1.0, -2.0])
def test_lstm_forget_bias_is_the_sum_of_both_biases(forget_bias):
    layer = build("lstm", F, H, 2, forget_bias=forget_bias)
    for suffix in ("l0", "l1"):
        total = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
        oracles.close(total[H : 2 * H], torch.full((H,), forget_bias, dtype=torch.float64))
    compare(layer, "lstm", {}, None, with_state=True)
