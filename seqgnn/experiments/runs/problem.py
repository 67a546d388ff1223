"""The tasks of a comparison as it sees them: question, sizes, metrics, models, baselines and data of each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch

from seqgnn._utils.text import listed
from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.catalog import find
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.experiments.runs.base import BaselineRun, Run, TrainingRun
from seqgnn.experiments.runs.config import BaselineConfig, RunConfig, identify_text
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.experiments.runs.specs import ForecasterSpec, ModelSpec
from seqgnn.models.baselines import forecasting, sequences
from seqgnn.tasks import CharText
from seqgnn.training.config import TrainConfig


@dataclass(frozen=True)
class Metric:
    """A metric on the test set.

    Attributes:
        name: key in results.
        short: name in headings.
        label: name with its fixed unit, if it has one.
        higher_is_better: whether a higher value is better.
        unit: unit of its values, as a format of the unit of the targets; None: it has none.
    """

    name: str
    short: str
    label: str
    higher_is_better: bool = False
    unit: str | None = None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "accuracy", higher_is_better=True),
        Metric("loss", "loss", "loss (nats)"),
        Metric("mae", "MAE", "MAE", unit="{}"),
        Metric("rmse", "RMSE", "RMSE", unit="{}"),
        Metric("mape", "MAPE", "MAPE"),
        Metric("wape", "WAPE", "WAPE"),
        Metric("smape", "sMAPE", "sMAPE"),
        Metric("mase", "MASE", "MASE"),
        Metric("mse", "MSE", "MSE", unit="{}, squared"),
    )
}


@dataclass(frozen=True)
class SizeAxis:
    """The sizes of a task in words.

    Attributes:
        name: what a size is.
        option: the option of the command line that lists them.
        column: heading of a table's column.
        axis: label of a figure's axis.
        singular, plural: words before one size and before several.
    """

    name: str
    option: str
    column: str
    axis: str
    singular: str
    plural: str

    def at(self, size: int) -> str:
        """Return a size in words: "T = 20" or "horizon 3"."""
        return f"{self.singular} {size}"

    def all(self, sizes: Sequence[int]) -> str:
        """Return sizes in words: "T = 10 and 20" or "horizons 3 and 12"."""
        return f"{self.singular if len(sizes) == 1 else self.plural} {listed([str(size) for size in sizes])}"


LENGTH = SizeAxis("length", "lengths", "T", "length T", "T =", "T =")
HORIZON = SizeAxis("horizon", "horizons", "horizon", "steps ahead", "horizon", "horizons")


@dataclass(frozen=True)
class Problem(ABC):
    """A task of a comparison.

    Attributes:
        task: its name.
        question: the task in words.
        train: default training.
        metric: default headline metric, one of `metrics`.
        data_kind: what its data are called, "text" or "time series"; None: it generates its samples.
        size: its sizes in words.
        metrics: names of all metrics that its runs have.
        run, baseline: configurations of its runs and of its baselines.
        spec: specification of its models.
        baselines: names of its baselines.
        sequential: whether samples are sequences, that is, path graphs with one element per time step.
        loss: the training loss with its unit.
    """

    task: str
    question: str
    train: TrainConfig
    metric: str
    data_kind: str | None = None
    metrics: tuple[str, ...] = ()
    size: ClassVar[SizeAxis]
    run: ClassVar[type[TrainingRun]]
    baseline: ClassVar[type[BaselineRun]]
    spec: ClassVar[type[ModelSpec] | type[ForecasterSpec]]
    baselines: ClassVar[tuple[str, ...]]
    sequential: bool = False
    loss: str = "loss (nats)"

    @abstractmethod
    def headline(self, run: Run) -> str:
        """Return the headline metric of a comparison with this run."""

    @abstractmethod
    def find_data(self, data_id: str | None, sources: Sequence[DataSource]) -> DataSource | None:
        """Return the one of the sources, or of the catalog, that has this name and hash; None if there is none."""

    def num_elements(self, size: int) -> int | None:
        """Return the number of tokens or nodes of a sample; None where sizes are horizons."""
        return None

    def units(self, data: DataSource | None) -> str | None:
        """Return the units of the targets, None where they are not known."""
        return None


@dataclass(frozen=True)
class SequenceProblem(Problem):
    """A task on sequences or trees.

    Attributes:
        sizes: lengths, or numbers of nodes, that are compared by default.
    """

    metric: str = "accuracy"
    sequential: bool = True
    sizes: tuple[int, ...] = (10, 20)
    metrics: tuple[str, ...] = ("accuracy", "loss")
    size = LENGTH
    run = RunConfig
    baseline = BaselineConfig
    spec = ModelSpec
    baselines = sequences.NAMES

    def make(self, size: int, hops: tuple[int, ...] = (1,), data: DataSource | None = None) -> Any:
        """Return the task at a size, see `seqgnn.tasks`."""
        return SEQUENCE_TASKS[self.task](size, hops, data)

    @cached_property
    def readout(self) -> str:
        """The readout of the headline result."""
        return CharText.readout if self.data_kind else str(self.make(self.sizes[0]).readout)

    def headline(self, run: Run) -> str:
        return self.metric

    def find_data(self, data_id: str | None, sources: Sequence[DataSource]) -> DataSource | None:
        texts = (source for source in sources if source.path.is_file())
        return None if data_id is None else next((text for text in texts if identify_text(text.path) == data_id), None)

    def num_elements(self, size: int) -> int:
        if self.data_kind:  # windows of a text
            return size
        try:
            return int(self.make(size).draw(1, torch.Generator().manual_seed(0)).num_nodes)
        except (ValueError, RuntimeError, MemoryError):
            return size


@dataclass(frozen=True)
class ForecastProblem(Problem):
    """Forecasts of a time series at the nodes of a graph."""

    metric: str = "mae"
    data_kind: str | None = "time series"
    metrics: tuple[str, ...] = ("mae", "rmse", "mape", "wape", "smape", "mase", "mse")
    loss: str = "loss (scaled)"
    size = HORIZON
    run = ForecastRun
    baseline = ForecastBaseline
    spec = ForecasterSpec
    baselines = forecasting.NAMES

    def headline(self, run: Run) -> str:
        return str(run.protocol.metric) if isinstance(run, ForecastRun | ForecastBaseline) else self.metric

    def find_data(self, data_id: str | None, sources: Sequence[DataSource]) -> DataSource | None:
        name = str(data_id).rsplit(" (", 1)[0]
        downloaded = [DataSource(name)] if name in SIGNALS and find(name) is not None else []
        for source in (*sources, *downloaded):
            try:
                if source.identity() == data_id:
                    return source
            except ValueError:
                continue
        return None

    def units(self, data: DataSource | None) -> str | None:
        return None if data is None else data.load().units


_RECALL = TrainConfig(steps=800, lr=3e-3, target_accuracy=0.995)
_MEMORY = TrainConfig(steps=1500, optimizer="adam", lr=1e-2, max_grad_norm=1.0, target_accuracy=0.995)
PROBLEMS: dict[str, SequenceProblem | ForecastProblem] = {
    problem.task: problem
    for problem in (
        SequenceProblem(
            "palindromes",
            "Given all digits of a palindrome but the last, which is the last? It equals the first, so a model "
            "has to remember it over T − 1 digits.",
            _RECALL,
        ),
        SequenceProblem(
            "recall",
            "Given T − 1 random digits, which was the first? A model has to remember it over all the others.",
            _RECALL,
        ),
        SequenceProblem(
            "adding",
            "Given T pairs of a random value and a marker, what is the sum of the two marked values? A model has to "
            "remember them. A prediction with an error below 0.04 is correct.",
            replace(_MEMORY, target_accuracy=0.99, monitor="loss"),
            metric="mse",
            metrics=("mse", "accuracy"),
            loss="loss (MSE)",
        ),
        SequenceProblem(
            "copying",
            "Given ten random symbols, T − 1 blanks and a delimiter, which were the symbols, in order? A model has to "
            "remember all of them over T + 10 positions. The accuracy is that of the ten symbols.",
            _MEMORY,
        ),
        SequenceProblem(
            "text",
            "Given the characters of a text so far, which comes next? Every character is a target.",
            TrainConfig(steps=150, optimizer="adam", lr=1e-2, eval_every=50, monitor="loss"),
            metric="loss",
            data_kind="text",
            sizes=(30,),
        ),
        SequenceProblem(
            "expressions",
            "Given an arithmetic expression of T digits and operators, as a tree or in postfix order, what is its "
            "value, modulo ten?",
            replace(_RECALL, optimizer="adam"),
            sequential=False,
            sizes=(7, 15),
        ),
        SequenceProblem(
            "trees",
            "Given a tree of T nodes, two of them marked, is their distance at most the median distance of such "
            "pairs?",
            _RECALL,
            sequential=False,
            sizes=(16, 32),
        ),
        ForecastProblem(
            "forecast",
            "Given the last steps of a time series at each node of a graph, which values come next at each node?",
            TrainConfig(steps=1000, batch_size=64, optimizer="adam", lr=5e-3, schedule="cosine", max_grad_norm=5.0,
                        eval_every=50, monitor="loss"),
        ),
    )
}  # fmt: skip


def read_config(config: dict[str, Any]) -> Run:
    """Return the configuration of a stored run or baseline.

    Raises:
        ValueError: if it is none.
    """
    problem = PROBLEMS[one_of("read_config", "task", config.get("task", ""), PROBLEMS)]
    return (problem.baseline if "baseline" in config else problem.run).from_dict(config)
