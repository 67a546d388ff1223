"""When float32 would merge different values."""

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph, read_signal
from seqgnn.data.precision import float32_or_64
from seqgnn.tasks import Forecasting, Protocol

COUNTER = 123_456_789.0 + np.arange(60.0)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.linspace(0, 70, 50), np.float32),
        (np.full(50, 61.3), np.float32),
        (np.arange(50.0) + 2**24 - 60, np.float32),
        (np.array([60.0] * 50 + [60.5]), np.float32),
        (np.array([np.nan, 1.5, 2.5]), np.float32),
        (COUNTER, np.float64),
        (np.array([20120301.0, 3.5]), np.float64),
        (300 + 1e-3 * np.sin(np.arange(50.0)), np.float64),
        (np.array([1e39, 1.0]), np.float64),
        (np.array([np.nan, 20120301.0]), np.float64),
    ],
)
def test_float32_or_64_keeps_different_values_apart(values, dtype):
    both = np.stack([values, np.zeros_like(values)], axis=1)[..., None]
    stored = float32_or_64(both)
    assert stored.dtype == dtype and np.array_equal(stored, both.astype(dtype), equal_nan=True)
    assert len(np.unique(stored)) == len(np.unique(both)) or dtype == np.float32


def test_counters_are_read_and_forecast_as_they_are(tmp_path):
    np.savez(tmp_path / "my.npz", data=np.stack([COUNTER, COUNTER * 2], axis=1))
    (tmp_path / "my.csv").write_text("a,b\n" + "".join(f"{x:.0f},{2 * x:.0f}\n" for x in COUNTER))
    for graph in (read_signal(tmp_path / "my.npz"), read_signal(tmp_path / "my.csv")):
        assert graph.signal.dtype == torch.float64 and graph.signal[:, 0, 0].tolist() == COUNTER.tolist()
        task = Forecasting(graph, Protocol(lags=3, horizon=1, scale_per="node"))
        batch = next(task.test(4))
        assert batch.x.dtype == batch.y.dtype == torch.float32
        restored = task.scaler.inverse(batch.y.double())[0, :, 0, 0]
        assert (restored - torch.from_numpy(COUNTER[-len(task.test_windows) :][:4])).abs().max() < 1e-3
    whole = read_signal(tmp_path / "my.csv", missing_value=COUNTER[3])
    assert not whole.mask[3, 0, 0] and whole.mask.sum() == 119


def test_whole_numbers_above_doubles_are_refused(tmp_path):
    (tmp_path / "my.csv").write_text("a,b\n9007199254740993,1\n2,3\n")
    with pytest.raises(ValueError, match="a number that float64 holds, got 9007199254740993 in line 2, column 'a'"):
        read_signal(tmp_path / "my.csv")
    (tmp_path / "my.csv").write_text("a,b\n9007199254740992,1\n2,3\n")
    assert read_signal(tmp_path / "my.csv").signal[0, 0, 0] == 9007199254740992


def test_features_that_were_not_observed_are_imputed_without_a_mask():
    signal = torch.randn(60, 3, 2, generator=torch.Generator().manual_seed(0)).numpy()
    signal[5:7, 1, 1] = np.nan
    graph = TemporalGraph(signal, np.array([[0, 1], [1, 2]]))
    assert graph.mask is None and graph.known.sum() == 358
    task = Forecasting(graph, Protocol(lags=3, horizon=1))
    expected = task.graph.signal[4, 1, 1]
    assert torch.equal(task.graph.signal[5:7, 1, 1], expected.expand(2))
