#!/usr/bin/env bash
# Guess: the CPU runs nn.LSTM as it runs nn.GRU, whatever the float type: FlopCounterMode counts its
#   products and forward-mode AD passes through it.
# What happens: for float32, FlopCounterMode silently counts 0 for nn.LSTM, forward and backward,
#   and torch.func.jvp raises; in float64 both work, as they do for nn.RNN and nn.GRU in either. Only
#   the LSTM has a oneDNN kernel, only for float32 here: one operator, aten::mkldnn_rnn_layer, for
#   which the counter has no formula and autograd no forward derivative. A test in float64 (gradcheck)
#   sees another implementation than the one that trains.
# Versions: torch 2.13.0 (CPU build with oneDNN, x86-64), Python 3.11.
# Output seen (flops of forward and backward):
#   RNN  float32: flops  984, jvp works
#   RNN  float64: flops  984, jvp works
#   LSTM float32: flops    0, jvp NotImplementedError
#   LSTM float64: flops 3936, jvp works
#   GRU  float32: flops 2952, jvp works
#   GRU  float64: flops 2952, jvp works
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__, "oneDNN", torch.backends.mkldnn.is_available())
flops, jvp = {}, {}
for layer in (nn.RNN, nn.LSTM, nn.GRU):
    for dtype in (torch.float32, torch.float64):
        key = (layer.__name__, str(dtype).removeprefix("torch."))
        module, x = layer(4, 3).to(dtype), torch.randn(5, 2, 4, dtype=dtype)
        with FlopCounterMode(display=False) as counter:
            module(x)[0].sum().backward()
        flops[key] = counter.get_total_flops()
        try:
            torch.func.jvp(lambda x: module(x)[0], (x,), (x,))
            jvp[key] = "works"
        except NotImplementedError as error:
            assert "mkldnn_rnn_layer" in str(error), error
            jvp[key] = "NotImplementedError"
        print(f"{key[0]:4} {key[1]}: flops {flops[key]:4}, jvp {jvp[key]}")
opaque = ("LSTM", "float32")
assert all((flops[key] == 0) == (key == opaque) for key in flops), flops
assert all((jvp[key] == "NotImplementedError") == (key == opaque) for key in jvp), jvp
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
