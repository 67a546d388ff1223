"""The main job: tasks x models x lengths x seeds, each run once, kept, and put side by side.

A run is determined by its `RunConfig`, which is also its key on disk; seeds are paired, that is, all models of one seed
see the same training batches. Everything runs with one torch thread, here or in worker processes, so that on a CPU
scores, curves and weights do not depend on the number of jobs.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.validation import check_count, checked_device, one_of
from seqgnn.analysis import describe
from seqgnn.data.transforms.splits import Share
from seqgnn.experiments.grid.forecast_specs import TRAIN as FORECAST_TRAIN
from seqgnn.experiments.grid.forecast_specs import ForecasterSpec, choose_forecasters, fitting, forecast_jobs
from seqgnn.experiments.grid.specs import ROWS, Row, RunTemplate, choose_rows
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.config import BaselineConfig, RunConfig, identify_text
from seqgnn.experiments.runs.executor import BACKENDS, run_all
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, Signal
from seqgnn.experiments.runs.job import ExecutionConfig, Job, Key
from seqgnn.experiments.runs.store import RunStore
from seqgnn.experiments.runs.task_defaults import TASKS, TaskEntry
from seqgnn.models.baselines import classification as baselines
from seqgnn.tasks.forecasting import Forecasting, Protocol
from seqgnn.training.loop import TrainConfig

__all__ = ["ROWS", "TASKS", "BaselineConfig", "Comparison", "Plan", "Row", "RunConfig", "compare", "plan"]
# Those that stand in tables, and how many samples they are fitted on; n-grams read the whole text.
BASELINE_SAMPLES = {"chance": 1, "majority": 8192, "linear": 8192, "bigram": 65536, "ngram-5": 1}


def compare(task: str, *, progress: bool = True, **options: Any) -> Comparison:
    """Trains every model on a task, at every length, with every seed, and scores all on the same test set.

    The same as `plan(task, **options).run(progress)`.

    Args:
        task: "palindromes", "recall", "text", "expressions" or "trees"; forecasts are planned by `plan_forecast`.
        progress: show bars on a terminal, one line a run elsewhere.
        options: models, lengths, seeds, steps, ...: those of `plan`.

    Returns:
        A `Comparison`. Runs that failed are listed in its `failures`; they do not stop the others.

    Raises:
        ValueError: if an argument is unknown or out of range, the folder cannot be written or a file in it is damaged.

    Example:
        >>> result = compare("recall", models=["rnn"], lengths=[3], seeds=[0], steps=60, hidden=16, progress=False)
        >>> [row["model"] for row in result.rows()]
        ['RNN', 'chance', 'majority', 'linear']
    """
    return plan(task, **options).run(progress)


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, none of them begun; `left_out` are default rows that the signal is not for."""

    task: str
    labels: tuple[str, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int]
    text: str | None
    matched: bool
    jobs: tuple[Job, ...]
    setup: ExecutionConfig
    metric: str
    units: str | None = None
    left_out: tuple[str, ...] = ()

    def describe(self) -> dict[tuple[str, int], list[str]]:
        """What is wrong or wasted in each row at each length, as `seqgnn.analysis.diagnostics` says it."""
        found = {}
        for job in self.jobs:
            label, length, seed = job.key
            if isinstance(job.config, RunConfig) and seed == self.seeds[0]:
                task = TASKS[self.task].make(length, job.config.hops, self.setup.path)
                found[label, length] = describe(job.config.build(task), task)
        return {(label, length): found[label, length] for length in self.lengths for label in self.labels
                if (label, length) in found}  # fmt: skip

    def remarks(self) -> list[str]:
        """What to know before anything runs."""
        return [f"{label}: left out, since the graph changes and it takes one for all steps" for label in self.left_out]

    def states(self) -> dict[Key, str]:
        """How far each run is: "there", "failed", "interrupted" or "to do"."""
        return {job.key: self._state(job) for job in self.jobs}

    def _state(self, job: Job) -> str:
        return "to do" if self.setup.store is None else self.setup.store.state(asdict(job.config))

    def estimate(self) -> tuple[dict[Key, float], dict[Key, str]]:
        """Seconds that the runs which are not there yet take at most, by a few steps of each row at each length; and
        why that is not known of the others.

        Baselines, which take seconds, are left out, and so is what interrupted runs have behind them.
        """
        rows: dict[tuple[str, int], float | str] = {}
        known: dict[Key, float] = {}
        unknown: dict[Key, str] = {}
        for job in self.jobs:
            if isinstance(job.config, BaselineConfig | ForecastBaseline) or self._state(job) == "there":
                continue
            row = job.key[:2]
            if row not in rows:
                try:
                    rows[row] = job.config.estimate(self.setup.path)
                except (ValueError, RuntimeError, MemoryError) as error:
                    rows[row] = " ".join(str(error).split()) or type(error).__name__
            if isinstance(found := rows[row], str):
                unknown[job.key] = found
            else:
                known[job.key] = found
        return known, unknown

    def run(self, progress: bool = True, only_failed: bool = False) -> Comparison:
        """Makes the runs that are not there yet, or of these only such as failed before; those that fail are listed in
        the outcome, and those left out are no part of it."""
        jobs = self.jobs
        if progress:
            for line in self.remarks():
                print(line, flush=True)
        if only_failed:
            states = self.states()
            jobs = tuple(job for job in jobs if states[job.key] in ("there", "failed"))
            for state, said in (("to do", "not begun"), ("interrupted", "interrupted")):
                if progress and (left := sum(found == state for found in states.values())):
                    print(f"runs {said}, which are left out: {left}", flush=True)
        records, failures = run_all(jobs, self.setup, progress)
        trained = {job.key: job.config for job in jobs if job.trained}
        runs = {key: records[key] for key in trained if key in records}
        store = self.setup.store
        return Comparison(
            task=self.task,
            metric=self.metric,
            labels=tuple(label for label in self.labels if any(key[0] == label for key in trained)) or self.labels,
            lengths=tuple(length for length in self.lengths if any(job.key[1] == length for job in jobs)),
            seeds=tuple(seed for seed in self.seeds if any(key[2] == seed for key in trained)) or self.seeds,
            elements=self.elements,
            text=self.text,
            units=self.units,
            matched=self.matched,
            runs=runs,
            baselines={job.key[:2]: records[job.key] for job in jobs if job.key in records and job.key not in trained},
            failures=failures,
            failed={key: asdict(trained[key]) for key in failures if key in trained},
            path=self.setup.path,
            weights={} if store is None else {key: store.weights(asdict(trained[key])) for key in runs},
            out=None if store is None else store.folder.parent,
        )


