#!/usr/bin/env bash
# Guess: edge_weight: Tensor | None and edge_weight: Optional[Tensor] are the same annotation to
#   MessagePassing, in message() as in forward().
# What happens: in message(), aggregate() and update() the first raises an AttributeError when the layer
#   is created. PyG writes the types of these methods into the source of a compiled propagate(). Its
#   writer knows the unions of typing; another type is asked for its __qualname__, which a
#   types.UnionType has not. Left as a string (in quotes, or by 'from __future__ import annotations')
#   the same annotation works, and so does an annotation of forward(), which is not inspected.
# Versions: torch-geometric 2.8.1, torch 2.13.0, Python 3.11 (Python 3.14 made the two unions one type).
# Output seen:
#   message, Optional[Tensor]       works
#   message, 'Tensor | None'        works
#   forward, Tensor | None          works
#   message, Tensor | None          AttributeError: 'types.UnionType' object has no attribute '__qualname__'
#   aggregate, Tensor | None        AttributeError: 'types.UnionType' object has no attribute '__qualname__'
#   update, Tensor | None           AttributeError: 'types.UnionType' object has no attribute '__qualname__'
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torch-geometric==2.8.1

cat > "$folder/probe.py" <<'PROGRAM'
import sys
from typing import Optional

import torch
import torch_geometric
from torch import Tensor
from torch_geometric.nn import MessagePassing


class Layer(MessagePassing):
    def forward(self, x, edge_index, edge_weight=None):
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)


class MessageOptional(Layer):
    def message(self, x_j, edge_weight: Optional[Tensor]):
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j


class MessageString(Layer):
    def message(self, x_j, edge_weight: "Tensor | None"):
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j


class ForwardUnion(Layer):
    def forward(self, x, edge_index, edge_weight: Tensor | None = None):
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j, edge_weight):
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j


class MessageUnion(Layer):
    def message(self, x_j, edge_weight: Tensor | None):
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j


class AggregateUnion(Layer):
    def aggregate(self, inputs, index, dim_size: int | None = None):
        return super().aggregate(inputs, index, dim_size=dim_size)


class UpdateUnion(Layer):
    def update(self, inputs, edge_weight: Tensor | None):
        return inputs


def outcome(layer):
    try:
        layer()(torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
        return "works"
    except AttributeError as error:
        return f"{type(error).__name__}: {error}"


print("torch", torch.__version__, "torch-geometric", torch_geometric.__version__, "Python", sys.version.split()[0])
working = {"message, Optional[Tensor]": MessageOptional, "message, 'Tensor | None'": MessageString,
           "forward, Tensor | None": ForwardUnion}
raising = {"message, Tensor | None": MessageUnion, "aggregate, Tensor | None": AggregateUnion,
           "update, Tensor | None": UpdateUnion}
seen = {name: outcome(layer) for name, layer in (working | raising).items()}
for name, result in seen.items():
    print(f"{name:31}", result)
assert all(seen[name] == "works" for name in working), seen
assert all("'types.UnionType' object has no attribute '__qualname__'" in seen[name] for name in raising), seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
