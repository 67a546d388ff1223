"""Execution of many runs, in this process or in several: each is stored as soon as it is finished."""

import _thread
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from enum import Enum
from multiprocessing.connection import Client
from pathlib import Path
from threading import Event as Flag
from threading import Thread, current_thread, main_thread
from typing import Any, TypeAlias

import torch

from seqgnn._utils.processes import StopRequest, deferred_signals, end_with_parent, kept_handlers, working
from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.job import Job, Key, RunContext
from seqgnn.experiments.runs.progress import Event, Report, listening, show_progress, summary_line
from seqgnn.experiments.runs.result import RunControl, RunInterrupted, Stop
from seqgnn.experiments.runs.store import RunStore, StoreLost
from seqgnn.training.checkpoint import write_checkpoint

EVERY = 0.2  # seconds between two reports of a run's progress
STORE_EVERY = 1.0  # seconds between two checks that a run's folder is still there
WORKER_SECONDS = 30  # in which the first worker of a cluster has to register
SAVING = "saving the runs that are executed"
BACKENDS = ("dask", "ray")
PATIENCE = 2.0  # seconds between two checks on runs of other processes


class Unfinished(Enum):
    """The reason why a run has neither a record nor an error."""

    CLAIMED = "another process executes it"
    INTERRUPTED = "it was saved and stopped"


Outcome: TypeAlias = dict[str, Any] | str | Unfinished  # a string is an error message


def run_all(
    jobs: Sequence[Job], context: RunContext, progress: bool = True
) -> tuple[dict[Key, dict[str, Any]], dict[Key, str]]:
    """Execute all runs that are not stored yet, in the given order, and wait for those that other processes execute.

    Returns:
        Records by key, and error messages by key.

    Raises:
        ValueError: if the file of a run is damaged, or the store cannot be written or is removed.
        KeyboardInterrupt: or what else SIGINT, SIGTERM and SIGHUP do, after the runs that were executed are saved.
    """
    records: dict[Key, dict[str, Any]] = {}
    failures: dict[Key, str] = {}
    for job in jobs:
        record = stored_record(job, context)
        if record is not None:
            records[job.key] = record
    pending = [job for job in jobs if job.key not in records]
    if context.store is not None:
        if pending:
            context.store.prepare()
        else:
            context.store.clean()
        if progress and not context.remake_weights:
            _list_missing_weights(jobs, records, context.store)
    with show_progress(len(jobs), len(records), progress) as report:
        num_waiting = 0
        while pending:
            claimed, interrupted = [], []
            for job, outcome in _outcomes(pending, context, report):
                if outcome is Unfinished.CLAIMED:
                    claimed.append(job)
                elif isinstance(outcome, Unfinished):
                    interrupted.append(job)
                elif isinstance(outcome, str):
                    failures[job.key] = outcome
                else:
                    records[job.key] = outcome
            pending = interrupted + claimed
            if claimed and len(claimed) != num_waiting:
                report(("waiting", f"waiting for {len(claimed)} of the runs, which other processes execute"))
            num_waiting = len(claimed)
            if claimed and not interrupted:
                time.sleep(PATIENCE)
    return records, failures


