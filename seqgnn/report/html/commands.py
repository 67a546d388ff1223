"""The commands that reproduce the runs of a comparison."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.forecast_config import ForecastRun
from seqgnn.experiments.runs.job import Key
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.experiments.runs.record import FailedRun, RunRecord
from seqgnn.experiments.runs.specs import ForecasterSpec, Spec

DEFAULTS: dict[str, Any] = {"hidden": 64, "batch_size": 64, "window": 4, "device": "cpu", "match_parameters": False}


@dataclass(frozen=True)
class ReproductionCommand:
    """A command, and the grid file that it reads, if it needs one."""

    command: str
    grid: str | None = None


def reproduction_commands(comparison: Comparison) -> list[ReproductionCommand]:
    """Return a command for each set of runs, including failed ones, that differ only in model, size and seed, so that
    one command can reproduce them.

    Example:
        >>> from seqgnn.experiments.compare import compare
        >>> result = compare("recall", models=["rnn"], sizes=[3], seeds=[0], steps=2, hidden=4, progress=False)
        >>> [reproduction.command for reproduction in reproduction_commands(result)]
        ['seqgnn compare recall --models rnn --lengths 3 --seeds 0 --hidden 4 --steps 2 --lr 0.003 --out results']
    """
    if not isinstance(comparison.problem, SequenceProblem):
        return _forecast_commands(comparison)
    parts: dict[str, dict[Key, RunConfig]] = defaultdict(dict)
    configs = {key: run.config for key, run in _records(comparison).items() if isinstance(run.config, RunConfig)}
    windows = sorted({config.window for config in configs.values() if config.window is not None})
    for key, config in configs.items():
        window = config.window or (windows[0] if windows else None)
        train = {name: value for name, value in vars(config.train).items() if name != "lr"}
        shared = {"hidden": config.hidden, "match_parameters": config.parameters is not None, "device": config.device}
        parts[json.dumps([shared | {"window": window or DEFAULTS["window"]}, train], sort_keys=True)][key] = config
    commands = []
    for number, name in enumerate(sorted(parts), start=1):
        shared, train = json.loads(name)
        file = "grid.toml" if len(parts) == 1 else f"grid-{number}.toml"
        commands += _part_commands(comparison, parts[name], shared, train, file)
    return commands


def _part_commands(
    comparison: Comparison,
    configs: dict[Key, RunConfig],
    shared: dict[str, Any],
    train: dict[str, Any],
    file: str,
) -> list[ReproductionCommand]:
    task, problem = comparison.task, comparison.problem
    sizes = [size for size in comparison.sizes if any(key[1] == size for key in configs)]
    specs = _specs(comparison, configs)
    shared_rate = {key: config.train.lr for key, config in sorted(configs.items()) if specs[key[0]].lr is None}
    lr = {}
    for size in sizes:
        rates = [rate for key, rate in shared_rate.items() if key[1] == size]
        rates = rates or [config.train.lr for key, config in sorted(configs.items()) if key[1] == size]
        lr[size] = Counter(rates).most_common(1)[0][0]
    rows = list(specs.values())
    defaults = vars(problem.train) | ({} if train["max_seconds"] is None else {"steps": None})
    changed = {name: value for name, value in train.items() if value != defaults[name]}
    options = {name: value for name, value in shared.items() if value != DEFAULTS[name]} | changed
    if train["batch_size"] == DEFAULTS["batch_size"]:
        options.pop("batch_size", None)
    head: dict[str, Any] = {"lengths": sizes, "seeds": sorted({seed for _, _, seed in configs})}
    if comparison.data_id is not None and not comparison.data_id.startswith("pydoc topics"):
        options["data"] = comparison.data_id.rsplit(" (", 1)[0]
    names: dict[Spec, str] = {spec: name for name, spec in MODEL_SPECS.items()}
    if not all(row in names for row in rows):  # the command line has no names for them
        options["out"] = folder(comparison)
        return [ReproductionCommand(f"seqgnn compare --config {file}", _toml(task, head | options, lr, rows))]
    models = ",".join(names[row] for row in rows)
    words = ["seqgnn", "compare", task, "--models", models]
    for name, value in (head | options).items():
        if name == "data":
            continue
        words += [_option(name)] if value is True else [_option(name), _argument(value)]
    words += ["--lr" if len(set(lr.values())) == 1 else "--lr-per-size", _rates(lr)]
    if "data" in options:
        words += ["--data", options["data"]]
    return [ReproductionCommand(shlex.join([*words, "--out", folder(comparison)]))]


def _records(comparison: Comparison) -> dict[Key, RunRecord | FailedRun]:
    """Return finished and failed runs."""
    return {**comparison.runs, **comparison.failed}


def _specs(comparison: Comparison, keys: Iterable[Key]) -> dict[str, Spec]:
    """Return the specification of each model that has one of the keys, with its label in the comparison."""
    records = _records(comparison)
    specs = {key[0]: records[key].spec for key in keys}
    return {label: replace(specs[label], label=label) for label in comparison.labels if label in specs}


def _forecast_commands(comparison: Comparison) -> list[ReproductionCommand]:
    """Return a command for each training configuration, with the files of the time series if they are known, or else
    with its name."""
    parts: dict[str, dict[Key, ForecastRun]] = defaultdict(dict)
    configs = {key: run.config for key, run in _records(comparison).items() if isinstance(run.config, ForecastRun)}
    for key, config in configs.items():
        train = {name: value for name, value in vars(config.train).items() if name != "lr"}
        shared = [train, config.device, config.refit, config.parameters]
        parts[json.dumps(shared, sort_keys=True)][key] = config
    commands = []
    for number, name in enumerate(sorted(parts), start=1):
        configs = parts[name]
        first = next(iter(configs.values()))
        protocol = {name: value for name, value in vars(first.protocol).items() if name != "horizon"}
        defaults = comparison.problem.train
        train = {name: value for name, value in vars(first.train).items() if value != getattr(defaults, name)}
        options: dict[str, Any] = {
            **_data_options(comparison, first),
            "horizons": sorted({key[1] for key in configs}),
            "seeds": sorted({key[2] for key in configs}),
            "refit": first.refit,
            "device": first.device,
            **({} if first.parameters is None else {"parameters": first.parameters}),
            **{name: value for name, value in protocol.items() if value not in ((), 0)},
            **{name: value for name, value in train.items() if name != "lr"},
            "out": folder(comparison),
        }
        lines = [f"task = {_value(comparison.task)}"]
        lines += [f"{name} = {_value(0 if value is None else value)}" for name, value in options.items()]
        for label, spec in _specs(comparison, configs).items():
            config = next(config for key, config in configs.items() if key[0] == label)
            hidden = config.hidden if config.parameters is None else None  # it follows from the parameters
            settings: dict[str, Any] = {"hidden": hidden, "lr": config.train.lr}
            lines += ["", "[[row]]", *_fields(replace(spec, **settings))]
        file = "grid.toml" if len(parts) == 1 else f"grid-{number}.toml"
        commands.append(ReproductionCommand(f"seqgnn compare --config {file}", "\n".join(lines) + "\n"))
    return commands


def _fields(spec: Spec) -> list[str]:
    """Return the fields of a specification in TOML, without those that are None."""
    default: Spec = type(spec)(spec.label, spec.model)
    values = {name: value for name, value in vars(spec).items() if value is not None}
    always = ("label", "model", *(vars(spec) if isinstance(spec, ForecasterSpec) else ()))
    return [f"{name} = {_value(value)}" for name, value in values.items()
            if name in always or value != getattr(default, name)]  # fmt: skip


def _data_options(comparison: Comparison, run: ForecastRun) -> dict[str, Any]:
    """Return the source of the time series, with absolute paths reduced to their names; the name of the time series if
    its source is not known."""
    if comparison.data is None:
        return {"data": run.data_id.rsplit(" (", 1)[0]}
    options = comparison.data.options()
    paths = {name: options[name] for name in ("data", "graph", "graph_nodes", "positions") if name in options}
    return options | {name: _portable_path(Path(path)) for name, path in paths.items()}


def folder(comparison: Comparison) -> str:
    """Return `--out` of a comparison: a relative path unchanged, an absolute path reduced to its name, or "results" if
    it is unknown."""
    return "results" if comparison.out is None else _portable_path(comparison.out) or "results"


def _portable_path(path: Path) -> str:
    return path.name if path.is_absolute() else str(path)


def _toml(task: str, options: dict[str, Any], lr: dict[int, float], specs: list[Spec]) -> str:
    """Return a grid file; None becomes 0 or is omitted, since TOML has no null."""
    lines = [f"task = {_value(task)}"]
    for name, value in options.items():
        value = 0 if value is None and name in ("max_grad_norm", "target_accuracy") else value
        if value is not None:
            lines.append(f"{name} = {_value(value)}")
    lines += ["", "[lr_per_size]", *(f"{size} = {rate!r}" for size, rate in lr.items())]
    for spec in specs:
        lines += ["", "[[row]]", *_fields(spec)]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _argument(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "0" if value is None else str(value)


def _rates(lr: dict[int, float]) -> str:
    if len(set(lr.values())) == 1:
        return str(next(iter(lr.values())))
    return ",".join(f"{size}:{rate}" for size, rate in lr.items())
