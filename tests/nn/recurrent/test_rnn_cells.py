"""RNNCell, LSTMCell and GRUCell against torch.nn and the oracle."""

import itertools

import pytest
import torch
from torch import nn

import seqgnn.nn as ours
from tests.support import oracles
from tests.support.rnn_layers import CELLS, close, flat
from tests.support.rnn_oracle import CASES, B, F, H, name, oracle_parameters


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias, batched, given", list(itertools.product([True, False], repeat=3)))
def test_rnn_cell_reference_engine_equals_torch(name, bias, batched, given):
    theirs = getattr(nn, name)(4, 5, bias, dtype=torch.float64)
    cell = getattr(ours, name)(4, 5, bias, dtype=torch.float64, engine="reference")
    cell.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 4, dtype=torch.float64) if batched else torch.randn(4, dtype=torch.float64)
    h = torch.randn(*x.shape[:-1], 5, dtype=torch.float64)
    state = None if not given else (h, 2 * h) if name == "LSTMCell" else h
    expected, actual, native = theirs(x, state), cell(x, state), None
    cell.engine = "native"
    native = cell(x, state)
    for a, b, c in zip(flat(actual), flat(expected), flat(native), strict=True):
        close(a, b)
        assert torch.equal(b, c)


def test_rnn_cell_with_relu_equals_torch():
    cell = ours.RNNCell(4, 5, nonlinearity="relu", engine="reference")
    x = torch.randn(3, 4)
    expected = nn.RNNCell(4, 5, nonlinearity="relu")
    expected.load_state_dict(cell.state_dict())
    close(cell(x), expected(x), 1e-5)


@pytest.mark.parametrize("case", [*CASES[:3], CASES[4], ("gru", {"bias": False}, {})], ids=name)
def test_rnn_cell_equals_one_step_of_oracle(case):
    kind, options, cell_options = case
    torch.manual_seed(5)
    cell = getattr(ours, f"{kind.upper()}Cell")(F, H, dtype=torch.float64, **options)
    parameters = oracle_parameters(cell)
    x = torch.randn(B, F, dtype=torch.float64)
    state = tuple(torch.randn(B, H, dtype=torch.float64) for _ in range(2 if kind == "lstm" else 1))
    expected = oracles.STEPS[kind](parameters, "", x, state, None, None, **cell_options)

    found = cell(x, state if kind == "lstm" else state[0])
    found = found if kind == "lstm" else (found,)
    for value, wanted in zip(found, expected, strict=True):
        oracles.close(value, wanted)
    sum((value**2).sum() for value in found).backward()
    sum((value**2).sum() for value in expected).backward()
    for key, parameter in cell.named_parameters():
        oracles.close(parameter.grad, parameters[key].grad)
