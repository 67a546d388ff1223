"""Recipes of initialization: distributions, biases and their order."""

import math

import pytest
import torch

import seqgnn.nn as ours
from seqgnn.nn import init
from tests.support.rnn_layers import close


def gate(tensor, index, hidden=64):
    return tensor[index * hidden : (index + 1) * hidden]


def test_lstm_forget_bias_is_the_sum_of_both_biases():
    layer = ours.LSTM(3, 64, 2, bidirectional=True, forget_bias=2.5)
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        total = getattr(layer, "bias_ih" + suffix) + getattr(layer, "bias_hh" + suffix)
        assert torch.equal(gate(total, 1), torch.full((64,), 2.5))
        assert not torch.equal(gate(total, 0), torch.full((64,), 2.5))
    layer.reset_parameters()
    assert torch.equal(gate(layer.bias_ih_l1 + layer.bias_hh_l1, 1), torch.full((64,), 2.5))


def test_chrono_init_biases_are_in_range_and_opposite():
    layer = ours.LSTM(3, 64, init=init.chrono(t_max=100))
    total = layer.bias_ih_l0 + layer.bias_hh_l0
    keep = gate(total, 1).exp()
    assert keep.min() >= 1 and keep.max() <= 99 and 30 < keep.mean() < 70
    assert torch.equal(gate(total, 0), -gate(total, 1))
    gru = ours.GRU(3, 64, init=init.chrono(t_max=2))
    assert torch.equal(gate(gru.bias_ih_l0 + gru.bias_hh_l0, 1), torch.zeros(64))


def test_orthogonal_init_is_per_gate_and_inits_apply_in_order():
    layer = ours.LSTM(3, 64, init=["xavier", "orthogonal", init.chrono(t_max=10)])
    for index in range(4):
        block = gate(layer.weight_hh_l0, index)
        close(block @ block.t(), torch.eye(64), 1e-5)
    assert not layer.bias_hh_l0.any() and gate(layer.bias_ih_l0, 1).any() and not gate(layer.bias_ih_l0, 2).any()


def test_xavier_init_fans_are_those_of_one_gate():
    torch.manual_seed(0)
    layer = ours.LSTM(64, 64, init="xavier")
    assert layer.weight_ih_l0.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.03)


def test_identity_init_has_small_input_weights_and_no_bias():
    layer = ours.RNN(10, 64, init="identity")
    assert torch.equal(layer.weight_hh_l0, torch.eye(64))
    assert layer.weight_ih_l0.std().item() == pytest.approx(0.001, rel=0.2)
    assert not layer.bias_ih_l0.any() and not layer.bias_hh_l0.any()


def test_latch_init_preserves_signs_below_its_threshold():
    layer = ours.RNN(10, 64, init=init.latch(gain=1.5))
    assert torch.equal(layer.weight_hh_l0, 1.5 * torch.eye(64))
    assert layer.weight_ih_l0.std().item() == pytest.approx(0.1, rel=0.2)
    assert not layer.bias_ih_l0.any() and not layer.bias_hh_l0.any()
    layer = ours.RNN(1, 2, init="latch")
    edge = 2**0.5 - math.acosh(2**0.5)
    for push, held in ((0.99 * edge, True), (1.01 * edge, False)):
        with torch.no_grad():
            layer.weight_ih_l0.copy_(torch.tensor([[1.0], [1.0]]))
            output, _ = layer(torch.full((2000, 1), -push), torch.tensor([[0.9, -0.9]]))
        assert (output[-1] > 0).tolist() == [held, False]


def test_ramp_init_draws_candidate_biases_and_nothing_else():
    torch.manual_seed(0)
    for layer, gates in ((ours.MinGRU, 2), (ours.MinLSTM, 3)):
        made = layer(3, 2000, num_layers=2, init=["xavier", init.chrono(t_max=50), init.ramp(std=0.5)])
        for bias in (made.bias_ih_l0, made.bias_ih_l1):
            parts = bias.chunk(gates)
            assert parts[-1].std().item() == pytest.approx(0.5, rel=0.1) and abs(parts[-1].mean()) < 0.05
            assert abs(parts[0]).max() <= math.log(49) + 1e-6
    assert abs(ours.MinGRU(3, 2000, init="ramp").bias_ih_l0.chunk(2)[1].std() - 1) < 0.1


def test_ramp_init_makes_states_follow_the_time_since_the_start():
    layer = ours.MinGRU(1, 5, init=["xavier", init.chrono(t_max=20), "ramp"]).double()
    output, _ = layer(torch.zeros(30, 1, dtype=torch.float64))
    bias_z, bias_c = layer.bias_ih_l0.chunk(2)
    time = torch.arange(1, 31, dtype=torch.float64)[:, None]
    close(output, bias_c * (1 - (1 - bias_z.sigmoid()) ** time), 1e-10)


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf, "1"])
def test_ramp_init_invalid_std_raises_value_error(std):
    with pytest.raises(ValueError, match=r"init.ramp: expected std to be a finite number above 0, got"):
        init.ramp(std=std)


def test_torch_init_and_custom_init_set_the_weights():
    layer = ours.RNN(3, 4, init=["identity", "torch"])
    assert layer.weight_ih_l0.abs().max() > 0.01
    layer = ours.LSTM(3, 4, init=lambda kind, gates: gates.weight_hh[2].fill_(7.0))
    assert torch.equal(gate(layer.weight_hh_l0, 2, 4), torch.full((4, 4), 7.0))
