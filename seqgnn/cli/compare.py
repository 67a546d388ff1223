"""`seqgnn compare`."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from seqgnn.cli._terminal import despite_lost_output

FORECASTS: dict[str, Any] = {"rich_help_panel": "Forecasts"}
DEFAULT_TASKS = ("palindromes", "text")
BOOK = Path("democracy_in_america") / "book_EN_democracy_in_the_US.txt"


def compare(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            help="palindromes, recall, text, expressions, trees or forecast; none: palindromes, then text.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Rows, e.g. rnn,lstm,gcn-1hop; default: the task's own.")] = None,
    lengths: Annotated[str | None, typer.Option(help="Lengths T, e.g. 10,20.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, e.g. 0,1,2; default: 0,1.")] = None,
    preset: Annotated[str | None, typer.Option(help="reports or long-memory: rows and settings by name.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with the same options, and [[row]] tables; these here go before it.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Most training steps a run.")] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Equal time: seconds of training a run; without --steps nothing else limits it."),
    ] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate, or one per length, e.g. 10:3e-3,20:1e-3.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="rmsprop, adam or sgd (with momentum).")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd.")] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0: not clipped.")] = None,
    target_accuracy: Annotated[
        float | None, typer.Option(help="Validation accuracy that ends a run; 0: never.")
    ] = None,
    min_steps: Annotated[int | None, typer.Option(help="Turns on the convergence rule from this step on.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bf16.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Hidden units; default: 64.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step; default: 64.")] = None,
    window: Annotated[
        int | None, typer.Option(help="Last elements that gcn-in-lstm sees at a time; default: 4.")
    ] = None,
    match_parameters: Annotated[
        bool | None, typer.Option("--match-parameters", help="Give all models about the LSTM's parameters.")
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say first what each model cannot see, and what it wastes.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs, with what they take at most, and make none.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="failed: try again what failed, and nothing else.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: cpu.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: -1, one per core.")] = None,
    backend: Annotated[str | None, typer.Option(help="dask or ray: make the runs on a cluster.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Its address, e.g. tcp://10.0.0.1:8786.")] = None,
    save_every: Annotated[
        float | None, typer.Option(help="Seconds between savings of a run under way, with --out; default: 30.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for runs, tables and figures; default: none kept.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Text file or folder; default: Tocqueville in $SEQGNN_DATA, else help topics. Of forecasts a signal: "
            "a file or a name of `seqgnn data list`."
        ),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(help="Of a signal in a file: matrix, edge list or distances.", **FORECASTS)
    ] = None,
    graph_kind: Annotated[
        str | None, typer.Option(help="Of a csv: adjacency, edges or distances.", **FORECASTS)
    ] = None,
    missing: Annotated[
        float | None,
        typer.Option(help="What stands for a missing value, as 0 in METR-LA and PEMS-BAY.", **FORECASTS),
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="Of sensors, for maps: csv of sensor_id,latitude,longitude.", **FORECASTS)
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Of a signal in a file, in words, e.g. miles per hour.", **FORECASTS)
    ] = None,
    parameters: Annotated[
        int | None, typer.Option(help="Choose hidden sizes so that each model has about so many.", **FORECASTS)
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="Steps ahead, e.g. 3,12; default: 3.", **FORECASTS)] = None,
    lags: Annotated[int | None, typer.Option(help="Steps that are read; default: 12.", **FORECASTS)] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Shares or counts in time; default: 0.7,0.1,0.2 of training, validation, test.", **FORECASTS),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="What is shared out: steps (default), windows or t-gcn.", **FORECASTS)
    ] = None,
    calendar: Annotated[
        str | None, typer.Option(help="Read too: time-of-day, day-of-week, day-of-year.", **FORECASTS)
    ] = None,
    loss: Annotated[str | None, typer.Option(help="To train on: huber (default), mae or mse.", **FORECASTS)] = None,
    metric: Annotated[
        str | None, typer.Option(help="To select and compare by: mae (default), rmse, mse or mape.", **FORECASTS)
    ] = None,
    refit: Annotated[
        bool | None,
        typer.Option("--refit", help="Train anew on training and validation, as many steps as chosen.", **FORECASTS),
    ] = None,
    residual: Annotated[
        bool | None, typer.Option(help="Models add to the last value.", show_default=False, **FORECASTS)
    ] = None,
    skip: Annotated[
        bool | None,
        typer.Option(help="Models add a linear map of a node's own past (default).", show_default=False, **FORECASTS),
    ] = None,
) -> None:
    """Compares models on a task: a table, and with --out a CSV file, figures and one JSON per run.

    Killed or stopped, it goes on when called again with the same --out; several processes and machines that share the
    folder divide the runs.
    """
    from seqgnn._utils.validation import one_of
    from seqgnn.experiments.compare import TASKS, plan

    known = (*TASKS, "forecast")
    if only is not None:
        one_of("compare", "only", only, ("failed",))
    asked = ("config", "describe", "dry_run", "only")
    typed = {name: value for name, value in context.params.items() if value is not None and name not in asked}
    for name, read in READ.items():
        if name in typed:
            typed[name] = read(typed[name])
    options = settings(typed, config)
    task, out, data = (options.pop(name, None) for name in ("task", "out", "data"))
    for other, its in (("lengths", "horizon"), ("horizon", "lengths")):
        if other in options and (task == "forecast") is (its == "horizon"):
            raise ValueError(f"compare: expected --{its} for {task or 'tasks of sequences'}, got --{other}")
    if only is not None and out is None:
        raise ValueError("compare: expected --out, the folder in which something failed, got none")
    tasks = DEFAULT_TASKS if task is None else (one_of("compare", "task", task, known),)
    options = {"jobs": -1, "out": out} | options
    plans = []
    for name in tasks:  # all of them before anything runs, so that no mistake comes to light after minutes
        source = data or (default_book() if name == "text" else None)
        if source is not None and name not in ("text", "forecast") and len(tasks) > 1:
            source = None
        if name == "forecast" and source is None:
            raise ValueError("compare: expected --data, a name of `seqgnn data list` or a file, got none")
        prepared = plan(name, **arguments(name, source, options))
        plans.append(prepared)
        if describe:
            for (label, length), lines in prepared.describe().items():
                print(f"{name} T={length} {label}: {'; '.join(lines) or 'nothing is wrong'}")
    if dry_run:
        for prepared in plans:
            _show_plan(prepared)
        return
    with nullcontext() if out is None else despite_lost_output():
        complete = _run(plans, out, data, only == "failed")
    if not complete:
        raise typer.Exit(1)


def arguments(task: str, data: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `plan` that flat options stand for."""
    from dataclasses import fields, replace

    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.compare import training_for
    from seqgnn.experiments.grid.config import GridConfig
    from seqgnn.experiments.runs.execution import ExecutionConfig
    from seqgnn.tasks.forecasting import Protocol
    from seqgnn.training.config import TrainConfig

    left = dict(options)

    def take(table: type, *but: str) -> dict[str, Any]:
        names = [item.name for item in fields(table) if item.name not in but]
        return {name: left.pop(name) for name in names if name in left}

    if "lr" in left and isinstance(left["lr"], dict):
        left["lr_per_size"] = left.pop("lr")
    options = take(DataSource, "data")
    options |= {name: str(value) for name, value in options.items() if name in ("graph", "positions")}
    if data is None and options:
        raise ValueError(f"compare: expected no option of a time series for {task}, got {next(iter(options))!r}")
    source = None if data is None else DataSource(str(data), **options)
    protocol: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value
                                for n, value in take(Protocol, "horizon").items()}  # fmt: skip
    grid = GridConfig(**take(GridConfig, "protocol"))
    if protocol:
        grid = replace(grid, protocol=Protocol(**protocol))
    train = training_for(task, **take(TrainConfig))
    sizes = left.pop("lengths", None) or left.pop("horizon", None)
    return {"data": source, "grid": grid, "train": train, "execution": ExecutionConfig(**take(ExecutionConfig)),
            "sizes": sizes, **left}  # fmt: skip


