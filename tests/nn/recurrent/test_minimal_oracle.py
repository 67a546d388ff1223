"""MinGRU, MinLSTM and their graph versions against loops over steps, sequences and nodes, and those loops by hand."""

import math

import numpy as np
import pytest
import torch

from seqgnn.nn import GCNMinGRU, GCNMinLSTM, MinGRU, MinLSTM
from tests.support import oracles
from tests.support.minimal_oracle import GATES, Network, gcn_matrix, step

KINDS = list(GATES)
T, B, N, F, H = 4, 3, 3, 2, 3
LENGTHS = [2, 4, 1]
EDGES, WEIGHTS = [(0, 1), (1, 2), (0, 2)], [0.5, 2.0, 1.5]  # directed: 0 is a source, 2 a sink
STEP = 1e-5


def draw(kind, *, num_layers=1, bidirectional=False, bias=True, nodes=(), seed=0):
    """Random parameters, x and initial states."""
    generator = np.random.default_rng(seed)
    suffixes = ("", "_reverse") if bidirectional else ("",)
    parameters = {}
    for layer in range(num_layers):
        for suffix in suffixes:
            size = F if layer == 0 else H * len(suffixes)
            parameters[f"weight_ih_l{layer}{suffix}"] = generator.normal(size=(len(GATES[kind]) * H, size))
            if bias:
                parameters[f"bias_ih_l{layer}{suffix}"] = generator.normal(size=len(GATES[kind]) * H)
    x = generator.normal(size=(T, B, *nodes, F))
    return parameters, x, generator.normal(size=(num_layers * len(suffixes), B, *nodes, H))


# The equations, by hand


def test_sigmoid_gate_of_zero_takes_the_mean_of_state_and_candidate():
    # z = sigmoid(0) = 1/2, c = 3, h' = 1: h = 1/2 + 3/2
    assert step("mingru", np.array([0.0, 3.0]), np.array([1.0])) == [2.0]
    # f = i = 1/2, so that both shares are 1/2
    assert step("minlstm", np.array([0.0, 0.0, 3.0]), np.array([1.0])) == [2.0]


def test_mingru_step_equals_hand_computed_value():
    # z = sigmoid(ln 3) = 3/4, c = 8, h' = 4: h = 4/4 + 3/4 * 8
    assert step("mingru", np.array([math.log(3), 8.0]), np.array([4.0])) == pytest.approx([7.0], rel=1e-14)


def test_minlstm_step_equals_hand_computed_value():
    # f = sigmoid(ln 3) = 3/4, i = sigmoid(-ln 3) = 1/4; f / (f + i) = 3/4
    gx = np.array([math.log(3), -math.log(3), 8.0])
    assert step("minlstm", gx, np.array([4.0])) == pytest.approx([5.0], rel=1e-14)
    # f = 1/2, i = 1/3 (a_i = -ln 2); f / (f + i) = 3/5
    gx = np.array([0.0, -math.log(2), 10.0])
    assert step("minlstm", gx, np.array([5.0])) == pytest.approx([7.0], rel=1e-14)


def test_mingru_over_three_steps_equals_hand_computed_values():
    # W_z = ln 3, b_z = 0, W_h = 4, b_h = 2; x = 1, -1, 1: z = 3/4, 1/4, 3/4 and c = 6, -2, 6
    parameters = {"weight_ih_l0": np.array([[math.log(3)], [4.0]]), "bias_ih_l0": np.array([0.0, 2.0])}
    x = np.array([1.0, -1.0, 1.0]).reshape(3, 1, 1)
    output, last = Network("mingru", parameters).forward(x)
    assert output.ravel() == pytest.approx([4.5, 2.875, 5.21875], rel=1e-14)
    assert last.ravel() == pytest.approx([5.21875], rel=1e-14)
    # from the initial state 2 and with length 2: 2/4 + 4.5, then 3/4 * 5 - 2/4
    output, last = Network("mingru", parameters).forward(x, np.array([[[2.0]]]), [2])
    assert output.ravel() == pytest.approx([5.0, 3.25, 0.0], rel=1e-14)
    assert last.ravel() == pytest.approx([3.25], rel=1e-14)


def test_second_direction_starts_at_the_end_of_each_sequence():
    # both directions as above; the second sees -1, then 1 of a sequence of length 2: -2/4, then -0.5/4 + 3/4 * 6
    weight, bias = np.array([[math.log(3)], [4.0]]), np.array([0.0, 2.0])
    parameters = {"weight_ih_l0": weight, "bias_ih_l0": bias}
    parameters |= {"weight_ih_l0_reverse": weight, "bias_ih_l0_reverse": bias}
    output, last = Network("mingru", parameters).forward(np.array([1.0, -1.0, 1.0]).reshape(3, 1, 1), None, [2])
    assert output.reshape(3, 2) == pytest.approx(np.array([[4.5, 4.375], [2.875, -0.5], [0.0, 0.0]]), rel=1e-14)
    assert last.ravel() == pytest.approx([2.875, 4.375], rel=1e-14)


