"""The equations of one step, by hand: scalars whose sigmoids and tangents are known."""

import math

import pytest
import torch

from seqgnn.nn.scan import functional

LOG3 = math.log(3)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4, tanh(log 3) = 4/5
HALF = torch.tensor([0.5], dtype=torch.float64)


def row(*values):
    return torch.tensor(values, dtype=torch.float64)


def zero(width):
    """A projection of the hidden state that adds nothing."""
    return lambda h: h.new_zeros(width)


def close(found, *expected):
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_rnn_cells_equal_hand_values():
    output, (h,) = functional.rnn_tanh(row(LOG3 - 1), lambda h: 2 * h, (HALF,))
    close(output, 0.8)
    assert h is output
    close(functional.rnn_relu(row(1.0), lambda h: 2 * h, (HALF,))[0], 2.0)
    close(functional.rnn_relu(row(-3.0), lambda h: 2 * h, (HALF,))[0], 0.0)


@pytest.mark.parametrize("channels", [1, 5, 16])
def test_cells_of_many_channels_equal_those_of_torch(channels):
    generator = torch.Generator().manual_seed(channels)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    h, c, x = draw(2, channels), draw(2, channels), draw(2, 3)

    def gates(cell):
        """The pre-activations of the input, and the hidden projection."""
        return x @ cell.weight_ih.T + cell.bias_ih, lambda h: h @ cell.weight_hh.T + cell.bias_hh

    lstm = torch.nn.LSTMCell(3, channels, dtype=torch.float64)
    expected = lstm(x, (h, c))
    gx, project = gates(lstm)
    no_peepholes = functional.PeepholeLSTM(*(torch.zeros(channels, dtype=torch.float64) for _ in range(3)))
    for found in (
        functional.lstm(gx, project, (h, c)),
        no_peepholes(gx, project, (h, c)),
        functional.conv_cell_state_lstm(gx, (project, lambda c: c), (h, c)),
    ):
        torch.testing.assert_close(found[1], expected)
    gru = torch.nn.GRUCell(3, channels, dtype=torch.float64)
    gx, project = gates(gru)
    torch.testing.assert_close(functional.gru(gx, project, (h,))[0], gru(x, h))
    # Where the reset gate is open, it does not matter whether it comes before the projection or after.
    gx = torch.cat([torch.full_like(h, 100.0), gx[:, channels:]], dim=-1)
    split = lambda h: project(h)[:, : 2 * channels], lambda h: project(h)[:, 2 * channels :]
    torch.testing.assert_close(functional.gru_reset_before(gx, split, (h,)), functional.gru(gx, project, (h,)))
    for nonlinearity in ("tanh", "relu"):
        rnn = torch.nn.RNNCell(3, channels, nonlinearity=nonlinearity, dtype=torch.float64)
        found = getattr(functional, f"rnn_{nonlinearity}")(*gates(rnn), (h,))[0]
        torch.testing.assert_close(found, rnn(x, h))


def test_lstm_cell_equals_hand_values():
    # c = 3/4 * 1/2 + 1/4 * 4/5
    output, (h, c) = functional.lstm(row(-LOG3, LOG3, LOG3, 0.0), zero(4), (HALF, HALF))
    close(c, 0.575)
    close(output, 0.5 * math.tanh(0.575))
    assert h is output


def test_peephole_lstm_cell_state_enters_the_gates():
    # Twice c_{t-1} = 1/2 is 1 in i and f, and c_t enters o.
    cell = functional.PeepholeLSTM(row(2.0), row(2.0), row(2.0))
    output, (_, c) = cell(row(-1 - LOG3, -1 + LOG3, LOG3, -2 * 0.575), zero(4), (HALF, HALF))
    close(c, 0.575)
    close(output, 0.5 * math.tanh(0.575))


def test_conv_cell_state_lstm_projects_its_cell_state():
    projections = zero(4), lambda c: 2 * c
    _, (_, c) = functional.conv_cell_state_lstm(row(-LOG3, LOG3, LOG3, 0.0), projections, (HALF, HALF))
    close(c, 0.75 + 0.2)


def test_gru_cells_equal_hand_values():
    # r = 1/4, z = 3/4; h = 1/4 * n + 3/4 * 1/2, with n = tanh(log 3) = 4/5 in both.
    after = functional.gru(row(-LOG3, LOG3, LOG3 - 1), lambda h: row(0.0, 0.0, 4.0), (HALF,))[0]
    close(after, 0.2 + 0.375)
    projections = zero(2), lambda reset: 8 * reset
    before = functional.gru_reset_before(row(-LOG3, LOG3, LOG3 - 1), projections, (HALF,))[0]
    close(before, 0.2 + 0.375)


def test_projected_lstm_output_is_its_projection():
    cell = functional.projected(functional.lstm, torch.tensor([[2.0]], dtype=torch.float64))
    output, (h, c) = cell(row(-LOG3, LOG3, LOG3, 0.0), zero(4), (HALF, HALF))
    close(output, math.tanh(0.575))
    close(c, 0.575)
    assert h is output
