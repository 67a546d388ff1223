"""What a comparison shows of itself: a summary as text and HTML, and a data frame."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from seqgnn._utils.html import html_table
from seqgnn._utils.text import count
from seqgnn.experiments.results.records import ComparisonRecords, first_solved
from seqgnn.experiments.results.row import BASELINE, MODEL, ComparisonRow
from seqgnn.experiments.runs.problem import METRICS

if TYPE_CHECKING:
    from pandas import DataFrame

LINES = 20  # rows of a representation


class ComparisonViews:
    """The representations of a comparison, which reads its fields."""

    def __repr__(self) -> str:
        comparison: Any = self
        head, lines = _headline(comparison), _scores(comparison)
        width = max((len(name) for name, _, _ in lines[:LINES]), default=0)
        texts = [f"  {comparison.at(size)}  {name:<{width}}  {score}" for name, size, score in lines[:LINES]]
        if len(lines) > LINES:
            texts.append(f"  and {len(lines) - LINES} more; see rows() and to_dataframe()")
        return "\n".join([f"<Comparison {head}>", *texts])

    def _repr_html_(self) -> str:
        """Return the headline scores as a table, for notebooks."""
        comparison: Any = self
        lines = _scores(comparison)
        shown = [[name, comparison.at(size), score] for name, size, score in lines[:LINES]]
        if len(lines) > LINES:
            shown.append([f"and {len(lines) - LINES} more; see rows() and to_dataframe()", "", ""])
        columns = ("model", comparison.problem.size.name, f"test {METRICS[comparison.metric].label}")
        return html_table(_headline(comparison), shown, columns)

    def to_dataframe(self) -> "DataFrame":
        """Return a pandas data frame with a row for each finished run and each baseline.

        Columns:
            model: label of the model, or name of the baseline.
            kind: "model" or "baseline".
            size: length of sequences, number of nodes of trees, or horizon.
            seed: random seed; NaN for baselines.
            accuracy, loss, mae, ...: score on the test set, a column for each metric of the task; NaN where it is not
                finite or was not measured.
            targets: number of targets in the test set.
            steps, best_step: number of training steps, and the step whose weights were tested; NaN for baselines.
            stopped: reason for the end of training; None for baselines.
            solved_step: first step at which the validation accuracy reached the target accuracy; NaN if it did not.
            seconds: training time; of baselines, the time to fit and test them.
            parameters: number of parameters; NaN where it is not known.

        Example:
            >>> from seqgnn.experiments.compare import compare
            >>> result = compare("recall", models=["rnn"], sizes=[3], seeds=[0, 1], steps=2, hidden=4, progress=False)
            >>> frame = result.to_dataframe()
            >>> frame[frame.kind == "model"].groupby("model").accuracy.count().to_dict()
            {'RNN': 2}
        """
        import pandas

        comparison: Any = self
        names = ["model", "kind", "size", "seed", *comparison.metrics, "targets", "steps", "best_step", "stopped"]
        frame = pandas.DataFrame(seed_rows(comparison), columns=[*names, "solved_step", "seconds", "parameters"])
        text = ("model", "kind", "size", "stopped")
        return frame.astype({name: float for name in frame.columns if name not in text})


def seed_rows(comparison: ComparisonRecords) -> list[dict[str, Any]]:
    """Return the rows of `Comparison.to_dataframe`, with None for NaN."""
    rows = []
    for (label, size, seed), run in comparison.runs.items():
        step, _ = first_solved(run) or (None, None)
        rows.append(
            {"model": label, "kind": MODEL, "size": size, "seed": seed}
            | {metric: run.result.test.values.get(metric) for metric in comparison.metrics}
            | {"targets": run.result.test.count, "steps": run.result.steps, "best_step": run.result.best_step,
               "stopped": run.result.stopped, "solved_step": step, "seconds": run.measured.seconds,
               "parameters": run.result.parameters}
        )  # fmt: skip
    for (name, size), record in comparison.baselines.items():
        rows.append(
            {"model": name, "kind": BASELINE, "size": size, "seed": None}
            | {metric: record.result.test.values.get(metric) for metric in comparison.metrics}
            | {"targets": record.result.test.count, "steps": None, "best_step": None, "stopped": None,
               "solved_step": None, "seconds": record.measured.seconds, "parameters": record.result.parameters}
        )  # fmt: skip
    return rows


def _headline(comparison: Any) -> str:
    """Return the task, the grid, and the numbers of runs in a line."""
    grid = f"{count(len(comparison.labels), 'model')}, {comparison.problem.size.all(comparison.sizes)}"
    failed = f", {len(comparison.failures)} failed" if comparison.failures else ""
    score = f"test {METRICS[comparison.metric].label}"
    return f"{comparison.task}: {score}, {grid}, {count(len(comparison.runs), 'finished run')}{failed}"


def _scores(comparison: Any) -> list[tuple[str, int, str]]:
    """Return the name, size and headline score of each row, largest size first, and there the best first."""
    sign = -1 if comparison.higher_is_better else 1

    def order(row: ComparisonRow) -> tuple[int, bool, float]:
        mean = row.mean(comparison.metric)
        return -row.size, row.kind == BASELINE, math.inf if mean is None else sign * mean

    return [(row.model, row.size, _score(row, comparison.metric)) for row in sorted(comparison.rows(), key=order)]


def _score(row: ComparisonRow, metric: str) -> str:
    def parts() -> Iterator[str]:
        mean, sd = row.mean(metric), row.sd(metric)
        if mean is not None:
            yield f"{mean:.3f}" if sd is None or math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"
        if row.kind == BASELINE:
            yield "(baseline)"
        if row.verdict is not None:
            yield f"({row.verdict.text})"
        if row.failed and mean is not None:
            yield f"({row.failed} failed)"

    return " ".join(parts())