def _run(plans: Sequence[Any], out: Path | None, data: Path | None, only_failed: bool) -> bool:
    """Makes the runs, shows each table and then writes its files; whether all of that could be done."""
    from seqgnn.report import tables as report
    from seqgnn.report.html import write_page

    results, lost, failed = [], [], 0
    for prepared in plans:
        try:
            result = prepared.run(only_failed=only_failed)
        except KeyboardInterrupt:
            if out is not None:
                print(f"seqgnn: what is done is kept in {out}; the same command goes on", file=sys.stderr)
            raise
        if not (result.runs or result.baselines or result.failures):  # with `only_failed`, where nothing is there
            continue
        report.show(result)
        results.append(result)
        failed += len(result.failures)
        if out is not None:
            written, unwritten = _write(result, prepared.context.data, out)
            lost += unwritten
            for path in written:
                print(f"wrote {path}")
    if out is not None and results:
        before = _before(out, [result.task for result in results], data)
        try:
            print(f"wrote {write_page([*results, *before], out / 'report.html')}")
        except ValueError as error:
            lost.append(str(error))
    for message in lost:
        print(f"seqgnn: {message}", file=sys.stderr)
    return not lost and not failed


def _write(result: Any, source: Any, out: Path) -> tuple[list[Path], list[str]]:
    """Writes tables and figures as far as that goes; their paths, and a line for each that could not be written."""
    from seqgnn._utils.files import NotWritten
    from seqgnn.report import tables as report
    from seqgnn.report.forecasts import write_pictures

    written: list[Path] = []
    lost: list[str] = []
    writers = [partial(report.write, result, out)]
    if not result.of_classes:
        writers.append(partial(write_pictures, result, source, out))
    for write in writers:
        try:
            written += write()
        except NotWritten as error:
            written += error.written
            lost += [f"compare: expected a file that can be written, got {file}" for file in error.lost]
        except ValueError as error:
            lost.append(str(error))
    return written, lost


