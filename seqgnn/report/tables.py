"""A comparison as a table, a CSV file and figures."""

import csv
import io
import itertools
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgnn._utils.files import write_all
from seqgnn._utils.text import csv_cell, listed
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import candidates
from seqgnn.experiments.results.row import BASELINE
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.problem import METRICS, SequenceProblem
from seqgnn.report.answer import answer
from seqgnn.report.footnotes import notes, seeds_of
from seqgnn.report.plots.comparison import curves_figure, metric_label
from seqgnn.report.plots.scores import scores_figure
from seqgnn.report.plots.style import rendered

if TYPE_CHECKING:
    from rich.table import Table


def write(comparison: Comparison, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `<task>.csv`, `<task>-pairs.csv`, for forecasts `<task>-ahead.csv`, and the figures `<task>-scores` and
    `<task>-curves` as PNG and SVG; return their paths.

    Without a finished run, no figures are written; without two models with two seeds in common, no pairs are.

    Raises:
        ValueError: if the folder cannot be created.
        NotWritten: a ValueError that names each file that could not be written; all others are written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"report: expected a writable folder, got {folder} ({error.strerror})") from error
    return write_all(_files(comparison, folder))


def _files(comparison: Comparison, folder: Path) -> Iterator[tuple[Path, str | bytes]]:
    lines = [row.as_dict() for row in comparison.rows()]
    for name, rows in (("", lines), ("-pairs", pairs(comparison)), ("-ahead", by_step(comparison))):
        if rows:
            yield folder / f"{comparison.task}{name}.csv", to_csv(comparison.task, rows)
    if comparison.runs:
        for name, draw in (("scores", scores_figure), ("curves", curves_figure)):
            yield from rendered(draw(comparison), folder / f"{comparison.task}-{name}")


def show(comparison: Comparison) -> None:
    """Print the answer, the tables and their notes."""
    from rich.console import Console

    # A fixed width without a terminal, so that no column is cut off.
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(" ".join(answer(comparison)), markup=False, highlight=False)
    console.print(table(comparison))
    if (over_windows := windows_table(comparison)) is not None:
        console.print(over_windows)
    for note in notes(comparison):
        console.print(note.text, markup=False, highlight=False)


