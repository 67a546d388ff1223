"""Comparisons loaded from the files of their runs."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json import JSONDecodeError, loads
from pathlib import Path
from typing import cast

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.naming import distinct_labels
from seqgnn.experiments.runs.base import BaselineRun, Run, TrainingRun
from seqgnn.experiments.runs.problem import PROBLEMS, read_config
from seqgnn.experiments.runs.record import BaselineRecord, FailedRun, RunRecord
from seqgnn.experiments.runs.specs import Spec, spec_from_dict
from seqgnn.experiments.runs.store import FORMAT, read_run


@dataclass(frozen=True)
class LoadedRuns:
    """The comparisons loaded from folders.

    Attributes:
        comparisons: one for each task and each of its data sets.
        problems: files and folders that were left out, and why.
    """

    comparisons: list[Comparison]
    problems: list[str]


@dataclass(frozen=True)
class StoredRun:
    """A run or a baseline: its configuration, its specification if it has one, its record or error message, and its
    file."""

    run: Run
    spec: Spec | None
    outcome: RunRecord | BaselineRecord | str
    file: Path


def load_comparisons(
    paths: Sequence[str | os.PathLike[str]],
    data: Sequence[str | os.PathLike[str] | DataSource] = (),
) -> LoadedRuns:
    """Return the comparisons of stored runs; models keep the labels of their specifications.

    Nothing is written. A run in two folders counts once.

    Args:
        paths: folders: the `--out` of a comparison, its `runs/`, or one above several such; or single files of runs.
        data: texts and time series that runs may have read, besides those of the catalog that are on this machine;
            of these the one that a run names is used.

    Raises:
        ValueError: if there is no path, or no run, baseline or failure in any of them.

    Example:
        >>> import tempfile
        >>> from seqgnn.experiments.compare import compare
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"sizes": [4], "seeds": [0], "steps": 2, "hidden": 4, "progress": False}
        ...     before = compare("recall", models=["rnn", "gcn"], out=folder, **options)
        ...     after = load_comparisons([folder]).comparisons[0]
        >>> after.labels, after.rows() == before.rows()
        (('RNN', 'GCN'), True)
    """
    entries, problems = read_entries(paths)
    groups: dict[tuple[str, str, str], list[StoredRun]] = defaultdict(list)
    for entry in entries:
        groups[entry.run.task, entry.run.data_id or "", entry.run.setting].append(entry)
    sources = [source for item in data if (source := DataSource.of(item)) is not None]
    comparisons = [_comparison(groups[key], sources) for key in sorted(groups)]
    if not comparisons:
        reasons = "; ".join(problems) or "no path"
        raise ValueError(f"report: expected folders with runs of seqgnn compare, got none ({reasons})")
    return LoadedRuns(comparisons, problems)


def read_entries(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[StoredRun], list[str]]:
    """Return the runs in folders and files, each once, and a line for each file that cannot be read."""
    entries: dict[str, StoredRun] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        loaded, unreadable = _read_path(path)
        problems += unreadable
        for entry in loaded:
            entries.setdefault(entry.file.name, entry)
    return list(entries.values()), problems


def _read_path(path: Path) -> tuple[list[StoredRun], list[str]]:
    if not path.exists():
        return [], [f"{path}: there is no such file or folder"]
    entries, problems = [], []
    try:
        files = _files(path)
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror})"]
    for file in files:
        try:
            entries.append(_failure(file) if file.suffix == ".failed" else _run(file))
        except ValueError as error:
            message = " ".join(str(error).split())
            problems.append(message if str(file) in message else f"{file}: {message}")
    names = {file.stem for file in files}
    unfinished = [part for folder in {file.parent for file in files} or {path, path / "runs"}
             for part in folder.glob("*.partial") if part.stem not in names]  # fmt: skip
    if unfinished:
        runs = f"{len(unfinished)} run{'s are' if len(unfinished) > 1 else ' is'}"
        problems.append(f"{path}: {runs} unfinished; seqgnn compare resumes them")
    elif not files:
        problems.append(f"{path}: there are no runs in it")
    return entries, problems


def _files(path: Path) -> list[Path]:
    """Return the files of runs, and of failures of which there is no finished run."""
    if not path.is_dir():
        return [path]
    if (path / "runs").is_dir():
        path = path / "runs"
    files = _runs_in(path)
    return files or [file for folder in sorted(path.rglob("runs")) if folder.is_dir() for file in _runs_in(folder)]


def _runs_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    runs = [file for file in files if file.suffix == ".json"]
    names = {file.stem for file in runs}
    return runs + [file for file in files if file.suffix == ".failed" and file.stem not in names]


def _run(file: Path) -> StoredRun:
    content = read_run(file)
    run = read_config(content["config"])
    kind: type[RunRecord] | type[BaselineRecord] = RunRecord if isinstance(run, TrainingRun) else BaselineRecord
    record = kind.from_dict(content, run)
    if not isinstance(record.result.test.values.get(PROBLEMS[run.task].metrics[0]), int | float):
        raise ValueError("report: expected scores and curves, got a run without them")
    return StoredRun(run, record.spec if isinstance(record, RunRecord) else None, record, file)


def _failure(file: Path) -> StoredRun:
    try:
        note = loads(file.read_text(encoding="utf-8"))
        if note["format"] != FORMAT + "-failure":
            raise TypeError
        run = read_config(note["config"])
        spec = spec_from_dict(note["spec"]) if isinstance(run, TrainingRun) else None
        return StoredRun(run, spec, str(note["message"]), file)
    except (OSError, UnicodeDecodeError, JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"report: expected a note of what failed in {file}, got another file") from error


def _comparison(entries: list[StoredRun], sources: Sequence[DataSource]) -> Comparison:
    """Return the comparison of runs of one task, on the same data."""
    run = entries[0].run
    problem = PROBLEMS[run.task]
    data = problem.find_data(run.data_id, sources)
    sizes = tuple(sorted({entry.run.size for entry in entries}))
    elements = {size: number for size in sizes if (number := problem.num_elements(size)) is not None}
    comparison = Comparison(
        task=run.task,
        metric=problem.headline(run),
        labels=(),
        sizes=sizes,
        seeds=(),
        elements=elements,
        data_id=run.data_id,
        units=problem.units(data),
        data=data,
    )
    return _fill(comparison, entries)


def _fill(comparison: Comparison, entries: list[StoredRun]) -> Comparison:
    """Return the comparison with the content of its entries."""
    folders = {entry.file.parent for entry in entries}
    if len(folders) == 1 and (folder := folders.pop()).name == "runs":
        comparison.out = folder.parent
    trained = [(entry, entry.spec) for entry in entries if entry.spec is not None]
    labels = distinct_labels([spec.label for _, spec in trained], [entry.run for entry, _ in trained])
    comparison.labels = tuple(dict.fromkeys(labels))
    comparison.seeds = tuple(sorted({entry.run.seed for entry, _ in trained}))
    runs = [cast(TrainingRun, entry.run) for entry, _ in trained]
    comparison.matched = bool(runs) and all(run.parameters is not None for run in runs)
    for (entry, spec), label in zip(trained, labels):
        key = (label, entry.run.size, entry.run.seed)
        if isinstance(entry.outcome, RunRecord):
            comparison.runs[key] = entry.outcome
            comparison.weights[key] = entry.file.with_suffix(".safetensors")
        else:
            comparison.failures[key] = str(entry.outcome)
            comparison.failed[key] = FailedRun(cast(TrainingRun, entry.run), spec)
    for run, outcome in ((entry.run, entry.outcome) for entry in entries):
        if isinstance(outcome, BaselineRecord):
            comparison.baselines[outcome.config.baseline, run.size] = outcome
        elif isinstance(run, BaselineRun):
            comparison.failures[run.baseline, run.size, 0] = str(outcome)
    return comparison.in_order()
