"""Makes many runs, in this process or in several, keeps each as soon as it is done, and shows how far they are."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import torch

from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.job import Job, Key, RunContext
from seqgnn.experiments.runs.progress import Event, Say, listening, show_progress, summary_line
from seqgnn.experiments.runs.store import RunStore
from seqgnn.training.checkpoint import write_checkpoint

EVERY = 0.2  # seconds between two signs of life of a run
BACKENDS = ("dask", "ray")
PATIENCE = 2.0  # seconds until runs that other processes have are looked at again


def run_all(
    jobs: Sequence[Job], context: RunContext, progress: bool = True
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
        found = kept(job, context.store)
        if found is not None:
            records[job.key] = found
    todo = [job for job in jobs if job.key not in records]
    if todo and context.store is not None:
        context.store.prepare()
    with show_progress(len(jobs), len(records), progress) as say:
        waiting = 0
        while todo:
            elsewhere = []
            for job, outcome in _outcomes(todo, context, say):
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


def _outcomes(jobs: list[Job], context: RunContext, say: Say) -> Iterator[tuple[Job, dict[str, Any] | str | None]]:
    """Yield each job with its record, with what went wrong, or with None if another process has it."""
    workers = min(context.workers, len(jobs))
    if workers <= 1 and context.execution.backend is None:
        for job in jobs:
            yield job, _perform(job, context, say)
        return
    from joblib import Parallel, delayed, parallel_config

    left = dict(enumerate(jobs))
    with (
        listening(say) as (address, key),
        _engine(context) as (name, options, died),
        parallel_config(name, **options),
    ):
        count = workers if context.execution.backend is None else -1  # an engine knows how many workers it has
        order = "list" if context.execution.backend == "ray" else "generator_unordered"  # Ray's has no other

        def outcomes(some: dict[int, Job]) -> Iterator[tuple[int, Any]]:
            calls = (delayed(_perform_apart)(number, job, context, address, key) for number, job in some.items())
            yield from Parallel(n_jobs=count, batch_size=1, return_as=order)(calls)

        together = True
        while left:
            some = left.copy() if together else dict([next(iter(left.items()))])
            try:
                for number, outcome in outcomes(some):
                    yield left.pop(number), outcome
            except died:  # whose worker it was is unknown
                done: dict[int, Any] = {n: record for n, job in left.items() if (record := kept(job, context.store))}
                if not together and not done:
                    done = dict.fromkeys(some, "its worker process was killed; is there enough memory?")
                for number, outcome in done.items():
                    yield left.pop(number), outcome
                # What is left of a cluster goes on as long as it gets on; a pool may die of a single run.
                together = together and context.execution.backend is not None and bool(done)


@contextmanager
def _engine(context: RunContext) -> Iterator[tuple[str, dict[str, Any], type[Exception]]]:
    """Yield the name of joblib's backend, its options, and the exception that it raises when a worker has died."""
    backend, scheduler = context.execution.backend, context.execution.scheduler
    if backend is None:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        yield "loky", {}, BrokenProcessPool
        return
    try:
        options, died = {"dask": _dask, "ray": _ray}[backend](scheduler)
    except ImportError as error:
        hint = f"pip install 'seqgnn[{backend}]'"
        raise ValueError(f"compare: expected {backend} to be installed ({hint}), got {error}") from error
    except (OSError, RuntimeError) as error:
        found = f"{scheduler} ({' '.join(str(error).split())})"
        raise ValueError(f"compare: expected a {backend} cluster that answers, got {found}") from error
    try:
        yield backend, options, died
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
    record = None if store is None else store.get(job.content)
    return None if record is None else {name: record[name] for name in ("config", "spec", "result", "measured")}


def _perform_apart(
    number: int, job: Job, context: RunContext, address: Any, key: bytes
) -> tuple[int, dict[str, Any] | str | None]:
    def say(event: Event) -> None:
        try:
            with Client(address, authkey=key) as line:
                line.send(event)
        except (OSError, EOFError):
            pass  # no process listens any more; the run continues

    return number, _perform(job, context, say)


def _perform(job: Job, context: RunContext, say: Say) -> dict[str, Any] | str | None:
    """Makes one run, or ends one that was interrupted, and keeps it.

    Whatever goes wrong in it is returned as a line of text; None if another process has it.
    """
    if context.store is None:
        return _make(job, context, None, say)
    config = job.content
    try:
        with context.store.claim(config) as folder:
            if folder is None:
                return None
            outcome = kept(job, context.store)  # made by another process, since this one looked
            if outcome is None:
                made = _make(job, context, folder, say)
                if isinstance(made, str):
                    return made
                outcome = made
            else:
                say(("done", job.title, summary_line(outcome)))
            context.store.discard(config)
            return outcome
    except ValueError as error:
        say(("failed", job.title, str(error)))
        return str(error)


def _make(job: Job, context: RunContext, folder: Path | None, say: Say) -> dict[str, Any] | str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    said = time.monotonic()

    def on_step(step: int, loss: float, accuracy: float) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            say(("step", job.title, step, loss, accuracy))

    try:
        if isinstance(job.config, TrainingRun):
            say(("start", job.title, job.config.train.steps))
        done = job.config.perform(context.data, on_step, folder, context.execution.save_every)
        content = job.record() | {"result": done.result, "measured": done.measured}
        record = json.loads(json.dumps(content))  # as it is read again: tuples are lists
        if context.store is not None:
            if done.weights:
                write_checkpoint(context.store.weights(record["config"]), done.weights, {"config": record["config"]})
            context.store.put(record["config"], done.result, done.measured, record["spec"])
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        if context.store is not None:
            with suppress(OSError):
                context.store.fail(job.content, message, job.record()["spec"])
        say(("failed", job.title, message))
        return message
    finally:
        torch.set_num_threads(threads)
    say(("done", job.title, summary_line(record)))
    return record
