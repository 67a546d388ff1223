#!/usr/bin/env bash
# Guess: a model that keeps its adjacency matrix as a sparse buffer can be copied, whichever layout the
#   matrix has: if COO works, so does CSR.
# What happens: copy.deepcopy raises for CSR, CSC and BSR ("Cannot access storage"), though clone(),
#   pickle, double() and the products of the model work. Tensor.__deepcopy__ clones where is_sparse
#   holds and copies the storage otherwise; is_sparse means COO alone. So whatever copies a module
#   first fails on it: AveragedModel, quantize_dynamic, copies of layers.
# Versions: torch 2.13.0, Python 3.11.
# Output seen:
#   sparse_coo: is_sparse True, clone works, pickle works, deepcopy works, AveragedModel works
#   sparse_csr: is_sparse False, clone works, pickle works, deepcopy NotImplementedError, AveragedModel NotImplementedError
#   sparse_csc: is_sparse False, clone works, pickle works, deepcopy NotImplementedError, AveragedModel NotImplementedError
#   NotImplementedError: Cannot access storage of SparseCsrTensorImpl
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import copy
import pickle

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class Model(nn.Module):
    def __init__(self, adjacency):
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(self.adjacency @ x)


messages = set()


def outcome(call):
    try:
        call()
        return "works"
    except NotImplementedError as error:
        messages.add(f"{type(error).__name__}: {error}")
        return type(error).__name__


print("torch", torch.__version__)
for layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc):
    adjacency = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).to_sparse(layout=layout)
    model = Model(adjacency)
    model(torch.randn(2, 2))
    seen = {
        "clone": outcome(adjacency.clone),
        "pickle": outcome(lambda: pickle.loads(pickle.dumps(adjacency))),
        "deepcopy": outcome(lambda: copy.deepcopy(adjacency)),
        "AveragedModel": outcome(lambda: AveragedModel(model)),
    }
    name = str(layout).removeprefix("torch.")
    print(f"{name}: is_sparse {adjacency.is_sparse},", ", ".join(f"{call} {result}" for call, result in seen.items()))
    copied = "works" if layout is torch.sparse_coo else "NotImplementedError"
    assert seen == {"clone": "works", "pickle": "works", "deepcopy": copied, "AveragedModel": copied}, seen
    assert adjacency.is_sparse == (layout is torch.sparse_coo)
print(*messages)
assert messages == {"NotImplementedError: Cannot access storage of SparseCsrTensorImpl"}, messages
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
