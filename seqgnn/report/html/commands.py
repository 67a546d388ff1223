"""The commands that make the runs of a comparison once more, from their configurations."""

import json
import shlex
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seqgnn.experiments.grid.forecast_specs import TRAIN
from seqgnn.experiments.grid.specs import ROWS, Row
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.naming import row_of
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.forecast_config import ForecastRun
from seqgnn.experiments.runs.task_defaults import TASKS

# Options of training that the command line has; any other needs a file.
TYPED = ("steps", "batch_size", "optimizer", "momentum", "max_grad_norm", "target_accuracy", "min_steps",
         "precision", "max_seconds")  # fmt: skip
ROW_OPTIONS = ("hidden", "num_layers", "K", "residual", "skip", "neighbors", "dropout")  # of a forecaster's row
DEFAULTS: dict[str, Any] = {"hidden": 64, "batch_size": 64, "window": 4, "device": "cpu", "match_parameters": False}


@dataclass(frozen=True)
class Again:
    """A command, and the grid file that it reads, if it needs one."""

    command: str
    grid: str | None = None


def again(comparison: Comparison) -> list[Again]:
    """Returns a command for each set of runs, failed ones among them, that one command can make: those alike in all
    but row, length and seed.

    Example:
        >>> from seqgnn.experiments.compare import compare
        >>> result = compare("recall", models=["rnn"], lengths=[3], seeds=[0], steps=2, hidden=4, progress=False)
        >>> [found.command for found in again(result)]
        ['seqgnn compare recall --models rnn --lengths 3 --seeds 0 --hidden 4 --steps 2 --lr 0.003 --out results']
    """
    if not comparison.of_classes:
        return _forecasts_again(comparison)
    parts: dict[str, dict[tuple[str, int, int], RunConfig]] = defaultdict(dict)
    tried = {key: run["config"] for key, run in comparison.runs.items()} | comparison.failed
    configs = {key: RunConfig.from_dict(config) for key, config in tried.items()}
    windows = sorted({config.window for config in configs.values() if config.window is not None})
    for key, config in configs.items():
        window = config.window or (windows[0] if windows else None)
        train = {name: value for name, value in vars(config.train).items() if name != "lr"}
        shared = {"hidden": config.hidden, "match_parameters": config.parameters is not None, "device": config.device}
        parts[json.dumps([shared | {"window": window or DEFAULTS["window"]}, train], sort_keys=True)][key] = config
    found = []
    for number, name in enumerate(sorted(parts), start=1):
        shared, train = json.loads(name)
        file = "grid.toml" if len(parts) == 1 else f"grid-{number}.toml"
        found += _of_part(comparison, parts[name], shared, train, file)
    return found


def _of_part(
    comparison: Comparison,
    configs: dict[tuple[str, int, int], RunConfig],
    shared: dict[str, Any],
    train: dict[str, Any],
    file: str,
) -> list[Again]:
    task, entry = comparison.task, TASKS[comparison.task]
    lengths = [length for length in comparison.lengths if any(key[1] == length for key in configs)]
    rates = {
        length: Counter(config.train.lr for key, config in sorted(configs.items()) if key[1] == length).most_common(1)
        for length in lengths
    }
    lr = {length: common[0][0] for length, common in rates.items()}
    rows = [_row(label, configs, lr, lengths) for label in comparison.labels if any(key[0] == label for key in configs)]
    usual = vars(entry.train) | ({} if train["max_seconds"] is None else {"steps": None})
    changed = {name: value for name, value in train.items() if value != usual[name]}
    options = {name: value for name, value in shared.items() if value != DEFAULTS[name]} | changed
    if train["batch_size"] == DEFAULTS["batch_size"]:
        options.pop("batch_size", None)
    head: dict[str, Any] = {"lengths": lengths, "seeds": sorted({seed for _, _, seed in configs})}
    if comparison.text is not None and not comparison.text.startswith("pydoc topics"):
        options["data"] = comparison.text.rsplit(" (", 1)[0]
    names = {row: name for name, row in ROWS.items()}
    plain = all(row in names for row in rows) and all(
        name in (*TYPED, *DEFAULTS, "data") for name in options
    )  # fmt: skip
    if not plain:
        options["out"] = folder(comparison)
        return [Again(f"seqgnn compare --config {file}", _toml(task, head | options, lr, rows))]
    models = ",".join(names[row] for row in rows)
    words = ["seqgnn", "compare", task, "--models", models]
    for name, value in (head | options).items():
        if name == "data":
            continue
        words += [_option(name)] if value is True else [_option(name), _typed(value)]
    words += ["--lr", _rates(lr)]
    if "data" in options:
        words += ["--data", options["data"]]
    return [Again(shlex.join([*words, "--out", folder(comparison)]))]


