"""`seqgnn compare`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_TASKS = ("palindromes", "text")
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
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2.")] = "0,1",
    steps: Annotated[int | None, typer.Option(help="Most training steps a run.")] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate, or one per length, e.g. 10:3e-3,20:1e-3.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="rmsprop, adam or sgd (with momentum).")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0: not clipped.")] = None,
    stop_at: Annotated[float | None, typer.Option(help="Validation accuracy that ends a run; 0: never.")] = None,
    min_steps: Annotated[int | None, typer.Option(help="Turns on the convergence rule from this step on.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bf16.")] = None,
    hidden: Annotated[int, typer.Option(help="Hidden units.")] = 64,
    batch_size: Annotated[int, typer.Option(help="Samples a step.")] = 64,
    window: Annotated[int, typer.Option(help="Last elements that gcn-in-lstm sees at a time.")] = 4,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say first what each model cannot see, and what it wastes.")
    ] = False,
    match_parameters: Annotated[bool, typer.Option(help="Give all models about the LSTM's parameters.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    jobs: Annotated[int, typer.Option(help="Processes; -1: one per core.")] = -1,
    out: Annotated[Path | None, typer.Option(help="Folder for runs, tables and figures; default: none kept.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Text file or folder; default: Tocqueville in $SEQGNN_DATA, else help topics."),
    ] = None,
) -> None:
    """Compares models on a task: a table, and with --out a CSV file, figures and one JSON per run."""
    from seqgnn import comparison, report
    from seqgnn.errors import one_of

    chosen: dict[str, Any] = {
        "steps": steps,
        "optimizer": optimizer,
        "momentum": momentum,
        "min_steps": min_steps,
        "precision": precision,
        "models": None if models is None else [name.strip() for name in models.split(",")],
        "lengths": None if lengths is None else _integers("--lengths", lengths),
        "lr": None if lr is None else _rates(lr),
    }
    options = {name: value for name, value in chosen.items() if value is not None}
    for name, value in (("clip", clip), ("stop_at", stop_at)):
        if value is not None:
            options[name] = value or None
    tasks = DEFAULT_TASKS if task is None else (one_of("compare", "task", task, comparison.TASKS),)
    plans = []
    for name in tasks:  # all of them before anything runs, so that no mistake comes to light after minutes
        path = data or _book() if comparison.TASKS[name].takes_data else data if len(tasks) == 1 else None
        prepared = comparison.plan(
            name,
            seeds=_integers("--seeds", seeds),
            hidden=hidden,
            batch_size=batch_size,
            window=window,
            match_parameters=match_parameters,
            device=device,
            jobs=jobs,
            out=out,
            path=path,
            **options,
        )
        plans.append(prepared)
        if describe:
            for (label, length), lines in prepared.describe().items():
                print(f"{name} T={length} {label}: {'; '.join(lines) or 'nothing is wrong'}")
    failed = False
    for prepared in plans:
        try:
            result = prepared.run()
        except KeyboardInterrupt:
            if out is not None:
                print(f"seqgnn: finished runs are kept in {out}", file=sys.stderr)
            raise
        written = [] if out is None else report.write(result, out)
        report.show(result)
        for path in written:
            print(f"wrote {path}")
        failed |= bool(result.failures)
    if failed:
        raise typer.Exit(1)


def _integers(option: str, text: str) -> list[int]:
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


def _book() -> Path | None:
    folder = os.environ.get("SEQGNN_DATA")
    return Path(folder) / BOOK if folder and (Path(folder) / BOOK).is_file() else None
