"""Comparisons: each combination of task, model, size and seed is run once, stored, and scored on the same test set.

A run is determined by its configuration, which is also its key on disk. Seeds are paired: models with the same seed see
the same training batches. All runs use one torch thread, in this process or in worker processes. On a CPU, scores,
curves and weights therefore do not depend on the number of jobs.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch

from seqgnn._utils.validation import check_count, checked_device, one_of
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.config import FORECAST_SETTINGS, SEQUENCE_SETTINGS, GridConfig, check_unused
from seqgnn.experiments.grid.forecast_specs import choose_forecasters, fitting, forecast_jobs, remarks_on
from seqgnn.experiments.grid.seeds import AUTO, AutoSeeds, Seeds
from seqgnn.experiments.grid.specs import MODEL_SPECS, RunTemplate, choose_specs
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.run_plan import Plan
from seqgnn.experiments.runs.config import BaselineConfig, identify_text
from seqgnn.experiments.runs.execution import ExecutionConfig
from seqgnn.experiments.runs.executor import BACKENDS
from seqgnn.experiments.runs.forecast_config import forecasting_task
from seqgnn.experiments.runs.job import Job, RunContext
from seqgnn.experiments.runs.problem import PROBLEMS, ForecastProblem, SequenceProblem
from seqgnn.experiments.runs.specs import Spec
from seqgnn.experiments.runs.store import RunStore
from seqgnn.models.baselines import sequences as baselines
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.config import TrainConfig

Data: TypeAlias = str | os.PathLike[str] | DataSource
Models: TypeAlias = Sequence[str | Spec]
# Number of samples on which each baseline is fitted; n-grams read the whole text.
BASELINE_SAMPLES = {"chance": 1, "majority": 8192, "constant": 8192, "memoryless": 1, "linear": 8192, "bigram": 65536,
                    "ngram-5": 1}  # fmt: skip


def compare(
    task: str,
    *,
    data: Data | None = None,
    models: Models | None = None,
    sizes: Sequence[int] | None = None,
    seeds: Seeds = (0, 1, 2),
    steps: int | None = None,
    hidden: int | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    train: TrainConfig | None = None,
    grid: GridConfig | None = None,
    execution: ExecutionConfig | None = None,
    progress: bool = True,
) -> Comparison:
    """Train every model on a task, at every size, with every seed, and score all on the same test set.

    Args:
        task, data, models, sizes, seeds, steps, hidden, out, jobs, train, grid, execution: see `plan`.
        progress: show progress bars on a terminal, or one line per run elsewhere.

    Returns:
        A `Comparison`. Failed runs are listed in `failures`; they do not stop the others.

    Raises:
        ValueError: if an argument is unknown or out of range, or the folder cannot be written or contains a damaged
            file.

    Example:
        >>> result = compare("recall", models=["rnn"], sizes=[3], seeds=[0], steps=60, hidden=16, progress=False)
        >>> [row.model for row in result.rows()]
        ['RNN', 'chance', 'majority', 'linear']
    """
    return plan(
        task, data=data, models=models, sizes=sizes, seeds=seeds, steps=steps, hidden=hidden, out=out, jobs=jobs,
        train=train, grid=grid, execution=execution,
    ).run(progress)  # fmt: skip


def plan(
    task: str,
    *,
    data: Data | None = None,
    models: Models | None = None,
    sizes: Sequence[int] | None = None,
    seeds: Seeds = (0, 1, 2),
    steps: int | None = None,
    hidden: int | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    train: TrainConfig | None = None,
    grid: GridConfig | None = None,
    execution: ExecutionConfig | None = None,
) -> Plan:
    """Check the arguments and list the runs of a comparison; no run is executed and nothing is written.

    Args:
        task: "palindromes", "recall", "adding", "copying", "text", "expressions", "trees" or "forecast".
        data: name of a data set, a path or a `DataSource`: the text for "text" (None: Python's help topics) or the time
            series for "forecast". Other tasks generate their samples and accept no data.
        models: names in `MODEL_SPECS` or, for "forecast", in `FORECASTER_SPECS`, or specifications; None: those of the
            task.
        sizes: lengths T of sequences, numbers of nodes of trees, or horizons of forecasts; None: the task's default.
        seeds: seeds of initial weights, training batches and dropout, each at least 0; or "auto": 0, 1 and 2, then more
            until the leading difference is known precisely enough, by the rule of `AutoSeeds`.
        steps: maximum number of training steps; None: that of `train`.
        hidden: hidden units of every model, at least 1; None: 64, or 32 for "forecast".
        out: folder for one JSON file per run, under `runs/`; runs that are already stored there are skipped.
        jobs: number of processes; -1 for one per core.
        train: training of all models; None: `training_for(task)`.
        grid: other settings that all models share; None: `GridConfig()`.
        execution: device, checkpoints and cluster; None: `ExecutionConfig()`.

    Raises:
        ValueError: if an argument is unknown or out of range, data cannot be read, or a model does not fit them.

    Example:
        >>> planned = plan("recall", models=["rnn"], sizes=[3], seeds=[0])
        >>> [job.title for job in planned.jobs][0], len(planned.jobs)
        ('recall T=3 RNN seed 0', 4)
    """
    problem = PROBLEMS[one_of("compare", "task", task, PROBLEMS)]
    train = training_for(task) if train is None else train
    train = train if steps is None else replace(train, steps=steps)
    grid = GridConfig() if grid is None else grid
    source = DataSource.of(data)
    context = _context(source, out, jobs, ExecutionConfig() if execution is None else execution)
    auto = _rule(seeds)
    first = auto.first if auto is not None else _whole_numbers("seeds", cast(Sequence[int], seeds), least=0)
    planned = (
        _plan_forecasts(problem, models, sizes, first, hidden, train, grid, context)
        if isinstance(problem, ForecastProblem)
        else _plan_sequences(problem, models, sizes, first, hidden, train, grid, context)
    )
    return replace(planned, auto=auto)


def training_for(task: str, **changes: Any) -> TrainConfig:
    """Return the default training of a task with the given fields changed.

    If `max_seconds` is given without `steps`, only time limits a run.

    Raises:
        ValueError: if the task or a field is unknown, or a value is out of range.

    Example:
        >>> training_for("recall", max_seconds=60.0).steps is None, training_for("recall").steps
        (True, 800)
    """
    base = PROBLEMS[one_of("compare", "task", task, PROBLEMS)].train
    for name in changes:
        one_of("compare", "training option", name, [item.name for item in fields(TrainConfig)])
    if changes.get("steps") is None:
        changes.pop("steps", None)
        if changes.get("max_seconds") is not None:
            schedule = {"schedule": "constant"} if base.schedule == "cosine" else {}
            changes = {"steps": None} | schedule | changes
    return replace(base, **changes)


def _rule(seeds: Seeds) -> AutoSeeds | None:
    """Return the rule that draws seeds; None if they are given."""
    if isinstance(seeds, AutoSeeds):
        return seeds
    if not isinstance(seeds, str):
        return None
    if seeds != AUTO:
        raise ValueError(f"compare: expected seeds to be integers or {AUTO!r}, got {seeds!r}")
    return AutoSeeds()


def _context(data: DataSource | None, out: Any, jobs: int, execution: ExecutionConfig) -> RunContext:
    """Return the context in which runs are executed and stored, after checking the settings."""
    checked_device("compare", execution.device)
    if execution.backend is not None:
        one_of("compare", "backend", execution.backend, BACKENDS)
    elif execution.scheduler is not None:
        raise ValueError(f"compare: expected a backend for the scheduler {execution.scheduler}, got none")
    if not isinstance(execution.save_every, int | float) or not execution.save_every >= 0:
        raise ValueError(f"compare: expected save_every to be at least 0 seconds, got {execution.save_every!r}")
    workers = _cores() if jobs == -1 else check_count("compare", "jobs", jobs, 1)
    return RunContext(execution, None if out is None else RunStore(Path(out) / "runs"), data, workers)


def _plan_sequences(
    problem: SequenceProblem,
    models: Models | None,
    sizes: Sequence[int] | None,
    seeds: tuple[int, ...],
    hidden: int | None,
    train: TrainConfig,
    grid: GridConfig,
    context: RunContext,
) -> Plan:
    task, data = problem.task, context.data
    check_unused(grid, FORECAST_SETTINGS, task)
    specs = choose_specs(task, models)
    sizes = _whole_numbers("sizes", problem.sizes if sizes is None else sizes, least=2)
    hidden = check_count("compare", "hidden", 64 if hidden is None else hidden, 1)
    check_count("compare", "window", grid.window, 1)
    rates = _rates(grid.lr_per_size, sizes)
    if data is not None and problem.data_kind is None:
        raise ValueError(f"compare: task {task!r} generates its own samples; remove the data (got {data.data})")
    data_id = identify_text(None if data is None else data.path) if problem.data_kind else None
    jobs: list[Job] = []
    elements: dict[int, int] = {}
    for size in sorted(sizes, reverse=True):  # long runs first, so that cores do not wait long for the last run
        sample = _sample(problem, size, data)
        elements[size] = sample.draw(1, torch.Generator().manual_seed(0)).num_nodes
        setting = RunTemplate(sample, problem.sequential, data_id, hidden, grid.window, str(context.execution.device))
        if grid.match_parameters:
            lstm = setting.run_config(MODEL_SPECS["lstm"], 0, train).build(sample)
            setting = replace(setting, parameters=sum(p.numel() for p in lstm.parameters()))
        for spec in reversed([spec for spec in specs if spec.longest is None or size <= spec.longest]):
            rate = rates.get(size, train.lr) if spec.lr is None else spec.lr
            for seed in seeds:
                config = setting.run_config(spec, seed, replace(train, lr=rate))
                jobs.append(Job((spec.label, size, seed), f"{task} T={size} {spec.label} seed {seed}", config, spec))
        for name in (name for name in baselines.suitable(sample) if name in BASELINE_SAMPLES):
            baseline = BaselineConfig(task, size, data_id, name, BASELINE_SAMPLES[name])
            jobs.append(Job((name, size, 0), f"{task} T={size} {name}", baseline))

    _check_different(jobs)
    return Plan(
        task=task,
        labels=tuple(spec.label for spec in specs),
        sizes=sizes,
        seeds=seeds,
        elements=elements,
        data_id=data_id,
        matched=grid.match_parameters,
        jobs=tuple(jobs),
        context=context,
        metric=problem.metric,
    )


def _plan_forecasts(
    problem: ForecastProblem,
    models: Models | None,
    sizes: Sequence[int] | None,
    seeds: tuple[int, ...],
    hidden: int | None,
    train: TrainConfig,
    grid: GridConfig,
    context: RunContext,
) -> Plan:
    if context.data is None:
        expected = "data for 'forecast' (--data), a file or a name of `seqgnn data list`"
        raise ValueError(f"compare: expected {expected}, got none")
    check_unused(grid, SEQUENCE_SETTINGS, problem.task)
    options = {"residual": grid.residual, "skip": grid.skip, "neighbors": grid.neighbors, "K": grid.K}
    specs = choose_forecasters(models, **options)
    protocol = Protocol() if grid.protocol is None else grid.protocol
    sizes = _whole_numbers("sizes", (protocol.horizon,) if sizes is None else sizes, least=1)
    hidden = check_count("compare", "hidden", 32 if hidden is None else hidden, 1)
    if grid.parameters is not None:
        check_count("compare", "parameters", grid.parameters, 1)
    rates = _rates(grid.lr_per_size, sizes)
    undefined = (("target_accuracy", None), ("stateful", False), ("monitor", "loss"))  # for forecasts
    for name, default in undefined:
        if (value := getattr(train, name)) != default and value != "last":
            raise ValueError(f"compare: expected {name}={default!r} for forecasts, got {value!r}")
    graph = context.data.load()
    protocols = [replace(protocol, horizon=size) for size in sizes]
    device = str(context.execution.device)
    tasks = [forecasting_task(context.data.identity(), context.data, item, device) for item in protocols]
    fitted = fitting(specs, graph, models is not None)
    jobs = forecast_jobs(context.data, rows=fitted, protocols=protocols, seeds=seeds, hidden=hidden, refit=grid.refit,
                         device=device, train=train, rates=rates, parameters=grid.parameters)  # fmt: skip
    _check_different(jobs)
    return Plan(
        task=problem.task,
        labels=tuple(spec.label for spec in fitted),
        sizes=sizes,
        seeds=seeds,
        elements={},
        data_id=context.data.identity(),
        matched=grid.parameters is not None,
        jobs=tuple(jobs),
        context=context,
        metric=protocol.metric,
        units=graph.units,
        left_out=tuple(spec.label for spec in specs if spec not in fitted),
        notes=remarks_on(graph, tasks),
    )


def _sample(problem: SequenceProblem, size: int, data: DataSource | None) -> Any:
    try:
        return problem.make(size, data=data)
    except (RuntimeError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"compare: expected a size that fits into memory, got {size} ({reason})") from error


def _check_different(jobs: list[Job]) -> None:
    """Raise a ValueError if two models have the same configuration, so that their runs differ in name only."""
    titles: dict[Any, str] = {}
    for job in jobs:
        if job.config in titles:
            raise ValueError(f"compare: expected different models, got {titles[job.config]!r} and {job.title!r}")
        titles[job.config] = job.title


def _whole_numbers(name: str, values: Sequence[int], least: int) -> tuple[int, ...]:
    numbers = tuple(values) if isinstance(values, Iterable) else (values,)
    valid = all(isinstance(n, int) and not isinstance(n, bool) and least <= n < 2**63 for n in numbers)
    if not valid or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"compare: expected {name} to be distinct integers of at least {least}, got {numbers}")
    return numbers


def _rates(lr_per_size: Mapping[int, float] | None, sizes: tuple[int, ...]) -> dict[int, float]:
    rates = {} if lr_per_size is None else dict(lr_per_size)
    if lr_per_size is not None and set(rates) != set(sizes):
        raise ValueError(f"compare: expected a learning rate for each of the sizes {sizes}, got {rates}")
    return rates


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())  # only those that this process may use, in a container fewer than those of the machine
