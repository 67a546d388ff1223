#!/usr/bin/env bash
# Guess: with n_power_iterations=1, spectral_norm takes one power iteration per training step,
#   on nn.LSTM as on nn.Linear.
# What happens: nn.LSTM, nn.GRU and nn.RNN take four in one forward call. A parametrized weight is
#   recomputed each time its attribute is read. The base class of the three reads each weight to
#   check whether it is still the same object (hasattr, then getattr); a computed weight never
#   is, so the list of weights is rebuilt with the same two reads. Each of the four reads runs an
#   iteration and writes u and v. Inside torch.nn.utils.parametrize.cached() there is only one.
# Versions: torch 2.13.0, Python 3.11.
# Output seen:
#   power iterations in one forward call: Linear 1, LSTMCell 1, RNN 4, LSTM 4, GRU 4, LSTM in cached() 1
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


def iterations(module, name, input):
    """The power iterations that one training call of the module takes, counted where they are taken."""
    spectral_norm(module, name, n_power_iterations=1)
    parametrization = module.parametrizations[name][0]
    original, taken = parametrization._power_method, []

    def counted(weight, n_power_iterations):
        taken.append(n_power_iterations)
        return original(weight, n_power_iterations)

    parametrization._power_method = counted
    module.train()(input)
    return sum(taken)


print("torch", torch.__version__)
sequence = torch.randn(5, 3, 4)
counts = {
    "Linear": iterations(nn.Linear(4, 8), "weight", sequence),
    "LSTMCell": iterations(nn.LSTMCell(4, 8), "weight_ih", sequence[0]),
    "RNN": iterations(nn.RNN(4, 8), "weight_ih_l0", sequence),
    "LSTM": iterations(nn.LSTM(4, 8), "weight_ih_l0", sequence),
    "GRU": iterations(nn.GRU(4, 8), "weight_ih_l0", sequence),
}
with parametrize.cached():
    counts["LSTM in cached()"] = iterations(nn.LSTM(4, 8), "weight_ih_l0", sequence)
print("power iterations in one forward call:", ", ".join(f"{name} {count}" for name, count in counts.items()))
assert counts == {"Linear": 1, "LSTMCell": 1, "RNN": 4, "LSTM": 4, "GRU": 4, "LSTM in cached()": 1}, counts
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
