from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from seqgnn.data import from_pyg_temporal_signal
from tests.support import pyg_temporal

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
WEIGHTS = torch.tensor([1.0, 0.5, 0.25])
VALUES = torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(0))


class Snapshots(list):
    snapshot_count = property(len)


def snapshots(lags, horizon=1, features=1):
    found = Snapshots()
    for i in range(20 - lags - horizon + 1):
        x = VALUES[i : i + lags, :, :features].permute(1, 2, 0)
        y = VALUES[i + lags : i + lags + horizon, :, 0].T
        x, y = x[:, 0] if features == 1 else x, y[:, 0] if horizon == 1 else y
        found.append(Data(x=x, y=y, edge_index=EDGES, edge_attr=WEIGHTS))
    return found


@pytest.fixture(scope="module")
def theirs():
    """Their iterators."""
    return pyg_temporal.load("signal")


@pytest.mark.parametrize(("lags", "horizon"), [(4, 1), (3, 2), (1, 1)])
def test_from_pyg_temporal_signal_restores_the_series(lags, horizon):
    graph = from_pyg_temporal_signal(snapshots(lags, horizon), name="toy", units="cases")
    assert (
        torch.equal(graph.signal, VALUES[..., :1]) and graph.name == "toy" and torch.equal(graph.edge_weight, WEIGHTS)
    )
    assert graph.units == "cases"
    windows = graph.windows(lags, horizon)
    assert len(windows) == len(snapshots(lags, horizon))
    for window, snapshot in zip(map(windows.__getitem__, range(len(windows))), snapshots(lags, horizon)):
        assert torch.equal(window.x[:, 0, :, 0].T, snapshot.x)
        assert torch.equal(window.y[:, 0, :, 0].T.reshape(snapshot.y.shape), snapshot.y)


def test_from_pyg_temporal_signal_multi_feature_drops_last_steps():
    graph = from_pyg_temporal_signal(snapshots(4, 3, features=2))
    assert torch.equal(graph.signal, VALUES[:17]) and torch.equal(graph.targets, VALUES[:17, :, :1])


@pytest.mark.parametrize("dynamic", [False, True])
def test_from_pyg_temporal_signal_snapshots_become_steps(dynamic):
    given = snapshots(4)
    for i, snapshot in enumerate(given):
        if dynamic:
            snapshot.edge_index, snapshot.edge_attr = EDGES[:, : 1 + i % 3], WEIGHTS[: 1 + i % 3]
    graph = from_pyg_temporal_signal(given, kind="snapshots", units="cases")
    assert graph.units == "cases"
    windows = graph.windows(1)
    assert len(windows) == len(given) == 16 and not graph.mask[0].any() and graph.mask[1:].all()
    for i, snapshot in enumerate(given):
        window = windows[i]
        assert torch.equal(window.x[0, 0], snapshot.x) and torch.equal(window.y[0, 0, :, 0], snapshot.y)
        assert window.mask.all()
        edges, weights = window.edge_index, window.edge_weight
        assert torch.equal(edges[0] if dynamic else edges, snapshot.edge_index)
        assert torch.equal(weights[0] if dynamic else weights, snapshot.edge_attr)
    if dynamic:
        with pytest.raises(ValueError, match="the same graph in all snapshots, got different ones; use kind="):
            from_pyg_temporal_signal(given)


def test_from_pyg_temporal_signal_of_their_iterators_is_equal(theirs):
    series, edges = VALUES[..., 0].numpy(), EDGES.numpy()
    past = [series[i : i + 4].T for i in range(16)]
    future = [series[i + 4] for i in range(16)]
    static = theirs.StaticGraphTemporalSignal(edges, WEIGHTS.numpy(), past, future)
    assert torch.equal(from_pyg_temporal_signal(static).signal, VALUES[..., :1])
    train, _ = theirs.temporal_signal_split(static, train_ratio=0.5)
    assert torch.equal(from_pyg_temporal_signal(train).signal, VALUES[:12, :, :1])
    changing = [edges[:, : 1 + i % 3] for i in range(16)]
    weights = [np.ones(1 + i % 3) for i in range(16)]
    dynamic = theirs.DynamicGraphTemporalSignal(changing, weights, past, future)
    graph = from_pyg_temporal_signal(dynamic, kind="snapshots")
    assert [e.size(1) for e in graph.edge_index] == [1 + i % 3 for i in range(16)] + [1]
    assert (
        torch.equal(graph.signal[:16], torch.from_numpy(np.stack(past)))
        and graph.windows(1)[15].y[0, 0, 0] == series[19, 0]
    )
    still = theirs.DynamicGraphStaticSignal(changing, weights, past[0], future)
    assert torch.equal(from_pyg_temporal_signal(still, kind="snapshots").signal[7], torch.from_numpy(past[0]))
    together = theirs.StaticGraphTemporalSignalBatch(edges, WEIGHTS.numpy(), past, future, np.zeros(3, int))
    assert torch.equal(from_pyg_temporal_signal(together).signal, VALUES[..., :1])


def test_from_pyg_temporal_signal_invalid_snapshots_raise():
    with pytest.raises(ValueError, match="expected kind to be one of 'series', 'snapshots', got 'serie'; did you mean"):
        from_pyg_temporal_signal(snapshots(4), kind="serie")
    for nothing in (Snapshots(), [1, 2], None):
        with pytest.raises(ValueError, match="expected an iterator over snapshots, not empty, got"):
            from_pyg_temporal_signal(nothing)
    with pytest.raises(ValueError, match=r"x, y and edge_index in every snapshot, got .* as snapshot 0"):
        from_pyg_temporal_signal(Snapshots([SimpleNamespace(x_dict={}, y=torch.ones(1))]))
    strided = Snapshots(snapshots(4)[::2])
    with pytest.raises(ValueError, match="got a different one at snapshot 0; use kind='snapshots'"):
        from_pyg_temporal_signal(strided)
    other = snapshots(4)
    other[9].y = other[9].y + 1
    with pytest.raises(ValueError, match="got a different one at snapshot 9"):
        from_pyg_temporal_signal(other)
    flat = Snapshots([Data(x=torch.ones(3), y=torch.ones(3), edge_index=EDGES)])
    with pytest.raises(ValueError, match=r"x \[N, lags\] or \[N, F, lags\] for a series, got \[3\]"):
        from_pyg_temporal_signal(flat)
