"""The result of a comparison: the records of its runs, and the table computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqgnn.experiments.grid.forecast_specs import FORECASTER_SPECS
from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.results.reasons import receptive_field
from seqgnn.experiments.results.records import ComparisonRecords
from seqgnn.experiments.results.row import BASELINE, MODEL, ComparisonRow
from seqgnn.experiments.results.verdict import Verdict, verdicts
from seqgnn.experiments.results.views import ComparisonViews
from seqgnn.experiments.runs.record import HeldOutScores
from seqgnn.experiments.runs.specs import ForecasterSpec, Spec
from seqgnn.metrics.significance import Summary, mean_sd, sampling_error, summary


@dataclass(repr=False)
class Comparison(ComparisonViews, ComparisonRecords):
    """The result of a comparison: records of runs, and the table computed from them; attributes as of
    `ComparisonRecords`."""

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
            found = verdicts(self, size)
            for label in self.labels:
                if any(key[:2] == (label, size) for key in (*self.runs, *self.failures)):
                    rows.append(self._row(label, size, found.get(label)))
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

    def _row(self, label: str, size: int, verdict: Verdict | None) -> ComparisonRow:
        runs = self.of(label, size)
        failed = sum((label, size, seed) in self.failures for seed in self.seeds)
        if not runs:
            scores = dict.fromkeys(self.problem.metrics)
            return ComparisonRow(label, MODEL, size, scores, verdict=verdict, failed=failed)
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
            receptive_field=receptive_field(runs[0]),
            verdict=verdict,
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


def _accuracy_error(test: HeldOutScores, accuracy: float | None) -> float | None:
    """Return the standard error that the test set alone gives an accuracy."""
    return None if accuracy is None else sampling_error(accuracy, test.count)


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean of the values that are known; None if none is."""
    known = [value for value in values if math.isfinite(value)]
    return mean_sd(known)[0] if known else None
