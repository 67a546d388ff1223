#!/usr/bin/env bash
# Guess: GNNExplainer explains an instance of "class Sub(GCNConv): pass" as it explains a GCNConv; and
#   creating some other layer makes no difference.
# What happens: it works, unless a GCNConv was created in the process before the first instance of the
#   subclass; then it raises. A convolution compiles its propagate() when a class is first
#   instantiated, puts the result on the class, and keeps what was there as the original, in which
#   edges can be masked. The subclass inherits the compiled one of GCNConv by then and keeps that as
#   its original; the compiled propagate applies no edge mask.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen:
#   Early(GCNConv), created before any GCNConv: edge mask of 4 edges
#   GCNConv: edge mask of 4 edges
#   Late(GCNConv), created after one: ValueError: Could not compute gradients for edges. [...]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import torch
import torch_geometric
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv


class Early(GCNConv):
    pass


class Late(GCNConv):
    pass


def explain(layer):
    x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    explainer = Explainer(
        layer, GNNExplainer(epochs=3), explanation_type="model", edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    try:
        return f"edge mask of {explainer(x, edge_index).edge_mask.numel()} edges"
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
torch.manual_seed(0)
early = explain(Early(3, 2))
print("Early(GCNConv), created before any GCNConv:", early)
plain = explain(GCNConv(3, 2))
print("GCNConv:", plain)
late = explain(Late(3, 2))
print("Late(GCNConv), created after one:", late)
assert early == plain == "edge mask of 4 edges"
assert "Could not compute gradients for edges" in late
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
