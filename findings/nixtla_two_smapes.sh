#!/usr/bin/env bash
# Guess: neuralforecast and utilsforecast, of one family and used together (train with one, evaluate with
#   the other), mean the same by MAPE and SMAPE.
# What happens: the sMAPE of utilsforecast is half of neuralforecast's (no factor 2, so at most 1 instead of
#   2). The MAPE of neuralforecast counts a zero truth as a value with error 0, utilsforecast leaves it
#   out. neuralforecast's MASE of a series whose training part is constant is 0.0, its best score.
# Versions: neuralforecast 3.3.0, utilsforecast 0.2.17, torch 2.13.0, Python 3.11 (truths 10, 0, 4, 8;
#   forecasts 12, 7, 3, 9).
# Output seen:
#   MAPE    neuralforecast 0.14375   utilsforecast 0.19167
#   sMAPE   neuralforecast 0.64629   utilsforecast 0.32315
#   MASE of neuralforecast after a constant training part: 0.0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 pandas==3.1.1 narwhals==2.29.0 packaging safetensors==0.8.0
"$folder/venv/bin/pip" install --quiet --no-deps neuralforecast==3.3.0 utilsforecast==0.2.17

cat > "$folder/probe.py" <<'PROGRAM'
import importlib
import sys
import types
from importlib.metadata import distribution

import pandas
import torch
from utilsforecast import losses as of_utilsforecast

for name in ("neuralforecast", "neuralforecast.losses"):  # without their imports of training frameworks
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("neuralforecast").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
of_neuralforecast = importlib.import_module("neuralforecast.losses.pytorch")

truth, forecast = [10.0, 0.0, 4.0, 8.0], [12.0, 7.0, 3.0, 9.0]
frame = pandas.DataFrame({"unique_id": "a", "ds": range(4), "y": truth, "model": forecast})
y, y_hat = torch.tensor(truth).view(1, 4, 1), torch.tensor(forecast).view(1, 4, 1)
seen = []
for name in ("MAPE", "SMAPE"):
    first = getattr(of_neuralforecast, name)()(y=y, y_hat=y_hat).item()
    second = getattr(of_utilsforecast, name.lower())(frame, ["model"])["model"].item()
    print(f"{name:7} neuralforecast {first:.5f}   utilsforecast {second:.5f}")
    seen += [first, second]
mase = of_neuralforecast.MASE(1)(y=y, y_hat=y_hat, y_insample=torch.full((1, 4), 2.0)).item()
print("MASE of neuralforecast after a constant training part:", mase)
expected = [0.575 / 4, 0.575 / 3, 0.646295, 0.646295 / 2]
assert all(abs(value - right) < 1e-4 for value, right in zip(seen, expected)) and mase == 0.0, (seen, mase)
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/probe.py"
