"""Cora, public split: the two-layer GCN of Kipf and Welling, compared with an MLP and label propagation.

    python benchmarks/cora.py [--data-dir DIR] [--seeds 100] [--json benchmarks/results/cora.json]

`Semi-supervised classification with graph convolutional networks <https://arxiv.org/abs/1609.02907>`_ (Kipf and
Welling 2017), section 5: 16 hidden units, dropout 0.5, L2 of 5e-4 on the first layer, Adam at 0.01, at most 200 epochs,
row-normalized features, 140 labels. The tested epoch is selected by accuracy on the 500 validation nodes (then by their
loss), and so are the hyperparameters of label propagation; the 1000 test nodes are not used for selection.

The files are read from `DIR/cora_planetoid` (DIR is `$SEQGNN_DATA` by default); otherwise PyG downloads them.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_geometric
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch_geometric.data import Data

import seqgnn.nn
from seqgnn.data.io.safe_pickle import read_plain_pickle
from seqgnn.nn import GCNConv, PreparedGraph

CONFIG = {"hidden": 16, "dropout": 0.5, "l2_first_layer": 5e-4, "lr": 0.01, "epochs": 200}
FEATURES, CLASSES, PARTS = 1433, 7, ("train", "val", "test")
PUBLISHED = {"gcn": 81.5, "mlp": 55.1}  # the paper's tables 2 and 3
PROPAGATION_LAYERS = [1, 2, 3, 5, 10, 20, 50, 100]
PROPAGATION_ALPHA = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]
console = Console()


def read(folder: Path, name: str) -> Any:
    return read_plain_pickle(folder / f"ind.cora.{name}")


def dense(matrix: Any) -> Tensor:
    rows = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
    out = torch.zeros(len(matrix.indptr) - 1, FEATURES)
    out[rows, matrix.indices] = torch.from_numpy(matrix.data).float()
    return out


def from_files(folder: Path) -> Data:
    """Return the public split: the first 140 nodes train, the next 500 validate, and 1000 listed nodes test."""
    order = torch.tensor([int(line) for line in (folder / "ind.cora.test.index").read_text().split()])
    x = torch.cat([dense(read(folder, "allx")), torch.empty(len(order), FEATURES)])
    y = torch.cat([torch.from_numpy(read(folder, "ally")), torch.zeros(len(order), CLASSES, dtype=torch.int32)])
    x[order], y[order] = dense(read(folder, "tx")), torch.from_numpy(read(folder, "ty"))
    links = {(i, j) for i, others in read(folder, "graph").items() for j in others if i != j}
    edges = torch.tensor(sorted(links | {(j, i) for i, j in links})).T.contiguous()
    masks = torch.zeros(3, len(x), dtype=torch.bool)
    masks[0, :140] = masks[1, 140:640] = masks[2, order] = True
    train, validation, test = masks
    return Data(x=x, y=y.argmax(1), edge_index=edges, train_mask=train, val_mask=validation, test_mask=test)


def load(data_dir: str | None) -> Data:
    """Return Cora with row-normalized features."""
    if data_dir is None:
        from torch_geometric.datasets import Planetoid

        data = Planetoid(str(Path(__file__).parents[1] / "datasets"), "Cora")[0]
    else:
        data = from_files(Path(data_dir) / "cora_planetoid")
    found = tuple(data.x.shape), data.edge_index.size(1), [int(data[f"{part}_mask"].sum()) for part in PARTS]
    if found != ((2708, FEATURES), 10556, [140, 500, 1000]):
        raise ValueError(f"Cora: expected 2708 x 1433 features, 10556 edges and 140/500/1000 nodes, got {found}")
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1)
    return data


class GCN(nn.Module):
    """Two graph convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(FEATURES, CONFIG["hidden"])
        self.second = GCNConv(CONFIG["hidden"], CLASSES)

    def forward(self, x: Tensor, graph: PreparedGraph) -> Tensor:
        h = self.first(drop_entries(x, self.training), graph).relu()
        return self.second(dropout(h, CONFIG["dropout"], self.training), graph)