def _outcomes(jobs: list[Job], context: RunContext, report: Report) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its record, with its error message, or with the reason why it has neither."""
    workers = min(context.workers, len(jobs))
    if workers <= 1 and context.execution.backend is None:
        for job in jobs:
            saves = context.store is not None and isinstance(job.config, TrainingRun)
            with deferred_signals(SAVING) if saves else nullcontext(StopRequest()) as stop:
                outcome = _perform(job, context, report, stop)
            yield job, outcome
            stop.deliver()
        return
    begun: set[str] = set()

    def note(event: Event) -> None:
        if event[0] == "begin":
            begun.add(event[1])
        report(event)

    with (
        deferred_signals(SAVING, idle=lambda: not begun) as stop,  # while workers start, there is nothing to save
        _watched(context.store, begun),
    ):
        yield from _outcomes_of_workers(jobs, context, workers, note, stop)
    stop.deliver()


@contextmanager
def _watched(store: RunStore | None, begun: set[str]) -> Iterator[None]:
    """Within the block, check the folder of the runs until one has begun; from then on, workers do.

    Raises:
        StoreLost: if the folder is no longer there.
    """
    if store is None or current_thread() is not main_thread():  # only the main thread can be interrupted
        yield
        return
    ended = Flag()
    errors: list[StoreLost] = []

    def watch() -> None:
        while not (ended.wait(STORE_EVERY) or begun or errors):
            try:
                store.check()
            except StoreLost as error:
                errors.append(error)
                _thread.interrupt_main()

    thread = Thread(target=watch, daemon=True, name="seqgnn-store")
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if errors:
            raise errors[0] from None
        raise
    finally:
        ended.set()
        thread.join()


def _outcomes_of_workers(
    jobs: list[Job], context: RunContext, workers: int, report: Report, stop: Stop
) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome until all have one; after a request to stop, those of remaining jobs are missing
    or `INTERRUPTED`."""
    from joblib import Parallel, delayed, parallel_config

    remaining = dict(enumerate(jobs))
    with (
        listening(report, stop) as (address, key),
        _engine(context) as (name, options, worker_error),
        parallel_config(name, **options),
    ):
        count = workers if context.execution.backend is None else -1  # a cluster knows its number of workers
        order = "list" if context.execution.backend == "ray" else "generator_unordered"  # Ray's only one

        def outcomes(batch: dict[int, Job]) -> Iterator[tuple[int, Any]]:
            calls = (delayed(_perform_in_worker)(number, job, context, address, key) for number, job in batch.items())
            yield from Parallel(n_jobs=count, batch_size=1, return_as=order)(calls)

        batched = True
        while remaining and not stop():
            batch = remaining.copy() if batched else dict([next(iter(remaining.items()))])
            try:
                for number, outcome in outcomes(batch):
                    yield remaining.pop(number), outcome
            except worker_error:  # it is unknown which run the worker had
                stored = {number: stored_record(job, context) for number, job in remaining.items()}
                finished: dict[int, Any] = {number: record for number, record in stored.items() if record is not None}
                if not batched and not finished:
                    finished = dict.fromkeys(batch, "its worker process was killed; is there enough memory?")
                for number, outcome in finished.items():
                    yield remaining.pop(number), outcome
                # The rest of a cluster continues as long as runs finish; a single run may have killed a pool.
                batched = batched and context.execution.backend is not None and bool(finished)


@contextmanager
def _engine(context: RunContext) -> Iterator[tuple[str, dict[str, Any], type[Exception]]]:
    """Yield the name of joblib's backend, its options, and the exception that it raises when a worker has died."""
    backend, scheduler = context.execution.backend, context.execution.scheduler
    if backend is None:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        yield "loky", {"initializer": end_with_parent, "initargs": (os.getpid(),)}, BrokenProcessPool
        return
    try:
        options, worker_error = {"dask": _dask, "ray": _ray}[backend](scheduler)
    except ImportError as error:
        hint = f"pip install 'seqgnn[{backend}]'"
        raise ValueError(f"compare: expected {backend} to be installed ({hint}), got {error}") from error
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"compare: the {backend} cluster at {scheduler} does not respond ({reason})") from error
    try:
        yield backend, options, worker_error
    finally:
        if "client" in options:
            options["client"].close()


def _dask(scheduler: str | None) -> tuple[dict[str, Any], type[Exception]]:
    from distributed import Client as DaskClient
    from distributed import KilledWorker

    client = DaskClient(scheduler)
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)  # without one, joblib would execute all runs here
    except TimeoutError:
        client.close()
        raise ValueError(f"compare: expected workers at {scheduler}, got none within {WORKER_SECONDS} s") from None
    threads = client.nthreads()
    if any(number != 1 for number in threads.values()):
        client.close()
        counts = ", ".join(f"{number} in {worker}" for worker, number in threads.items())
        raise ValueError(f"compare: expected workers with one thread each (--nthreads 1), got {counts}")
    return {"client": client}, KilledWorker  # raised when several workers died of one run


def _ray(scheduler: str | None) -> tuple[dict[str, Any], type[Exception]]:
    import ray
    from ray.exceptions import RayActorError
    from ray.util.joblib import register_ray

    with kept_handlers():  # Ray's own for SIGTERM would end the process at once
        ray.init(address=scheduler, ignore_reinit_error=True)
    register_ray()
    return {}, RayActorError


