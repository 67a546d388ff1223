"""The execution of runs: device, checkpoints and workers. No score depends on it, but for the device."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutionConfig:
    """The execution of runs.

    Args:
        device: "cpu", "cuda", ...
        save_every: seconds between two checkpoints of a run, if runs are stored; a run that is killed resumes there.
        backend: "dask" or "ray", to execute the runs on a cluster whose machines share the disk of `out`; None: on this
            machine.
        scheduler: address of the cluster's scheduler, such as "tcp://10.0.0.1:8786"; None: a new one is started.
    """

    device: str = "cpu"
    save_every: float = 30.0
    backend: str | None = None
    scheduler: str | None = None
