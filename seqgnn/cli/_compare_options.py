"""The options of `seqgnn compare`, which are also the keys of its grid files, and what they mean to `plan`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option, options_of
from seqgnn.cli._options import build

TRAINING, GRID, FORECASTS, EXECUTION = "Training", "Models", "Forecasts", "Execution"


def grid_options() -> tuple[Option, ...]:
    """Return the options that a grid file can have as well."""
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.compare import plan
    from seqgnn.experiments.grid.config import FORECAST_SETTINGS, GridConfig
    from seqgnn.experiments.grid.forecast_specs import FORECASTER_SPECS
    from seqgnn.experiments.grid.seeds import AUTO, AutoSeeds
    from seqgnn.experiments.grid.specs import MODEL_SPECS
    from seqgnn.experiments.runs.execution import ExecutionConfig
    from seqgnn.tasks.forecasting import Protocol

    tasks = "Task: palindromes, recall, adding, copying, text, expressions, trees or forecast."
    models = f"Models: {', '.join(MODEL_SPECS)}; for forecasts: {', '.join(FORECASTER_SPECS)}."
    presets = "Models and settings of a published comparison: reports or long-memory; other options override them."
    lengths = "Lengths T of sequences or numbers of nodes of trees, e.g. 10,20."
    horizons = "Forecast horizons in steps, e.g. 3,12."
    out = options_of(plan, only=("out",))[0]
    workers = options_of(plan, only=("jobs",), panel=EXECUTION)[0]
    return (
        Option("task", str, tasks, shown="palindromes, then text", positional=True),
        Option("models", list[str], models, shown="those of the task"),
        Option("lengths", list[int], lengths, shown="depends on the task"),
        replace(options_of(plan, only=("seeds",))[0], words=(AUTO,)),
        *options_of(AutoSeeds),
        Option("preset", str, presets),
        *options_of(DataSource, only=("data",)),
        replace(out, kind=Path),
        *options_of(plan, only=("hidden",), panel=GRID),
        *options_of(GridConfig, without=(*FORECAST_SETTINGS, "protocol"), panel=GRID),
        *_training_options(),
        Option("horizons", list[int], horizons, default=(Protocol.horizon,), panel=FORECASTS),
        *options_of(Protocol, without=("horizon",), panel=FORECASTS),
        *options_of(GridConfig, only=FORECAST_SETTINGS, without=("protocol",), panel=FORECASTS),
        *options_of(DataSource, without=("data",), panel=FORECASTS),
        replace(workers, default=-1),
        *options_of(ExecutionConfig, panel=EXECUTION),
    )


def compare_options() -> tuple[Option, ...]:
    """Return the options of the command."""
    file = "TOML file with these options as keys and one table `row` per model; command-line options override it."
    retry = "Run only the runs that failed before or whose weights are missing or damaged; needs --out."
    diagnose = "Before the runs, report likely mistakes in each model, such as a receptive field that is too small."
    return (
        *grid_options(),
        Option("config", Path, file),
        Option("diagnose", bool, diagnose, default=False),
        Option("dry_run", bool, "List the runs and their maximum time without executing them.", default=False),
        Option("retry_failed", bool, retry, default=False),
    )


def _training_options() -> tuple[Option, ...]:
    """Return the fields of `TrainConfig`, with the defaults that all tasks share."""
    from seqgnn.experiments.runs.problem import PROBLEMS
    from seqgnn.training.config import TrainConfig

    defaults = [problem.train for problem in PROBLEMS.values()]
    options = []
    for option in options_of(TrainConfig, defaults=defaults[0], panel=TRAINING):
        values = {getattr(train, option.name) for train in defaults}
        options.append(option if len(values) == 1 else replace(option, default=None, shown="depends on the task"))
    return tuple(options)


def settings(options: dict[str, Any], config: Path | None) -> dict[str, Any]:
    """Return the options of a comparison: those given override those of the file, and both override the preset's.

    Raises:
        ValueError: if the file cannot be read, see `read_grid`, or the preset is unknown.
    """
    from seqgnn._utils.validation import one_of
    from seqgnn.experiments.grid.config_file import read_grid
    from seqgnn.experiments.grid.presets import PRESETS
    from seqgnn.experiments.runs.problem import PROBLEMS
    from seqgnn.experiments.runs.specs import ModelSpec

    stored = {} if config is None else read_grid(config, grid_options())
    if "lr" in options:  # which overrides rates per size as well
        stored.pop("lr_per_size", None)
    merged = stored | options
    preset = merged.pop("preset", None)
    if preset is None:
        return merged
    if (problem := PROBLEMS.get(merged.get("task", ""))) is not None and problem.spec is not ModelSpec:
        raise ValueError(f"compare: expected no preset for task {problem.task!r}, got {preset!r}")
    base = dict(PRESETS[one_of("compare", "preset", preset, PRESETS)])
    if "max_seconds" in merged and "steps" not in merged:  # equal time, which the preset's steps would cut short
        base.pop("steps", None)
    return base | merged


def arguments(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `plan` for a task.

    Raises:
        ValueError: if an option is out of range or has no meaning for the task.
    """
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.compare import training_for
    from seqgnn.experiments.grid.config import GridConfig
    from seqgnn.experiments.runs.execution import ExecutionConfig
    from seqgnn.experiments.runs.problem import PROBLEMS
    from seqgnn.tasks.forecasting import Protocol

    size = PROBLEMS[task].size.option
    for size_option in ({problem.size.option for problem in PROBLEMS.values()} - {size}) & options.keys():
        raise ValueError(f"compare: expected --{size} for {task}, got --{size_option}")
    train = {option.name: options[option.name] for option in _training_options() if option.name in options}
    source = {option.name: options[option.name] for option in options_of(DataSource) if option.name in options}
    source = {name: str(value) if isinstance(value, Path) else value for name, value in source.items()}
    if source and "data" not in source:
        raise ValueError(f"compare: expected --data with options for time series, got {next(iter(source))!r} alone")
    protocol = {option.name for option in options_of(Protocol, without=("horizon",))} & options.keys()
    return {
        "data": DataSource(**source) if source else None,
        "sizes": options.get(size),
        "train": training_for(task, **train),
        "grid": build(GridConfig, options, protocol=build(Protocol, options) if protocol else None),
        "execution": build(ExecutionConfig, options),
        "jobs": options.get("jobs", -1),
        "out": options.get("out"),
        **_seeds(options),
        **{name: options[name] for name in ("models", "hidden") if name in options},
    }


def _seeds(options: dict[str, Any]) -> dict[str, Any]:
    """Return the argument `seeds`, if it is given: a list, or the rule that draws them.

    Raises:
        ValueError: if options of the rule are given with a list of seeds, or are out of range.
    """
    from seqgnn.experiments.grid.seeds import AUTO, RULE, AutoSeeds

    if options.get("seeds") == AUTO:
        return {"seeds": build(AutoSeeds, options)}
    for name in RULE:
        if name in options:
            raise ValueError(f"compare: expected --seeds {AUTO} with --{name.replace('_', '-')}, got other seeds")
    return {"seeds": options["seeds"]} if "seeds" in options else {}