def _forecasts_again(comparison: Comparison) -> list[Again]:
    """A command for each way of training, on the signal's files where they are known, else on its name."""
    tried = {key: run["config"] for key, run in comparison.runs.items()} | comparison.failed
    parts: dict[str, dict[tuple[str, int, int], ForecastRun]] = defaultdict(dict)
    for key, config in tried.items():
        train = {name: value for name, value in config["train"].items() if name != "lr"}
        shared = [train, config["device"], config["refit"], config.get("parameters")]
        parts[json.dumps(shared, sort_keys=True)][key] = ForecastRun.from_dict(config)
    found = []
    for number, name in enumerate(sorted(parts), start=1):
        configs = parts[name]
        first = next(iter(configs.values()))
        cut = {name: value for name, value in vars(first.protocol).items() if name != "horizon"}
        train = {name: value for name, value in vars(first.train).items() if value != getattr(TRAIN, name)}
        options: dict[str, Any] = {
            **_signal(comparison, first),
            "horizon": sorted({key[1] for key in configs}),
            "seeds": sorted({key[2] for key in configs}),
            "refit": first.refit,
            "device": first.device,
            **({} if first.parameters is None else {"parameters": first.parameters}),
            **{name: value for name, value in cut.items() if value not in ((), 0)},
            **{name: value for name, value in train.items() if name != "lr"},
            "out": folder(comparison),
        }
        lines = [f"task = {_value('forecast')}"]
        lines += [f"{name} = {_value(0 if value is None else value)}" for name, value in options.items()]
        for label in dict.fromkeys(key[0] for key in configs):
            own = next(config for key, config in configs.items() if key[0] == label)
            lines += ["", "[[row]]", f"label = {_value(label)}", f"model = {_value(own.model)}"]
            names = ROW_OPTIONS if own.parameters is None else ROW_OPTIONS[1:]  # the hidden size follows from them
            lines += [f"{name} = {_value(getattr(own, name))}" for name in names]
            lines.append(f"lr = {own.train.lr!r}")
        file = "grid.toml" if len(parts) == 1 else f"grid-{number}.toml"
        found.append(Again(f"seqgnn compare --config {file}", "\n".join(lines) + "\n"))
    return found


def _signal(comparison: Comparison, run: ForecastRun) -> dict[str, Any]:
    """What the signal is read from, files as they were given, of absolute paths their names alone; what it is called,
    where its files are not at hand."""
    if comparison.path is None:
        return {"data": run.text.rsplit(" (", 1)[0]}
    said = comparison.path.given()
    return said | {name: _shown(Path(said[name])) for name in ("data", "graph", "positions") if name in said}


def folder(comparison: Comparison) -> str:
    """The `--out` of a comparison: as it was given, of an absolute path its name alone, or "results" if not known."""
    return "results" if comparison.out is None else _shown(comparison.out) or "results"


def _shown(path: Path) -> str:
    return path.name if path.is_absolute() else str(path)


def _row(label: str, configs: dict[tuple[str, int, int], RunConfig], lr: dict[int, float], lengths: list[int]) -> Row:
    own = {key[1]: config for key, config in configs.items() if key[0] == label}
    row = replace(row_of(next(iter(own.values()))), label=label)
    if any(config.train.lr != lr[length] for length, config in own.items()):
        row = replace(row, lr=next(iter(own.values())).train.lr)
    return row if max(own) == max(lengths) else replace(row, longest=max(own))


def _toml(task: str, options: dict[str, Any], lr: dict[int, float], rows: list[Row]) -> str:
    """A grid file; what is None there is 0 or left out, since TOML has no such value."""
    lines = [f"task = {_value(task)}"]
    for name, value in options.items():
        value = 0 if value is None and name in ("max_grad_norm", "target_accuracy") else value
        if value is not None:
            lines.append(f"{name} = {_value(value)}")
    lines += ["", "[lr]", *(f"{length} = {rate!r}" for length, rate in lr.items())]
    for row in rows:
        lines += ["", "[[row]]"]
        default = Row(row.label, row.model)
        for name, value in vars(row).items():
            if name in ("label", "model") or value != getattr(default, name):
                lines.append(f"{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _typed(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "0" if value is None else str(value)


def _rates(lr: dict[int, float]) -> str:
    if len(set(lr.values())) == 1:
        return str(next(iter(lr.values())))
    return ",".join(f"{length}:{rate}" for length, rate in lr.items())
