"""Execution of many runs, in this process or in several: each is stored as soon as it is finished."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any, TypeAlias

import torch

from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.job import Job, Key, RunContext
from seqgnn.experiments.runs.progress import Event, Report, listening, show_progress, summary_line
from seqgnn.experiments.runs.store import RunStore
from seqgnn.training.checkpoint import write_checkpoint

EVERY = 0.2  # seconds between two reports of a run's progress
Outcome: TypeAlias = dict[str, Any] | str | None  # record, error message, or None for a run of another process
BACKENDS = ("dask", "ray")
PATIENCE = 2.0  # seconds between two checks on runs of other processes


def run_all(
    jobs: Sequence[Job], context: RunContext, progress: bool = True
) -> tuple[dict[Key, dict[str, Any]], dict[Key, str]]:
    """Execute all runs that are not stored yet, in the given order, and wait for those that other processes execute.

    Returns:
        Records by key, and error messages by key.

    Raises:
        ValueError: if the file of a run is damaged, or the store cannot be written.
    """
    records: dict[Key, dict[str, Any]] = {}
    failures: dict[Key, str] = {}
    for job in jobs:
        record = stored_record(job, context.store)
        if record is not None:
            records[job.key] = record
    pending = [job for job in jobs if job.key not in records]
    if pending and context.store is not None:
        context.store.prepare()
    with show_progress(len(jobs), len(records), progress) as report:
        num_waiting = 0
        while pending:
            claimed = []
            for job, outcome in _outcomes(pending, context, report):
                if outcome is None:
                    claimed.append(job)
                elif isinstance(outcome, str):
                    failures[job.key] = outcome
                else:
                    records[job.key] = outcome
            pending = claimed
            if pending and len(pending) != num_waiting:
                report(("waiting", f"waiting for {len(pending)} of the runs, which other processes execute"))
            num_waiting = len(pending)
            if pending:
                time.sleep(PATIENCE)
    return records, failures


def _outcomes(jobs: list[Job], context: RunContext, report: Report) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its record, with its error message, or with None if another process executes it."""
    workers = min(context.workers, len(jobs))
    if workers <= 1 and context.execution.backend is None:
        for job in jobs:
            yield job, _perform(job, context, report)
        return
    from joblib import Parallel, delayed, parallel_config

    remaining = dict(enumerate(jobs))
    with (
        listening(report) as (address, key),
        _engine(context) as (name, options, worker_error),
        parallel_config(name, **options),
    ):
        count = workers if context.execution.backend is None else -1  # a cluster knows its number of workers
        order = "list" if context.execution.backend == "ray" else "generator_unordered"  # Ray's only one

        def outcomes(batch: dict[int, Job]) -> Iterator[tuple[int, Any]]:
            calls = (delayed(_perform_in_worker)(number, job, context, address, key) for number, job in batch.items())
            yield from Parallel(n_jobs=count, batch_size=1, return_as=order)(calls)

        batched = True
        while remaining:
            batch = remaining.copy() if batched else dict([next(iter(remaining.items()))])
            try:
                for number, outcome in outcomes(batch):
                    yield remaining.pop(number), outcome
            except worker_error:  # it is unknown which run the worker had
                stored = {number: stored_record(job, context.store) for number, job in remaining.items()}
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

        yield "loky", {}, BrokenProcessPool
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

    ray.init(address=scheduler, ignore_reinit_error=True)
    register_ray()
    return {}, RayActorError


def stored_record(job: Job, store: RunStore | None) -> dict[str, Any] | None:
    """Return the record of a run, if it is stored."""
    record = None if store is None else store.get(job.content)
    return None if record is None else {name: record[name] for name in ("config", "spec", "result", "measured")}


def _perform_in_worker(number: int, job: Job, context: RunContext, address: Any, key: bytes) -> tuple[int, Outcome]:
    def report(event: Event) -> None:
        try:
            with Client(address, authkey=key) as line:
                line.send(event)
        except (OSError, EOFError):
            pass  # no process listens any more; the run continues

    return number, _perform(job, context, report)


def _perform(job: Job, context: RunContext, report: Report) -> Outcome:
    """Execute a run, or the rest of an interrupted one, and store it.

    Returns:
        Its record; its error message in one line if it failed; None if another process executes it.
    """
    if context.store is None:
        return _execute(job, context, None, report)
    config = job.content
    try:
        with context.store.claim(config) as folder:
            if folder is None:
                return None
            outcome = stored_record(job, context.store)  # stored by another process in the meantime
            if outcome is None:
                result = _execute(job, context, folder, report)
                if isinstance(result, str):
                    return result
                outcome = result
            else:
                report(("done", job.title, summary_line(outcome)))
            context.store.discard(config)
            return outcome
    except ValueError as error:
        report(("failed", job.title, str(error)))
        return str(error)


def _execute(job: Job, context: RunContext, folder: Path | None, report: Report) -> dict[str, Any] | str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    last_report = time.monotonic()

    def on_step(step: int, loss: float, accuracy: float) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= EVERY:
            last_report = time.monotonic()
            report(("step", job.title, step, loss, accuracy))

    try:
        if isinstance(job.config, TrainingRun):
            report(("start", job.title, job.config.train.steps))
        outcome = job.config.perform(context.data, on_step, folder, context.execution.save_every)
        content = job.record() | {"result": outcome.result, "measured": outcome.measured}
        record = json.loads(json.dumps(content))  # as read from its file: tuples are lists
        if context.store is not None:
            if outcome.weights:
                write_checkpoint(context.store.weights(record["config"]), outcome.weights, {"config": record["config"]})
            context.store.put(record["config"], outcome.result, outcome.measured, record["spec"])
    except Exception as error:
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
