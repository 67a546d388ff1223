#!/usr/bin/env bash
# Guess: joblib's Dask backend runs tasks on the workers of the cluster, however many there are.
# What happens: with one worker of one thread they run in the client's process, one after another, and the
#   worker stays idle. The backend's number of jobs is the cluster's number of threads, whatever n_jobs
#   is, and for one job joblib calls the functions itself "to avoid overheads". A client on a machine
#   without a GPU, or with little memory, then does the work that was meant for the cluster. A second
#   worker or thread brings all tasks to the workers.
# Versions: joblib 1.6.0, distributed 2026.8.0, Python 3.11.
# Output seen:
#   1 worker, n_jobs=-1: 4 tasks in the client, 0 on workers
#   1 worker, n_jobs=4: 4 tasks in the client, 0 on workers
#   2 workers, n_jobs=-1: 0 tasks in the client, 4 on workers
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet joblib==1.6.0 distributed==2026.8.0

cat > "$folder/probe.py" <<'PROGRAM'
import os

from distributed import Client, LocalCluster
from joblib import Parallel, delayed, parallel_config


def outcome(workers, n_jobs):
    """Return how many of four tasks run in this process."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        parallel_config("dask", client=client),
    ):
        processes = Parallel(n_jobs=n_jobs)(delayed(os.getpid)() for _ in range(4))
    return processes.count(os.getpid())


if __name__ == "__main__":
    seen = {}
    for workers, n_jobs in ((1, -1), (1, 4), (2, -1)):
        seen[workers, n_jobs] = here = outcome(workers, n_jobs)
        name = "1 worker" if workers == 1 else f"{workers} workers"
        print(f"{name}, n_jobs={n_jobs}: {here} tasks in the client, {4 - here} on workers")
    assert seen == {(1, -1): 4, (1, 4): 4, (2, -1): 0}, seen
PROGRAM
cd "$folder"
venv/bin/python probe.py
