"""The labels of stored runs: those of their specifications, with the settings in which runs of one label differ."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

from seqgnn.experiments.runs.base import Run

# The settings that are worded; any other is its name and its value.
WORDED: dict[str, Callable[[Any], str]] = {
    "model": str,
    "readout": lambda value: f"{value} readout",
    "init": " and ".join,
    "forget_bias": lambda value: f"forget bias {value:g}",
    "hidden": lambda value: f"{value} units",
    "parameters": lambda value: f"about {value} parameters",
    "device": lambda value: f"on {value}",
}
SHARED = ("task", "size", "data_id", "seed", "protocol", "train")  # alike in all runs of a cell, or not shown as such


def distinct_labels(labels: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return a label for each run, in which runs of one label, size and seed are distinguished by the settings in which
    they differ, such as "LSTM, 128 units" and "LSTM, 64 units".

    Example:
        >>> from seqgnn.experiments.compare import plan
        >>> jobs = [plan("recall", models=["rnn"], sizes=[6], seeds=[0], hidden=h).jobs[0] for h in (8, 16)]
        >>> distinct_labels(["RNN", "RNN"], [job.config for job in jobs])
        ['RNN, 8 units', 'RNN, 16 units']
    """
    settings = [_settings(run) for run in runs]
    cells: dict[tuple[str, int, int], list[dict[str, Any]]] = defaultdict(list)
    for label, run, values in zip(labels, runs, settings):
        cells[label, run.size, run.seed].append(values)
    differing: dict[str, list[str]] = defaultdict(list)
    for (label, _, _), cell in cells.items():
        names = [name for name in cell[0] if len({repr(values[name]) for values in cell}) > 1]
        differing[label] += [name for name in names if name not in differing[label]]
    return [", ".join([label, *_in_words(values, differing[label])]) for label, values in zip(labels, settings)]


def _settings(run: Run) -> dict[str, Any]:
    config = asdict(cast(Any, run))
    return {name: value for name, value in config.items() if name not in SHARED} | config["train"]


def _in_words(settings: dict[str, Any], names: list[str]) -> list[str]:
    parts = []
    for name in names:
        value = settings[name]
        if value not in (None, ()):
            parts.append(WORDED[name](value) if name in WORDED else f"{name.replace('_', ' ')} {_format(value)}")
    return parts


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
