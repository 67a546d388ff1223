"""Reach of a GNN on a path, and the errors of backpropagation by hand (an oracle elsewhere checks its figures)."""

import pytest
import torch

from seqgnn.analysis import bptt_gradients, reach
from seqgnn.data import path_graph, powers_of_two


@pytest.mark.parametrize("hops", [(1,), (1, 2, 4), (1, 3), (2,), (1, 8)])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_reach_against_powers_of_the_adjacency(hops, num_layers):
    adjacency = torch.eye(40)
    source, target = path_graph(40, hops=hops)
    adjacency[target, source] = 1
    heard = torch.linalg.matrix_power(adjacency, num_layers)[-1].flip(0) > 0
    first_deaf = heard.tolist().index(False) if not heard.all() else 40
    assert reach(num_layers, hops) == first_deaf - 1


def test_powers_of_two_reach_the_whole_path():
    for length in range(2, 70):
        hops = powers_of_two(length)
        assert reach(len(hops), hops) >= length - 1


@pytest.mark.parametrize("num_layers, hops", [(0, (1,)), (2, ()), (2, (0, 1))])
def test_reach_errors(num_layers, hops):
    with pytest.raises(ValueError, match="reach: expected num_layers >= 1 and hops of at least 1"):
        reach(num_layers, hops)


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
    ],
)
def test_bptt_errors(arguments, message):
    with pytest.raises(ValueError, match=f"bptt_gradients: .*{message}"):
        bptt_gradients(*arguments)
