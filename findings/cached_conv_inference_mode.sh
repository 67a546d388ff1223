#!/usr/bin/env bash
# Guess: a model evaluated once before training (a baseline, a sanity check of the shapes) trains as
#   before; torch.inference_mode() is no_grad() made faster, and leaves nothing behind.
# What happens: with GCNConv(cached=True) training fails from then on, with a misleading error:
#   "Inference tensors cannot be saved for backward". The layer keeps the normalized weights of its
#   first call permanently; created in inference mode they are inference tensors, which autograd may
#   not save. After no_grad() or after a first training step it works: the same two calls work in
#   one order only. reset_parameters() clears the cache (and the weights); so does
#   setting _cached_edge_index to None.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen:
#   train, inference_mode, train   works
#   no_grad, train                 works
#   inference_mode, train          RuntimeError: Inference tensors cannot be saved for backward. [...]
#   the same, not cached           works
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import torch
import torch_geometric
from torch_geometric.nn import GCNConv

x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def train(layer):
    layer(x, edge_index).sum().backward()


def evaluate(context):
    def call(layer):
        with context():
            layer(x, edge_index)

    return call


def outcome(*calls, cached=True):
    layer = GCNConv(3, 2, cached=cached)
    try:
        for call in calls:
            call(layer)
        return "works"
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"


print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
inference, no_grad = evaluate(torch.inference_mode), evaluate(torch.no_grad)
seen = {
    "train, inference_mode, train": outcome(train, inference, train),
    "no_grad, train": outcome(no_grad, train),
    "inference_mode, train": outcome(inference, train),
    "the same, not cached": outcome(inference, train, cached=False),
}
for name, result in seen.items():
    print(f"{name:30}", result)
assert "Inference tensors cannot be saved for backward" in seen.pop("inference_mode, train")
assert set(seen.values()) == {"works"}, seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
