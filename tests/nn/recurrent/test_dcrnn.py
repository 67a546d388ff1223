"""DCRNNForecaster: the oracle, windows, changing graphs and scheduled sampling."""

import pytest
import torch

from seqgnn.nn import DCRNNForecaster, scheduled_sampling
from tests.support import graph_oracles as og
from tests.support.oracles import close, leaf
from tests.support.published_layers import (
    CHANGING,
    EDGES,
    GRAPHS,
    STATIC,
    WEIGHTS,
    F,
    H,
    N,
    T,
    leaves,
    same_gradients,
    signal,
)


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_dcrnn_forecaster_equals_oracle(variant):
    torch.manual_seed(0)
    model = DCRNNForecaster(F, H, 2, 5, num_layers=2, K=3, variant=variant, dtype=torch.float64)
    inputs, targets = leaves([signal(T, N, F), WEIGHTS]), signal(5, N, 2)
    p, others = {name: leaf(value) for name, value in model.named_parameters()}, leaves(inputs)
    (x, weight), (y, other_weight) = inputs, others
    wanted = og.dcrnn_forecaster(p, y, (EDGES, other_weight), 3, 5, variant, 2)
    forecast = model(x, EDGES, weight)
    close(forecast, wanted)
    same_gradients(model, inputs, forecast, p, others, wanted)
    draws = torch.rand(5, generator=torch.Generator().manual_seed(0))
    taken = [False, *(draws[:4] < 0.5).tolist()]
    assert 0 < sum(taken) < 4
    taught = model(x, *STATIC, targets=targets, truth=0.5, generator=torch.Generator().manual_seed(0))
    close(taught, og.dcrnn_forecaster(p, y, STATIC, 3, 5, variant, 2, targets, taken))
    close(model.eval()(x, *STATIC, targets=targets, truth=1.0), forecast)


def test_dcrnn_forecaster_windows_and_changing_graphs_agree():
    torch.manual_seed(0)
    model = DCRNNForecaster(F, H, 1, T, K=2, dtype=torch.float64)
    x = signal(T, 2, N, F)
    together = model(x, *STATIC)
    close(together, torch.stack([model(x[:, b], *STATIC) for b in range(2)], 1))
    assert model(x, *CHANGING, future=EDGES, future_weight=WEIGHTS).isfinite().all()
    close(model(x, *STATIC, future=[EDGES] * T, future_weight=[WEIGHTS] * T), together)
    close(model(x, *STATIC, future=model.prepare(EDGES, WEIGHTS, N)), together)
    p, ahead = dict(model.named_parameters()), {"future": CHANGING[0], "future_weight": CHANGING[1]}
    wanted = og.dcrnn_forecaster(p, x[:, 0], STATIC, 2, T, future_graph=GRAPHS)
    close(model(x[:, 0], *STATIC, **ahead), wanted)
    close(model(x[:, 0], *CHANGING, **ahead), og.dcrnn_forecaster(p, x[:, 0], GRAPHS, 2, T, future_graph=GRAPHS))
    close(model(x, model.prepare(EDGES, WEIGHTS, N)), together)
    first = DCRNNForecaster(F, H, 1, T, K=2, batch_first=True, dtype=torch.float64)
    first.load_state_dict(model.state_dict())
    targets = signal(2, T, N, 1)
    close(first(x.transpose(0, 1), *STATIC), together.transpose(0, 1))
    close(
        first(x.transpose(0, 1), *STATIC, targets=targets, truth=1.0),
        model(x, *STATIC, targets=targets.transpose(0, 1), truth=1.0).transpose(0, 1),
    )


def test_scheduled_sampling_falls_from_one_to_zero():
    probabilities = [scheduled_sampling(step, 100) for step in range(0, 2000, 50)]
    assert probabilities == sorted(probabilities, reverse=True) and 0.98 < probabilities[0] <= 1
    assert probabilities[-1] < 1e-3 and scheduled_sampling(10**9) >= 0
