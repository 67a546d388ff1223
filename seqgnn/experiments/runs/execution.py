"""The execution of runs: device, checkpoints and workers. Scores do not depend on it, except for the device."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutionConfig:
    """The execution of runs.

    Args:
        device: device of the runs: "cpu", "cuda", ...
        save_every: number of seconds between checkpoints of a run, if runs are stored; a killed run resumes from the
            last checkpoint.
        backend: cluster backend, "dask" or "ray"; all machines must share the disk of `out`; None: this machine.
        scheduler: address of the cluster's scheduler, such as "tcp://10.0.0.1:8786"; None: a new one is started.
    """

    device: str = "cpu"
    save_every: float = 30.0
    backend: str | None = None
    scheduler: str | None = None
