#!/usr/bin/env bash
# Guess: BasicTS' masked_mape is the mean over targets that are not zero, whether no mask is passed or one
#   that is true everywhere, and whatever the unit of the data.
# What happens: without a mask, zeros add no error but are counted, so the score is smaller by their part;
#   with a mask of ones they are not counted, since only a mask that is passed is scaled to mean 1. A
#   target counts as zero below 5e-5, so the score depends on the unit; so does masked_wape, which adds
#   5e-5 to each denominator.
# Versions: BasicTS 1.1.0, torch 2.13.0, Python 3.11 (targets 10, 0, 4, 8; forecasts 12, 7, 3, 9).
# Output seen:
#   masked_mape, no mask        0.14375   (sum over three targets, divided by four)
#   masked_mape, mask of ones   0.19167   (divided by three)
#   the same times 1e-5         0.16250
#   masked_wape, times 1        0.50000
#   masked_wape, times 1e-5     0.40741
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps basicts==1.1.0

cat > "$folder/probe.py" <<'PROGRAM'
import importlib.util
from importlib.metadata import distribution

import torch


def metric(name):
    """Return the module of a metric, without its package, which imports a training framework."""
    path = distribution("basicts").locate_file(f"basicts/metrics/{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, f"masked_{name}")


mape, wape = metric("mape"), metric("wape")
truth = torch.tensor([10.0, 0.0, 4.0, 8.0]).view(1, 4, 1)
forecast = torch.tensor([12.0, 7.0, 3.0, 9.0]).view(1, 4, 1)
ones = torch.ones_like(truth)
seen = {
    "masked_mape, no mask": mape(forecast, truth),
    "masked_mape, mask of ones": mape(forecast, truth, ones),
    "the same times 1e-5": mape(1e-5 * forecast, 1e-5 * truth, ones),
    "masked_wape, times 1": wape(forecast, truth),
    "masked_wape, times 1e-5": wape(1e-5 * forecast, 1e-5 * truth),
}
for name, value in seen.items():
    print(f"{name:26} {value.item():.5f}")
expected = torch.tensor([0.575 / 4, 0.575 / 3, 0.325 / 2, 0.5, 0.40741])
assert torch.allclose(torch.stack(list(seen.values())), expected, atol=1e-4), seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