def test_gcn_matrix_equals_hand_computed_values():
    # 0 -> 1 of weight 3, so that the degrees are 1 and 4
    assert gcn_matrix([(0, 1)], [3.0], 2) == pytest.approx(np.array([[1.0, 0.0], [1.5, 0.25]]), rel=1e-14)


def test_graph_mingru_step_equals_hand_computed_values():
    # P x = (4, 6 + 8/4) of x = (4, 8); W_z = 0, W_h = 1: z = 1/2, h = c / 2
    parameters = {"weight_ih_l0": np.array([[0.0], [1.0]])}
    network = Network("mingru", parameters, gcn_matrix([(0, 1)], [3.0], 2))
    output, last = network.forward(np.array([4.0, 8.0]).reshape(1, 1, 2, 1))
    assert output.ravel() == pytest.approx([2.0, 4.0], rel=1e-14)
    assert last.ravel() == pytest.approx([2.0, 4.0], rel=1e-14)


# The backward loop against central differences


OPTIONS = [{}, {"bias": False}, {"num_layers": 2}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
@pytest.mark.parametrize("matrix", [None, gcn_matrix(EDGES, WEIGHTS, N)], ids=["sequences", "graphs"])
def test_oracle_gradients_equal_central_differences(kind, options, lengths, matrix):
    nodes = () if matrix is None else (N,)
    parameters, x, state = draw(kind, nodes=nodes, **options)
    network = Network(kind, parameters, matrix)
    output, last = network.forward(x, state, lengths)
    generator = np.random.default_rng(1)
    on_output, on_last = generator.normal(size=output.shape), generator.normal(size=last.shape)

    def loss():
        output, last = Network(kind, parameters, matrix).forward(x, state, lengths)
        return (output * on_output).sum() + (last * on_last).sum()

    grad_x, grad_state, grads = network.backward(on_output, on_last)
    assert grads.keys() == parameters.keys()
    pairs = [(x, grad_x), (state, grad_state), *((parameters[key], grads[key]) for key in parameters)]
    for values, gradient in pairs:
        assert values.shape == gradient.shape
        for index in generator.choice(values.size, min(6, values.size), replace=False):
            position = np.unravel_index(index, values.shape)
            value = values[position]
            values[position] = value + STEP
            above = loss()
            values[position] = value - STEP
            below = loss()
            values[position] = value
            assert gradient[position] == pytest.approx((above - below) / (2 * STEP), rel=1e-7, abs=1e-8)


# The library


LAYERS = {"mingru": (MinGRU, GCNMinGRU), "minlstm": (MinLSTM, GCNMinLSTM)}
RTOL = 1e-10


def load(layer, parameters):
    layer.load_state_dict({key: torch.from_numpy(value) for key, value in parameters.items()})
    return layer


def leaf(values):
    return torch.from_numpy(values.copy()).requires_grad_()


def compare(layer, call, network, parameters, x, state, lengths=None):
    """Outputs, last states and the gradients of all of them, layer against oracle.

    Args:
        call: takes x and the initial states as tensors, and returns outputs and last states.
        state: initial states; None: zeros.
    """
    expected, expected_last = network.forward(x, state, lengths)
    generator = np.random.default_rng(2)
    on_output, on_last = generator.normal(size=expected.shape), generator.normal(size=expected_last.shape)
    grad_x, grad_state, grads = network.backward(on_output, on_last)

    x, state = leaf(x), None if state is None else leaf(state)
    output, last = call(x, state)
    oracles.close(output, expected, RTOL)
    oracles.close(last, expected_last, RTOL)
    ((output * torch.from_numpy(on_output)).sum() + (last * torch.from_numpy(on_last)).sum()).backward()
    oracles.close(x.grad, grad_x, RTOL)
    if state is not None:
        oracles.close(state.grad, grad_state, RTOL)
    assert dict(layer.named_parameters()).keys() == parameters.keys()
    for key, parameter in layer.named_parameters():
        oracles.close(parameter.grad, grads[key], RTOL)
    layer.zero_grad()


def build(kind, options, graph=False, **more):
    return LAYERS[kind][graph](F, H, dtype=torch.float64, **options, **more)


def padded(packed, layer, x, state, lengths):
    """Call a layer with lengths: those of a PackedSequence or as an argument."""
    if not packed:
        return layer(x, state, lengths=torch.tensor(lengths))
    sequence = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    output, last = layer(sequence, state)
    return torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(x))[0], last


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("with_state", [False, True], ids=["zero", "state"])
def test_minimal_layer_equals_oracle(kind, options, engine, with_state):
    parameters, x, state = draw(kind, **options)
    layer = load(build(kind, options, engine=engine), parameters)
    compare(layer, layer, Network(kind, parameters), parameters, x, state if with_state else None)


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["lengths", "packed"])
def test_minimal_layer_on_ragged_sequences_equals_oracle(kind, options, engine, packed):
    parameters, x, state = draw(kind, **options)
    layer = load(build(kind, options, engine=engine), parameters)

    def call(x, state):
        return padded(packed, layer, x, state, LENGTHS)

    compare(layer, call, Network(kind, parameters), parameters, x, state, LENGTHS)


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(30, 3, 5, 13), (9, 17, 3, 33), (70, 1, 2, 1)], ids=str)
def test_minimal_layer_of_odd_sizes_equals_oracle(kind, engine, size):
    """T, B, F and H that are no multiples of the width of a vector."""
    steps, batch, channels, hidden = size
    generator = np.random.default_rng(5)
    rows = len(GATES[kind]) * hidden
    parameters = {"weight_ih_l0": generator.normal(size=(rows, channels)), "bias_ih_l0": generator.normal(size=rows)}
    x, state = generator.normal(size=(steps, batch, channels)), generator.normal(size=(1, batch, hidden))
    lengths = generator.integers(1, steps + 1, size=batch).tolist()
    layer = load(LAYERS[kind][0](channels, hidden, engine=engine, dtype=torch.float64), parameters)

    def call(x, state):
        return layer(x, state, lengths=torch.tensor(lengths))

    compare(layer, call, Network(kind, parameters), parameters, x, state, lengths)
    compare(layer, layer, Network(kind, parameters), parameters, x, None)


