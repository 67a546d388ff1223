"""LSTM, GCNConv and GCNLSTM in a custom model that forecasts a time series on a graph.

In the time series, each node of a grid follows its neighbors with a lag of two. Run: python examples/your_own_model.py
"""

import torch
from torch import nn

from seqgnn.data import grid
from seqgnn.nn import GCNLSTM, LSTM, GCNConv, PreparedGraph


class Forecaster(nn.Module):
    """Next value of every node from ``x [T, B, N, 1]``: a hybrid on the graph, or an LSTM on each node separately."""

    def __init__(self, hidden: int, on_graph: bool) -> None:
        super().__init__()
        self.embed = GCNConv(1, hidden) if on_graph else nn.Linear(1, hidden)
        self.recur = GCNLSTM(hidden, hidden) if on_graph else LSTM(hidden, hidden, forget_bias=1.0)
        self.head = nn.Linear(hidden + 1, 1)

    def forward(self, x: torch.Tensor, graph: PreparedGraph) -> torch.Tensor:
        if isinstance(self.recur, GCNLSTM):
            h, _ = self.recur(torch.tanh(self.embed(x, graph)), graph)
        else:
            h = self.recur(torch.tanh(self.embed(x)).flatten(1, 2))[0].unflatten(1, x.shape[1:3])
        return self.head(torch.cat([h[-1], x[-1]], dim=-1)).squeeze(-1)


def make_signal(graph: PreparedGraph, steps: int) -> torch.Tensor:
    """Return ``[steps, N]``: x_t = 0.3 x_(t-1) + 0.65 P x_(t-2) + noise; P averages a node and its neighbors."""
    conv = GCNConv(1, 1, bias=False, normalization="rw")
    nn.init.ones_(conv.lin.weight)
    mean = conv.prepare(graph.edge_index, num_nodes=graph.num_nodes)
    signal = [torch.randn(graph.num_nodes, 1) for _ in range(2)]
    with torch.no_grad():
        for _ in range(steps):
            noise = 0.3 * torch.randn(graph.num_nodes, 1)
            signal.append(0.3 * signal[-1] + 0.65 * conv(signal[-2], mean) + noise)
    return torch.stack(signal[2:])[..., 0]


torch.manual_seed(0)
torch.set_num_threads(1)
layer = GCNConv(1, 8)
graph = layer.prepare(grid(4, 4).edge_index, num_nodes=16)
series = make_signal(graph, 600)
windows = series.unfold(0, 9, 1).permute(2, 0, 1).unsqueeze(-1)  # [9, windows, N, 1]: eight steps and the next
train, test = windows[:, :450], windows[:, 470:]
print(f"{'persistence':24} test MSE {(test[8] - test[7]).square().mean():.3f}")

for on_graph, name in ((False, "LSTM on each node"), (True, "GCNConv and GCNLSTM")):
    torch.manual_seed(0)
    model = Forecaster(16, on_graph)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        rows = torch.randint(train.size(1), (64,))
        loss = (model(train[:8, rows], graph) - train[8, rows, :, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (model(test[:8], graph) - test[8, :, :, 0]).square().mean()
    print(f"{name:24} test MSE {error:.3f}   (noise alone: {0.3**2:.3f})")
