"""Makes many runs, in this process or in several, keeps each as soon as it is done, and shows how far they are."""

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import torch

from seqgnn.runs import BaselineConfig, RunConfig
from seqgnn.store import RunStore

Key: TypeAlias = tuple[str, int, int]
Event: TypeAlias = tuple[Any, ...]
Say: TypeAlias = Callable[[Event], None]
EVERY = 0.2  # seconds between two signs of life of a run


@dataclass(frozen=True)
class Job:
    """A run to be made: the key of its outcome, what to call it, what it is."""

    key: Key
    title: str
    config: RunConfig | BaselineConfig


def run_all(
    jobs: Sequence[Job], *, store: RunStore | None, path: Path | None, workers: int, progress: bool
) -> tuple[dict[Key, dict[str, Any]], dict[Key, str]]:
    """Makes all runs that `store` does not hold yet, in the order given.

    Args:
        jobs: what to run.
        store: where runs are kept; None: in memory alone.
        path: the data file of tasks that read one.
        workers: processes, each with one torch thread; 1: this process, with one torch thread as long as it takes.
        progress: whether to show anything.

    Returns:
        Records by key, and what went wrong by key.

    Raises:
        ValueError: if the store holds a damaged file where a run should be.
    """
    records: dict[Key, dict[str, Any]] = {}
    failures: dict[Key, str] = {}
    for job in jobs:
        found = _kept(job, store)
        if found is not None:
            records[job.key] = found
    todo = [job for job in jobs if job.key not in records]
    with _display(len(jobs), len(records), progress) as say:
        for job, outcome in _outcomes(todo, store, path, min(workers, len(todo)), say):
            if isinstance(outcome, str):
                failures[job.key] = outcome
            else:
                records[job.key] = outcome
    return records, failures


def _outcomes(
    jobs: list[Job], store: RunStore | None, path: Path | None, workers: int, say: Say
) -> Iterator[tuple[Job, dict[str, Any] | str]]:
    """Yields each job with its record, or with what went wrong."""
    if workers <= 1:
        for job in jobs:
            yield job, _perform(job, store, path, say)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left = dict(enumerate(jobs))
    with _listening(say) as (address, key):

        def outcomes(some: dict[int, Job]) -> Iterator[tuple[int, Any]]:
            calls = (delayed(_perform_apart)(number, job, store, path, address, key) for number, job in some.items())
            yield from Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")(calls)

        try:
            for number, outcome in outcomes(left.copy()):
                yield left.pop(number), outcome
        except BrokenProcessPool:  # nobody knows whose worker died: on with one run at a time
            for number, job in left.items():
                outcome = _kept(job, store)
                try:
                    if outcome is None:
                        ((_, outcome),) = outcomes({number: job})
                except BrokenProcessPool:
                    outcome = "its worker process was killed; is there enough memory?"
                yield job, outcome


def _kept(job: Job, store: RunStore | None) -> dict[str, Any] | None:
    record = None if store is None else store.get(asdict(job.config))
    return None if record is None else {name: record[name] for name in ("config", "result", "measured")}


def _perform_apart(
    number: int, job: Job, store: RunStore | None, path: Path | None, address: Any, key: bytes
) -> tuple[int, dict[str, Any] | str]:
    def say(event: Event) -> None:
        try:
            with Client(address, authkey=key) as line:
                line.send(event)
        except (OSError, EOFError):
            pass  # nobody listens any more; the run goes on

    return number, _perform(job, store, path, say)


def _perform(job: Job, store: RunStore | None, path: Path | None, say: Say) -> dict[str, Any] | str:
    """Makes one run and keeps it; whatever goes wrong in it is returned as a line of text."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    said = time.monotonic()

    def on_step(step: int, loss: float, accuracy: float) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            say(("step", job.title, step, loss, accuracy))

    try:
        say(("start", job.title, job.config.train.steps if isinstance(job.config, RunConfig) else None))
        result, measured = job.config.perform(path, on_step)
        # As it would be read again: tuples are lists.
        record = json.loads(json.dumps({"config": asdict(job.config), "result": result, "measured": measured}))
        if store is not None:
            store.put(record["config"], result, measured)
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        say(("failed", job.title, message))
        return message
    finally:
        torch.set_num_threads(threads)
    say(("done", job.title, _summary(record)))
    return record


def _summary(record: dict[str, Any]) -> str:
    result = record["result"]
    line = f"test accuracy {result['test']['accuracy']:.3f}, loss {result['test']['loss']:.3f}"
    if "steps" in result:
        line += f"; {result['steps']} steps, {record['measured']['seconds']:.1f} s, stopped: {result['stopped']}"
    return line


@contextmanager
def _listening(say: Say) -> Iterator[tuple[Any, bytes]]:
    """Passes on what worker processes say; gives the address they call and the key they show.

    If something cannot be passed on (a pipe is closed, a disk full), the workers go on, and the error comes at the end.
    """
    key = secrets.token_bytes(16)
    errors: list[Exception] = []
    with Listener(authkey=key, backlog=64) as listener:

        def receive() -> None:
            while True:
                try:
                    with listener.accept() as line:
                        event = line.recv()
                except Exception:
                    continue  # a worker died while it called, or it was none
                if event is None:
                    return
                if errors:
                    continue
                try:
                    say(event)
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
def _display(total: int, found: int, progress: bool) -> Iterator[Say]:
    """Gives what shows events: bars on a terminal, a line for each finished run elsewhere, or nothing."""
    if not progress:
        yield lambda event: None
        return
    if found:
        print(f"{found} of {total} runs are there already", flush=True)
    if sys.stdout.isatty():
        with _bars(total, found) as say:
            yield say
    else:
        yield _print_line


def _print_line(event: Event) -> None:
    kind, title, *rest = event
    if kind == "done":
        print(f"{title}: {rest[0]}", flush=True)
    elif kind == "failed":
        print(f"{title}: FAILED, {rest[0]}", flush=True)


@contextmanager
def _bars(total: int, found: int) -> Iterator[Say]:
    """One bar for the grid and one for each run under way, with loss, accuracy and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[scores]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as bars:
        grid = bars.add_task("runs", total=total, completed=found, scores="")
        running: dict[str, TaskID] = {}

        def say(event: Event) -> None:
            kind, title, *rest = event
            if kind == "start" and rest[0] is not None:
                running[title] = bars.add_task(title, total=rest[0], scores="")
            elif kind == "step" and title in running:
                step, loss, accuracy = rest
                bars.update(running[title], completed=step, scores=f"loss {loss:.3f}  accuracy {accuracy:.3f}")
            elif kind in ("done", "failed"):
                bars.advance(grid)
                if title in running:
                    bars.remove_task(running.pop(title))
                if kind == "failed":
                    bars.console.print(f"{title}: FAILED, {rest[0]}", markup=False, highlight=False)

        yield say