class Perceptron(nn.Module):
    """The same without the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, CONFIG["hidden"])
        self.second = nn.Linear(CONFIG["hidden"], CLASSES)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, graph: PreparedGraph) -> Tensor:
        h = (drop_entries(x, self.training) @ self.first.weight.T + self.first.bias).relu()
        return self.second(dropout(h, CONFIG["dropout"], self.training))


def drop_entries(x: Tensor, training: bool) -> Tensor:
    """Return a sparse matrix with dropout on its stored entries; zeros stay zero."""
    values = dropout(x.values(), CONFIG["dropout"], training)
    return torch.sparse_coo_tensor(x.indices(), values, x.shape, is_coalesced=True, check_invariants=False)


def train(kind: type[nn.Module], seed: int, data: Data, graph: PreparedGraph) -> float:
    """Return the test accuracy, in percent, at the epoch with the best validation score."""
    torch.manual_seed(seed)
    model, x = kind(), data.x.to_sparse_coo()
    groups = [
        {"params": model.first.parameters(), "weight_decay": CONFIG["l2_first_layer"]},
        {"params": model.second.parameters()},
    ]
    optimizer = torch.optim.Adam(groups, lr=CONFIG["lr"])
    best, test = (-1.0, 0.0), 0.0
    for _ in range(CONFIG["epochs"]):
        model.train()
        optimizer.zero_grad()
        cross_entropy(model(x, graph)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x, graph)
        loss = cross_entropy(logits[data.val_mask], data.y[data.val_mask]).item()
        validated = accuracy(logits, data, "val"), -loss
        if validated > best:
            best, test = validated, accuracy(logits, data, "test")
    return test


def accuracy(scores: Tensor, data: Data, part: str) -> float:
    mask = data[f"{part}_mask"]
    return 100 * (scores[mask].argmax(1) == data.y[mask]).double().mean().item()


def propagate_labels(data: Data) -> tuple[float, dict[str, float]]:
    """Return the test accuracy of PyG's label propagation with the best hyperparameters on validation, and these."""
    from torch_geometric.nn import LabelPropagation

    best, test, chosen = -1.0, 0.0, {}
    for layers in PROPAGATION_LAYERS:
        for alpha in PROPAGATION_ALPHA:
            scores = LabelPropagation(layers, alpha)(data.y, data.edge_index, mask=data.train_mask)
            validated = accuracy(scores, data, "val")
            if validated > best:
                best, test = validated, accuracy(scores, data, "test")
                chosen = {"num_layers": layers, "alpha": alpha}
    return test, chosen


def summary(scores: list[float]) -> dict[str, object]:
    """Return mean, standard deviation over seeds, and the 95% interval of the mean."""
    mean, sd = statistics.mean(scores), statistics.stdev(scores) if len(scores) > 1 else 0.0
    half = 1.96 * sd / len(scores) ** 0.5
    return {"mean": mean, "sd": sd, "interval": [mean - half, mean + half], "min": min(scores), "max": max(scores)}


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("SEQGNN_DATA"), help="default: $SEQGNN_DATA, else PyG's")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "cora.json")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"expected at least one seed, got {arguments.seeds}")
    data = load(arguments.data_dir)
    graph = seqgnn.nn.GCN().prepare(data.edge_index, num_nodes=data.num_nodes)
    results, measured = {}, {}
    for name, kind in (("gcn", GCN), ("mlp", Perceptron)):
        start = time.perf_counter()
        scores = [train(kind, seed, data, graph) for seed in track(range(arguments.seeds), name, console=console)]
        results[name] = {**summary(scores), "published": PUBLISHED[name], "test_accuracies": scores}
        measured[name] = {"seconds_per_seed": (time.perf_counter() - start) / arguments.seeds}
    score, chosen = propagate_labels(data)
    results["label propagation"] = {**summary([score]), "chosen_on_validation": chosen}

    table = Table(title=f"Cora, public split, test accuracy in %, {arguments.seeds} seeds")
    for column in ("", "mean", "sd", "95% interval of the mean", "published"):
        table.add_column(column)
    for name, result in results.items():
        low, high = result["interval"]
        spread = (f"{result['sd']:.2f}", f"{low:.2f} to {high:.2f}") if result["sd"] > 0 else ("", "deterministic")
        table.add_row(name, f"{result['mean']:.2f}", *spread, str(result.get("published", "")))
    console.print(table)

    measured["machine"] = {
        "system": platform.system(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "seqgnn": seqgnn.__version__,
    }
    config = {**CONFIG, "seeds": arguments.seeds, "selection": "validation accuracy, then validation loss"}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    unfinished = arguments.json.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"config": config, "results": results, "measured": measured}, indent=1) + "\n")
    os.replace(unfinished, arguments.json)
    console.print(f"saved to {arguments.json}")


if __name__ == "__main__":
    main()
