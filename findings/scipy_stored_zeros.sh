#!/usr/bin/env bash
# Guess: a graph of distances in which two stations share a pole (a stored entry of 0.0) has the same edges in
#   every sparse format and library.
# What happens: converting to DIA drops the stored zero, BSR adds zeros that nobody stored, the other formats
#   keep it. networkx makes it an edge from a sparse array and none from the same array made dense, and PyG
#   makes it an edge with weight 0.
# Versions: scipy 1.17.1, networkx 3.6.1, torch-geometric 2.8.1, torch 2.13.0, Python 3.11.
# Output seen (one entry 0.0, one entry 3.0 of a 2 x 2 array):
#   entries         {"coo": 2, "csr": 2, "lil": 2, "dok": 2, "dia": 1, "bsr": 4}
#   networkx edges  sparse 2, dense 1
#   PyG edges       2
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6 networkx==3.6.1 torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import json

import networkx
import numpy as np
from scipy import sparse
from torch_geometric.utils import from_scipy_sparse_matrix

distances = sparse.coo_array((np.array([0.0, 3.0]), ([0, 0], [0, 1])), shape=(2, 2))
entries = {name: distances.asformat(name).tocoo().nnz for name in ("coo", "csr", "lil", "dok", "dia")}
entries["bsr"] = sparse.bsr_array(distances, blocksize=(2, 2)).tocoo().nnz
from_sparse = networkx.from_scipy_sparse_array(distances, create_using=networkx.DiGraph).number_of_edges()
from_dense = networkx.from_numpy_array(distances.toarray(), create_using=networkx.DiGraph).number_of_edges()
of_pyg = from_scipy_sparse_matrix(distances)[0].size(1)
print("entries        ", json.dumps(entries))
print(f"networkx edges  sparse {from_sparse}, dense {from_dense}")
print("PyG edges      ", of_pyg)
assert entries == {"coo": 2, "csr": 2, "lil": 2, "dok": 2, "dia": 1, "bsr": 4}
assert (from_sparse, from_dense, of_pyg) == (2, 1, 2)
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py"
