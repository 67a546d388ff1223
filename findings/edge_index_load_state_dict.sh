#!/usr/bin/env bash
# Guess: an EdgeIndex registered as a buffer is restored by load_state_dict() as any buffer is: after
#   it, products use the graph that was loaded.
# What happens: they silently use a mixture of two graphs. load_state_dict() copies into the buffer in
#   place, and an EdgeIndex keeps what it had derived from its previous edges (row pointers and the like,
#   once a product or fill_cache_() made them). The next product takes its columns from the new graph
#   and its rows from the old. Comparing the buffers does not reveal it: the edges are equal. A state_dict
#   holds plain tensors, so the sort order is not restored either; here both graphs are sorted by row.
#   EdgeIndex.copy_() alone does the same.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen:
#   type in state_dict: Tensor; edges equal after loading: True
#   product expected: [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
#   product seen:     [[0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import torch
import torch_geometric
from torch import nn
from torch_geometric import EdgeIndex


class Graph(nn.Module):
    def __init__(self, edges):
        super().__init__()
        self.register_buffer("edge_index", EdgeIndex(edges, sparse_size=(3, 3), sort_order="row").validate())

    def forward(self, x):
        return self.edge_index @ x


print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__)
x = torch.eye(3)
former, saved = Graph([[0, 0, 1, 2], [1, 2, 0, 0]]), Graph([[0, 1, 2, 2], [2, 2, 0, 1]])
former(x)
state = saved.state_dict()
print("keys:", former.load_state_dict(state))
equal = torch.equal(former.edge_index.as_tensor(), saved.edge_index.as_tensor())
print(f"type in state_dict: {type(state['edge_index']).__name__}; edges equal after loading: {equal}")
expected = torch.zeros(3, 3).index_put_(tuple(saved.edge_index.as_tensor()), torch.ones(()), accumulate=True) @ x
seen = former(x)
print("product expected:", expected.tolist())
print("product seen:    ", seen.tolist())
assert equal and type(state["edge_index"]) is torch.Tensor
assert torch.equal(saved(x), expected)
assert seen.tolist() == [[0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