def plan(
    task: str,
    *,
    models: Sequence[str | Row] | None = None,
    lengths: Sequence[int] | None = None,
    seeds: Sequence[int] = (0, 1),
    steps: int | None = None,
    lr: float | Mapping[int, float] | None = None,
    hidden: int = 64,
    batch_size: int = 64,
    window: int = 4,
    match_parameters: bool = False,
    device: str = "cpu",
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    save_every: float = 30.0,
    backend: str | None = None,
    scheduler: str | None = None,
    **training: Any,
) -> Plan:
    """Checks what is asked for and lists the runs; none is made, and nothing is written.

    Args:
        task: "palindromes", "recall", "text", "expressions" or "trees".
        models: names among `ROWS`, or rows of your own with labels of their own; None: the task's default.
        lengths: T, or the number of nodes of a tree.
        seeds: of initial weights, training batches and dropout; each at least 0.
        steps, batch_size: see `TrainConfig`; steps None: the task's default or, with `max_seconds`, no limit.
        lr: learning rate, or one per length.
        hidden: units of every model, at least 1.
        window: last elements that "gcn-in-lstm" sees at a time, at least 1.
        match_parameters: choose hidden sizes so that all have about the parameters of the LSTM with `hidden` units.
        device: "cpu", "cuda", ...
        jobs: processes; -1 for one per core.
        out: folder for one JSON a run, under `runs/`; runs that are there already are not repeated.
        path: text to read, for "text"; None: the topics of pydoc that come with Python.
        save_every: seconds between two savings of a run under way, with `out`; one that is killed goes on from there.
        backend: "dask" or "ray", to make the runs on a cluster, with `out` on a disk that all its machines share.
        scheduler: its address, e.g. "tcp://10.0.0.1:8786".
        training: anything else that `TrainConfig` takes, e.g. `optimizer="adam"`, `max_grad_norm=None`,
            `target_accuracy=0.99`, or `max_seconds=60` for equal time.

    Raises:
        ValueError: if an argument is unknown or out of range.

    Example:
        >>> planned = plan("recall", models=["rnn"], lengths=[3], seeds=[0])
        >>> [job.title for job in planned.jobs][0], len(planned.jobs)
        ('recall T=3 RNN seed 0', 4)
    """
    if task == "forecast":
        raise ValueError("compare: expected forecasts as plan_forecast(data, ...).run(), got the task 'forecast'")
    one_of("compare", "task", task, TASKS)
    entry = TASKS[task]
    rows = choose_rows(task, models)
    lengths = _whole_numbers("lengths", entry.lengths if lengths is None else lengths, least=2)
    seeds = _whole_numbers("seeds", seeds, least=0)
    for name, value in (("hidden", hidden), ("window", window)):
        check_count("compare", name, value, 1)
    rates = _rates(lr, lengths)
    if steps is None and training.get("max_seconds") is None:
        steps = entry.train.steps
    train = _train_config(entry.train, {"batch_size": batch_size, "steps": steps} | training)
    if path is not None and not entry.takes_data:
        raise ValueError(f"compare: expected no data file for {task}, which makes its own samples, got {path}")
    path = None if path is None else Path(path)
    setup = _setup(path, out, device, jobs, save_every, backend, scheduler)
    text = identify_text(path) if entry.takes_data else None
    device = str(device)
    planned: list[Job] = []
    elements: dict[int, int] = {}
    for length in sorted(lengths, reverse=True):  # long runs first, so that no core waits long for the last one
        sample = _sample(entry, length, path)
        elements[length] = sample.draw(1, torch.Generator().manual_seed(0)).num_nodes
        setting = RunTemplate(sample, entry.on_path, text, hidden, window, device)
        if match_parameters:
            lstm = setting.run_config(ROWS["lstm"], 0, train).build(sample)
            setting = replace(setting, parameters=sum(p.numel() for p in lstm.parameters()))
        for row in reversed([row for row in rows if row.longest is None or length <= row.longest]):
            rate = rates.get(length, train.lr) if row.lr is None else row.lr
            for seed in seeds:
                config = setting.run_config(row, seed, replace(train, lr=rate))
                planned.append(Job((row.label, length, seed), f"{task} T={length} {row.label} seed {seed}", config))
        for name in (name for name in baselines.suitable(sample) if name in BASELINE_SAMPLES):
            plain = BaselineConfig(task, length, text, name, BASELINE_SAMPLES[name])
            planned.append(Job((name, length, 0), f"{task} T={length} {name}", plain))

    _check_different(planned)
    return Plan(
        task=task,
        labels=tuple(row.label for row in rows),
        lengths=lengths,
        seeds=seeds,
        elements=elements,
        text=text,
        matched=match_parameters,
        jobs=tuple(planned),
        setup=setup,
        metric=entry.metric,
    )


