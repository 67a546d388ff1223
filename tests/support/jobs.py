"""Runs that need no training."""

from dataclasses import dataclass

from seqgnn.experiments.runs.job import Job
from seqgnn.experiments.runs.result import RunResult


@dataclass(frozen=True)
class Sum:
    """A run that needs no training: what it gives is fixed by what it is."""

    name: str
    fails: bool = False

    def perform(self, path, control):
        for step in range(1, 4):
            control.on_step(step, 1 / step, step / 3)
        if self.fails:
            raise ArithmeticError("it does not add up")
        return RunResult({"test": {"accuracy": 0.5, "loss": 1.25}}, {"seconds": 0.0})


def jobs(*configs):
    return [Job((config.name, 1, 0), f"sum of {config.name}", config) for config in configs]
