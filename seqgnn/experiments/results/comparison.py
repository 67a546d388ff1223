"""The result of a comparison: the records of its runs, and the table computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqgnn.analysis import path_receptive_field
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.forecast_specs import FORECASTER_SPECS
from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.results.row import BASELINE, MODEL, ComparisonRow
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.job import Key
from seqgnn.experiments.runs.problem import METRICS, PROBLEMS, Problem
from seqgnn.experiments.runs.record import BaselineRecord, FailedRun, HeldOutScores, RunRecord
from seqgnn.experiments.runs.specs import ForecasterSpec, Spec
from seqgnn.metrics.significance import Difference, Summary, differences, mean_sd, sampling_error, summary
from seqgnn.models.sequence_model import GNNS


@dataclass
class Comparison:
    """The result of a comparison: records of runs, and the table computed from them.

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

    def differences(self, size: int, labels: Sequence[str] | None = None) -> list[Difference]:
        """Return all pairs of models, or of some models, seed by seed, with intervals and p corrected for their
        number."""
        scores: dict[str, dict[int, Any]] = {
            label: {run.config.seed: run.result.test.values[self.metric] for run in self.of(label, size)}
            for label in (self.labels if labels is None else labels)
        }
        return differences(scores)

    def solved_at(self, label: str, size: int) -> list[tuple[int, float] | None]:
        """Return, by seed, the step and the second at which the validation accuracy first reached the target accuracy;
        None where it did not, or where there is no target accuracy."""
        return [_first_solved(run) for run in self.of(label, size)]

    def in_order(self) -> "Comparison":
        """Return the same with models in the order of `MODEL_SPECS` or `FORECASTER_SPECS`, user-defined ones after the
        first with their model, and runs, baselines and failures in that of the table: the same runs give the same
        comparison."""
        models = {label: run.spec.model for (label, _, _), run in self.runs.items()}
        specs: list[Spec] = [*(FORECASTER_SPECS if self.problem.spec is ForecasterSpec else MODEL_SPECS).values()]
        labels = tuple(sorted(self.labels, key=lambda label: _sort_key(label, models.get(label), specs)))
        order = {name: place for place, name in enumerate((*labels, *self.problem.baselines))}

        def sort(records: dict[Any, Any]) -> dict[Any, Any]:
            return {key: records[key] for key in sorted(records, key=lambda key: (key[1], order[key[0]], *key[2:]))}

        return replace(
            self,
            labels=labels,
            sizes=tuple(sorted(self.sizes)),
            seeds=tuple(sorted(self.seeds)),
            runs=sort(self.runs),
            baselines=sort(self.baselines),
            failures=sort(self.failures),
        )

    def rows(self) -> list[ComparisonRow]:
        """Return the table: a row for each size and model, and after these for each baseline."""
        rows = []
        for size in self.sizes:
            for label in self.labels:
                if any(key[:2] == (label, size) for key in (*self.runs, *self.failures)):
                    rows.append(self._row(label, size))
            rows += [self._baseline_row(name, size) for name, baseline_size in self.baselines if baseline_size == size]
        return rows

    def _baseline_row(self, name: str, size: int) -> ComparisonRow:
        record = self.baselines[name, size]
        test = record.result.test
        return ComparisonRow(
            model=name,
            kind=BASELINE,
            size=size,
            scores={m: None if (value := test.values.get(m)) is None else Summary(value, math.nan, None, None, 1)
                    for m in self.problem.metrics},
            targets=test.count,
            accuracy_se=_accuracy_error(test, test.values.get("accuracy")),
            seconds=record.measured.seconds,
            parameters=record.result.parameters,
            seeds=1,
        )  # fmt: skip

    def _row(self, label: str, size: int) -> ComparisonRow:
        runs = self.of(label, size)
        failed = sum((label, size, seed) in self.failures for seed in self.seeds)
        if not runs:
            return ComparisonRow(label, MODEL, size, dict.fromkeys(self.problem.metrics), failed=failed)
        results = [run.result for run in runs]
        scores = {
            metric: summary(values) if len(values := self.scores(label, size, metric)) == len(runs) else None
            for metric in self.problem.metrics
        }
        accuracy = scores.get("accuracy")
        solved = [at for at in self.solved_at(label, size) if at is not None]
        return ComparisonRow(
            model=label,
            kind=MODEL,
            size=size,
            scores=scores,
            readout=getattr(runs[0].config, "readout", None),
            targets=results[0].test.count,
            accuracy_se=_accuracy_error(results[0].test, None if accuracy is None else accuracy.mean),
            steps=_mean([result.steps for result in results]),
            seconds=_mean([run.measured.seconds for run in runs]),
            solved_steps=_mean([step for step, _ in solved]),
            solved_seconds=_mean([second for _, second in solved]),
            parameters=results[0].parameters,
            flops=results[0].flops,
            peak_memory=max((run.measured.peak_memory for run in runs if run.measured.peak_memory), default=None),
            receptive_field=_receptive_field(runs[0]),
            solved=sum(result.stopped == "solved" for result in results),
            seeds=len(runs),
            failed=failed,
        )


def _sort_key(label: str, model: str | None, specs: Sequence[Spec]) -> tuple[int, bool, str]:
    """Return the sort key of a label: the known specification it is named after, or else the first with its model."""
    names = [spec.label for spec in specs]
    family = max((name for name in names if f"{label},".startswith(f"{name},")), key=len, default=None)
    if family is None:
        family = next((spec.label for spec in specs if spec.model == model), None)
    return len(names) if family is None else names.index(family), label != family, label


def _first_solved(run: RunRecord) -> tuple[int, float] | None:
    target, seconds = run.config.train.target_accuracy, run.measured.validation_seconds
    for place, point in enumerate(run.result.validation):
        if target is not None and point.accuracy is not None and point.accuracy >= target:
            return point.step, seconds[place] if place < len(seconds) else math.nan
    return None


def _receptive_field(run: RunRecord) -> int | None:
    """Return the number of previous positions in the receptive field; None where it is not limited by layers."""
    config = run.config
    if not isinstance(config, RunConfig) or config.model not in GNNS:
        return None
    return path_receptive_field(config.num_layers, config.hops)


def _accuracy_error(test: HeldOutScores, accuracy: float | None) -> float | None:
    """Return the standard error that the test set alone gives an accuracy."""
    return None if accuracy is None else sampling_error(accuracy, test.count)


def _mean(values: Sequence[float]) -> float | None:
    return mean_sd(values)[0] if values else None