def _setup(
    path: Any, out: Any, device: str, jobs: int, save_every: float, backend: str | None, scheduler: str | None
) -> ExecutionConfig:
    """How runs are made, if all that is said about it makes sense."""
    checked_device("compare", device)
    if backend is not None:
        one_of("compare", "backend", backend, BACKENDS)
    elif scheduler is not None:
        raise ValueError(f"compare: expected a backend for the scheduler {scheduler}, got none")
    if not isinstance(save_every, int | float) or not save_every >= 0:
        raise ValueError(f"compare: expected save_every to be seconds, at least 0, got {save_every!r}")
    workers = _cores() if jobs == -1 else check_count("compare", "jobs", jobs, 1)
    store = None if out is None else RunStore(Path(out) / "runs")
    return ExecutionConfig(store, path, save_every, workers, backend, scheduler)


def plan_forecast(
    data: str | os.PathLike[str],
    *,
    graph: str | os.PathLike[str] | None = None,
    graph_kind: str | None = None,
    missing: float | None = None,
    positions: str | os.PathLike[str] | None = None,
    units: str | None = None,
    models: Sequence[str | ForecasterSpec] | None = None,
    horizons: Sequence[int] = (3,),
    seeds: Sequence[int] = (0, 1),
    steps: int | None = None,
    lr: float | None = None,
    hidden: int = 32,
    parameters: int | None = None,
    batch_size: int = 64,
    lags: int = 12,
    split: Sequence[Share] = (0.7, 0.1, 0.2),
    by: str = "steps",
    gap: int = 0,
    calendar: Sequence[str] = (),
    scale: str = "standard",
    per: str = "all",
    loss: str = "huber",
    metric: str = "mae",
    refit: bool = False,
    residual: bool | None = None,
    skip: bool | None = None,
    neighbors: bool | None = None,
    K: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    save_every: float = 30.0,
    backend: str | None = None,
    scheduler: str | None = None,
    **training: Any,
) -> Plan:
    """Checks what is asked for of forecasters on a signal and lists the runs; none is made, and nothing is written.

    Args:
        data, graph, graph_kind, missing, positions: the signal, see `seqgnn.data.load_temporal_graph` and
            `read_signal`.
        units: of a file's values, in words, for tables and figures.
        models: names among `seqgnn.experiments.grid.forecast_specs.FORECASTER_SPECS`, or rows of your own; None: the
            default ones, without those that take one graph for all steps if the signal's changes.
        horizons: steps ahead, a part of the table for each.
        lags, split, by, gap, calendar, scale, per, loss, metric: see `seqgnn.models.Protocol`.
        refit: whether each model, once its steps are chosen on validation, is trained anew on training and validation;
            baselines likewise.
        parameters: choose the hidden size of each model, at each horizon, so that it has about so many parameters;
            `hidden` is then not used.
        residual, skip, neighbors, K: of all models that are given by name, see `seqgnn.models.build_forecaster`.
        seeds, steps, lr, hidden, batch_size, device, jobs, out, save_every, backend, scheduler, training: as in `plan`.

    Raises:
        ValueError: if an argument is unknown or out of range, the signal cannot be read, or a model that is asked for
            does not take its graph.
    """
    rows = choose_forecasters(models, residual=residual, skip=skip, neighbors=neighbors, K=K)
    horizons = _whole_numbers("horizons", horizons, least=1)
    seeds = _whole_numbers("seeds", seeds, least=0)
    check_count("compare", "hidden", hidden, 1)
    if parameters is not None:
        check_count("compare", "parameters", parameters, 1)
    if steps is None and training.get("max_seconds") is None:
        steps = FORECAST_TRAIN.steps
    schedule = {"schedule": "constant"} if steps is None else {}
    given = {"batch_size": batch_size, "steps": steps, "lr": FORECAST_TRAIN.lr if lr is None else lr}
    train = _train_config(FORECAST_TRAIN, given | schedule | training)
    for name, none in (("target_accuracy", None), ("stateful", False), ("monitor", "loss")):  # what forecasts have not
        if (found := getattr(train, name)) != none and found != "last":
            raise ValueError(f"compare: expected {name}={none!r} for forecasts, got {found!r}")
    edges, places = (None if path is None else os.fspath(path) for path in (graph, positions))
    source = Signal(os.fspath(data), edges, graph_kind, missing, places, units)
    setup = _setup(source, out, device, jobs, save_every, backend, scheduler)
    shares = tuple(split)
    if len(shares) != 3:
        raise ValueError(f"compare: expected split to be shares of training, validation and test, got {split}")
    protocols = [
        Protocol(lags, horizon, shares, by, gap, tuple(calendar), scale, per, loss, metric) for horizon in horizons
    ]
    for protocol in protocols:
        Forecasting(source.load(), protocol)  # says what is wrong before anything runs
    wanted, rows = rows, fitting(rows, source.load(), models is not None)
    planned = forecast_jobs(source, rows=rows, protocols=protocols, seeds=seeds, hidden=hidden, refit=refit,
                            device=str(device), train=train, parameters=parameters)  # fmt: skip
    _check_different(planned)
    return Plan(
        task="forecast",
        labels=tuple(row.label for row in rows),
        lengths=horizons,
        seeds=seeds,
        elements={},
        text=source.identity(),
        matched=parameters is not None,
        jobs=tuple(planned),
        setup=setup,
        metric=metric,
        units=source.load().units,
        left_out=tuple(row.label for row in wanted if row not in rows),
    )


