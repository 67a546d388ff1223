"""Forecasts of weekly chickenpox cases in Hungary's counties from the last four weeks: does the graph help? Hardly.

Data: chickenpox.json of PyTorch Geometric Temporal (Rozemberczki et al. 2021), standardized there over all weeks, as an
argument or in $SEQGNN_DATA/pyg_temporal. The first 20% of weeks train the linear model and the networks. A network is
first trained without the last fifth of these, which determines the epochs, then on all. The other weeks are the test.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from seqgnn.nn import DCRNN, GCNLSTM, GCRN, LSTM

LAGS, HIDDEN, EPOCHS = 4, 16, 200


class Forecaster(nn.Module):
    """Next value of every node ``[B, N]`` from ``x [T, B, N, 1]``: a layer on the graph, or on each node separately."""

    def __init__(self, layer: Callable[..., nn.Module], graph: Tensor | None, skip: bool, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.graph, self.head = layer(1, HIDDEN), graph, nn.Linear(HIDDEN, 1)
        self.skip = nn.Linear(LAGS, 1) if skip else None  # of the node's own past, which a GCN averages away

    def forward(self, x: Tensor) -> Tensor:
        nodewise = self.graph is None
        h = self.layer(x.flatten(1, 2))[0].unflatten(1, x.shape[1:3]) if nodewise else self.layer(x, self.graph)[0]
        y = self.head(torch.relu(h[-1]))
        return (y if self.skip is None else y + self.skip(x[..., 0].permute(1, 2, 0)))[..., 0]


def mse(forecast: Tensor, truth: Tensor) -> Tensor:
    if forecast.shape != truth.shape:  # [B, N] and [B, N, 1] would broadcast to all pairs
        raise ValueError(f"mse: expected equal shapes, got {tuple(forecast.shape)} and {tuple(truth.shape)}")
    return (forecast - truth).square().mean()


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> Iterator[nn.Module]:
    """Yield the model after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        optimizer.zero_grad()
        mse(model(x), y).backward()
        optimizer.step()
        yield model


torch.set_num_threads(1)
data = sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("SEQGNN_DATA", "")) / "pyg_temporal/chickenpox.json"
content = json.loads(Path(data).read_text())
windows, graph = torch.tensor(content["FX"]).unfold(0, LAGS + 1, 1), torch.tensor(content["edges"]).T.contiguous()
x, y = windows[..., :LAGS].permute(2, 0, 1)[..., None], windows[..., LAGS]  # [T, weeks, N, 1] and [weeks, N]
cut, part = int(0.2 * len(y)), int(0.16 * len(y))
whole, fit, choose, test = slice(0, cut), slice(0, part), slice(part, cut), slice(cut, None)
past = torch.cat([windows[..., :LAGS], torch.ones_like(y)[..., None]], dim=-1)
weights = torch.linalg.lstsq(past[whole].flatten(0, 1), y[whole].flatten()[:, None]).solution
print(f"{f'test MSE, {len(y) - cut} weeks':36} mean over 3 seeds")
print(f"{'mean of the training weeks':36} {mse(y[whole].mean().expand_as(y[test]), y[test]):.4f}")
print(f"{'linear, shared by all nodes':36} {mse((past[test] @ weights)[..., 0], y[test]):.4f}")
for name, layer, edges in (
    ("LSTM on each node separately", LSTM, None),
    ("GCNLSTM", GCNLSTM, graph),
    ("GCRN, K = 2", lambda *sizes: GCRN(*sizes, K=2), graph),
    ("DCRNN, K = 2", lambda *sizes: DCRNN(*sizes, K=2), graph),
):
    for skip in (False, True):
        errors = []
        for seed in range(3):
            first, final = (Forecaster(layer, edges, skip, seed) for _ in range(2))
            losses = [mse(model(x[:, choose]), y[choose]).item() for model in train(first, x[:, fit], y[fit], EPOCHS)]
            *_, model = train(final, x[:, whole], y[whole], 1 + losses.index(min(losses)))
            errors.append(mse(model(x[:, test]), y[test]).item())
        print(f"{name + ', linear skip' * skip:36} {sum(errors) / 3:.4f}  ({min(errors):.4f} to {max(errors):.4f})")