def _before(out: Path, tasks: Sequence[str], data: Path | None) -> list[Any]:
    """Comparisons on other tasks that the folder holds, which stay on its page."""
    from seqgnn.experiments.results.load import load_comparisons

    try:
        found = load_comparisons([out], [data or default_book(), None]).comparisons
    except ValueError:  # there is no run in it at all
        return []
    return [comparison for comparison in found if comparison.task not in tasks]


def settings(typed: dict[str, Any], config: Path | None) -> dict[str, Any]:
    """The options of a comparison: those typed go before those of the file, and both before the preset's.

    Raises:
        ValueError: for a file that is no grid, as `read_grid` says it, and for an unknown preset.
    """
    from seqgnn._utils.validation import one_of
    from seqgnn.experiments.grid.config_file import read_grid
    from seqgnn.experiments.grid.presets import PRESETS

    given = ({} if config is None else read_grid(config)) | typed
    preset = given.pop("preset", None)
    if preset is not None and given.get("task") == "forecast":
        raise ValueError(f"compare: expected no preset for forecasts, got {preset!r}")
    options = ({} if preset is None else PRESETS[one_of("compare", "preset", preset, PRESETS)]) | given
    if "max_seconds" in given and "steps" not in given:  # equal time, which a preset's steps would cut short
        options.pop("steps", None)
    for name in ("max_grad_norm", "target_accuracy"):
        if options.get(name) == 0:
            options[name] = None
    return options


def _show_plan(prepared: Any) -> None:
    """The runs, how far they are, and what those that are left take at most."""
    from seqgnn.metrics.significance import seeds_needed

    for line in prepared.remarks():
        print(line)
    states, (seconds, unknown) = prepared.states(), prepared.estimate()
    for job in prepared.jobs:
        about = f", at most {_span(seconds[job.key])}" if job.key in seconds else ""
        if job.key in unknown:
            about = f", estimate not known ({unknown[job.key]})"
        print(f"{job.title}: {states[job.key]}{about}")
    workers = prepared.context.workers
    left, total = len(seconds) + len(unknown), sum(seconds.values())
    needed = seeds_needed(len(prepared.labels)) if len(prepared.labels) > 1 else 0
    if len(prepared.seeds) < needed:
        few = f"{len(prepared.seeds)} seed{'s' * (len(prepared.seeds) > 1)}"
        print(f"{few}: too few to show a difference between {len(prepared.labels)} models at 5%, which takes {needed}")
    without = f", without {len(unknown)} whose estimate is not known" if unknown else ""
    most = f"at most {_span(total)}, {_span(total / workers)} with {workers} at a time"
    print(f"{left} run{'s' * (left != 1)} to train: {most}{without}")


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def integers(option: str, text: str) -> list[int]:
    try:
        return [int(item) for item in text.split(",")]
    except ValueError:
        raise ValueError(f"{option}: expected whole numbers with commas between them, got {text!r}") from None


def _rates(text: str) -> float | dict[int, float]:
    try:
        if ":" not in text:
            return float(text)
        pairs = [item.split(":") for item in text.split(",")]
        rates = {int(length): float(rate) for length, rate in pairs}
        if len(rates) < len(pairs):
            raise ValueError
        return rates
    except ValueError:
        raise ValueError(f"--lr: expected a number, or length:number for each length, got {text!r}") from None


def _shares(text: str) -> list[int] | list[float]:
    try:
        parts = text.split(",")
        return [float(part) for part in parts] if "." in text else [int(part) for part in parts]
    except ValueError:
        raise ValueError(f"--split: expected three shares or three counts, e.g. 0.7,0.1,0.2, got {text!r}") from None


def default_book() -> Path | None:
    folder = os.environ.get("SEQGNN_DATA")
    return Path(folder) / BOOK if folder and (Path(folder) / BOOK).is_file() else None


# What is typed as text and is none.
READ: dict[str, Callable[[str], Any]] = {
    "models": lambda text: [name.strip() for name in text.split(",")],
    "lengths": partial(integers, "--lengths"),
    "seeds": partial(integers, "--seeds"),
    "horizon": partial(integers, "--horizon"),
    "split": _shares,
    "calendar": lambda text: [name.strip() for name in text.split(",")],
    "lr": _rates,
    "out": Path,
    "data": Path,
}
