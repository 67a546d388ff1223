"""The main job: tasks x models x lengths x seeds, each run once, kept, and put side by side.

A run is determined by its `RunConfig`, which is also its key on disk; seeds are paired, that is, all models of one seed
see the same training batches. Everything runs with one torch thread, here or in worker processes, so that on a CPU
scores, curves and weights do not depend on the number of jobs.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from seqgnn import baselines
from seqgnn.analysis import describe, path_reach
from seqgnn.checkpoint import LAST
from seqgnn.data import powers_of_two
from seqgnn.errors import checked_device, one_of
from seqgnn.metrics import mean_sd
from seqgnn.models import GNNS, NAMES, TREES
from seqgnn.parallel import BACKENDS, Job, Key, Setup, kept, run_all
from seqgnn.runs import TASKS, BaselineConfig, RunConfig, TaskEntry, identify_text
from seqgnn.statistics import Difference, differences, summary
from seqgnn.store import RunStore
from seqgnn.training import TrainConfig

__all__ = ["ROWS", "TASKS", "BaselineConfig", "Comparison", "Plan", "Row", "RunConfig", "compare", "plan"]
# Those that stand in tables, and how many samples they are fitted on; n-grams read the whole text.
BASELINE_SAMPLES = {"chance": 1, "majority": 8192, "linear": 8192, "bigram": 65536, "ngram-5": 1}


@dataclass(frozen=True)
class Row:
    """A line of the table: a model and how it is set up.

    Args:
        label: its name in tables and figures.
        model: a name of `seqgnn.models.build`.
        readout: "last", "mean" or "max"; None: the task's headline readout.
        hops: of a GCN on a path; None: the powers of two below the length.
        init: names of recipes, in order; "chrono" gets the length as its t_max.
        forget_bias: of an LSTM.
        positions: whether elements carry their position.
        encoding: of ids, "one-hot" or "embedding".
        lr: learning rate of this row; None: that of the comparison.
        longest: the greatest length that this row is run at, where longer ones cost too much; None: no limit.
    """

    label: str
    model: str
    readout: str | None = None
    hops: tuple[int, ...] | None = None
    init: tuple[str, ...] = ()
    forget_bias: float | None = None
    positions: bool = False
    encoding: str = "one-hot"
    lr: float | None = None
    longest: int | None = None


ROWS = {
    "rnn": Row("RNN", "rnn"),
    "lstm": Row("LSTM", "lstm"),
    "gru": Row("GRU", "gru"),
    "gcn": Row("GCN", "gcn"),
    "gcn-residual": Row("GCN, residual", "gcn-residual"),
    "gcn-1hop": Row("GCN, one hop", "gcn", hops=(1,)),
    "gcn+lstm": Row("GCN, then LSTM", "gcn+lstm"),
    "gcn-in-lstm": Row("GCN in LSTM", "gcn-in-lstm"),
    "tree-lstm": Row("TreeLSTM", "tree-lstm"),
    "lstm-mean": Row("LSTM, mean readout", "lstm", readout="mean"),
    "gcn-mean": Row("GCN, mean readout", "gcn", readout="mean"),
}
HEADLINE = ("rnn", "lstm", "gru", "gcn", "gcn+lstm", "gcn-in-lstm")
DEFAULT_ROWS = {
    "palindromes": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "recall": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "text": (*HEADLINE[:4], "gcn-residual", *HEADLINE[4:]),
    "expressions": (*HEADLINE[:4], "gcn-residual", "gcn+lstm", "tree-lstm"),
    "trees": HEADLINE,
}


@dataclass
class Comparison:
    """The outcome: records of runs, and the figures drawn from them.

    Attributes:
        task: name of the task.
        metric: what the headline is: "accuracy" or "loss" (nats).
        labels: labels of the rows, in order.
        lengths, seeds: of the grid.
        elements: how many elements a sample has, by length.
        runs: per (label, length, seed), `{"config", "result", "measured"}`.
        baselines: the same per (name, length).
        failures: per (label or name, length, seed), what went wrong.
        text: which text was read, if the task reads one.
        matched: whether the models were matched in parameters.
        path: the data file that the task read, if it was told one.
        weights: per run, where its weights are, if they are kept.
    """

    task: str
    metric: str
    labels: tuple[str, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int] = field(default_factory=dict)
    text: str | None = None
    matched: bool = False
    runs: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    baselines: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    failures: dict[tuple[str, int, int], str] = field(default_factory=dict)
    path: Path | None = None
    weights: dict[tuple[str, int, int], Path] = field(default_factory=dict)

    def of(self, label: str, length: int) -> list[dict[str, Any]]:
        """Returns the runs of one cell of the table, by seed; failed ones are not among them."""
        keys = ((label, length, seed) for seed in self.seeds)
        return [self.runs[key] for key in keys if key in self.runs]

    def scores(self, label: str, length: int, metric: str | None = None) -> list[float]:
        """Returns the test scores of one cell, by seed."""
        return [run["result"]["test"][metric or self.metric] for run in self.of(label, length)]

    def differences(self, length: int, metric: str | None = None) -> list[Difference]:
        """Returns all pairs of rows, seed by seed, with intervals and p corrected for their number."""
        metric = metric or self.metric
        scores = {
            label: {run["config"]["seed"]: run["result"]["test"][metric] for run in self.of(label, length)}
            for label in self.labels
        }
        return differences(scores)

    def solved_at(self, label: str, length: int, bar: float) -> list[tuple[int, float] | None]:
        """Returns, by seed, the step and the second at which the validation accuracy first was at the bar, or None."""
        return [_first_at(run, bar) for run in self.of(label, length)]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a dictionary per length and row, baselines after the models; None where there is no figure."""
        rows = []
        for length in self.lengths:
            for label in self.labels:
                if any(key[:2] == (label, length) for key in (*self.runs, *self.failures)):
                    rows.append(self._row(label, length))
            for (name, of), record in self.baselines.items():
                if of == length:
                    test, seconds = record["result"]["test"], record["measured"]["seconds"]
                    rows.append(
                        _empty_row(name, "baseline", length)
                        | {"accuracy": test["accuracy"], "loss": test["loss"], "seconds": seconds, "seeds": 1}
                    )
        return rows

    def _row(self, label: str, length: int) -> dict[str, Any]:
        row = _empty_row(label, "model", length)
        row["failed"] = sum((label, length, seed) in self.failures for seed in self.seeds)
        runs = self.of(label, length)
        if not runs:
            return row
        config, result = runs[0]["config"], runs[0]["result"]
        for metric in ("accuracy", "loss"):
            found = summary(self.scores(label, length, metric))
            row[metric], row[f"{metric}_sd"] = found.mean, found.sd
            for kind, interval in (("t", found.t), ("bootstrap", found.bootstrap)):
                row[f"{metric}_{kind}_low"], row[f"{metric}_{kind}_high"] = interval or (None, None)
        bar = config["train"]["stop_at"]
        reached = [] if bar is None else [at for at in self.solved_at(label, length, bar) if at is not None]
        memory = [run["measured"]["peak_memory"] for run in runs if run["measured"].get("peak_memory")]
        return row | {
            "solved_steps": mean_sd([steps for steps, _ in reached])[0] if reached else None,
            "solved_seconds": mean_sd([seconds for _, seconds in reached])[0] if reached else None,
            "flops": result.get("flops"),
            "peak_memory": max(memory, default=None),
            "readout": config["readout"],
            "steps": mean_sd([run["result"]["steps"] for run in runs])[0],
            "seconds": mean_sd([run["measured"]["seconds"] for run in runs])[0],
            "parameters": result["parameters"],
            "reach": path_reach(config["num_layers"], tuple(config["hops"])) if config["model"] in GNNS else None,
            "solved": sum(run["result"]["stopped"] == "solved" for run in runs),
            "seeds": len(runs),
        }