def pairs(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a dictionary per size and pair of candidates: the difference with its 95% interval for this pair and for
    all pairs of that size together, the p-value and its test, the p-value after Holm's correction for all pairs, and
    the smallest possible one."""
    return [
        {"size": size, "first": pair.first, "second": pair.second, f"{comparison.metric}_difference": pair.mean,
         "low": pair.interval[0], "high": pair.interval[1], "joint_low": pair.joint[0], "joint_high": pair.joint[1],
         "test": pair.test, "p": pair.p, "p_corrected": pair.corrected,
         "p_least": pair.least, "shown": pair.shown, "seeds": pair.seeds}
        for size in comparison.sizes
        for pair in comparison.differences(size, candidates(comparison, size).models)
    ]  # fmt: skip


def by_step(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a dictionary for each horizon, each forecaster or baseline, and each step ahead: the number of observed
    values and the mean errors over seeds, None where nothing was observed. The list is empty for tasks without
    forecasts."""
    if not any(run.result.test.by_step for run in comparison.runs.values()):
        return []

    def mean(errors: list[float | None]) -> float | None:
        known = [error for error in errors if error is not None]
        return math.fsum(known) / len(known) if len(known) == len(errors) else None

    cells = itertools.product(comparison.labels, comparison.sizes)
    rows = [(label, size, [run.result.test for run in comparison.of(label, size)]) for label, size in cells]
    rows += [(name, size, [record.result.test]) for (name, size), record in comparison.baselines.items()]
    return [
        {"model": label, "size": size, "ahead": ahead, "seeds": len(tests), "values": steps[0]["count"]}
        | {metric: mean([step.get(metric) for step in steps]) for metric in comparison.metrics}
        for label, size, tests in sorted(rows, key=lambda row: comparison.sizes.index(row[1]))
        for ahead, steps in enumerate(zip(*(test.by_step for test in tests)), start=1)
    ]


def to_csv(task: str, rows: list[dict[str, Any]]) -> str:
    """Return rows as CSV with the task as first column; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["task", *rows[0]], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        known = {name: "" if value is None or value != value else csv_cell(value) for name, value in row.items()}
        writer.writerow({"task": csv_cell(task)} | known)
    return text.getvalue()


def table(comparison: Comparison) -> "Table":
    """Return the comparison as a table for the terminal, without its `notes`."""
    from rich.markup import escape
    from rich.table import Table

    metrics = comparison.metrics[:1] if comparison.metric == "accuracy" else comparison.metrics[:3]
    receptive_field = ["receptive field"] if isinstance(comparison.problem, SequenceProblem) else []
    heading = f"{comparison.task}: test {METRICS[comparison.metric].label}, {seeds_of(comparison)}"
    view = Table(title=heading + escape(_units_note(comparison, metrics)))
    view.add_column(comparison.problem.size.column, justify="right")
    view.add_column("model")
    scores = [METRICS[name].short for name in metrics]
    view.add_column(scores[0], justify="right")
    view.add_column("verdict")
    for name in (*scores[1:], "steps", "seconds", "parameters", "kFLOP", "MB", *receptive_field):
        view.add_column(name, justify="right")
    size = None
    for row in comparison.rows():
        if size not in (None, row.size):
            view.add_section()
        size = row.size
        if row.kind == BASELINE:
            cells = [_number(row.mean(name), 3) for name in metrics]
            seconds = _number(row.seconds, 1)
            view.add_row(str(size), escape(row.model), cells[0], "", *cells[1:], "", seconds, style="dim")
            continue
        cells = [_spread(row.mean(name), row.sd(name)) for name in metrics]
        if row.failed:
            cells[0] = f"{cells[0]} ({row.failed} failed)".strip()
        field = row.receptive_field
        positions = _number(field, 0)
        if row.seeds and (field is None or field >= comparison.elements.get(size, size) - 1):
            positions = "all"
        parameters = "" if row.parameters is None else f"{row.parameters:,}"
        flops = None if row.flops is None else row.flops / 1e3
        memory = None if row.peak_memory is None else row.peak_memory / 1e6
        costs = (_number(row.steps, 0), _number(row.seconds, 1), parameters, _number(flops, 0),
                  _number(memory, 0), *(positions for _ in receptive_field))  # fmt: skip
        verdict = "" if row.verdict is None else row.verdict.text
        view.add_row(str(size), escape(row.model), cells[0], verdict, *cells[1:], *costs)
    return view


def windows_table(comparison: Comparison) -> "Table | None":
    """Return the differences over test windows as a table for the terminal; None if no run has errors by window."""
    from rich.markup import escape
    from rich.table import Table

    pairs = [(size, pair) for size in comparison.sizes for pair in window_pairs(comparison, size)]
    if not pairs:
        return None
    view = Table(title=f"{escape(metric_label(comparison))}: first minus second, over seeds and over test windows")
    view.add_column("horizon", justify="right")
    for name in ("first", "second"):
        view.add_column(name)
    for name in ("difference", "95%, seeds", "95%, windows", "better in", "p"):
        view.add_column(name, justify="right")
    for size, pair in pairs:
        view.add_row(str(size), escape(pair.first), escape(pair.second), *pair.figures)
    return view


def _units_note(comparison: Comparison, metrics: Sequence[str]) -> str:
    """Return the known units of the metrics in words, such as "; MAE and RMSE in cases"."""
    names_by_units: dict[str, list[str]] = {}
    for name in metrics:
        if (units := comparison.units_of(name)) is not None:
            names_by_units.setdefault(units, []).append(METRICS[name].short)
    return "".join(f"; {listed(names)} in {units}" for units, names in names_by_units.items())


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _spread(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.3f}" if sd is None or math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"
