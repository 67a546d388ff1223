#!/usr/bin/env bash
# Guess: EdgeIndex (and Index) are tensors over the buffer that they were made from, so the usual key of
#   a cache, (data_ptr(), _version), changes when the edges do.
# What happens: both write to one memory, but keep separate version counters. A write to the buffer
#   leaves the counter of the wrapper at 0, a write through the wrapper leaves that of the buffer, and
#   data_ptr() of every wrapper is 0: it has no storage of its own (Tensor._make_wrapper_subclass), and
#   its operations run on the inner tensor below the layer that counts. A cache by this key serves old
#   results, and cannot tell two EdgeIndex apart. as_tensor() gives the inner tensor; if it is
#   written in both ways, both counters have to be checked.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen (_version of wrapper and of buffer):
#   EdgeIndex: same memory True, data_ptr() 0
#     at first               0 0
#     buffer written         0 1
#     wrapper written        1 1
#   Index: same memory True, data_ptr() 0
#     at first               0 0
#     buffer written         0 1
#     wrapper written        1 1
#   cache with key (data_ptr(), _version): degrees [1, 2, 1] served, [0, 2, 2] right
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import torch
import torch_geometric
from torch_geometric import EdgeIndex, Index

print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)


def counters(wrapper, buffer, name):
    print(f"{name}: same memory {wrapper.as_tensor() is buffer}, data_ptr() {wrapper.data_ptr()}")
    assert wrapper.as_tensor() is buffer and wrapper.data_ptr() == 0
    seen = []

    def note(moment):
        seen.append((wrapper._version, buffer._version))
        print(f"  {moment:22}", *seen[-1])

    note("at first")
    buffer[..., 0] = 2
    note("buffer written")
    wrapper[..., 0] = 0
    note("wrapper written")
    assert (buffer[..., 0] == 0).all()
    assert seen == [(0, 0), (0, 1), (1, 1)], seen


buffer = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
counters(EdgeIndex(buffer, sparse_size=(3, 3)), buffer, "EdgeIndex")
buffer = torch.tensor([0, 1, 2])
counters(Index(buffer, dim_size=3), buffer, "Index")

cache = {}


def degrees(edge_index):
    key = edge_index.data_ptr(), edge_index._version
    if key not in cache:
        cache[key] = torch.bincount(edge_index.as_tensor()[0], minlength=3).tolist()
    return cache[key]


buffer = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
edge_index = EdgeIndex(buffer, sparse_size=(3, 3))
degrees(edge_index)
buffer[0, 0] = 2
served, right = degrees(edge_index), torch.bincount(buffer[0], minlength=3).tolist()
print(f"cache with key (data_ptr(), _version): degrees {served} served, {right} right")
assert served == [1, 2, 1] and right == [0, 2, 2]
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