def _first_at(run: dict[str, Any], bar: float) -> tuple[int, float] | None:
    clock = run["measured"].get("validation_seconds", [])
    for place, point in enumerate(run["result"]["validation"]):
        if point["accuracy"] >= bar:
            return point["step"], clock[place] if place < len(clock) else math.nan
    return None


EDGES = ("t_low", "t_high", "bootstrap_low", "bootstrap_high")
FIGURES = ("steps", "seconds", "solved_steps", "solved_seconds", "parameters", "flops", "peak_memory", "reach")


def _empty_row(label: str, kind: str, length: int) -> dict[str, Any]:
    scores = [name for metric in ("accuracy", "loss") for name in (metric, *(f"{metric}_{e}" for e in ("sd", *EDGES)))]
    return (
        {"model": label, "kind": kind, "length": length}
        | dict.fromkeys(("readout", *scores, *FIGURES))
        | {"solved": 0, "seeds": 0, "failed": 0}
    )


def compare(
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
    progress: bool = True,
    save_every: float = 30.0,
    backend: str | None = None,
    scheduler: str | None = None,
    **training: Any,
) -> Comparison:
    """Trains every model on a task, at every length, with every seed, and scores all on the same test set.

    The same as `plan(...).run(progress)`, which tells all that is wrong with the arguments before anything is trained.

    Args:
        task: "palindromes", "recall", "text", "expressions" or "trees".
        models: names among `ROWS`, or rows of your own with labels of their own; None: the task's default.
        lengths: T, or the number of nodes of a tree.
        seeds: of initial weights, training batches and dropout; each at least 0.
        steps, batch_size: see `TrainConfig`.
        lr: learning rate, or one per length.
        hidden: units of every model, at least 1.
        window: last elements that "gcn-in-lstm" sees at a time, at least 1.
        match_parameters: choose hidden sizes so that all have about the parameters of the LSTM with `hidden` units.
        device: "cpu", "cuda", ...
        jobs: processes; -1 for one per core.
        out: folder for one JSON a run, under `runs/`; runs that are there already are not repeated.
        path: text to read, for "text"; None: the topics of pydoc that come with Python.
        progress: show bars on a terminal, one line a run elsewhere.
        save_every: seconds between two savings of a run under way, with `out`; one that is killed goes on from there.
        backend: "dask" or "ray", to make the runs on a cluster, with `out` on a disk that all its machines share.
        scheduler: its address, e.g. "tcp://10.0.0.1:8786".
        training: anything else that `TrainConfig` takes, e.g. `optimizer="adam"`, `clip=None`, `stop_at=0.99`.

    Returns:
        A `Comparison`. Runs that failed are listed in its `failures`; they do not stop the others.

    Raises:
        ValueError: if an argument is unknown or out of range, the folder cannot be written or a file in it is damaged.

    Example:
        >>> result = compare("recall", models=["rnn"], lengths=[3], seeds=[0], steps=60, hidden=16, progress=False)
        >>> [row["model"] for row in result.rows()]
        ['RNN', 'chance', 'majority', 'linear']
    """
    return plan(
        task,
        models=models,
        lengths=lengths,
        seeds=seeds,
        steps=steps,
        lr=lr,
        hidden=hidden,
        batch_size=batch_size,
        window=window,
        match_parameters=match_parameters,
        device=device,
        jobs=jobs,
        out=out,
        path=path,
        save_every=save_every,
        backend=backend,
        scheduler=scheduler,
        **training,
    ).run(progress)


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, none of them begun."""

    task: str
    labels: tuple[str, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int]
    text: str | None
    matched: bool
    jobs: tuple[Job, ...]
    setup: Setup

    def describe(self) -> dict[tuple[str, int], list[str]]:
        """What is wrong or wasted in each row at each length, as `seqgnn.analysis.describe` says it."""
        found = {}
        for job in self.jobs:
            label, length, seed = job.key
            if isinstance(job.config, RunConfig) and seed == self.seeds[0]:
                task = TASKS[self.task].make(length, job.config.hops, self.setup.path)
                found[label, length] = describe(job.config.build(task), task)
        return {(label, length): found[label, length] for length in self.lengths for label in self.labels
                if (label, length) in found}  # fmt: skip

    def states(self) -> dict[Key, str]:
        """How far each run is: "there", "interrupted", "failed" or "to do"."""
        return {job.key: self._state(job) for job in self.jobs}

    def _state(self, job: Job) -> str:
        store = self.setup.store
        if store is None:
            return "to do"
        if kept(job, store):
            return "there"
        config = asdict(job.config)
        if (store.path(config).with_suffix(".partial") / LAST).exists():
            return "interrupted"
        return "to do" if store.failure(config) is None else "failed"

    def estimate(self) -> dict[Key, float]:
        """Seconds that the runs which are not there yet take at most, by a few steps of each row at each length.

        Baselines, which take seconds, are left out, and so is what interrupted runs have behind them.
        """
        todo = [job for job in self.jobs if isinstance(job.config, RunConfig) and self._state(job) != "there"]
        known: dict[tuple[str, int], float] = {}
        for job in todo:
            assert isinstance(job.config, RunConfig)
            if job.key[:2] not in known:
                known[job.key[:2]] = job.config.estimate(self.setup.path)
        return {job.key: known[job.key[:2]] for job in todo}

    def run(self, progress: bool = True, only_failed: bool = False) -> Comparison:
        """Makes the runs that are not there yet, or of these only such as failed before; those that fail are listed in
        the outcome."""
        jobs = self.jobs
        if only_failed:
            jobs = tuple(job for job in jobs if self._state(job) in ("there", "failed"))
        records, failures = run_all(jobs, self.setup, progress)
        done = [job for job in self.jobs if job.key in records]
        trained = [job for job in done if isinstance(job.config, RunConfig)]
        store = self.setup.store
        return Comparison(
            task=self.task,
            metric=TASKS[self.task].metric,
            labels=self.labels,
            lengths=self.lengths,
            seeds=self.seeds,
            elements=self.elements,
            text=self.text,
            matched=self.matched,
            runs={job.key: records[job.key] for job in trained},
            baselines={job.key[:2]: records[job.key] for job in done if isinstance(job.config, BaselineConfig)},
            failures=failures,
            path=self.setup.path,
            weights={} if store is None else {job.key: store.weights(asdict(job.config)) for job in trained},
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
    """Checks the arguments, which are those of `compare`, and lists the runs."""
    one_of("compare", "task", task, TASKS)
    entry = TASKS[task]
    rows = _rows(task, models)
    lengths = _whole_numbers("lengths", entry.lengths if lengths is None else lengths, least=2)
    seeds = _whole_numbers("seeds", seeds, least=0)
    for name, value in (("hidden", hidden), ("window", window)):
        _whole_numbers(name, [value], least=1)
    rates = _rates(lr, lengths)
    given = {"batch_size": batch_size} | ({} if steps is None else {"steps": steps}) | training
    train = _train_config(entry.train, given)
    checked_device("compare", device)
    if backend is not None:
        one_of("compare", "backend", backend, BACKENDS)
    elif scheduler is not None:
        raise ValueError(f"compare: expected a backend for the scheduler {scheduler}, got none")
    if not isinstance(save_every, int | float) or not save_every >= 0:
        raise ValueError(f"compare: expected save_every to be seconds, at least 0, got {save_every!r}")
    workers = _cores() if jobs == -1 else _whole_numbers("jobs", [jobs], least=1)[0]
    if path is not None and not entry.takes_data:
        raise ValueError(f"compare: expected no data file for {task}, which makes its own samples, got {path}")
    store = None if out is None else RunStore(Path(out) / "runs")

    path = None if path is None else Path(path)
    text = identify_text(path) if entry.takes_data else None
    device = str(device)
    planned: list[Job] = []
    elements: dict[int, int] = {}
    for length in sorted(lengths, reverse=True):  # long runs first, so that no core waits long for the last one
        sample = _sample(entry, length, path)
        elements[length] = sample.draw(1, torch.Generator().manual_seed(0)).num_nodes
        setting = Setting(sample, entry.on_path, text, hidden, window, device)
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
        setup=Setup(store, path, save_every, workers, backend, scheduler),
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


@dataclass(frozen=True)
class Setting:
    """What all runs at one length share."""

    sample: Any
    on_path: bool
    text: str | None
    hidden: int
    window: int
    device: str
    parameters: int | None = None

    def run_config(self, row: Row, seed: int, train: TrainConfig) -> RunConfig:
        """Returns the run of a row. What a model does not use is left out of its key."""
        task = self.sample
        hops: tuple[int, ...] = (1,)
        num_layers = 1
        if row.model in GNNS:
            powers = powers_of_two(task.length) if self.on_path else (1,)
            hops = powers if row.hops is None else row.hops
            num_layers = len(powers) if self.on_path else task.depth
        return RunConfig(
            task=task.name,
            length=task.length,
            text=self.text,
            model=row.model,
            readout=row.readout or task.readout,
            hops=hops,
            num_layers=num_layers,
            hidden=self.hidden,
            encoding=row.encoding,
            window=self.window if row.model == "gcn-in-lstm" else None,
            init=row.init,
            forget_bias=row.forget_bias,
            positions=row.positions,
            parameters=self.parameters,
            seed=seed,
            device=self.device,
            train=train,
        )


def _rows(task: str, chosen: Sequence[str | Row] | None) -> tuple[Row, ...]:
    rows = tuple(
        item if isinstance(item, Row) else ROWS[one_of("compare", "model", item, ROWS)]
        for item in (DEFAULT_ROWS[task] if chosen is None else chosen)
    )
    labels = [row.label for row in rows]
    if not rows or len(set(labels)) < len(labels):
        raise ValueError(f"compare: expected one or more models, each once, got {labels}")
    for row in rows:
        one_of("compare", f"the model of row {row.label!r}", row.model, (*NAMES, *TREES))
        if row.label in baselines.NAMES:
            raise ValueError(f"compare: expected labels other than those of baselines, got {row.label!r}")
        if row.hops is not None and not (row.model in GNNS and TASKS[task].on_path):
            raise ValueError(f"compare: expected hops for a GCN on a path alone, got row {row.label!r} on {task}")
    return rows


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
