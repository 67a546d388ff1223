"""Comparisons from the files of their runs, wherever these come from."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.datasets.catalog import find
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.experiments.grid.forecast_specs import BASELINES
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.naming import forecast_labels, labels_of
from seqgnn.experiments.runs.config import RunConfig, identify_text
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun, Signal
from seqgnn.experiments.runs.store import FORMAT, read_run
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.models.baselines.classification import NAMES


@dataclass(frozen=True)
class Found:
    """What folders hold.

    Attributes:
        comparisons: one for each task, and for each text that one reads.
        problems: files and folders that were left out, and why.
    """

    comparisons: list[Comparison]
    problems: list[str]


@dataclass(frozen=True)
class _Entry:
    """A run, a baseline or a failure: its configuration, what is known of it, and the label it was made under."""

    config: dict[str, Any]
    record: dict[str, Any] | None
    message: str | None
    label: str | None
    file: Path


def collect(
    paths: Sequence[str | os.PathLike[str]],
    texts: Sequence[str | os.PathLike[str] | None] = (None,),
    signals: Sequence[Signal] = (),
) -> Found:
    """Puts runs together again as comparisons; rows have the labels that their runs were made under.

    Nothing is written. The same run found twice counts once.

    Args:
        paths: folders: the `--out` of a comparison, its `runs/`, or one above several such; or single files of runs.
        texts: files that tasks may have read, None for Python's help topics; the one that a run names is used.
        signals: that forecasters may have read, beside those of the catalog that are here.

    Raises:
        ValueError: if there is no path, or no run, baseline or note of a failure in any.

    Example:
        >>> import tempfile
        >>> from seqgnn.experiments.compare import compare
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"lengths": [4], "seeds": [0], "steps": 2, "hidden": 4, "progress": False}
        ...     before = compare("recall", models=["rnn", "gcn"], out=folder, **options)
        ...     after = collect([folder]).comparisons[0]
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
        groups[entry.config["task"], entry.config.get("text") or "", _protocol(entry.config)].append(entry)
    comparisons = [
        _forecasts(groups[key], signals) if key[0] == "forecast" else _comparison(groups[key], texts)
        for key in sorted(groups)
    ]
    if not comparisons:
        about = "; ".join(problems) or "no path"
        raise ValueError(f"report: expected folders with runs of seqgnn compare, got none ({about})")
    return Found(comparisons, problems)


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
    config = record["config"]
    _check_config(config)
    _check_figures(file, record, trained="baseline" not in config)
    return _Entry(config, record, None, _label(record["measured"]), file)


def _label(content: dict[str, Any]) -> str | None:
    label = content.get("label")
    return label if isinstance(label, str) and label not in (*NAMES, *BASELINES) else None


def _check_config(config: dict[str, Any]) -> None:
    if config.get("task") == "forecast":
        (ForecastBaseline if "baseline" in config else ForecastRun).from_dict(config)
        return
    if "baseline" not in config:
        RunConfig.from_dict(config)
        return
    one_of("report", "task", config.get("task"), TASKS)
    one_of("report", "baseline", config["baseline"], NAMES)
    check_count("report", "length", config.get("length"), 1)


def _check_figures(file: Path, record: dict[str, Any], trained: bool) -> None:
    """Whether what tables and figures are made of is there; a checksum can be right and the content another's."""
    try:
        length, result, measured = record["config"]["length"], record["result"], record["measured"]
        forecast = record["config"]["task"] == "forecast"
        score, curve = ("rmse", "losses") if forecast else ("accuracy", "accuracies")
        numbers = [length, result["test"][score], result["test"]["loss"], result["test"]["count"]]
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
        config, message = note["config"], str(note["message"])
        _check_config(config)
        return _Entry(config, None, message, _label(note), file)
    except (OSError, UnicodeDecodeError, JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"report: expected a note of what failed in {file}, got another file") from error


