"""`seqgnn compare`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_TASKS = ("palindromes", "text")
PLANNED = ("task", "preset", "models", "lengths", "seeds", "lr", "hidden", "window", "match_parameters", "device",
           "jobs", "backend", "scheduler", "save_every", "out", "data")  # fmt: skip
BOOK = Path("democracy_in_america") / "book_EN_democracy_in_the_US.txt"


def compare(
    task: Annotated[
        str | None,
        typer.Argument(
            help="palindromes, recall, text, expressions or trees; none: palindromes, then text.", show_default=False
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
    seconds: Annotated[float | None, typer.Option(help="Equal time: seconds of training a run.")] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate, or one per length, e.g. 10:3e-3,20:1e-3.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="rmsprop, adam or sgd (with momentum).")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0: not clipped.")] = None,
    stop_at: Annotated[float | None, typer.Option(help="Validation accuracy that ends a run; 0: never.")] = None,
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
        typer.Option(help="Text file or folder; default: Tocqueville in $SEQGNN_DATA, else help topics."),
    ] = None,
) -> None:
    """Compares models on a task: a table, and with --out a CSV file, figures and one JSON per run.

    Killed or stopped, it goes on when called again with the same --out; several processes and machines that share the
    folder divide the runs.
    """
    from seqgnn import comparison, report
    from seqgnn.errors import one_of
    from seqgnn.page import write_page

    if only is not None:
        one_of("compare", "only", only, ("failed",))
    typed: dict[str, Any] = {
        "task": task,
        "models": None if models is None else [name.strip() for name in models.split(",")],
        "lengths": None if lengths is None else integers("--lengths", lengths),
        "seeds": None if seeds is None else integers("--seeds", seeds),
        "lr": None if lr is None else _rates(lr),
        "clip": clip,
        "stop_at": stop_at,
        "preset": preset,
        "steps": steps,
        "seconds": seconds,
        "optimizer": optimizer,
        "momentum": momentum,
        "min_steps": min_steps,
        "precision": precision,
        "hidden": hidden,
        "batch_size": batch_size,
        "window": window,
        "match_parameters": match_parameters,
        "device": device,
        "jobs": jobs,
        "backend": backend,
        "scheduler": scheduler,
        "save_every": save_every,
        "out": out,
        "data": data,
    }
    options = settings({name: value for name, value in typed.items() if value is not None}, config)
    task, out, data = (options.pop(name, None) for name in ("task", "out", "data"))
    if only is not None and out is None:
        raise ValueError("compare: expected --out, the folder in which something failed, got none")
    tasks = DEFAULT_TASKS if task is None else (one_of("compare", "task", task, comparison.TASKS),)
    plans = []
    for name in tasks:  # all of them before anything runs, so that no mistake comes to light after minutes
        path = data or default_book() if comparison.TASKS[name].takes_data else data if len(tasks) == 1 else None
        prepared = comparison.plan(name, out=out, path=path, **({"jobs": -1} | options))
        plans.append(prepared)
        if describe:
            for (label, length), lines in prepared.describe().items():
                print(f"{name} T={length} {label}: {'; '.join(lines) or 'nothing is wrong'}")
    if dry_run:
        for prepared in plans:
            _show_plan(prepared)
        return
    results = []
    for prepared in plans:
        try:
            result = prepared.run(only_failed=only == "failed")
        except KeyboardInterrupt:
            if out is not None:
                print(f"seqgnn: what is done is kept in {out}; the same command goes on", file=sys.stderr)
            raise
        written = [] if out is None else report.write(result, out)
        report.show(result)
        for path in written:
            print(f"wrote {path}")
        results.append(result)
    if out is not None:
        before = _before(out, tasks, data)
        print(f"wrote {write_page([*results, *before], out / 'report.html')}")
    if any(result.failures for result in results):
        raise typer.Exit(1)


def _before(out: Path, tasks: Sequence[str], data: Path | None) -> list[Any]:
    """Comparisons on other tasks that the folder holds, which stay on its page."""
    from seqgnn.collect import collect

    try:
        found = collect([out], [data or default_book(), None]).comparisons
    except ValueError:  # there is no run in it at all
        return []
    return [comparison for comparison in found if comparison.task not in tasks]


def settings(typed: dict[str, Any], config: Path | None) -> dict[str, Any]:
    """The options of a comparison: those typed go before those of the file, and both before the preset's.

    Raises:
        ValueError: for a file that is no TOML, and for keys that are unknown, naming the nearest one.
    """
    from seqgnn.errors import one_of
    from seqgnn.presets import PRESETS

    given = ({} if config is None else _read(config)) | typed
    preset = given.pop("preset", None)
    options = ({} if preset is None else PRESETS[one_of("compare", "preset", preset, PRESETS)]) | given
    for name in ("clip", "stop_at"):
        if options.get(name) == 0:
            options[name] = None
    return options


def _read(path: Path) -> dict[str, Any]:
    import tomllib
    from dataclasses import fields

    from seqgnn.errors import one_of
    from seqgnn.rows import Row
    from seqgnn.train_config import TrainConfig

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"compare: expected a TOML file, got {path} ({error})") from error
    known = {item.name for item in fields(TrainConfig)} | {*PLANNED, "row"}
    for name in content:
        one_of(f"compare, {path.name}", "key", name, sorted(known))
    rows = content.pop("row", [])
    if rows:
        names = [item.name for item in fields(Row)]
        for row in rows:
            for name in row:
                one_of(f"compare, {path.name}", "key of a row", name, names)
            missing = [name for name in ("label", "model") if name not in row]
            if missing:
                raise ValueError(f"compare, {path.name}: expected a {missing[0]} of each row, got {row}")
        tuples: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()} for row in rows
        ]
        content["models"] = [*content.get("models", []), *(Row(**row) for row in tuples)]
    if isinstance(content.get("lr"), dict):
        content["lr"] = _rates(",".join(f"{length}:{rate}" for length, rate in content["lr"].items()))
    for name in ("out", "data"):  # beside the file, wherever the command is called
        if name in content:
            content[name] = path.parent / str(content[name])
    return content


def _show_plan(prepared: Any) -> None:
    """The runs, how far they are, and what those that are left take at most."""
    from seqgnn.statistics import seeds_needed

    states, seconds = prepared.states(), prepared.estimate()
    for job in prepared.jobs:
        about = f", at most {_span(seconds[job.key])}" if job.key in seconds else ""
        print(f"{job.title}: {states[job.key]}{about}")
    workers = prepared.setup.workers
    left, total = len(seconds), sum(seconds.values())
    needed = seeds_needed(len(prepared.labels)) if len(prepared.labels) > 1 else 0
    if len(prepared.seeds) < needed:
        few = f"{len(prepared.seeds)} seed{'s' * (len(prepared.seeds) > 1)}"
        print(f"{few}: too few to show a difference between {len(prepared.labels)} models at 5%, which takes {needed}")
    print(f"{left} runs to train: at most {_span(total)}, {_span(total / workers)} with {workers} at a time")


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


def default_book() -> Path | None:
    folder = os.environ.get("SEQGNN_DATA")
    return Path(folder) / BOOK if folder and (Path(folder) / BOOK).is_file() else None
