#!/usr/bin/env bash
# Guess: activation checkpointing changes memory and time, never gradients: without dropout,
#   checkpoint(module, x) trains as module(x) does.
# What happens: around a module with spectral_norm in training mode the gradients silently belong to
#   other weights than those that computed the output. Each training call runs a power
#   iteration in place, so the recomputation in backward() divides by a later estimate of the norm.
#   The gradients are exactly those of a second call, and u and v advance twice a step, so the next
#   outputs differ too. checkpoint() restores random state, not buffers, and its default check
#   compares only shapes, dtypes and devices. In eval mode all agree.
# Versions: torch 2.13.0, Python 3.11.
# Output seen:
#   train: outputs equal True, gradients of the original weight differ by 0.7%, equal to those of a second call True
#   eval:  outputs equal True, gradients of the original weight differ by 0.0%
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import copy

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

print("torch", torch.__version__)
torch.manual_seed(0)
initial = nn.Sequential(spectral_norm(nn.Linear(64, 64)), nn.Tanh(), nn.Linear(64, 1)).double()
x = torch.randn(32, 64, dtype=torch.double)


def step(call, training=True):
    """The output of one call, and the gradient of its sum with respect to the weight under spectral_norm."""
    module = copy.deepcopy(initial).train(training)
    output = call(module)
    output.sum().backward()
    return output.detach(), module[0].parametrizations.weight.original.grad


def checkpointed(module):
    return checkpoint(module, x, use_reentrant=False)


def second_call(module):
    module(x)
    return module(x)


def difference(gradient, other):
    return ((gradient - other).norm() / gradient.norm()).item()


output, gradient = step(lambda module: module(x))
output_checkpointed, gradient_checkpointed = step(checkpointed)
_, gradient_second = step(second_call)
same = torch.allclose(gradient_checkpointed, gradient_second, rtol=1e-12, atol=1e-14)
apart = difference(gradient, gradient_checkpointed)
print(f"train: outputs equal {torch.equal(output, output_checkpointed)}, gradients of the original weight differ by "
      f"{apart:.1%}, equal to those of a second call {same}")
assert torch.equal(output, output_checkpointed)
assert apart > 1e-3, apart
assert same

output, gradient = step(lambda module: module(x), training=False)
output_checkpointed, gradient_checkpointed = step(checkpointed, training=False)
apart = difference(gradient, gradient_checkpointed)
print(f"eval:  outputs equal {torch.equal(output, output_checkpointed)}, gradients of the original weight differ by "
      f"{apart:.1%}")
assert apart < 1e-12, apart
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