def _comparison(entries: list[_Entry], texts: Sequence[str | os.PathLike[str] | None]) -> Comparison:
    trained = [entry for entry in entries if "baseline" not in entry.config]
    configs = [RunConfig.from_dict(entry.config) for entry in trained]
    labels = labels_of(configs, [entry.label for entry in trained])
    task, text = entries[0].config["task"], entries[0].config.get("text")
    lengths = tuple(sorted({entry.config["length"] for entry in entries}))
    comparison = Comparison(
        task,
        TASKS[task].metric,
        tuple(dict.fromkeys(labels)),
        lengths,
        tuple(sorted({config.seed for config in configs})),
        elements={length: _elements(task, length) for length in lengths},
        text=text,
        matched=bool(configs) and all(config.parameters is not None for config in configs),
        path=_path(text, texts),
    )
    return _filled(comparison, entries, trained, labels)


def _filled(comparison: Comparison, entries: list[_Entry], trained: list[_Entry], labels: Sequence[str]) -> Comparison:
    """The comparison with what its entries hold."""
    folders = {entry.file.parent for entry in entries}
    if len(folders) == 1 and (folder := folders.pop()).name == "runs":
        comparison.out = folder.parent
    for entry, label in zip(trained, labels):
        key = (label, entry.config["length"], entry.config["seed"])
        if entry.record is None:
            comparison.failures[key], comparison.failed[key] = entry.message or "", entry.config
        else:
            comparison.runs[key] = entry.record
            comparison.weights[key] = entry.file.with_suffix(".safetensors")
    plain = [entry for entry in entries if "baseline" in entry.config]
    for entry in plain:
        name, length = str(entry.config["baseline"]), entry.config["length"]
        if entry.record is None:
            comparison.failures[name, length, 0] = entry.message or ""
        else:
            comparison.baselines[name, length] = entry.record
    return comparison.in_order()


def _protocol(config: dict[str, Any]) -> str:
    """What forecasts have to share to be compared: how the signal is cut, scaled and judged."""
    protocol = {name: value for name, value in config.get("protocol", {}).items() if name != "horizon"}
    return dumps([protocol, config.get("refit")], sort_keys=True)


def _forecasts(entries: list[_Entry], signals: Sequence[Signal]) -> Comparison:
    trained = [entry for entry in entries if "baseline" not in entry.config]
    configs = [ForecastRun.from_dict(entry.config) for entry in trained]
    labels = forecast_labels([asdict(config) for config in configs], [entry.label for entry in trained])
    text = entries[0].config["text"]
    signal = _signal(text, signals)
    comparison = Comparison(
        "forecast",
        entries[0].config["protocol"]["metric"],
        tuple(dict.fromkeys(labels)),
        tuple(sorted({entry.config["length"] for entry in entries})),
        tuple(sorted({entry.config["seed"] for entry in trained})),
        text=text,
        units=None if signal is None else signal.load().units,
        matched=bool(configs) and all(config.parameters is not None for config in configs),
        path=signal,
    )
    return _filled(comparison, entries, trained, labels)


def _signal(text: str, signals: Sequence[Signal]) -> Signal | None:
    """The signal that runs are about, if it is here; nothing is downloaded."""
    name = text.rsplit(" (", 1)[0]
    here = [Signal(name)] if name in SIGNALS and find(name) is not None else []
    for signal in (*signals, *here):
        try:
            if signal.identity() == text:
                return signal
        except ValueError:
            continue
    return None


def _elements(task: str, length: int) -> int:
    """How many elements a sample has; a text's windows have as many as the length says."""
    entry = TASKS[task]
    if entry.takes_data:
        return length
    try:
        return int(entry.make(length, (1,), None).draw(1, torch.Generator().manual_seed(0)).num_nodes)
    except (ValueError, RuntimeError, MemoryError):
        return length


def _path(text: str | None, texts: Sequence[str | os.PathLike[str] | None]) -> Path | None:
    for path in texts:
        if text is not None and path is not None and identify_text(Path(path)) == text:
            return Path(path)
    return None
