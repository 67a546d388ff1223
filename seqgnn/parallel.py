"""Makes many runs, in this process or in several, keeps each as soon as it is done, and shows how far they are."""

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import torch

from seqgnn.checkpoint import write_checkpoint
from seqgnn.forecasting.run import ForecastBaseline, ForecastRun
from seqgnn.runs import BaselineConfig, RunConfig
from seqgnn.store import RunStore

Key: TypeAlias = tuple[str, int, int]
Event: TypeAlias = tuple[Any, ...]
Say: TypeAlias = Callable[[Event], None]
EVERY = 0.2  # seconds between two signs of life of a run
BACKENDS = ("dask", "ray")
PATIENCE = 2.0  # seconds until runs that other processes have are looked at again


@dataclass(frozen=True)
class Job:
    """A run to be made: the key of its outcome, what to call it, what it is."""

    key: Key
    title: str
    config: RunConfig | BaselineConfig | ForecastRun | ForecastBaseline

    @property
    def trained(self) -> bool:
        """Whether it trains a model; a baseline does not."""
        return isinstance(self.config, RunConfig | ForecastRun)


@dataclass(frozen=True)
class Setup:
    """How runs are made.

    Attributes:
        store: where runs are kept; None: in memory alone.
        path: the data file of tasks that read one; the `seqgnn.forecasting.run.Signal` of forecasts.
        save_every: seconds between two savings of a run under way.
        workers: processes, each with one torch thread; 1: this process, with one torch thread as long as it takes.
        backend: "dask" or "ray"; None: processes of this machine.
        scheduler: the address of its scheduler; None: one that is started here.
    """

    store: RunStore | None = None
    path: Any = None
    save_every: float = 30.0
    workers: int = 1
    backend: str | None = None
    scheduler: str | None = None


def run_all(
    jobs: Sequence[Job], setup: Setup, progress: bool = True
) -> tuple[dict[Key, dict[str, Any]], dict[Key, str]]:
    """Makes all runs that the store does not hold yet, in the order given. Those that another process has are waited
    for.

    Returns:
        Records by key, and what went wrong by key.

    Raises:
        ValueError: if the store holds a damaged file where a run should be, or cannot be written and has to be.
    """
    records: dict[Key, dict[str, Any]] = {}
    failures: dict[Key, str] = {}
    for job in jobs:
        found = kept(job, setup.store)
        if found is not None:
            records[job.key] = found
    todo = [job for job in jobs if job.key not in records]
    if todo and setup.store is not None:
        setup.store.prepare()
    with _display(len(jobs), len(records), progress) as say:
        waiting = 0
        while todo:
            elsewhere = []
            for job, outcome in _outcomes(todo, setup, say):
                if outcome is None:
                    elsewhere.append(job)
                elif isinstance(outcome, str):
                    failures[job.key] = outcome
                else:
                    records[job.key] = outcome
            todo = elsewhere
            if todo and len(todo) != waiting:
                say(("waiting", f"waiting for {len(todo)} of the runs, which other processes make"))
            waiting = len(todo)
            if todo:
                time.sleep(PATIENCE)
    return records, failures


def _outcomes(jobs: list[Job], setup: Setup, say: Say) -> Iterator[tuple[Job, dict[str, Any] | str | None]]:
    """Yields each job with its record, with what went wrong, or with None if another process has it."""
    workers = min(setup.workers, len(jobs))
    if workers <= 1 and setup.backend is None:
        for job in jobs:
            yield job, _perform(job, setup, say)
        return
    from joblib import Parallel, delayed, parallel_config

    left = dict(enumerate(jobs))
    with (
        _listening(say) as (address, key),
        _engine(setup) as (name, options, died),
        parallel_config(name, **options),
    ):
        count = workers if setup.backend is None else -1  # an engine knows how many workers it has
        order = "list" if setup.backend == "ray" else "generator_unordered"  # Ray's has no other

        def outcomes(some: dict[int, Job]) -> Iterator[tuple[int, Any]]:
            calls = (delayed(_perform_apart)(number, job, setup, address, key) for number, job in some.items())
            yield from Parallel(n_jobs=count, batch_size=1, return_as=order)(calls)

        together = True
        while left:
            some = left.copy() if together else dict([next(iter(left.items()))])
            try:
                for number, outcome in outcomes(some):
                    yield left.pop(number), outcome
            except died:  # nobody knows whose worker it was
                done: dict[int, Any] = {n: record for n, job in left.items() if (record := kept(job, setup.store))}
                if not together and not done:
                    done = dict.fromkeys(some, "its worker process was killed; is there enough memory?")
                for number, outcome in done.items():
                    yield left.pop(number), outcome
                # What is left of a cluster goes on as long as it gets on; a pool may die of a single run.
                together = together and setup.backend is not None and bool(done)


