#!/bin/sh
# PyTorch Geometric's explainers mask the wrong edges if every node has exactly one self-loop.
#
# Versions: torch 2.13.0, torch-geometric 2.8.1 (CPU).
# Guess: on a ring 0 -> 1 -> 2 -> 0 with a self-loop at each node, GNNExplainer of one GCNConv finds for node 1 the edge
#   (0, 1), with or without the self-loops in `edge_index`.
# Seen: with the self-loops it finds (0, 0) and (2, 2), neither of which ends at node 1.
# Why: GCNConv moves self-loops behind the other edges. MessagePassing.explain_message aligns the mask of edges with the
#   messages only if their numbers differ; with one self-loop per node they are equal, and the mask is applied by place.
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
import torch_geometric
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv

print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
config = {"mode": "regression", "task_level": "node", "return_type": "raw"}


def found(edges):
    torch.manual_seed(0)
    explainer = Explainer(
        GCNConv(3, 2), GNNExplainer(epochs=5), explanation_type="model", edge_mask_type="object", model_config=config
    )
    mask = explainer(torch.ones(3, 3), edges, index=1).edge_mask
    return [tuple(edge) for edge, value in zip(edges.t().tolist(), mask) if value > 0]


ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
looped = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0]])
without, with_loops = found(ring), found(looped)
print("edges that node 1 depends on, without self-loops in edge_index:", without)
print("edges that node 1 depends on, with them:                       ", with_loops)
sys.exit(0 if without == [(0, 1)] and with_loops == [(0, 0), (2, 2)] else 1)
PYTHON
