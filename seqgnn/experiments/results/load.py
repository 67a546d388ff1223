"""Comparisons from the files of their runs, wherever these come from."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

import torch

from seqgnn.data.datasets.catalog import find
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.naming import distinct_labels
from seqgnn.experiments.runs.base import Run, TrainingRun
from seqgnn.experiments.runs.config import BaselineConfig, RunConfig, identify_text
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.specs import Spec, spec_from_dict
from seqgnn.experiments.runs.store import FORMAT, read_run
from seqgnn.experiments.runs.task_defaults import TASKS


@dataclass(frozen=True)
class LoadedRuns:
    """The comparisons loaded from folders.

    Attributes:
        comparisons: one for each task, and for each text that one reads.
        problems: files and folders that were left out, and why.
    """

    comparisons: list[Comparison]
    problems: list[str]


@dataclass(frozen=True)
class _Entry:
    """A run, a baseline or a failure: its configuration, record or error message, and specification."""

    run: Run
    config: dict[str, Any]
    record: dict[str, Any] | None
    message: str | None
    spec: Spec | None
    file: Path


def load_comparisons(
    paths: Sequence[str | os.PathLike[str]],
    texts: Sequence[str | os.PathLike[str] | None] = (None,),
    sources: Sequence[DataSource] = (),
) -> LoadedRuns:
    """Put runs together again as comparisons; rows have the labels that their runs were made under.

    Nothing is written. The same run found twice counts once.

    Args:
        paths: folders: the `--out` of a comparison, its `runs/`, or one above several such; or single files of runs.
        texts: files that tasks may have read, None for Python's help topics; the one that a run names is used.
        sources: time series that forecasters may have read, besides those of the catalog that are on this machine.

    Raises:
        ValueError: if there is no path, or no run, baseline or note of a failure in any.

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
    entries: dict[str, _Entry] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        found, wrong = _read(path)
        problems += wrong
        for entry in found:
            entries.setdefault(entry.file.name, entry)
    groups: dict[tuple[str, str, str], list[_Entry]] = defaultdict(list)
    for entry in entries.values():
        groups[entry.run.task, entry.run.data_id or "", _protocol(entry.config)].append(entry)
    comparisons = [
        _forecasts(groups[key], sources) if key[0] == "forecast" else _comparison(groups[key], texts)
        for key in sorted(groups)
    ]
    if not comparisons:
        about = "; ".join(problems) or "no path"
        raise ValueError(f"report: expected folders with runs of seqgnn compare, got none ({about})")
    return LoadedRuns(comparisons, problems)


def _read(path: Path) -> tuple[list[_Entry], list[str]]:
    if not path.exists():
        return [], [f"{path}: there is no such file or folder"]
    found, problems = [], []
    try:
        files = _files(path)
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror})"]
    for file in files:
        try:
            found.append(_failure(file) if file.suffix == ".failed" else _run(file))
        except ValueError as error:
            message = " ".join(str(error).split())
            problems.append(message if str(file) in message else f"{file}: {message}")
    names = {file.stem for file in files}
    begun = [part for folder in {file.parent for file in files} or {path, path / "runs"}
             for part in folder.glob("*.partial") if part.stem not in names]  # fmt: skip
    if begun:
        runs = f"{len(begun)} run{'s are' if len(begun) > 1 else ' is'}"
        problems.append(f"{path}: {runs} under way or interrupted; seqgnn compare goes on with such")
    elif not files:
        problems.append(f"{path}: there are no runs in it")
    return found, problems


def _files(path: Path) -> list[Path]:
    """Runs, and notes of failures beside which there is no run."""
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


def _run(file: Path) -> _Entry:
    record = read_run(file)
    run = _read_config(record["config"])
    _check_figures(file, record, run)
    return _Entry(run, record["config"], record, None, _spec(run, record), file)


def _spec(run: Run, content: dict[str, Any]) -> Spec | None:
    if not isinstance(run, TrainingRun):
        return None
    if not isinstance(content.get("spec"), dict):
        raise ValueError("report: expected a run with the specification of its model, got one without")
    return spec_from_dict(content["spec"])


def _read_config(config: dict[str, Any]) -> Run:
    kinds = (ForecastRun, ForecastBaseline) if config.get("task") == "forecast" else (RunConfig, BaselineConfig)
    return kinds["baseline" in config].from_dict(config)


