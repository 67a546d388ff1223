#!/usr/bin/env bash
# Guess: quantize_dynamic(model, {nn.LSTM}) quantizes each LSTM of the model, instances of subclasses
#   too (as isinstance says); and if it does not, naming the subclass in the set does.
# What happens: an instance of a subclass silently stays in float, whichever set is given: with
#   nn.LSTM, with the subclass, with the name of the submodule, or with none. Modules are matched by
#   their exact type twice: in the set, and in the table of quantized counterparts, which has no entry
#   for a subclass. Adding an entry (mapping=) does not help: the quantized LSTM takes nothing but
#   exact nn.LSTM and nn.GRU, and raises. Subclasses of nn.Linear stay in float as well.
# Versions: torch 2.13.0, Python 3.11.
# Output seen:
#   {nn.LSTM, nn.Linear}            lstm quantized, custom_lstm float, linear quantized, custom_linear float
#   {CustomLSTM, CustomLinear}      lstm float, custom_lstm float, linear float, custom_linear float
#   {'custom_lstm'}                 lstm float, custom_lstm float, linear float, custom_linear float
#   None                            lstm quantized, custom_lstm float, linear quantized, custom_linear float
#   mapping={CustomLSTM: ...}       AssertionError: nn.quantized.dynamic.RNNBase.from_float only works for nn.LSTM and nn.GRU
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import warnings

import torch
import torch.ao.nn.quantized.dynamic
from torch import nn

warnings.filterwarnings("ignore", message="torch.ao.quantization is deprecated")


class CustomLSTM(nn.LSTM):
    pass


class CustomLinear(nn.Linear):
    pass


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.custom_lstm = nn.LSTM(4, 8), CustomLSTM(4, 8)
        self.linear, self.custom_linear = nn.Linear(4, 8), CustomLinear(4, 8)


def quantized(spec):
    model = torch.ao.quantization.quantize_dynamic(Model(), spec)
    return {name: "quantized" if ".quantized." in type(module).__module__ else "float"
            for name, module in model.named_children()}


print("torch", torch.__version__)
seen = {
    "{nn.LSTM, nn.Linear}": quantized({nn.LSTM, nn.Linear}),
    "{CustomLSTM, CustomLinear}": quantized({CustomLSTM, CustomLinear}),
    "{'custom_lstm'}": quantized({"custom_lstm"}),
    "None": quantized(None),
}
for spec, outcome in seen.items():
    print(f"{spec:31}", ", ".join(f"{name} {kind}" for name, kind in outcome.items()))
for outcome in seen.values():
    assert outcome["custom_lstm"] == outcome["custom_linear"] == "float", outcome
assert seen["None"]["lstm"] == seen["None"]["linear"] == "quantized", seen["None"]
try:
    mapping = {CustomLSTM: torch.ao.nn.quantized.dynamic.LSTM}
    torch.ao.quantization.quantize_dynamic(Model(), {CustomLSTM}, mapping=mapping)
    raise SystemExit("a mapping of the subclass was taken")
except AssertionError as error:
    print("mapping={CustomLSTM: ...}      ", f"{type(error).__name__}: {error}")
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
