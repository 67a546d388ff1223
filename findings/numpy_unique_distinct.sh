#!/usr/bin/env bash
# Guess: np.unique(ids) of integer node ids takes about as long as sorting them; since numpy 2.3, which
#   hashes instead ("faster for many values"), rather less.
# What happens: on ids that mostly differ (a column of edge ends, a shuffled index), hashing takes tens of
#   times as long as np.sort, with sorted=False as well. Asking for the index too, which is more work,
#   takes the old path and is several times faster than not asking for it.
# Versions: numpy 2.4.6, Python 3.11.
# Output seen (two million distinct integers, shuffled; seconds):
#   sort                    0.09
#   unique                  9.89
#   unique, sorted=False    9.61
#   unique, return_index    1.20
#   unique of 1000 values   0.24
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6

cat > "$folder/probe.py" <<'PROGRAM'
import time

import numpy as np


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


print("numpy", np.__version__)
ids = np.random.default_rng(0).permutation(2_000_000)
few = ids % 1000
seen = {
    "sort": seconds(lambda: np.sort(ids)),
    "unique": seconds(lambda: np.unique(ids)),
    "unique, sorted=False": seconds(lambda: np.unique(ids, sorted=False)),
    "unique, return_index": seconds(lambda: np.unique(ids, return_index=True)),
    "unique of 1000 values": seconds(lambda: np.unique(few)),
}
for name, value in seen.items():
    print(f"{name:22} {value:5.2f}")
assert seen["unique"] > 20 * seen["sort"], seen
assert seen["unique, sorted=False"] > 20 * seen["sort"], seen
assert seen["unique, return_index"] < seen["unique"] / 2, seen
assert seen["unique of 1000 values"] < seen["unique"] / 5, seen
PROGRAM
"$folder/venv/bin/python" "$folder/probe.py"
