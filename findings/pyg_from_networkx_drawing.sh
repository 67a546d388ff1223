#!/usr/bin/env bash
# Guess: a road graph drawn in a graph editor and saved as GraphML has no node features in PyG:
#   from_networkx(read_graphml(file)).x is None.
# What happens: editors store where a node is drawn as node attributes x and y, networkx reads them, and PyG
#   turns every attribute into a tensor of that name. So data.x holds the horizontal position on the screen
#   and data.y, the usual name of labels, the vertical one; num_node_features is 1, and nothing warns.
# Versions: torch-geometric 2.8.1, networkx 3.6.1, torch 2.13.0, Python 3.11.
# Output seen:
#   Data(edge_index=[2, 4], x=[3], y=[3], num_nodes=3) num_node_features 1
#   x [10.0, 250.0, 490.0]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1 networkx==3.6.1

cat > "$folder/probe.py" <<'PROGRAM'
import sys

import networkx
from torch_geometric.utils import from_networkx

graphml = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key attr.name="x" attr.type="float" for="node" id="x"/>
<key attr.name="y" attr.type="float" for="node" id="y"/>
<graph edgedefault="undirected">
<node id="a"><data key="x">10</data><data key="y">100</data></node>
<node id="b"><data key="x">250</data><data key="y">100</data></node>
<node id="c"><data key="x">490</data><data key="y">100</data></node>
<edge source="a" target="b"/><edge source="b" target="c"/>
</graph></graphml>
"""
path = f"{sys.argv[1]}/roads.graphml"
with open(path, "w") as file:
    file.write(graphml)
data = from_networkx(networkx.read_graphml(path))
print(data, "num_node_features", data.num_node_features)
print("x", data.x.tolist())
assert data.x.tolist() == [10.0, 250.0, 490.0] and data.y.tolist() == [100.0] * 3 and data.num_node_features == 1
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py" "$folder"
