"""A planned run, and the settings of its execution."""

from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias, cast

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs.base import Run
from seqgnn.experiments.runs.execution import ExecutionConfig
from seqgnn.experiments.runs.specs import Spec
from seqgnn.experiments.runs.store import RunStore

Key: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True)
class Job:
    """A planned run.

    Attributes:
        key: label or name of the baseline, size and seed.
        title: the run in words.
        config: everything that determines its result.
        spec: the model's specification; None for a baseline.
    """

    key: Key
    title: str
    config: Run
    spec: Spec | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The configuration as a dictionary, which is the key of the run on disk."""
        return asdict(cast(Any, self.config))

    def record(self) -> dict[str, Any]:
        """Return configuration and specification as a record of the run has them."""
        return {"config": self.content, "spec": None if self.spec is None else asdict(self.spec)}


@dataclass(frozen=True)
class RunContext:
    """The place where runs are executed and stored.

    Attributes:
        execution: device, checkpoints and cluster.
        store: where runs are stored; None: in memory only.
        data: the data that the task reads; None for tasks that generate their samples, and for Python's help topics.
        workers: processes, each with one torch thread; 1: this process, with one torch thread while it runs.
        remake_weights: whether finished runs whose weights are missing or damaged are executed again.
    """

    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    store: RunStore | None = None
    data: DataSource | None = None
    workers: int = 1
    remake_weights: bool = False