def _check_figures(file: Path, record: dict[str, Any], run: Run) -> None:
    """Raise a ValueError if scores or curves are missing; the checksum of another program's file may be right."""
    trained = isinstance(run, TrainingRun)
    try:
        result, measured = record["result"], record["measured"]
        forecast = run.task == "forecast"
        score, curve = ("rmse", "losses") if forecast else ("accuracy", "accuracies")
        numbers = [result["test"][score], result["test"]["loss"], result["test"]["count"]]
        numbers.append(measured["seconds"])
        if trained:
            numbers += [result["steps"], result["parameters"], result["losses"][0], result[curve][0]]
            numbers += [point["loss" if forecast else "accuracy"] + point["step"] for point in result["validation"]]
        if not all(isinstance(number, int | float) for number in numbers) or (trained and "stopped" not in result):
            raise TypeError
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"report: expected scores and curves in {file}, got a run without them") from None


def _failure(file: Path) -> _Entry:
    try:
        note = loads(file.read_text(encoding="utf-8"))
        if note["format"] != FORMAT + "-failure":
            raise TypeError
        run, message = _read_config(note["config"]), str(note["message"])
        return _Entry(run, note["config"], None, message, _spec(run, note), file)
    except (OSError, UnicodeDecodeError, JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"report: expected a note of what failed in {file}, got another file") from error


def _comparison(entries: list[_Entry], texts: Sequence[str | os.PathLike[str] | None]) -> Comparison:
    task, data_id = entries[0].run.task, entries[0].run.data_id
    sizes = tuple(sorted({entry.run.size for entry in entries}))
    comparison = Comparison(
        task,
        TASKS[task].metric,
        (),
        sizes,
        (),
        elements={size: _elements(task, size) for size in sizes},
        data_id=data_id,
        data=_text(data_id, texts),
    )
    return _filled(comparison, entries)


def _filled(comparison: Comparison, entries: list[_Entry]) -> Comparison:
    """Return the comparison with the content of its entries."""
    folders = {entry.file.parent for entry in entries}
    if len(folders) == 1 and (folder := folders.pop()).name == "runs":
        comparison.out = folder.parent
    trained = [entry for entry in entries if entry.spec is not None]
    labels = distinct_labels([entry.spec.label for entry in trained if entry.spec], [entry.run for entry in trained])
    comparison.labels = tuple(dict.fromkeys(labels))
    comparison.seeds = tuple(sorted({entry.run.seed for entry in trained}))
    comparison.matched = bool(trained) and all(entry.config.get("parameters") is not None for entry in trained)
    for entry, label in zip(trained, labels):
        key = (label, entry.run.size, entry.run.seed)
        if entry.record is None:
            comparison.failures[key] = entry.message or ""
            comparison.failed[key] = {"config": entry.config, "spec": asdict(entry.spec) if entry.spec else None}
        else:
            comparison.runs[key] = {name: entry.record[name] for name in ("config", "spec", "result", "measured")}
            comparison.weights[key] = entry.file.with_suffix(".safetensors")
    for entry in entries:
        if entry.spec is None:
            name = str(entry.config["baseline"])
            if entry.record is None:
                comparison.failures[name, entry.run.size, 0] = entry.message or ""
            else:
                comparison.baselines[name, entry.run.size] = entry.record
    return comparison.in_order()


def _protocol(config: dict[str, Any]) -> str:
    """Return what compared forecasts have in common, as text: split, scaling, scores and refit."""
    protocol = {name: value for name, value in config.get("protocol", {}).items() if name != "horizon"}
    return dumps([protocol, config.get("refit")], sort_keys=True)


def _forecasts(entries: list[_Entry], sources: Sequence[DataSource]) -> Comparison:
    data_id = str(entries[0].run.data_id)
    source = _series(data_id, sources)
    comparison = Comparison(
        "forecast",
        entries[0].config["protocol"]["metric"],
        (),
        tuple(sorted({entry.run.size for entry in entries})),
        (),
        data_id=data_id,
        units=None if source is None else source.load().units,
        data=source,
    )
    return _filled(comparison, entries)


def _series(data_id: str, sources: Sequence[DataSource]) -> DataSource | None:
    """Return the source of the time series that runs read, if it is on this machine; nothing is downloaded."""
    name = data_id.rsplit(" (", 1)[0]
    downloaded = [DataSource(name)] if name in SIGNALS and find(name) is not None else []
    for source in (*sources, *downloaded):
        try:
            if source.identity() == data_id:
                return source
        except ValueError:
            continue
    return None


def _elements(task: str, size: int) -> int:
    """Return the number of tokens or nodes of a sample; windows of a text have as many as their length."""
    entry = TASKS[task]
    if entry.takes_data:
        return size
    try:
        return int(entry.make(size, (1,), None).draw(1, torch.Generator().manual_seed(0)).num_nodes)
    except (ValueError, RuntimeError, MemoryError):
        return size


def _text(data_id: str | None, texts: Sequence[str | os.PathLike[str] | None]) -> DataSource | None:
    """Return the text that runs read, if it is among the given ones."""
    for path in texts:
        if data_id is not None and path is not None and identify_text(Path(path)) == data_id:
            return DataSource.of(path)
    return None
