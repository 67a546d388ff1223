"""Weekly chickenpox cases in Hungary's counties, four weeks in, the next one out: does the graph help? Hardly.

Data: PyTorch Geometric Temporal's chickenpox.json (Rozemberczki et al. 2021), standardised, as an argument or in
$SEQGNN_DATA/pyg_temporal. The first 20% of weeks train, a fifth of these choose the epoch, the rest is the test.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from seqgnn.nn import DCRNN, GCNLSTM, GCRN, LSTM

LAGS, HIDDEN, EPOCHS = 4, 16, 200


class Forecaster(nn.Module):
    """``x [T, B, N, 1]`` to the next value of every node ``[B, N]``; `layer` on the graph, or on each node alone."""

    def __init__(self, layer: nn.Module, graph: Tensor | None, skip: bool) -> None:
        super().__init__()
        self.layer, self.graph, self.head = layer, graph, nn.Linear(HIDDEN, 1)
        self.skip = nn.Linear(LAGS, 1) if skip else None  # from the node's own past, which a GCN averages away

    def forward(self, x: Tensor) -> Tensor:
        alone = self.graph is None
        h = self.layer(x.flatten(1, 2))[0].unflatten(1, x.shape[1:3]) if alone else self.layer(x, self.graph)[0]
        y = self.head(torch.relu(h[-1]))
        return (y if self.skip is None else y + self.skip(x[..., 0].permute(1, 2, 0)))[..., 0]


def mse(forecast: Tensor, truth: Tensor) -> Tensor:
    if forecast.shape != truth.shape:  # [B, N] and [B, N, 1] would broadcast to all pairs
        raise ValueError(f"mse: expected shapes alike, got {tuple(forecast.shape)} and {tuple(truth.shape)}")
    return (forecast - truth).square().mean()


def train(model: nn.Module, x: Tensor, y: Tensor, fit: slice, choose: slice, test: slice) -> float:
    """Test error of the epoch that is best on `choose`."""
    optimizer, best, score = torch.optim.Adam(model.parameters(), lr=1e-2), float("inf"), float("nan")
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        mse(model(x[:, fit]), y[fit]).backward()
        optimizer.step()
        with torch.no_grad():
            if (seen := mse(model(x[:, choose]), y[choose]).item()) < best:
                best, score = seen, mse(model(x[:, test]), y[test]).item()
    return score


data = sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("SEQGNN_DATA", "")) / "pyg_temporal/chickenpox.json"
content = json.loads(Path(data).read_text())
series, graph = torch.tensor(content["FX"]), torch.tensor(content["edges"]).T.contiguous()
windows = series.unfold(0, LAGS + 1, 1)  # [weeks - 4, N, 5], a view
x, y = windows[..., :LAGS].permute(2, 0, 1)[..., None], windows[..., LAGS]  # [T, weeks, N, 1] and [weeks, N]
cut = int(0.2 * len(y))
fit, choose, test = slice(0, int(0.8 * cut)), slice(int(0.8 * cut), cut), slice(cut, None)

past = torch.cat([windows[..., :LAGS], torch.ones_like(y)[..., None]], dim=-1)
weights = torch.linalg.lstsq(past[:cut].flatten(0, 1), y[:cut].flatten()[:, None]).solution
print(f"{'test MSE, ' + str(len(y) - cut) + ' weeks':36} mean over 3 seeds")
print(f"{'mean of the training weeks':36} {mse(y[:cut].mean().expand_as(y[test]), y[test]):.4f}")
print(f"{'linear, all nodes alike':36} {mse((past[test] @ weights)[..., 0], y[test]):.4f}")
for name, make, edges in (
    ("LSTM on each node", lambda: LSTM(1, HIDDEN), None),
    ("GCNLSTM", lambda: GCNLSTM(1, HIDDEN), graph),
    ("GCRN, K = 2", lambda: GCRN(1, HIDDEN, K=2), graph),
    ("DCRNN, K = 2", lambda: DCRNN(1, HIDDEN, K=2), graph),
):
    for skip in (False, True):
        scores = []
        for seed in range(3):
            torch.manual_seed(seed)
            scores.append(train(Forecaster(make(), edges, skip), x, y, fit, choose, test))
        shown = name + (" and a linear skip" if skip else "")
        print(f"{shown:36} {sum(scores) / 3:.4f}  ({min(scores):.4f} to {max(scores):.4f})")
