"""The records of a comparison, and the scores, times and differences computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.results.sampling import difference_error
from seqgnn.experiments.runs.job import Key
from seqgnn.experiments.runs.problem import METRICS, PROBLEMS, Problem
from seqgnn.experiments.runs.record import BaselineRecord, FailedRun, RunRecord
from seqgnn.metrics.model_differences import Difference, SamplingError, differences, differences_from


@dataclass
class ComparisonRecords:
    """The records of the runs of a comparison.

    Attributes:
        task: name of the task.
        metric: the headline metric, one of `metrics`.
        labels: labels of the models, in order.
        sizes, seeds: of the grid; sizes are lengths of sequences, numbers of nodes of trees, or horizons.
        elements: number of tokens or nodes of a sample, by size; empty for forecasts.
        data_id: name and hash of the data that the task reads; None for tasks that generate their samples.
        units: units of the targets of forecasts; None: not known.
        matched: whether the models were matched in parameters.
        runs: record of each finished run.
        baselines: record of each baseline, by name and size.
        failures: error message of each run or baseline that failed.
        failed: configuration and specification of each run that failed.
        data: the source of the data, where it is known.
        weights: file with the weights of each run, if they are stored.
        out: the folder with the `runs/` of the comparison, if there is one.
    """

    task: str
    metric: str
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int] = field(default_factory=dict)
    data_id: str | None = None
    units: str | None = None
    matched: bool = False
    runs: dict[Key, RunRecord] = field(default_factory=dict)
    baselines: dict[tuple[str, int], BaselineRecord] = field(default_factory=dict)
    failures: dict[Key, str] = field(default_factory=dict)
    failed: dict[Key, FailedRun] = field(default_factory=dict)
    data: DataSource | None = None
    weights: dict[Key, Path] = field(default_factory=dict)
    out: Path | None = None

    @property
    def problem(self) -> Problem:
        """The task as a comparison sees it."""
        return PROBLEMS[self.task]

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics of its runs, the headline first."""
        return self.metric, *(name for name in self.problem.metrics if name != self.metric)

    @property
    def higher_is_better(self) -> bool:
        """True if a higher value of the headline metric is better."""
        return METRICS[self.metric].higher_is_better

    def at(self, size: int) -> str:
        """Return a size in words: "T = 20", or "horizon 3" for forecasts."""
        return self.problem.size.at(size)

    def units_of(self, metric: str) -> str | None:
        """Return the units of a metric, such as "cases" or "cases, squared"; None where they are not known, and for
        fractions."""
        unit = METRICS[metric].unit
        return None if self.units is None or unit is None else unit.format(self.units)

    def of(self, label: str, size: int) -> list[RunRecord]:
        """Return the finished runs of one cell of the table, by seed."""
        keys = ((label, size, seed) for seed in self.seeds)
        return [self.runs[key] for key in keys if key in self.runs]

    def scores(self, label: str, size: int, metric: str | None = None) -> list[float]:
        """Return the test scores of one cell, by seed; those that are not finite or not stored are left out."""
        values = (run.result.test.values.get(metric or self.metric) for run in self.of(label, size))
        return [value for value in values if value is not None]

    def scores_by_seed(self, label: str, size: int) -> dict[int, float]:
        """Return the finite test scores of one cell."""
        scores = {run.config.seed: run.result.test.values.get(self.metric) for run in self.of(label, size)}
        return {seed: score for seed, score in scores.items() if score is not None}

    def differences(self, size: int, labels: Sequence[str] | None = None) -> list[Difference]:
        """Return all pairs of models, or of some models, seed by seed, with intervals and p corrected for their
        number, see `seqgnn.metrics.differences`. They include the error of the test set where it is known: for
        accuracies and, over windows, for forecasts."""
        names = self.labels if labels is None else labels
        scores = {label: self.scores_by_seed(label, size) for label in names}
        return differences(scores, lambda first, second: self._error(first, second, size))

    def differences_from(self, best: str, size: int, labels: Sequence[str]) -> list[Difference]:
        """Return the differences between the best of some models and each other one, with intervals and p corrected
        for their number."""
        scores = {label: self.scores_by_seed(label, size) for label in labels}
        return differences_from(best, scores, lambda first, second: self._error(first, second, size))

    def _error(self, first: str, second: str, size: int) -> SamplingError | None:
        return difference_error(self.of(first, size), self.of(second, size), self.metric, size)

    def solved_at(self, label: str, size: int) -> list[tuple[int, float] | None]:
        """Return, by seed, the step and the second at which the validation accuracy first reached the target accuracy;
        None where it did not, or where there is no target accuracy."""
        return [first_solved(run) for run in self.of(label, size)]


def first_solved(run: RunRecord) -> tuple[int, float] | None:
    """Return the step and the second at which a run first reached its target accuracy; None if it did not."""
    target, seconds = run.config.train.target_accuracy, run.measured.validation_seconds
    for place, point in enumerate(run.result.validation):
        if target is not None and point.accuracy is not None and point.accuracy >= target:
            return point.step, seconds[place] if place < len(seconds) else math.nan
    return None
