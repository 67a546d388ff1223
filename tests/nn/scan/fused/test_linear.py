"""Products of the fused engine, against numpy."""

import numpy as np
import pytest
import torch

from seqgnn.nn.scan.fused import linear
from tests.support.fused_scans import signal


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gates, threads", [(3, 1), (3, 2), (4, 2), (4, 3)])
def test_add_products_of_any_number_of_threads_equals_numpy(gates, threads, beta, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    y, a, b = signal(gates, 5, 2), signal(gates, 5, 6, seed=1), signal(gates, 6, 2, seed=2)
    expected = beta * y.numpy() + a.numpy() @ b.numpy()
    linear.add_products(y, a, b, beta)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
