"""Backpropagation through time compared with central differences of the loss."""

import numpy as np
import pytest
import torch

from seqgnn.analysis import bptt_gradients
from tests.support import oracles


def draw(seed, steps=5, batch=3, inputs=2, hidden=4, classes=3):
    """x, target, W_hx, W_hh, W_ph, b_h, b_p in numpy."""
    generator = np.random.default_rng(seed)
    return (
        generator.normal(size=(steps, batch, inputs)),
        generator.integers(classes, size=batch),
        generator.normal(size=(hidden, inputs)),
        generator.normal(size=(hidden, hidden)) / hidden**0.5,
        generator.normal(size=(classes, hidden)),
        generator.normal(size=hidden),
        generator.normal(size=classes),
    )


def test_rnn_loss_gradients_equal_autograd():
    x, target, *rest = draw(0)
    w_hx, w_hh, w_ph, b_h, b_p = (oracles.leaf(torch.from_numpy(value)) for value in rest)
    h = torch.zeros(x.shape[1], w_hh.shape[0], dtype=torch.float64)
    for x_t in torch.from_numpy(x):
        h = torch.tanh(x_t @ w_hx.T + h @ w_hh.T + b_h)
    torch.nn.functional.cross_entropy(h @ w_ph.T + b_p, torch.from_numpy(target)).backward()
    expected = oracles.rnn_loss_gradients(x, target, *rest)
    for name, weight in {"W_hx": w_hx, "W_hh": w_hh, "W_ph": w_ph}.items():
        oracles.close(weight.grad, expected[name], rtol=1e-8)


@pytest.mark.parametrize("seed, sizes", [(1, {}), (2, {"steps": 1}), (3, {"steps": 9, "batch": 1, "hidden": 6})])
@pytest.mark.parametrize("biased", [True, False])
def test_bptt_gradients_equal_central_differences(seed, sizes, biased):
    x, target, w_hx, w_hh, w_ph, *biases = draw(seed, **sizes)
    biases = biases if biased else []
    expected = oracles.rnn_loss_gradients(x, target, w_hx, w_hh, w_ph, *biases)
    gradients = bptt_gradients(*(torch.from_numpy(value) for value in (x, target, w_hx, w_hh, w_ph, *biases)))
    for name, gradient in expected.items():
        oracles.close(gradients[name], torch.from_numpy(gradient), rtol=1e-6)


X, Y, W = torch.zeros(4, 2, 3), torch.tensor([0, 2]), torch.eye(3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((X[0], Y, W, W, W), "expected x of shape \\[T, B, d\\]"),
        ((X, Y[:1], W, W, W), "target of shape \\[B\\], got \\(4, 2, 3\\) and \\(1,\\)"),
        ((X, Y, W[:, :2], W, W), "expected W_hx of \\(3, 3\\), got \\(3, 2\\)"),
        ((X, Y, W, W[0], W), "expected matrices W_hh and W_ph, got ranks 1 and 2"),
        ((X, Y, W, W, W, W), "expected b_h of \\(3,\\), got \\(3, 3\\)"),
        ((X, Y, W.double(), W, W), "expected W_hx of torch.float32 on cpu, as x, got torch.float64 on cpu"),
        ((X, Y, W.to("meta"), W, W), "expected W_hx of torch.float32 on cpu, as x, got torch.float32 on meta"),
        ((X, Y.float(), W, W, W), "expected target of torch.int64 on cpu, got torch.float32"),
        ((X, Y + 1, W, W, W), "expected targets between 0 and 2, got \\[1, 3\\]"),
        ((X, Y - 1, W, W, W), "expected targets between 0 and 2, got \\[-1, 1\\]"),
    ],
)
def test_bptt_gradients_invalid_arguments_raise_value_error(arguments, message):
    with pytest.raises(ValueError, match=f"bptt_gradients: .*{message}"):
        bptt_gradients(*arguments)
