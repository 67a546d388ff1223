#!/bin/sh
# After GNNExplainer, other explainers of PyTorch Geometric get no gradient from the same model.
#
# Versions: torch 2.13.0, torch-geometric 2.8.1, captum 0.9.0 (CPU).
# Guess: explaining a model leaves it as it was, so that CaptumExplainer gives the same before and after GNNExplainer.
# Seen: before, it gives importances; after, it raises RuntimeError: "The differentiated Tensor at index 0 appears to not
#   have been used in the graph". PGExplainer raises nothing, but learns without the gradient of the prediction.
# Why: GNNExplainer's mask is a Parameter, and so becomes a registered parameter of every MessagePassing layer.
#   clear_masks sets it to None but leaves it registered, and set_masks then wraps later masks, which are plain tensors,
#   in new Parameters, which cut them off from what they were computed from.
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1 captum==0.9.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
import torch_geometric
from torch_geometric.explain import CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.nn import GCNConv

print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
torch.manual_seed(0)
model, x, edges = GCNConv(3, 1), torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
config = {"mode": "regression", "task_level": "node", "return_type": "raw"}


def explained_by(algorithm):
    explainer = Explainer(
        model, algorithm, explanation_type="model", edge_mask_type="object", model_config=config
    )
    return explainer(x, edges, index=1).edge_mask.detach()


before = explained_by(CaptumExplainer("Saliency"))
print("CaptumExplainer before GNNExplainer:", before.tolist())
explained_by(GNNExplainer(epochs=2))
try:
    after = str(explained_by(CaptumExplainer("Saliency")).tolist())
except RuntimeError as error:
    after = str(error)
print("CaptumExplainer after GNNExplainer: ", after)
sys.exit(0 if before[0] != 0 and "appears to not have been used in the graph" in after else 1)
PYTHON
