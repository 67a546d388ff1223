"""Fits of norms as a function of distance, compared with numpy and with values by hand."""

import numpy as np
import pytest
import torch

from seqgnn.analysis import decay


def test_decay_equals_numpy_fit_of_logarithms():
    norms = np.exp(np.random.default_rng(0).normal(size=30) - 0.1 * np.arange(30))
    slope, _ = np.polyfit(np.arange(30), np.log(norms), 1)
    found = decay(torch.from_numpy(norms))
    assert found.rate == pytest.approx(np.exp(slope))
    assert found.r2 == pytest.approx(np.corrcoef(np.arange(30), np.log(norms))[0, 1] ** 2)
    assert found.lowest == norms.argmin() and found.rise == pytest.approx(norms[-1] / norms.min())


def test_decay_excludes_zeros():
    found = decay(torch.tensor([8.0, 4.0, 0.0, 1.0, 0.0]))
    assert (found.rate, found.r2) == (pytest.approx(0.5), pytest.approx(1.0))
    assert (found.lowest, found.rise, found.farthest) == (3, 1.0, 3) and found.count == 3


def test_decay_with_start_returns_original_distances():
    found = decay(torch.tensor([100.0, 0.0, 4.0, 2.0, 1.0, 2.0, 4.0]), start=2)
    assert (found.rate, found.lowest, found.farthest) == (pytest.approx(1.0), 4, 6)
    assert decay(torch.tensor([100.0, 0.0, 4.0, 2.0]), start=1) is None


def test_decay_of_v_shaped_norms_returns_fall_and_rise():
    found = decay(torch.tensor([4.0, 1.0, 2.0, 4.0, 8.0]))
    assert (found.lowest, found.fall, found.spread, found.farthest) == (1, pytest.approx(4), pytest.approx(8), 4)
    assert (found.rise, found.rise_r2) == (pytest.approx(8.0), pytest.approx(1.0))


def test_decay_rise_equals_numpy_fit_from_smallest_norm_on():
    norms = np.exp(np.abs(np.arange(30) - 12) * 0.2 + 0.05 * np.random.default_rng(0).normal(size=30))
    low = norms.argmin()
    d, log = np.arange(low, 30), np.log(norms[low:])
    slope, _ = np.polyfit(d, log, 1)
    found = decay(torch.from_numpy(norms))
    assert found.lowest == low and found.rise == pytest.approx(np.exp(slope * (29 - low)))
    assert found.rise_r2 == pytest.approx(np.corrcoef(d, log)[0, 1] ** 2)
    assert (found.fall, found.spread) == (pytest.approx(norms[0] / norms[low]), pytest.approx(norms.max() / norms[low]))
    last = decay(torch.tensor([8.0, 4.0, 2.0, 1.0, 9.0]))  # two norms have no trend
    assert (last.lowest, last.rise, last.rise_r2) == (3, 1.0, 1.0)


def test_decay_excludes_subnormal_norms():
    norms = torch.tensor([1e-290, 1e-296, 1e-302, 1e-308, 1e-314, 1e-320], dtype=torch.float64)  # from 2.2e-308 down
    found = decay(norms)
    assert found.farthest == 2 and found == decay(norms[:3])
    assert decay(torch.tensor([1.0, 0.5, 0.25, 1e-40])).farthest == 2  # in float32


def test_decay_of_extreme_norms_is_finite():
    found = decay(torch.tensor([1e300, 1e-300, 1e0, 1e300], dtype=torch.float64))
    assert np.isfinite([found.rate, found.spread, found.fall, found.rise]).all() and found.spread > 1e308


@pytest.mark.parametrize("norms", [[1.0, 0.5, float("nan")], [1.0, float("inf"), 0.5], [1.0, -0.5, 0.25, 0.1]])
def test_decay_rejects_invalid_norms(norms):
    with pytest.raises(ValueError, match="decay: expected finite norms of at least 0, got 1 others, first"):
        decay(torch.tensor(norms))
    with pytest.raises(ValueError, match=r"decay: expected floating norms of shape \[D\], got torch.int64 \(3,\)"):
        decay(torch.tensor([4, 2, 1]))
    with pytest.raises(ValueError, match=r"got torch.float32 \(1, 3\)"):
        decay(torch.tensor([[4.0, 2.0, 1.0]]))


@pytest.mark.parametrize("norms", [[1.0], [1.0, 0.5], [0.0, 0.0, 0.0, 1.0], [0.0] * 5])
def test_decay_of_fewer_than_three_norms_is_none(norms):
    assert decay(torch.tensor(norms)) is None


def test_decay_of_constant_and_tiny_norms_equals_exact_rate():
    assert decay(torch.ones(4)).r2 == 1.0 and decay(torch.ones(4)).rate == 1.0
    tiny = decay(torch.tensor([1e-300, 1e-302, 1e-304], dtype=torch.float64))
    assert tiny.rate == pytest.approx(0.01) and tiny.rise == 1.0
