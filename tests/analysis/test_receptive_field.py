"""Receptive fields compared with powers of the adjacency matrix and with gradients."""

from math import inf

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from seqgnn.analysis import ReceptiveField, path_receptive_field, receptive_field
from seqgnn.analysis.receptive_field import filters_of
from seqgnn.data import exponential_hops, path_graph
from seqgnn.models.encoders import GCNEncoder
from seqgnn.models.sequence_model import build


@pytest.mark.parametrize("hops", [(1,), (1, 2, 4), (1, 3), (2,), (1, 8)])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_path_receptive_field_equals_powers_of_the_adjacency(hops, num_layers):
    adjacency = torch.eye(40)
    source, target = path_graph(40, hops=hops)
    adjacency[target, source] = 1
    visible = torch.linalg.matrix_power(adjacency, num_layers)[-1].flip(0) > 0
    first_hidden = visible.tolist().index(False) if not visible.all() else 40
    assert path_receptive_field(num_layers, hops) == first_hidden - 1


def test_exponential_hops_cover_the_whole_path():
    for length in range(2, 70):
        hops = exponential_hops(length)
        assert path_receptive_field(len(hops), hops) >= length - 1


@pytest.mark.parametrize("num_layers, hops", [(0, (1,)), (2, ()), (2, (0, 1))])
def test_path_receptive_field_invalid_values_raise_value_error(num_layers, hops):
    with pytest.raises(ValueError, match="path_receptive_field: expected num_layers >= 1 and hops of at least 1"):
        path_receptive_field(num_layers, hops)


HOPS = [(1,), (1, 3)]


@pytest.mark.parametrize(
    "model, hops, positions, hops_per_step",
    [
        (lambda: nn.LSTM(2, 3), 0, inf, 0),
        (lambda: sg.GRUCell(2, 3), 0, inf, 0),
        (lambda: sg.MinGRU(2, 3), 0, inf, 0),
        (lambda: sg.MinLSTMCell(2, 3), 0, inf, 0),
        (lambda: sg.GCNMinGRU(2, 3, num_layers=2), 2, inf, 0),
        (lambda: nn.Sequential(sg.GCNConv(2, 3), sg.ChebConv(3, 3, K=4)), 4, 0, 0),
        (lambda: nn.ModuleList([pyg.GATConv(2, 3), pyg.ChebConv(2, 3, 3), pyg.TAGConv(2, 3, K=3)]), 6, 0, 0),
        (lambda: sg.GCNLSTM(2, 3, num_layers=2), 2, inf, 1),
        (lambda: sg.GCNGRU(2, 3, input_conv=sg.Identity(), hidden_conv=sg.Diffusion(4)), 0, inf, 3),
        (lambda: sg.GCNGRU(2, 3, conv=pyg.SAGEConv, reset="before"), 2, inf, 2),
        (lambda: sg.GCRN(2, 3, K=3), 2, inf, 2),
        (lambda: sg.GCRN(2, 3, K=3, model=1, num_layers=2), 2, inf, 0),
        (lambda: sg.TGCN(2, 3), 2, inf, 0),
        (lambda: sg.TGCN(2, 3, variant="authors"), 2, inf, 2),
        (lambda: sg.TGCN(2, 3, variant="pyg-temporal"), 1, inf, 0),
        (lambda: sg.GCLSTM(2, 3, K=2), 0, inf, 1),
        (lambda: sg.EvolveGCN(2, 3, num_layers=2), 2, inf, 0),
        (lambda: sg.EvolveGCN(2, 3, variant="H"), inf, inf, 0),
        (lambda: sg.TreeLSTM(2, 3), inf, 0, 0),
        (lambda: build("gcn", num_classes=2, num_tokens=3, hops=(1, 2, 4), num_layers=3), 3, 10, 0),
        (lambda: build("gcn+lstm", num_classes=2, num_tokens=3, hops=(1,)), 1, inf, 0),
        (lambda: build("gcn-in-lstm", num_classes=2, num_tokens=3), 0, inf, 0),
        (lambda: nn.Sequential(build("gcn", num_classes=2, num_tokens=3, hops=(1, 2, 4))), 3, 10, 0),
        (lambda: nn.ModuleDict({"a": nn.Sequential(build("gcn", num_classes=2, num_tokens=3, length=4))}), 2, 4, 0),
        (lambda: nn.ModuleList(build("gcn", num_classes=2, num_tokens=3, hops=h) for h in HOPS), 3, 5, 0),
        (lambda: GCNEncoder(2, 3, 2, 0.0, directed=True, hops=(1, 2)), 2, 4, 0),
        (lambda: GCNEncoder(2, 3, 2, 0.0, directed=False), 2, 0, 0),
    ],
)
def test_receptive_field_of_models_equals_hand_values(model, hops, positions, hops_per_step):
    assert receptive_field(model()) == ReceptiveField(hops, positions, hops_per_step)


LAYERS = [sg.GCRN(1, 2, K=3, num_layers=2), sg.DCRNN(1, 2, K=2), sg.TGCN(1, 2), sg.GCLSTM(1, 2, K=2)]
LAYERS += [sg.DCRNN(1, 2, K=3), sg.DCRNN(1, 2, K=2, variant="authors"), sg.DCRNN(1, 2, K=3, variant="authors")]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_receptive_field_equals_nonzero_gradients(layer):
    nodes, steps = 20, 3
    for weight in layer.parameters():  # so that every ReLU is active
        weight.data.abs_()
    path = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    path = torch.cat([path, path.flip(0)], dim=1)
    x = torch.rand(steps, nodes, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    visible = torch.autograd.grad(layer(x, path)[0][-1, 0].sum(), x)[0][..., 0] != 0
    field = receptive_field(layer)
    for back in range(steps - 1):  # before the first step there is no state to reset
        assert int(visible[steps - 1 - back].nonzero().max()) == field.hops + back * field.hops_per_step


def test_receptive_field_of_a_model_without_layers_is_empty():
    assert receptive_field(nn.Linear(2, 2)) == ReceptiveField(0, 0, 0)


def test_filters_of_a_gcn_in_an_lstm_are_those_of_its_layer():
    encoder = build("gcn-in-lstm", num_classes=2, num_tokens=3).encoder
    assert filters_of(encoder) == encoder.layer.filters and filters_of(encoder)
    assert filters_of(nn.Linear(2, 2)) == ()
