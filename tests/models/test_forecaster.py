"""Forecasters: their parts, their decoder, and the batches that they reject."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seqgnn.data import TemporalGraph
from seqgnn.models import Forecaster
from seqgnn.nn import LSTM, scheduled_sampling
from tests.support.forecasters import EDGES, HORIZON, LAGS, NODES, WEIGHTS, build, series, windows

FULL = {"residual": True, "skip": True, "neighbors": True, "dropout": 0.2}


@pytest.mark.parametrize("targets", [1, 2])
def test_forecast_is_the_sum_of_its_parts(targets):
    """LSTM per node + last value + skip over the lags of a node and its neighbors, against numpy."""
    torch.manual_seed(0)
    options = {"residual": True, "skip": True, "neighbors": True, "out_channels": targets}
    model = Forecaster(LSTM(4, 6), in_channels=2, lags=LAGS, horizon=HORIZON, **options).double()
    signal = series()
    matrix = np.zeros((NODES, NODES))
    for source, target, weight in zip(*EDGES.tolist(), WEIGHTS.tolist()):
        matrix[target, source] += weight / WEIGHTS[EDGES[1] == target].sum().item()
    graph = TemporalGraph(signal, EDGES, WEIGHTS, targets=signal[..., :targets])
    forecast = model(graph.windows(LAGS, HORIZON).batch([2, 7]))[0].detach().numpy()
    plain = nn.LSTM(4, 6).double()
    plain.load_state_dict(model.encoder.layer.state_dict())
    weights = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    for b, start in enumerate((2, 7)):
        past = signal[start : start + LAGS].numpy()
        past = np.concatenate([past, np.stack([matrix @ step for step in past])], axis=-1)
        for node in range(NODES):
            h = plain(torch.from_numpy(past[:, node]))[0][-1].detach().numpy()
            output = weights["head.weight"] @ h + weights["head.bias"]
            output += weights["skip.weight"] @ past[:, node].ravel() + weights["skip.bias"]
            expected = output.reshape(HORIZON, targets) + past[-1, node, :targets]
            np.testing.assert_allclose(forecast[:, b, node], expected, rtol=1e-10)


def test_residual_with_zero_head_is_persistence():
    model = build("gcrn", residual=True)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    batch = windows().batch([0, 4])
    assert torch.equal(model(batch)[0], batch.x[-1:, ..., :1].expand(HORIZON, -1, -1, -1))


def test_dropout_applies_in_training_only():
    model, batch = build("gcn-lstm", dropout=0.5, num_layers=2), windows().batch([0])
    assert torch.equal(model(batch)[0], model(batch)[0])
    model.train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


def test_decoder_reads_targets_as_often_as_scheduled():
    model = build("dcrnn-forecaster", sampling_decay=2.0)
    batch = windows().batch(range(6))
    other = replace(batch, y=batch.y + 5.0)
    assert torch.equal(model(batch)[0], model(other)[0]) and int(model.steps) == 0  # evaluation does not look
    model.train()
    expected = copy.deepcopy(model.encoder)
    for step in range(3):
        torch.manual_seed(step)
        forecast = model(batch)[0]
        torch.manual_seed(step)
        truth = scheduled_sampling(step, 2.0)
        again = expected(batch.x, EDGES, WEIGHTS, targets=batch.y, truth=truth)
        assert torch.equal(forecast, again)
    assert int(model.steps) == 3 and int(model.state_dict()["steps"]) == 3


def test_decoder_reads_targets_minus_the_residual():
    mask = torch.rand(20, NODES, generator=torch.Generator().manual_seed(0)) > 0.3
    model = build("dcrnn-forecaster", residual=True, sampling_decay=1e9).train()  # targets at practically every step
    batch = windows(mask=mask).batch(range(6))
    correction = torch.where(batch.mask, batch.y - batch.x[-1:, ..., :1], 0)
    added = model.encoder(batch.x, EDGES, WEIGHTS, targets=correction, truth=1.0)
    torch.testing.assert_close(model(batch)[0], batch.x[-1:, ..., :1] + added)


def test_decoder_without_scheduled_sampling_ignores_targets():
    model, batch = build("dcrnn-forecaster", sampling_decay=None).train(), windows().batch([0])
    assert torch.equal(model(batch)[0], model(replace(batch, y=batch.y + 5.0))[0])


def test_wrong_batches_are_rejected():
    model, batch = build("gcrn", FULL), windows().batch([0])
    for x in (batch.x[1:], batch.x[..., :1], batch.x[:, 0]):
        with pytest.raises(ValueError, match=r"Forecaster: expected x of shape \[4, B, N, 2\], got shape"):
            model(replace(batch, x=x))
    with pytest.raises(ValueError, match=r"expected x of torch.float64, as the weights are, got torch.float32"):
        model(replace(batch, x=batch.x.float()))
    with pytest.raises(ValueError, match="expected 4 graphs, one per step, got 3 graphs and 4 weights"):
        model(replace(batch, edge_index=[EDGES] * 3, edge_weight=[WEIGHTS] * 4))
    with pytest.raises(ValueError, match="expected a PreparedGraph that was prepared for"):
        other = build("gcn-lstm").prepare(EDGES, WEIGHTS, NODES)
        model(replace(batch, edge_index=other, edge_weight=None))