@contextmanager
def _engine(setup: Setup) -> Iterator[tuple[str, dict[str, Any], type[Exception]]]:
    """What joblib is told: the name of a backend and its options; and what it raises when a worker has died."""
    if setup.backend is None:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        yield "loky", {}, BrokenProcessPool
        return
    try:
        options, died = {"dask": _dask, "ray": _ray}[setup.backend](setup.scheduler)
    except ImportError as error:
        hint = f"pip install 'seqgnn[{setup.backend}]'"
        raise ValueError(f"compare: expected {setup.backend} to be installed ({hint}), got {error}") from error
    except (OSError, RuntimeError) as error:
        found = f"{setup.scheduler} ({' '.join(str(error).split())})"
        raise ValueError(f"compare: expected a {setup.backend} cluster that answers, got {found}") from error
    try:
        yield setup.backend, options, died
    finally:
        if "client" in options:
            options["client"].close()


def _dask(scheduler: str | None) -> tuple[dict[str, Any], type[Exception]]:
    from distributed import Client as DaskClient
    from distributed import KilledWorker

    client = DaskClient(scheduler)
    threads = client.nthreads()
    if any(number != 1 for number in threads.values()):
        client.close()
        found = ", ".join(f"{number} in {worker}" for worker, number in threads.items())
        raise ValueError(f"compare: expected workers of one thread each (--nthreads 1), got {found}")
    return {"client": client}, KilledWorker  # of a run that several workers died of


def _ray(scheduler: str | None) -> tuple[dict[str, Any], type[Exception]]:
    import ray
    from ray.exceptions import RayActorError
    from ray.util.joblib import register_ray

    ray.init(address=scheduler, ignore_reinit_error=True)
    register_ray()
    return {}, RayActorError


def kept(job: Job, store: RunStore | None) -> dict[str, Any] | None:
    """The record of a run, if it is there."""
    record = None if store is None else store.get(asdict(job.config))
    return None if record is None else {name: record[name] for name in ("config", "result", "measured")}


def _perform_apart(
    number: int, job: Job, setup: Setup, address: Any, key: bytes
) -> tuple[int, dict[str, Any] | str | None]:
    def say(event: Event) -> None:
        try:
            with Client(address, authkey=key) as line:
                line.send(event)
        except (OSError, EOFError):
            pass  # nobody listens any more; the run goes on

    return number, _perform(job, setup, say)


def _perform(job: Job, setup: Setup, say: Say) -> dict[str, Any] | str | None:
    """Makes one run, or ends one that was interrupted, and keeps it.

    Whatever goes wrong in it is returned as a line of text; None if another process has it.
    """
    if setup.store is None:
        return _make(job, setup, None, say)
    config = asdict(job.config)
    try:
        with setup.store.claim(config) as folder:
            if folder is None:
                return None
            outcome = kept(job, setup.store)  # made by another process, since this one looked
            if outcome is None:
                made = _make(job, setup, folder, say)
                if isinstance(made, str):
                    return made
                outcome = made
            else:
                say(("done", job.title, _summary(outcome)))
            setup.store.discard(config)
            return outcome
    except ValueError as error:
        say(("failed", job.title, str(error)))
        return str(error)


def _make(job: Job, setup: Setup, folder: Path | None, say: Say) -> dict[str, Any] | str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    said = time.monotonic()

    def on_step(step: int, loss: float, accuracy: float) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            say(("step", job.title, step, loss, accuracy))

    try:
        if isinstance(job.config, RunConfig):
            say(("start", job.title, job.config.train.steps))
        done = job.config.perform(setup.path, on_step, folder, setup.save_every)
        # As it would be read again: tuples are lists.
        measured = {"label": job.key[0]} | done.measured
        record = json.loads(json.dumps({"config": asdict(job.config), "result": done.result, "measured": measured}))
        if setup.store is not None:
            if done.weights:
                write_checkpoint(setup.store.weights(record["config"]), done.weights, {"config": record["config"]})
            setup.store.put(record["config"], done.result, measured)
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        if setup.store is not None:
            with suppress(OSError):
                setup.store.fail(asdict(job.config), message, job.key[0])
        say(("failed", job.title, message))
        return message
    finally:
        torch.set_num_threads(threads)
    say(("done", job.title, _summary(record)))
    return record


def _summary(record: dict[str, Any]) -> str:
    result = record["result"]
    shown = [name for name in ("accuracy", "mae", "rmse", "loss") if name in result["test"]]
    named = {"mae": "MAE", "rmse": "RMSE"}
    line = "test " + ", ".join(f"{named.get(name, name)} {result['test'][name]:.3f}" for name in shown[:2])
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
    if kind == "waiting":
        print(title, flush=True)
    elif kind == "done":
        print(f"{title}: {rest[0]}", flush=True)
    elif kind == "failed":
        print(f"{title}: FAILED, {rest[0]}", flush=True)


@contextmanager
def _bars(total: int, found: int) -> Iterator[Say]:
    """One bar for the grid and one for each run under way, with loss, accuracy and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[scores]}"),
        TimeRemainingColumn(),
    )
    # A console of its own: rich's global one remembers whether stdout was a terminal when it was first asked for.
    with Progress(*columns, console=Console(), transient=True) as bars:
        grid = bars.add_task("runs", total=total, completed=found, scores="")
        running: dict[str, TaskID] = {}

        def say(event: Event) -> None:
            kind, title, *rest = event
            if kind == "waiting":
                bars.update(grid, scores=title)
            elif kind == "start":
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
