"""GCNMinGRU and GCNMinLSTM: what the battery of test_battery.py does not cover."""

from math import inf

import pytest
import torch
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from seqgnn.analysis import ReceptiveField, receptive_field
from tests.support.oracles import close, tricky_graph

LAYERS = {sg.GCNMinGRU: sg.MinGRU, sg.GCNMinLSTM: sg.MinLSTM}
EDGES, WEIGHTS, N = tricky_graph()
F, H, T, B = 2, 3, 5, 2


def signal(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("layer", LAYERS)
def test_gcn_minimal_with_identity_filter_equals_plain_layer(layer):
    graph_layer = layer(F, H, 2, bidirectional=True, conv=sg.Identity(), dtype=torch.float64)
    plain = LAYERS[layer](F, H, 2, bidirectional=True, dtype=torch.float64)
    plain.load_state_dict(graph_layer.state_dict())
    x, state = signal(T, B, N, F), signal(4, B, N, H)
    output, last = graph_layer(x, EDGES, state=state)
    expected, expected_last = plain(x.flatten(1, 2), state.flatten(1, 2))
    close(output.flatten(1, 2), expected)
    close(last.flatten(1, 2), expected_last)


@pytest.mark.parametrize("layer", LAYERS)
def test_gcn_minimal_step_by_step_equals_whole(layer):
    layer = layer(F, H, conv=sg.Diffusion(2), dtype=torch.float64)
    x, state = signal(40, N, F), signal(1, N, H)
    expected, last = layer(x, EDGES, WEIGHTS, state)
    outputs = []
    for step in x:
        output, state = layer(step[None], EDGES, WEIGHTS, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-10)


def test_gcn_minimal_receptive_field_does_not_grow_over_time():
    assert receptive_field(sg.GCNMinGRU(F, H)) == ReceptiveField(1, inf, 0)
    assert receptive_field(sg.GCNMinLSTM(F, H, 2, conv=sg.Chebyshev(3))) == ReceptiveField(4, inf, 0)
    assert receptive_field(sg.GCNMinLSTM(F, H, conv=lambda i, o: pyg.SGConv(i, o, K=2))) == ReceptiveField(2, inf, 0)


def test_gcn_minimal_repr_and_parameters_have_no_hidden_projection():
    assert repr(sg.GCNMinGRU(F, H)) == "GCNMinGRU(2, 3, conv=GCN())"
    layer = sg.GCNMinLSTM(F, H, input_conv=sg.Chebyshev(3))
    assert repr(layer) == "GCNMinLSTM(2, 3, conv=Chebyshev(K=3))"
    shapes = {name: tuple(value.shape) for name, value in layer.named_parameters()}
    assert shapes == {"weight_ih_l0": (3 * H, 3 * F), "bias_ih_l0": (3 * H,)}
    children = sg.GCNMinGRU(F, H, conv=pyg.GCNConv).named_children()
    assert [name for name, _ in children] == ["propagation", "input_conv_l0"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden_conv": sg.GCN()}, r"expected no hidden_conv, since its gates do not see .*, got GCN\(\)"),
        ({"init": "orthogonal"}, "expected init orthogonal on a layer of kind rnn or lstm or gru, got it on mingru"),
        ({"peephole": True}, "expected a cell of kind lstm with peephole=True, got mingru"),
        ({"reset": "before"}, "expected a cell of kind gru with reset='before', got mingru"),
        ({"forget_bias": 1.0}, "expected init forget_bias .*, got it on mingru"),
        ({"conv": pyg.GCNConv, "bias": False}, "expected bias=False in the convolutions, got it in the layer"),
    ],
)
def test_gcn_minimal_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=f"^GCNMinGRU: {message}"):
        sg.GCNMinGRU(F, H, **options)
