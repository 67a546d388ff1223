#!/usr/bin/env bash
# Guess: entries that a COO matrix of scipy holds twice are added on conversion, as documented, to the number
#   that they are: 200 + 100 = 300 edges; and asking for a sum does not change the matrix.
# What happens: they are added in the matrix's own dtype, so two uint8 counts wrap around silently (44). Two
#   bool entries make 2.0 after astype(float), until somebody calls sum(), which merges them in place: the
#   same expression then gives 1.0. PyG keeps both entries, as two edges.
# Versions: scipy 1.17.1, numpy 2.4.6, torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen:
#   uint8 200 and 100, dense            44
#   uint8 200 and 100, edges in PyG     [200, 100]
#   bool twice, as float                2.0
#   bool twice, as float, after sum()   1.0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6 torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import numpy as np
from scipy import sparse
from torch_geometric.utils import from_scipy_sparse_matrix


def twice(values):
    return sparse.coo_array((values, ([0, 0], [1, 1])), shape=(2, 2))


counts = twice(np.array([200, 100], dtype=np.uint8))
dense = int(counts.toarray()[0, 1])
edges = from_scipy_sparse_matrix(counts)[1].tolist()
adjacency = twice(np.array([True, True]))
before = float(adjacency.astype(float).toarray()[0, 1])
adjacency.sum()
after = float(adjacency.astype(float).toarray()[0, 1])
print("uint8 200 and 100, dense           ", dense)
print("uint8 200 and 100, edges in PyG    ", edges)
print("bool twice, as float               ", before)
print("bool twice, as float, after sum()  ", after)
assert (dense, edges, before, after) == (44, [200, 100], 2.0, 1.0)
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py"
