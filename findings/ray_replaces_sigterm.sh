#!/usr/bin/env bash
# Guess: a handler that a program has installed for SIGTERM, to save its work, still runs after ray.init(),
#   which starts a cluster or connects to one. If Ray needs a handler of its own, it calls the one before.
# What happens: ray.init() replaces it, without a word. SIGTERM then ends the program with exit code 15 and
#   the trace of a crash; neither 143, by which shells and schedulers know the signal, nor anything saved.
#   Installed again after ray.init(), the handler runs.
# Versions: ray 2.60.0, Python 3.11.
# Output seen:
#   handler installed before ray.init(): not called, exit code 15
#   handler installed after ray.init(): called, exit code 143
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ray==2.60.0

cat > "$folder/program.py" <<'PROGRAM'
import os
import signal
import sys
import time

import ray


def save(number, frame):
    print("saved", flush=True)
    os._exit(128 + number)


signal.signal(signal.SIGTERM, save)
ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
if sys.argv[1] == "after":
    signal.signal(signal.SIGTERM, save)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
PROGRAM
cat > "$folder/probe.py" <<'PROGRAM'
import subprocess
import sys

seen = {}
for when in ("before", "after"):
    done = subprocess.run([sys.executable, "program.py", when], capture_output=True, text=True, timeout=120)
    seen[when] = "saved" in done.stdout, done.returncode
    called = "called" if seen[when][0] else "not called"
    print(f"handler installed {when} ray.init(): {called}, exit code {done.returncode}")
assert seen == {"before": (False, 15), "after": (True, 143)}, seen
PROGRAM
cd "$folder"
venv/bin/python probe.py
