"""Progress of runs: events of this process and of workers, shown as bars on a terminal and as lines elsewhere."""

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from threading import Thread
from typing import Any, TypeAlias

from seqgnn._utils.text import duration

Event: TypeAlias = tuple[Any, ...]
Report: TypeAlias = Callable[[Event], None]


def summary_line(record: dict[str, Any]) -> str:
    """Return scores, steps and seconds of a finished run in one line."""
    result = record["result"]
    metrics = [name for name in ("accuracy", "mae", "rmse", "loss") if name in result["test"]]
    abbreviations = {"mae": "MAE", "rmse": "RMSE"}
    line = "test " + ", ".join(f"{abbreviations.get(name, name)} {result['test'][name]:.3f}" for name in metrics[:2])
    if "steps" in result:
        line += f"; {result['steps']} steps, {record['measured']['seconds']:.1f} s, stopped: {result['stopped']}"
    return line


@contextmanager
def listening(report: Report, stop: Callable[[], bool]) -> Iterator[tuple[Any, bytes]]:
    """Forward the events of worker processes; yield the address to which they connect and their authentication key.

    Each event is answered by `stop()`: True asks the worker to save and to stop. If an event cannot be shown (a closed
    pipe, a full disk), workers continue, and the error is raised at the end.
    """
    key = secrets.token_bytes(16)
    errors: list[Exception] = []
    with Listener(authkey=key, backlog=64) as listener:

        def receive() -> None:
            while True:
                try:
                    with listener.accept() as line:
                        event = line.recv()
                        if event is None:
                            return
                        line.send(stop())
                except Exception:
                    continue  # a worker died while it was connected, or it was no worker
                if errors:
                    continue
                try:
                    report(event)
                except Exception as error:
                    errors.append(error)

        thread = Thread(target=receive, daemon=True)
        thread.start()
        try:
            yield listener.address, key
        finally:
            with Client(listener.address, authkey=key) as line:
                line.send(None)
            thread.join()
    if errors:
        raise errors[0]


@contextmanager
def show_progress(total: int, finished: int, progress: bool) -> Iterator[Report]:
    """Yield a function that shows events: bars on a terminal, a line per finished run elsewhere, or nothing."""
    if not progress:
        yield lambda event: None
        return
    if finished:
        print(f"{finished} of {total} runs are already stored", flush=True)
    if sys.stdout.isatty():
        with progress_bars(total, finished) as report:
            yield report
    else:
        yield _line_printer(total, finished)


def _line_printer(total: int, finished: int) -> Report:
    """Return a function that prints a line for each run that ends, with the number of runs that remain and the time
    that they take if each takes as long as those before it; the longest come first, so it is rather less."""
    start, ended = time.monotonic(), 0

    def report(event: Event) -> None:
        nonlocal ended
        kind, title, *values = event
        if kind == "waiting":
            print(title, flush=True)
        elif kind in ("done", "failed"):
            ended += 1
            remaining = total - finished - ended
            seconds = remaining * (time.monotonic() - start) / ended
            left = f"; {remaining} to go, about {duration(seconds)}" if remaining > 0 and seconds >= 10 else ""
            print(f"{title}: {'FAILED, ' if kind == 'failed' else ''}{values[0]}{left}", flush=True)

    return report


@contextmanager
def progress_bars(total: int, finished: int) -> Iterator[Report]:
    """Show a bar for the grid and one for each run in progress, with loss, accuracy and remaining time."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[scores]}"),
        TimeRemainingColumn(),
    )
    # A new console: rich's global one remembers whether stdout was a terminal at its first use.
    with Progress(*columns, console=Console(), transient=True) as display:
        grid = display.add_task("runs", total=total, completed=finished, scores="")
        running: dict[str, TaskID] = {}

        def report(event: Event) -> None:
            kind, title, *values = event
            if kind == "waiting":
                display.update(grid, scores=title)
            elif kind == "start":
                running[title] = display.add_task(title, total=values[0], scores="")
            elif kind == "step" and title in running:
                step, loss, accuracy = values
                display.update(running[title], completed=step, scores=f"loss {loss:.3f}  accuracy {accuracy:.3f}")
            elif kind in ("done", "failed"):
                display.advance(grid)
                if title in running:
                    display.remove_task(running.pop(title))
                if kind == "failed":
                    display.console.print(f"{title}: FAILED, {values[0]}", markup=False, highlight=False)

        yield report