def _sample(entry: TaskEntry, length: int, path: Path | None) -> Any:
    try:
        return entry.make(length, (1,), path)
    except (RuntimeError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"compare: expected a length that fits into memory, got {length} ({reason})") from error


def _check_different(planned: list[Job]) -> None:
    """Two rows that are the same run would show a difference in name alone."""
    seen: dict[Any, str] = {}
    for job in planned:
        if job.config in seen:
            raise ValueError(f"compare: expected rows that differ, got {seen[job.config]!r} and {job.title!r}")
        seen[job.config] = job.title


def _whole_numbers(name: str, values: Sequence[int], least: int) -> tuple[int, ...]:
    numbers = tuple(values) if isinstance(values, Iterable) else (values,)
    good = all(isinstance(n, int) and not isinstance(n, bool) and least <= n < 2**63 for n in numbers)
    if not good or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"compare: expected {name} to be different whole numbers of at least {least}, got {numbers}")
    return numbers


def _rates(lr: float | Mapping[int, float] | None, lengths: tuple[int, ...]) -> dict[int, float]:
    if lr is None:
        return {}
    rates = dict(lr) if isinstance(lr, Mapping) else dict.fromkeys(lengths, lr)
    if set(rates) != set(lengths):
        raise ValueError(f"compare: expected a learning rate for each of the lengths {lengths}, got {rates}")
    return rates


def _train_config(base: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    names = [item.name for item in fields(TrainConfig)]
    for name in changes:
        one_of("compare", "training option", name, names)
    return replace(base, **changes)


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())  # those that this process may use, which in a container are fewer than the machine's
