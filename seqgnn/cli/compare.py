"""`seqgnn compare`."""

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import typer

from seqgnn._utils.files import is_read_only
from seqgnn.cli._compare_options import arguments, settings
from seqgnn.cli._terminal import despite_lost_output

DEFAULT_TASKS = ("palindromes", "text")
DEFAULT_MINUTES = 4  # of the comparison without any options, on two cores that do nothing else
ONE_SEED = "one seed: no standard deviations, and models may differ by the seed alone; use three or more"
BOOK = Path("democracy_in_america") / "book_EN_democracy_in_the_US.txt"


def compare(options: dict[str, Any]) -> None:
    """Compare models on a task: print a table and, with --out, write a report, a CSV file, figures and one JSON file
    per run.

    An interrupted comparison resumes if the command is repeated with the same --out. Processes and machines that share
    this folder divide the runs among themselves.
    """
    command = {name: options.pop(name, None) for name in ("config", "diagnose", "dry_run", "retry_failed")}
    merged = settings(options, command["config"])
    task, out = merged.pop("task", None), merged.get("out")
    if command["retry_failed"] and out is None:
        raise ValueError("compare: expected --out, the folder of the failed runs, got none")
    plans = [_plan(name, merged, task is None) for name in (DEFAULT_TASKS if task is None else (task,))]
    if command["diagnose"]:
        for planned in plans:
            for (label, size), lines in planned.diagnose().items():
                print(f"{planned.task} T={size} {label}: {'; '.join(lines) or 'no problem found'}")
    if command["dry_run"]:
        for planned in plans:
            _show_plan(planned)
        return
    if not command["retry_failed"]:
        _check_writable(plans, out)
    is_default = task is None and not merged.keys() - {"out", "jobs"}
    with nullcontext() if out is None else despite_lost_output():
        if not command["retry_failed"]:
            _announce(plans, out, DEFAULT_MINUTES if is_default else None)
        complete = _run(plans, out, merged.get("data"), bool(command["retry_failed"]))
    if not complete:
        raise typer.Exit(1)


def _check_writable(plans: Sequence[Any], out: Path | None) -> None:
    """Raise a ValueError if runs are to be stored in a folder that cannot be written."""
    if out is None or is_read_only(out):
        return
    states = {state for planned in plans for state in planned.states().values()}
    if states - {"finished", "without weights"}:
        plans[0].context.store.prepare()


def _announce(plans: Sequence[Any], out: Path | None, minutes: float | None) -> None:
    """Print which runs come, where the results go and, where it is known, how long all takes on two cores."""
    for planned in plans:
        print(planned.outline(), flush=True)
    if any(planned.auto is None and len(planned.seeds) == 1 for planned in plans):
        print(ONE_SEED, flush=True)
    time = "`--dry-run` estimates the time" if minutes is None else f"about {minutes:g} minutes on two cores"
    results = "results are printed, not stored" if out is None else f"results in {out}, with report.html"
    resume = "" if out is None else "; if interrupted, the same command resumes"
    print(f"{time}; {results}{resume}", flush=True)


def _plan(task: str, options: dict[str, Any], one_of_several: bool) -> Any:
    """Return the plan of a task's runs without executing them, so that all errors are reported before any run."""
    from seqgnn._utils.validation import one_of
    from seqgnn.experiments import compare as comparison
    from seqgnn.experiments.runs.problem import PROBLEMS

    problem = PROBLEMS[one_of("compare", "task", task, PROBLEMS)]
    options = dict(options)
    if problem.data_kind == "text" and "data" not in options and (book := default_book()) is not None:
        options["data"] = str(book)
    if one_of_several and problem.data_kind is None:
        options.pop("data", None)
    return comparison.plan(task, **arguments(task, options))


