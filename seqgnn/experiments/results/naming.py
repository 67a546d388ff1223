"""What runs are called in tables when only their configurations are known."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from seqgnn.data import exponential_hops
from seqgnn.experiments.grid.presets import PRESETS
from seqgnn.experiments.grid.specs import ROWS, Row
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.models.sequence_model import GNNS
from seqgnn.tasks import CharText

# What tells apart runs that would have one label, in this order, and how it is put.
TOLD = {
    "init": lambda value: " and ".join(value),
    "forget_bias": lambda value: f"forget bias {value:g}",
    "hidden": lambda value: f"{value} units",
    "parameters": lambda value: f"about {value} parameters",
    "window": lambda value: f"window {value}",
    "device": lambda value: f"on {value}",
}


def row_of(config: RunConfig) -> Row:
    """The row of a comparison that a run belongs to, its label derived from the configuration; without the learning
    rate, which is that of all rows more often than one's own.

    Example:
        >>> from seqgnn.experiments.compare import plan
        >>> job = plan("recall", models=["gcn-1hop"], lengths=[12], seeds=[3]).jobs[0]
        >>> row_of(job.config)
        Row(label='GCN, one hop', model='gcn', readout=None, hops=(1,), init=(), forget_bias=None, \
positions=False, encoding='one-hot', lr=None, longest=None)
    """
    on_path = TASKS[config.task].on_path
    powers = exponential_hops(config.length) if on_path else (1,)
    plain = Row(
        "",
        config.model,
        readout=None if config.readout == default_readout(config.task) else config.readout,
        hops=config.hops if config.model in GNNS and config.hops != powers else None,
        init=config.init,
        forget_bias=config.forget_bias,
        positions=config.positions,
        encoding=config.encoding,
    )
    known = [*ROWS.values(), *(row for name in reversed(PRESETS) for row in PRESETS[name]["models"])]
    for row in known:
        if replace(row, label="", lr=None, longest=None) == plain:
            return replace(plain, label=row.label)
    return replace(plain, label=_derived(plain))


def _derived(row: Row) -> str:
    name = next(known.label for known in ROWS.values() if known.model == row.model)
    parts = [name, *row.init]
    if row.hops is not None:
        parts.append("one hop" if row.hops == (1,) else "hops " + " ".join(map(str, row.hops)))
    if row.forget_bias is not None:
        parts.append(f"forget bias {row.forget_bias:g}")
    if row.readout is not None:
        parts.append(f"{row.readout} readout")
    if row.positions:
        parts.append("positions")
    if row.encoding != "one-hot":
        parts.append(row.encoding)
    return ", ".join(parts)


@cache
def default_readout(task: str) -> str:
    """The readout of a task's headline result."""
    entry = TASKS[task]
    return CharText.readout if entry.takes_data else str(entry.make(entry.lengths[0], (1,), None).readout)


def labels_of(configs: Sequence[RunConfig], made_as: Sequence[str | None] | None = None) -> list[str]:
    """A label for each run: the one it was made under or, where that is None, one derived from its configuration.

    Runs that would share one at the same length and seed are told apart by what differs, such as "LSTM, 128 units" and
    "LSTM, 64 units".

    Example:
        >>> from seqgnn.experiments.compare import plan
        >>> jobs = [plan("recall", models=["rnn"], lengths=[6], seeds=[0], hidden=h).jobs[0] for h in (8, 16)]
        >>> labels_of([job.config for job in jobs])
        ['RNN, 8 units', 'RNN, 16 units']
    """
    derived = [row_of(config).label for config in configs]
    labels = [own or name for own, name in zip(made_as or [None] * len(configs), derived)]
    rows: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for label, name, config in zip(labels, derived, configs):
        rows[label, config.length, config.seed].add(name)
    shared = {label for (label, _, _), names in rows.items() if len(names) > 1}
    labels = [f"{label} ({name})" if label in shared else label for label, name in zip(labels, derived)]
    alike: dict[tuple[str, int, int], list[RunConfig]] = defaultdict(list)
    for label, config in zip(labels, configs):
        alike[label, config.length, config.seed].append(config)
    differing: dict[str, list[str]] = defaultdict(list)
    for (label, _, _), group in alike.items():
        differing[label] += [name for name in _varying(group) if name not in differing[label]]
    return [", ".join([label, *_told(config, differing[label])]) for label, config in zip(labels, configs)]


def forecast_labels(configs: Sequence[dict[str, Any]], made_as: Sequence[str | None]) -> list[str]:
    """A label for each run of a forecaster: the one it was made under, else its model's; those that would share one at
    the same horizon and seed are told apart by what differs."""
    labels = [own or str(config["model"]) for own, config in zip(made_as, configs)]
    told = []
    for label, config in zip(labels, configs):
        alike = [
            other for name, other in zip(labels, configs)
            if (name, other["length"], other["seed"]) == (label, config["length"], config["seed"])
        ]  # fmt: skip
        settings = [_flat(other) for other in alike]
        names = [name for name in settings[0] if len({repr(found[name]) for found in settings}) > 1]
        own = _flat(config)
        told.append(", ".join([label, *(f"{name.replace('_', ' ')} {_plain(own[name])}" for name in names)]))
    return told


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in ("protocol", "train")} | config["train"]


def _varying(configs: Iterable[RunConfig]) -> list[str]:
    """The settings in which runs differ; those of training as "train.lr"."""
    settings = [_settings(config) for config in configs]
    return [name for name in settings[0] if len({repr(found[name]) for found in settings}) > 1]


def _settings(config: RunConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in (*TOLD, "hops", "num_layers")} | {
        f"train.{name}": value for name, value in vars(config.train).items()
    }


def _told(config: RunConfig, names: list[str]) -> list[str]:
    settings, parts = _settings(config), []
    for name in names:
        value = settings[name]
        if value in (None, ()):
            continue
        plain = name.removeprefix("train.").replace("_", " ")
        parts.append(TOLD[name](value) if name in TOLD else f"{plain} {_plain(value)}")
    return parts


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
