"""Small forecasters, and time series on a small graph for them."""

import torch

from seqgnn.data import TemporalGraph
from seqgnn.models import build_forecaster

EDGES = torch.tensor([[0, 1, 2, 3, 0, 3], [1, 2, 0, 1, 3, 3]])  # directed, with a self-loop; node 4 is isolated
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.25, 1.5], dtype=torch.float64)
LAGS, HORIZON, NODES = 4, 3, 5
PLAIN: dict = {}


def series(steps=20, features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, NODES, features, dtype=torch.float64, generator=generator)


def windows(edges=EDGES, weights=WEIGHTS, signal=None, mask=None):
    graph = TemporalGraph(series() if signal is None else signal, edges, weights, mask=mask)
    return graph.windows(LAGS, HORIZON)


def changing(steps=20):
    subsets = [[0, 1, 2, 3, 4, 5], [0, 2, 3], [1, 5], [4]]
    chosen = [subsets[step % 4] for step in range(steps)]
    return [EDGES[:, edges] for edges in chosen], [WEIGHTS[edges] for edges in chosen]


def build(name, options=PLAIN, **others):
    torch.manual_seed(0)
    options = options | others
    if options.get("skip") and name != "linear":
        options = {"num_layers": 2} | options
    model = build_forecaster(name, in_channels=2, hidden=6, lags=LAGS, horizon=HORIZON, **options).double()
    with torch.no_grad():  # zero biases would hide errors
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()
