"""EvolveGCN, A3TGCN, DCRNNForecaster and convolutions: errors."""

import pytest
import torch

from seqgnn.nn import DCRNN, GCLSTM, GCRN, ChebConv, DCRNNForecaster, EvolveGCN, GCNConv, scheduled_sampling
from tests.support.published_layers import EDGES, WEIGHTS, F, H, N, T

X = torch.zeros(T, N, F)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: EvolveGCN(F, H, variant="X"), "EvolveGCN: expected variant to be one of 'O', 'H'"),
        (lambda: EvolveGCN(F, 8, variant="H")(X, EDGES), "EvolveGCN: expected graphs of at least 8 nodes, .* got 7"),
        (lambda: EvolveGCN(F, H)(X[0, 0], EDGES), "EvolveGCN: expected input of rank 3 or 4 with 3 channels"),
        (
            lambda: EvolveGCN(F, H)(X, EDGES, state=torch.zeros(3)),
            r"EvolveGCN: expected \(W, cell state\) for each of 1 layers",
        ),
        (
            lambda: EvolveGCN(F, H, variant="H")(X, EDGES, state=(torch.zeros(4, 4),)),
            r"EvolveGCN: expected a state h of shape \(3, 4\)",
        ),
        (
            lambda: EvolveGCN(F, H, variant="H")(X[:, None], EDGES, batch=torch.zeros(N, dtype=torch.long)),
            r"expected x of shape \[T, N, F\] with batch, got windows",
        ),
        (lambda: DCRNNForecaster(F, H, horizon=0, K=2), "DCRNNForecaster: expected horizon"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, truth=0.5), "expected truth in .* and targets"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=X), r"expected targets of shape \(12, 7, 1\)"),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, [EDGES] * T),
            "expected future, the graphs of the steps ahead, with one graph per step",
        ),
        (lambda: DCRNNForecaster(F, H, K=2)([0.0], EDGES), "DCRNNForecaster: expected a tensor, got list"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, truth=None), r"expected truth in \[0, 1\], .* got None"),
        (lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=[0.0]), r"expected targets of shape .*, got "),
        (
            lambda: DCRNNForecaster(F, H, K=2, batch_first=True)(X[None], EDGES, targets=X),
            r"expected targets of shape \(1, 12, 7, 1\)",
        ),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, future=[EDGES] * 3),
            "expected future to have 12 items, one per step, got 3",
        ),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, future_weight=WEIGHTS),
            "expected future, .* with future_weight",
        ),
        (lambda: DCRNNForecaster(F, H, K=0), "DCRNNForecaster: expected K to be an integer of at least 1, got 0"),
        (
            lambda: DCRNNForecaster(F, H, K=2)(X, EDGES, targets=X.new_zeros(12, N, 1).double()),
            "expected targets of tor",
        ),
        (lambda: DCRNN(F, H, K=0), "DCRNN: expected K to be an integer of at least 1, got 0"),
        (lambda: GCRN(F, H, K=0), "GCRN: expected K to be an integer of at least 1, got 0"),
        (lambda: GCLSTM(F, H, K=0), "GCLSTM: expected K to be an integer of at least 1, got 0"),
        (lambda: ChebConv(F, H, 2)(X, EDGES.to("meta")), "ChebConv: expected the graph on cpu, .* got meta"),
        (lambda: GCNConv(F, H)(X, EDGES.to("meta")), "GCNConv: expected the graph on cpu, .* got meta"),
        (lambda: ChebConv(F, H, 2)(X.double(), EDGES), "ChebConv: expected x of torch.float32, as the weights are"),
        (lambda: ChebConv(F, H, 2)([0.0], EDGES), r"ChebConv: expected x of shape \[..., N, 3\], got "),
        (
            lambda: ChebConv(F, H, 2)(X.to("meta"), EDGES),
            "ChebConv: expected x on cpu, where the weights are, got meta",
        ),
        (lambda: scheduled_sampling(0, 0), "scheduled_sampling: expected step >= 0 and decay > 0"),
    ],
)
def test_sequence_models_and_convs_invalid_input_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()
