#!/usr/bin/env bash
# Guess: captum's layer methods treat the recurrent layers of torch alike: LayerActivation on nn.LSTM
#   gives its output (and its states), as it does on nn.GRU.
# What happens: it raises an AttributeError on nn.LSTM. captum's forward hook clones each element of the
#   tuple that a layer returns; the second element of an LSTM's is again a tuple, (h_n, c_n). Methods
#   that need gradients at the layer fail by an assertion, for the same reason.
# Versions: captum 0.9.0, torch 2.13.0, Python 3.11.
# Output seen:
#   RNN  LayerActivation: shapes [(2, 5, 8), (1, 2, 8)]
#   GRU  LayerActivation: shapes [(2, 5, 8), (1, 2, 8)]
#   LSTM LayerActivation: AttributeError: 'tuple' object has no attribute 'clone'
#   LSTM LayerGradientXActivation: AssertionError: Given input is not a torch.Tensor
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 captum==0.9.0

cat > "$folder/probe.py" <<'PROGRAM'
import captum
import torch
from captum.attr import LayerActivation, LayerGradientXActivation
from torch import nn


class Model(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.recurrent, self.linear = layer(4, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x):
        return self.linear(self.recurrent(x)[0][:, -1])


def outcome(layer, method):
    model = Model(layer)
    try:
        attributions = method(model, model.recurrent).attribute(torch.randn(2, 5, 4))
        return f"shapes {[tuple(tensor.shape) for tensor in attributions]}"
    except (AttributeError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


print("torch", torch.__version__, "captum", captum.__version__)
seen = {layer.__name__: outcome(layer, LayerActivation) for layer in (nn.RNN, nn.GRU, nn.LSTM)}
for name, result in seen.items():
    print(f"{name:4} LayerActivation: {result}")
gradient = outcome(nn.LSTM, LayerGradientXActivation)
print("LSTM LayerGradientXActivation:", gradient)
assert seen["RNN"] == seen["GRU"] == "shapes [(2, 5, 8), (1, 2, 8)]", seen
assert seen["LSTM"] == "AttributeError: 'tuple' object has no attribute 'clone'", seen
assert gradient.startswith("AssertionError"), gradient
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
