#!/usr/bin/env bash
# Guess: a module built under FakeTensorMode converts by .double() as one on the meta device does; or,
#   if conversion is not supported, it fails each time.
# What happens: it fails the first time, fails elsewhere the second time, and works from the third,
#   with the same lines each time. Module._apply swaps a fake parameter with its converted one, and
#   torch.utils.swap_tensors refuses tensors that have weak references. The fake mode's converter
#   remembers each fake tensor by one; but an operator found in the dispatch cache, which lives as
#   long as the process, builds its result without the converter. So a conversion succeeds only if
#   its operators were called before in the same process.
# Versions: torch 2.13.0, Python 3.11.
# Output seen:
#   1: _apply(): Couldn't swap Linear.weight: Cannot swap t1 because it has weakref associated with it
#   2: _apply(): Couldn't swap Linear.bias: Cannot swap t2 because it has weakref associated with it
#   3: converted
#   cache cleared: _apply(): Couldn't swap Linear.weight: Cannot swap t1 because it has weakref associated with it
#   meta device: converted
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0

cat > "$folder/probe.py" <<'PROGRAM'
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode


def convert(context):
    with context:
        module = nn.Linear(3, 4)
    try:
        module.double()
        return "converted"
    except RuntimeError as error:
        return f"{error}: {error.__cause__}"


print("torch", torch.__version__)
outcomes = [convert(FakeTensorMode()) for _ in range(3)]
for attempt, outcome in enumerate(outcomes, 1):
    print(f"{attempt}: {outcome}")
FakeTensorMode.cache_clear()
cleared = convert(FakeTensorMode())
print("cache cleared:", cleared)
meta = convert(torch.device("meta"))
print("meta device:", meta)
assert "Linear.weight" in outcomes[0] and "Cannot swap t1" in outcomes[0]
assert "Linear.bias" in outcomes[1] and "Cannot swap t2" in outcomes[1]
assert outcomes[2] == "converted"
assert cleared == outcomes[0]
assert meta == "converted"
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
