#!/usr/bin/env bash
# Guess: PyG's graph convolutions return for a graph without nodes an empty tensor [0, out_channels].
# What happens: ChebConv raises, at every K, even at K=1, which uses no edge. Without lambda_max it
#   takes twice the largest entry of the Laplacian, which fails without entries. A graph with nodes but
#   no edges works, since the Laplacian then has a diagonal; so does an empty graph with lambda_max.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen:
#   no nodes: GCNConv (0, 8), SAGEConv (0, 8), GATConv (0, 8), TAGConv (0, 8)
#   no nodes: ChebConv K=1: RuntimeError: max(): Expected reduction dim to be specified for input.numel() == 0. [...]
#   no nodes: ChebConv K=3: RuntimeError: max(): Expected reduction dim to be specified for input.numel() == 0. [...]
#   no nodes: ChebConv K=3, lambda_max=2.0: (0, 8)
#   no edges: ChebConv K=3: (2, 8)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import torch
import torch_geometric
from torch_geometric.nn import ChebConv, GATConv, GCNConv, SAGEConv, TAGConv

print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
no_nodes, no_edges = torch.randn(0, 4), torch.empty(2, 0, dtype=torch.long)
layers = (GCNConv, SAGEConv, GATConv, TAGConv)
shapes = {layer.__name__: tuple(layer(4, 8)(no_nodes, no_edges).shape) for layer in layers}
print("no nodes:", ", ".join(f"{name} {shape}" for name, shape in shapes.items()))
assert set(shapes.values()) == {(0, 8)}, shapes
for K in (1, 3):
    try:
        ChebConv(4, 8, K)(no_nodes, no_edges)
        raise SystemExit(f"ChebConv took a graph without nodes at K={K}")
    except RuntimeError as error:
        print(f"no nodes: ChebConv K={K}: {type(error).__name__}: {error}")
        assert "max()" in str(error), error
given = tuple(ChebConv(4, 8, 3)(no_nodes, no_edges, lambda_max=2.0).shape)
print("no nodes: ChebConv K=3, lambda_max=2.0:", given)
assert given == (0, 8)
shape = tuple(ChebConv(4, 8, 3)(torch.randn(2, 4), no_edges).shape)
print("no edges: ChebConv K=3:", shape)
assert shape == (2, 8)
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