@pytest.mark.parametrize("kind", KINDS)
def test_minimal_layer_with_batch_first_equals_oracle(kind):
    parameters, x, state = draw(kind, num_layers=2)
    layer = load(build(kind, {"num_layers": 2}, batch_first=True), parameters)

    def call(x, state):
        output, last = layer(x.transpose(0, 1), state)
        return output.transpose(0, 1), last

    compare(layer, call, Network(kind, parameters), parameters, x, state)


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
def test_graph_minimal_layer_equals_oracle(kind, options, engine, lengths):
    parameters, x, state = draw(kind, nodes=(N,), **options)
    layer = load(build(kind, options, graph=True, engine=engine), parameters)
    edges, weights = torch.tensor(EDGES).T, torch.tensor(WEIGHTS, dtype=torch.float64)

    def call(x, state):
        return layer(x, edges, weights, state, lengths=None if lengths is None else torch.tensor(lengths))

    compare(layer, call, Network(kind, parameters, gcn_matrix(EDGES, WEIGHTS, N)), parameters, x, state, lengths)


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_minimal_layer_with_gates_near_zero_and_one_equals_oracle(kind, engine):
    """Gates down to 1e-260, so that a formula with 1 / z or log z would fail."""
    parameters, x, state = draw(kind)
    gates = parameters["bias_ih_l0"][:-H]
    gates[:] = np.resize([-600.0, 600.0, -30.0, 30.0, -600.0, 600.0], len(gates))
    layer = load(build(kind, {}, engine=engine), parameters)
    compare(layer, layer, Network(kind, parameters), parameters, x, state)


@pytest.mark.parametrize("engine", ["auto", "fused", "cpp", "reference"])
def test_minlstm_with_both_gates_underflowing_keeps_their_ratio(engine):
    # f = exp(-1000), i = exp(-1000 - ln 3), zero in float64; f / (f + i) = 3/4, so that h = 3/4 * 4 + 1/4 * 8
    layer = MinLSTM(1, 1, engine=engine, dtype=torch.float64)
    weight = torch.tensor([[-1000.0], [-1000.0 - math.log(3)], [8.0]], dtype=torch.float64)
    layer.load_state_dict({"weight_ih_l0": weight, "bias_ih_l0": torch.zeros(3, dtype=torch.float64)})
    x, h = torch.ones(1, 1, 1, dtype=torch.float64), torch.full((1, 1, 1), 4.0, dtype=torch.float64)
    output, _ = layer(x, h)
    assert output.item() == pytest.approx(5.0, rel=1e-12)
    output.sum().backward()
    # d h / d a_f = f' (1 - f') (h' - c) (1 - f) with f = 0
    assert layer.bias_ih_l0.grad.tolist() == pytest.approx([3 / 16 * -4, 3 / 16 * 4, 1 / 4], rel=1e-12)
