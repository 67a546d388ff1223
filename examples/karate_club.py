"""Zachary's karate club with one labeled member per faction: a GCN predicts the other 32, and a figure shows them.

Run: python examples/karate_club.py [--out results/karate_club.png]
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from seqgnn.data import karate_club
from seqgnn.nn import GCNConv


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(34, 16)
        self.second = GCNConv(16, 2)

    def forward(self, x, graph):
        return self.second(torch.tanh(self.first(x, graph)), graph)


def train(club, seed: int):
    torch.manual_seed(seed)
    model = Classifier()
    graph = model.first.prepare(club.edge_index, num_nodes=34)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(200):
        loss = F.cross_entropy(model(club.x, graph)[club.train_mask], club.y[club.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model(club.x, graph).softmax(-1)[:, 1].detach()


def draw(club, officer, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import networkx

    graph = networkx.karate_club_graph()
    place = networkx.spring_layout(graph, seed=4)
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    networkx.draw_networkx_edges(graph, place, ax=axes, edge_color="#c8c8c8")
    known, wrong = club.train_mask.tolist(), ((officer > 0.5).long() != club.y).tolist()
    edges = ["black" if k else "#d62728" if w else "white" for k, w in zip(known, wrong)]
    dots = networkx.draw_networkx_nodes(
        graph, place, ax=axes, node_color=officer.tolist(), cmap="PuOr", vmin=0, vmax=1, edgecolors=edges, linewidths=2
    )
    for node, (x, y) in place.items():
        dark = abs(officer[node] - 0.5) > 0.25
        axes.text(x, y, node, color="white" if dark else "black", fontsize=8, ha="center", va="center")
    figure.colorbar(dots, ax=axes, shrink=0.7, label="probability of the officers' side")
    axes.set_title("Black rings: the two labeled members. Red rings: wrong predictions.", fontsize=10)
    axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("results/karate_club.png"))
out = parser.parse_args().out
club = karate_club()
unknown = ~club.train_mask
predictions = [train(club, seed) for seed in range(10)]
scores = torch.tensor([((p > 0.5).long() == club.y)[unknown].float().mean() for p in predictions])
print(f"accuracy on the 32 other members, 10 seeds: {scores.mean():.3f} ± {scores.std():.3f} (guessing: 0.5)")
draw(club, predictions[0], out)
print(f"figure of seed 0: {out}")
