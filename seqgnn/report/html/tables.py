"""The tables of a page, as rows and cells for the template."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from seqgnn._utils.text import count, number
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import differences_from_best
from seqgnn.experiments.results.row import BASELINE, ComparisonRow
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.forecast_config import ForecastBaseline
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.record import BaselineRecord, RunRecord
from seqgnn.experiments.runs.store import run_key
from seqgnn.metrics.model_differences import Difference
from seqgnn.metrics.significance import p_value, signed
from seqgnn.models.sequence_model import GNNS
from seqgnn.report.html.model_inspection import ModelInspection
from seqgnn.report.html.summary import cells, interval
from seqgnn.report.plots.comparison import metric_label
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.config import TrainConfig


@dataclass(frozen=True)
class Cell:
    """A cell: its text and, where the text would sort wrongly, the number to sort by."""

    text: str
    sort: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: description for screen readers.
        columns: names, and whether the column is numeric.
        rows: lists of cells; the first is the row's header.
        quiet: indices of the rows shown in gray.
    """

    name: str
    columns: list[tuple[str, bool]]
    rows: list[list[Cell]]
    quiet: frozenset[int] = frozenset()


def scores(comparison: Comparison) -> Table:
    """Return all models and baselines with their scores, intervals and costs."""
    lines = comparison.rows()
    first, *other_metrics = comparison.metrics
    shown = [name for name in other_metrics if name != "mse"]
    other_metrics = [name for name in shown if any(row.mean(name) is not None for row in lines)]
    names = [metric_label(comparison, name) for name in (first, *other_metrics)]
    columns = [
        ("model", False), (comparison.problem.size.column, True), (names[0], True), ("± sd", True),
        ("verdict", False),
        ("95% by t", True), ("95% by bootstrap", True), *((name, True) for name in names[1:]), ("seeds", True),
        ("steps", True), ("seconds", True), ("parameters", True), ("kFLOP", True), ("peak MB", True),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    quiet = set()
    for row in lines:
        if row.kind == BASELINE:
            quiet.add(len(rows))
        seeds = f"{row.seeds}" + (f" ({row.failed} failed)" if row.failed else "")
        rows.append([
            Cell(row.model),
            _numeric(row.size),
            _numeric(row.mean(first), 3),
            _numeric(row.sd(first), 3),
            Cell("–" if row.verdict is None else row.verdict.text),
            *(_interval(row, first, kind) for kind in ("t", "bootstrap")),
            *(_numeric(row.mean(name), 3) for name in other_metrics),
            Cell("–" if row.kind == BASELINE else seeds, row.seeds),
            _numeric(row.steps),
            _numeric(row.seconds, 1),
            _numeric(row.parameters),
            _numeric(_scaled(row.flops, 1e3), 1),
            _numeric(_scaled(row.peak_memory, 1e6)),
        ])  # fmt: skip
    return Table("scores", columns, rows, frozenset(quiet))


def _interval(row: ComparisonRow, metric: str, kind: str) -> Cell:
    score = row.scores.get(metric)
    edges = None if score is None else getattr(score, kind)
    if edges is None:
        return Cell("–")
    low, high = edges
    return Cell("equal for all seeds" if low == high else interval(low, high, metric), low)


def solved(comparison: Comparison) -> tuple[Table | None, list[str]]:
    """Return when the validation accuracy first reached the target, for models that did; the others in words."""
    rows, unsolved = [], []
    for size in comparison.sizes:
        for label in comparison.labels:
            runs = comparison.of(label, size)
            target = runs[0].config.train.target_accuracy if runs else None
            if target is None:
                continue
            reached = [at for at in comparison.solved_at(label, size) if at is not None]
            if not reached:
                unsolved.append((label, size))
                continue
            steps, seconds = ([float(at[place]) for at in reached] for place in (0, 1))
            finite = [second for second in seconds if math.isfinite(second)]
            rows.append([
                Cell(label),
                _numeric(size),
                _numeric(target, 3),
                Cell(f"{len(reached)} of {len(runs)}", len(reached)),
                _range(steps, 0),
                _range(finite, 1),
            ])  # fmt: skip
    names = ["T", "target accuracy", "solved by seeds", "steps", "seconds"]
    columns = [("model", False), *((name, True) for name in names)]
    table = Table("time to target accuracy", columns, rows) if rows else None
    if not unsolved:
        return table, []
    if not rows:
        return None, ["No run reached the target accuracy."]
    return table, [f"Not reached with any seed: {cells(comparison, unsolved)}."]


def _range(values: list[float], digits: int) -> Cell:
    """Return the mean and the range of values."""
    if not values:
        return Cell("–")
    mean, low, high = math.fsum(values) / len(values), min(values), max(values)
    text = number(mean, digits)
    return Cell(text if low == high else f"{text} ({number(low, digits)} to {number(high, digits)})", mean)


def differences(comparison: Comparison, size: int) -> Table | None:
    """Return the differences between the best model and all other candidates at one size; None where no error is
    known."""
    pairs = differences_from_best(comparison, size)
    if not pairs:
        return None
    columns = [("model", False), (_difference_in(comparison), True), ("95%, this pair", True),
               ("95%, all pairs together", True), ("p, corrected", True), ("test", False),
               ("significant", False)]  # fmt: skip
    rows = [_difference(pair) for pair in pairs.values()]
    return Table(f"differences at {comparison.at(size)}", columns, rows)


def _difference_in(comparison: Comparison) -> str:
    units = comparison.units_of(comparison.metric)
    return "difference" if units is None else f"difference ({units})"


def _difference(pair: Difference) -> list[Cell]:
    (low, high), (joint_low, joint_high) = pair.interval, pair.joint
    return [
        Cell(pair.second),
        Cell(signed(pair.mean), pair.mean),
        Cell(f"{signed(low)} to {signed(high)}", low),
        Cell(f"{signed(joint_low)} to {signed(joint_high)}", joint_low),
        Cell(p_value(pair.corrected).removeprefix("= "), pair.corrected),
        Cell(pair.test),
        Cell("yes" if pair.shown else "no"),
    ]


def windows(comparison: Comparison) -> Table | None:
    """Return differences between forecasters over seeds and over test windows; None if no run has errors by window."""
    rows = []
    for size in comparison.sizes:
        for pair in window_pairs(comparison, size):
            over = pair.over_windows
            lows = (bounds and bounds[0] for bounds in (pair.over_seeds, over.interval))
            sorts = over.mean, *lows, over.better, over.p
            cells = map(Cell, pair.figures, sorts)
            rows.append([Cell(pair.first), Cell(pair.second), _numeric(size), *cells])
    names = [
        "horizon",
        _difference_in(comparison),
        "95% over seeds",
        "95% over windows",
        "better in windows",
        "p, sign-flip test",
    ]
    columns = [("model", False), ("minus", False), *((name, True) for name in names)]
    return Table("differences over test windows", columns, rows) if rows else None


def receptive_fields(comparison: Comparison, inspection: ModelInspection) -> tuple[Table | None, list[str]]:
    """Return a table of the receptive field of each model, derived from its structure, with its diagnostics, and
    sentences on the models whose receptive field is the whole input and that have no diagnostics."""
    rows, complete = [], []
    for row in comparison.rows():
        label, size = row.model, row.size
        runs = comparison.of(label, size)
        config = runs[0].config if runs else None
        if not isinstance(config, RunConfig):
            continue
        before = comparison.elements.get(size, size) - 1
        field = row.receptive_field
        if field is None:  # a state, which depends on all previous inputs
            visible = "whole input"
        elif not comparison.problem.sequential:
            visible = f"nodes up to {count(config.num_layers, 'hop')} away"
        else:
            visible = "whole input" if field >= before else f"{field} of {before} previous positions"
        diagnostics = inspection.diagnostics.get((label, size))
        if visible == "whole input" and not diagnostics:
            complete.append((label, size))
            continue
        cell = "; ".join(diagnostics) if diagnostics else "not checked" if diagnostics is None else "none"
        rows.append([Cell(label), _numeric(size), Cell(visible), Cell(config.readout), Cell(cell)])
    columns = [("model", False), ("T", True), ("receptive field", False), ("readout", False),
               ("diagnostics", False)]  # fmt: skip
    table = Table("receptive fields", columns, rows) if rows else None
    checked = bool(inspection.diagnostics) or not comparison.runs
    sentences = []
    if complete:
        nothing = ", and no problem was diagnosed" if checked else ""
        names = cells(comparison, complete)
        whole = "receptive field covers the whole input"
        sentences.append(f"The {whole}{nothing}: {names}." if rows else f"Every model's {whole}{nothing}.")
    if not checked:
        sentences.append("Models were not diagnosed: the text is not available.")
    return table, sentences


def files(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Return the names of the files of the runs of each model and each baseline of forecasts, where they are known."""
    names: dict[str, list[str]] = {}
    for label, size, seed in comparison.runs:
        path = comparison.weights.get((label, size, seed))
        if path is not None:
            names.setdefault(f"{label}, {comparison.at(size)}", []).append(path.with_suffix(".json").name)
    if names:
        names |= {f"{name}, {comparison.at(size)}": [f"{run_key(asdict(record.config))}.json"]
                  for (name, size), record in comparison.baselines.items()
                  if isinstance(record.config, ForecastBaseline)}  # fmt: skip
    return list(names.items())


def _unused(config: TrainingRun) -> set[str]:
    """Return the settings of a run that its model, optimizer and schedule do not use."""
    train = config.train
    used = {
        "hops": config.model in (*GNNS, "gcn+lstm") and PROBLEMS[config.task].sequential,
        "momentum": train.optimizer == "sgd",
        "weight_decay": train.optimizer == "adamw",
        "decay": train.schedule == "step",
        "decay_every": train.schedule == "step",
        "tolerance": train.min_steps is not None,
    }
    return {name for name, is_used in used.items() if not is_used}


def configuration(comparison: Comparison) -> Table:
    """Return the settings that all runs share and, by model and size, those that differ, without unused settings."""
    names = ["hidden", "num_layers", "hops", "encoding", "window", "init", "forget_bias", "positions", "parameters",
             "K", "residual", "skip", "neighbors", "dropout", "refit", "device"]  # fmt: skip
    protocol = [item.name for item in fields(Protocol) if item.name != "horizon"]
    training = [item.name for item in fields(TrainConfig)]
    rows = []
    for name in (*names, *protocol, *training):
        values: dict[str, dict[str, set[int]]] = {}
        for (label, size, _), run in comparison.runs.items():
            config = run.config
            if name not in _unused(config):
                parts = (config,) if name in names else (getattr(config, "protocol", None), config.train)
                value = next((getattr(part, name) for part in parts if hasattr(part, name)), None)
                values.setdefault(_format(value), {}).setdefault(label, set()).add(size)
        values.pop("–", None)
        if values:
            rows.append([Cell(name.replace("_", " ")), Cell(_by_row(values, comparison))])
    return Table("configuration", [("setting", False), ("value", False)], rows)


def _by_row(values: dict[str, dict[str, set[int]]], comparison: Comparison) -> str:
    """Return the value that all models share at all sizes, or each value with its models and sizes."""
    sizes_by_label: dict[str, set[int]] = {}
    for label, size, _ in comparison.runs:
        sizes_by_label.setdefault(label, set()).add(size)
    if len(values) == 1 and next(iter(values.values())) == sizes_by_label:
        return next(iter(values))
    return " / ".join(
        f"{value}: {cells(comparison, [(label, size) for label in sizes for size in sorted(sizes[label])])}"
        for value, sizes in values.items()
    )


def _format(value: Any) -> str:
    if value in (None, [], ()):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def machines(comparison: Comparison) -> Table:
    """Return versions, machines and dates of the runs."""
    entries: dict[str, set[str]] = {}
    records: list[RunRecord | BaselineRecord] = [*comparison.runs.values(), *comparison.baselines.values()]
    for run in records:
        measured = run.measured
        facts = {
            "system": measured.machine,
            "processor": measured.processor,
            "cores": measured.cores,
            "memory": None if measured.memory is None else f"{measured.memory / 2**30:.0f} GiB",
            "threads per run": measured.threads,
        }
        for name, value in (facts | dict(measured.versions)).items():
            if value is not None:
                entries.setdefault(name, set()).add(str(value))
    dates = sorted(run.measured.date for run in comparison.runs.values() if run.measured.date is not None)
    if dates:
        entries["dates of runs"] = {dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"}
    rows = [[Cell(name), Cell(", ".join(sorted(values)))] for name, values in entries.items()]
    return Table("versions and machine", [("item", False), ("value", False)], rows)


def _numeric(value: float | None, digits: int = 0) -> Cell:
    is_finite = value is not None and math.isfinite(value)
    return Cell(number(value, digits), float(value) if is_finite and value is not None else None)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
