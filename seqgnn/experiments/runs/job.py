"""A run to be made, and how runs are executed."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from seqgnn.experiments.runs.config import BaselineConfig, RunConfig
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.store import RunStore

Key: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True)
class Job:
    """A run to be made: the key of its outcome, what to call it, what it is."""

    key: Key
    title: str
    config: RunConfig | BaselineConfig | ForecastRun | ForecastBaseline

    @property
    def trained(self) -> bool:
        """Whether it trains a model; a baseline does not."""
        return isinstance(self.config, RunConfig | ForecastRun)


@dataclass(frozen=True)
class ExecutionConfig:
    """How runs are made.

    Attributes:
        store: where runs are kept; None: in memory alone.
        path: the data file of tasks that read one; the `seqgnn.experiments.runs.forecast_config.Signal` of forecasts.
        save_every: seconds between two savings of a run under way.
        workers: processes, each with one torch thread; 1: this process, with one torch thread as long as it takes.
        backend: "dask" or "ray"; None: processes of this machine.
        scheduler: the address of its scheduler; None: one that is started here.
    """

    store: RunStore | None = None
    path: Any = None
    save_every: float = 30.0
    workers: int = 1
    backend: str | None = None
    scheduler: str | None = None
