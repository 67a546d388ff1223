"""Fits of norms against distance, against numpy's and by hand."""

import numpy as np
import pytest
import torch

from seqgnn.analysis import decay


def test_the_fit_is_the_line_through_the_logarithms():
    norms = np.exp(np.random.default_rng(0).normal(size=30) - 0.1 * np.arange(30))
    slope, _ = np.polyfit(np.arange(30), np.log(norms), 1)
    found = decay(torch.from_numpy(norms))
    assert found.rate == pytest.approx(np.exp(slope))
    assert found.r2 == pytest.approx(np.corrcoef(np.arange(30), np.log(norms))[0, 1] ** 2)
    assert found.lowest == norms.argmin() and found.rise == pytest.approx(norms[-1] / norms.min())


def test_what_is_zero_is_left_out():
    found = decay(torch.tensor([8.0, 4.0, 0.0, 1.0, 0.0]))
    assert (found.rate, found.r2) == (pytest.approx(0.5), pytest.approx(1.0))
    assert (found.lowest, found.rise, found.farthest) == (3, 1.0, 3)


def test_distances_keep_their_numbers_where_the_fit_begins_later():
    found = decay(torch.tensor([100.0, 0.0, 4.0, 2.0, 1.0, 2.0, 4.0]), start=2)
    assert (found.rate, found.lowest, found.farthest) == (pytest.approx(1.0), 4, 6)
    assert decay(torch.tensor([100.0, 0.0, 4.0, 2.0]), start=1) is None


def test_a_fall_and_a_rise():
    found = decay(torch.tensor([4.0, 1.0, 2.0, 4.0, 8.0]))
    assert (found.lowest, found.rise, found.farthest) == (1, pytest.approx(8.0), 4)


@pytest.mark.parametrize("norms", [[1.0], [1.0, 0.5], [0.0, 0.0, 0.0, 1.0], [0.0] * 5])
def test_fewer_than_three_norms_have_no_fit(norms):
    assert decay(torch.tensor(norms)) is None


def test_constant_norms_and_tiny_ones():
    assert decay(torch.ones(4)).r2 == 1.0 and decay(torch.ones(4)).rate == 1.0
    tiny = decay(torch.tensor([1e-300, 1e-302, 1e-304], dtype=torch.float64))
    assert tiny.rate == pytest.approx(0.01) and tiny.rise == 1.0