def _run(plans: Sequence[Any], out: Path | None, data: Path | None, only_failed: bool) -> bool:
    """Execute the runs, show each table and write its files; return True if nothing failed."""
    from seqgnn.report import tables as report
    from seqgnn.report.html import write_page

    results, errors, failed = [], [], 0
    writes = out is not None and not is_read_only(out)
    for planned in plans:
        try:
            result = planned.run(only_failed=only_failed)
        except KeyboardInterrupt:
            if out is not None:
                print(f"seqgnn: finished runs are stored in {out}; repeat the command to resume", file=sys.stderr)
            raise
        if not (result.runs or result.baselines or result.failures):  # with `only_failed`, if nothing is stored
            continue
        report.show(result)
        results.append(result)
        failed += len(result.failures)
        if out is not None and writes:
            planned.context.store.check()  # or it would be created again, with a report but without the runs
            paths, write_errors = _write(result, planned.context.data, out)
            errors += write_errors
            for path in paths:
                print(f"wrote {path}")
    if out is not None and not writes:
        command = f"seqgnn report {shlex.quote(str(out))} --out report.html"
        print(f"{out} is read-only, so no file was written; for a report elsewhere: {command}")
    elif out is not None and results:
        other_comparisons = _other_comparisons(out, [result.task for result in results], data)
        store = plans[0].context.store
        store.check()
        try:
            print(f"wrote {write_page([*results, *other_comparisons], out / 'report.html')}")
        except ValueError as error:
            errors.append(str(error))
        if errors:
            store.check()  # then the folder is named, not each file that could not be written
    for message in errors:
        print(f"seqgnn: {message}", file=sys.stderr)
    return not errors and not failed


def _write(result: Any, source: Any, out: Path) -> tuple[list[Path], list[str]]:
    """Write tables and figures; return their paths, and a line for each one that could not be written."""
    from seqgnn._utils.files import NotWritten
    from seqgnn.report import tables as report
    from seqgnn.report.forecasts import write_figures

    paths: list[Path] = []
    errors: list[str] = []
    for write in (partial(report.write, result, out), partial(write_figures, result, source, out)):
        try:
            paths += write()
        except NotWritten as error:
            paths += error.written
            errors += [f"compare: expected a writable file, got {file}" for file in error.lost]
        except ValueError as error:
            errors.append(str(error))
    return paths, errors


def _other_comparisons(out: Path, tasks: Sequence[str], data: Path | None) -> list[Any]:
    """Return the comparisons on other tasks in the folder, which stay on its page."""
    from seqgnn.experiments.results.load import load_comparisons

    try:
        data = data or default_book()
        comparisons = load_comparisons([out], [] if data is None else [data]).comparisons
    except ValueError:  # no run is stored there
        return []
    return [comparison for comparison in comparisons if comparison.task not in tasks]


def _show_plan(planned: Any) -> None:
    """Print the runs with their states, and the time that the remaining ones take at most."""
    from seqgnn._utils.text import duration
    from seqgnn.metrics.significance import seeds_needed

    for line in planned.remarks():
        print(line)
    states, (seconds, unknown) = planned.states(), planned.estimate()
    for job in planned.jobs:
        estimate = f", at most {duration(seconds[job.key])}" if job.key in seconds else ""
        if job.key in unknown:
            estimate = f", no estimate ({unknown[job.key]})"
        print(f"{job.title}: {states[job.key]}{estimate}")
    workers = planned.context.workers
    num_remaining, total = len(seconds) + len(unknown), sum(seconds.values())
    min_seeds = seeds_needed(len(planned.labels)) if len(planned.labels) > 1 else 0
    if planned.auto is not None:
        print(f"seeds {', '.join(map(str, planned.seeds))}, then {planned.auto.in_words}")
    elif len(planned.seeds) == 1:
        print(ONE_SEED)
    elif len(planned.seeds) < min_seeds:
        seeds = f"{len(planned.seeds)} seeds"
        print(f"{seeds}: differences are tested by a t test; from {min_seeds} seeds on, sign flips have to agree")
    unknown_note = f", not counting {len(unknown)} without an estimate" if unknown else ""
    limit = f"at most {duration(total)}, {duration(total / workers)} with {workers} at a time"
    first = "" if planned.auto is None else f" for the first {len(planned.seeds)} seeds"
    print(f"{num_remaining} run{'s' * (num_remaining != 1)} to train{first}: {limit}{unknown_note}")


def default_book() -> Path | None:
    folder = os.environ.get("SEQGNN_DATA")
    return Path(folder) / BOOK if folder and (Path(folder) / BOOK).is_file() else None
