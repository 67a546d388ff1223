"""Encoders of forecasters, against the layers that they contain."""

import pytest
import torch
from torch import nn

from seqgnn.models import Forecaster, GraphEncoder
from seqgnn.models.forecast_encoders import LagGCN, NodewiseEncoder
from seqgnn.nn import GCNLSTM, LSTM, MinGRU
from tests.support.forecasters import EDGES, LAGS, NODES, WEIGHTS, windows


def test_graph_encoder_returns_the_last_output():
    torch.manual_seed(0)
    layer, batch = GCNLSTM(2, 3).double(), windows().batch([0, 4])
    encoded = GraphEncoder(layer)(batch.x, EDGES, WEIGHTS)
    assert torch.equal(encoded, layer(batch.x, EDGES, WEIGHTS)[0][-1])


@pytest.mark.parametrize("kind", [LSTM, MinGRU])
def test_nodewise_encoder_reads_each_node_independently(kind):
    torch.manual_seed(0)
    layer, batch = kind(2, 3).double(), windows().batch([0, 4])
    encoded = NodewiseEncoder(layer)(batch.x, EDGES, WEIGHTS)
    assert encoded.shape == (2, NODES, 3)
    for b in range(2):
        for node in range(NODES):
            alone = layer(batch.x[:, b : b + 1, node])[0][-1, 0]
            torch.testing.assert_close(encoded[b, node], alone, rtol=1e-10, atol=1e-12)


def test_lag_gcn_reads_the_oldest_lag_first():
    torch.manual_seed(0)
    encoder, batch = LagGCN(2, 3, lags=LAGS).double(), windows().batch([0, 4])
    encoded = encoder(batch.x, EDGES, WEIGHTS)
    for b in range(2):
        features = torch.cat(list(batch.x[:, b]), dim=-1)
        expected = torch.relu(encoder.layers[0](features, EDGES, WEIGHTS))
        torch.testing.assert_close(encoded[b], expected, rtol=1e-10, atol=1e-12)


def test_any_layer_becomes_an_encoder():
    batch = windows().batch([0, 1])
    both = Forecaster(GCNLSTM(2, 3, bidirectional=True), in_channels=2, lags=LAGS).double()
    assert both(batch)[0].shape == (1, 2, NODES, 1) and both.head.in_features == 6
    small = Forecaster(nn.LSTM(2, 6, proj_size=2), in_channels=2, lags=LAGS).double()
    assert small(batch)[0].shape == (1, 2, NODES, 1) and small.head.in_features == 2
    torch.manual_seed(0)
    one = Forecaster(GraphEncoder(GCNLSTM(2, 3)), in_channels=2, lags=LAGS).double()
    torch.manual_seed(0)
    other = Forecaster(GCNLSTM(2, 3), in_channels=2, lags=LAGS).double()
    assert torch.equal(one(batch)[0], other(batch)[0])