def stored_record(job: Job, context: RunContext) -> dict[str, Any] | None:
    """Return the record of a run, if it is stored and, where `context` says so, its weights are too."""
    record = None if context.store is None else context.store.get(job.content)
    if record is None or context.store is None or (context.remake_weights and context.store.lacks_weights(record)):
        return None
    return {name: record[name] for name in ("config", "spec", "result", "measured")}


def _list_missing_weights(jobs: Sequence[Job], records: dict[Key, dict[str, Any]], store: RunStore) -> None:
    """Print which finished runs have no weights, in one line."""
    lacking = [job for job in jobs if job.key in records and store.lacks_weights(records[job.key])]
    if lacking:
        files = ", ".join(f"{job.title} ({store.weights(job.content)})" for job in lacking[:3])
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        print(f"weights missing or damaged: {files}{more}; --retry-failed trains again", flush=True)


def _perform_in_worker(number: int, job: Job, context: RunContext, address: Any, key: bytes) -> tuple[int, Outcome]:
    requested = False

    def report(event: Event) -> None:
        nonlocal requested
        try:
            with Client(address, authkey=key) as line:
                line.send(event)
                requested = line.recv() or requested
        except (OSError, EOFError):
            pass  # on another machine, where nothing listens; or the parent has ended, which `working` notices

    with working() as ends:
        report(("begin", job.title))

        def stop() -> bool:
            return requested or ends() or _released()

        return number, Unfinished.INTERRUPTED if stop() else _perform(job, context, report, stop)


def _released() -> bool:
    """Return True in a worker of Dask whose task has no client any more."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except (ValueError, AttributeError):  # no worker of Dask
        return False
    return task is None or task.state == "cancelled"


def _perform(job: Job, context: RunContext, report: Report, stop: Stop) -> Outcome:
    """Execute a run, or the rest of an interrupted one, and store it.

    Returns:
        Its record; its error message in one line if it failed; otherwise why it has neither.

    Raises:
        StoreLost: if the folder of the runs is no longer there.
    """
    if context.store is None:
        return _execute(job, context, None, report, stop)
    config = job.content
    try:
        with context.store.claim(config) as folder:
            if folder is None:
                return Unfinished.CLAIMED
            outcome = stored_record(job, context)  # stored by another process in the meantime
            if outcome is None:
                result = _execute(job, context, folder, report, stop)
                if not isinstance(result, dict):
                    return result
                outcome = result
            else:
                report(("done", job.title, summary_line(outcome)))
            context.store.discard(config)
            return outcome
    except StoreLost:
        raise
    except ValueError as error:
        report(("failed", job.title, str(error)))
        return str(error)


def _execute(job: Job, context: RunContext, folder: Path | None, report: Report, stop: Stop) -> Outcome:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    last_report = last_check = time.monotonic()

    def on_step(step: int, loss: float, accuracy: float) -> None:
        nonlocal last_report, last_check
        now = time.monotonic()
        if context.store is not None and now - last_check >= STORE_EVERY:
            last_check = now
            context.store.check(job.content)
        if now - last_report >= EVERY:
            last_report = now
            report(("step", job.title, step, loss, accuracy))

    try:
        if isinstance(job.config, TrainingRun):
            report(("start", job.title, job.config.train.steps))
        control = RunControl(on_step, folder, context.execution.save_every, stop)
        outcome = job.config.perform(context.data, control)
        content = job.record() | {"result": outcome.result, "measured": outcome.measured}
        record = json.loads(json.dumps(content))  # as read from its file: tuples are lists
        if context.store is not None:
            if outcome.weights:
                write_checkpoint(context.store.weights(record["config"]), outcome.weights, {"config": record["config"]})
            context.store.put(record["config"], outcome.result, outcome.measured, record["spec"])
    except RunInterrupted:
        return Unfinished.INTERRUPTED
    except Exception as error:
        if context.store is not None:
            context.store.check()
        message = " ".join(f"{type(error).__name__}: {error}".split())
        if context.store is not None:
            with suppress(OSError):
                context.store.fail(job.content, message, job.record()["spec"])
        report(("failed", job.title, message))
        return message
    finally:
        torch.set_num_threads(threads)
    report(("done", job.title, summary_line(record)))
    return record
