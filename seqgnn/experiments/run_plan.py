"""The plan of a comparison: its runs, their states, the time they take, and their execution."""

from dataclasses import dataclass, replace

from seqgnn.analysis import diagnose
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.executor import run_all
from seqgnn.experiments.runs.job import Job, Key, RunContext
from seqgnn.experiments.runs.record import BaselineRecord, FailedRun, RunRecord


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, none of them started; `left_out` are default models that do not fit the data, `notes`
    remarks on it."""

    task: str
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int]
    data_id: str | None
    matched: bool
    jobs: tuple[Job, ...]
    context: RunContext
    metric: str
    units: str | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def diagnose(self) -> dict[tuple[str, int], list[str]]:
        """Return the diagnostics of each model at each size, see `seqgnn.analysis.diagnostics`."""
        diagnostics = {}
        for job in self.jobs:
            label, size, seed = job.key
            if isinstance(job.config, RunConfig) and seed == self.seeds[0]:
                task = job.config.make_task(self.context.data)
                diagnostics[label, size] = diagnose(job.config.build(task), task)
        return {(label, size): diagnostics[label, size] for size in self.sizes for label in self.labels
                if (label, size) in diagnostics}  # fmt: skip

    def remarks(self) -> list[str]:
        """Return remarks on the plan: models that it leaves out, gaps in the data, a season that does not exist."""
        left_out = [f"{label}: left out, since the graph changes and it takes one for all steps"
                    for label in self.left_out]  # fmt: skip
        return [*left_out, *self.notes]

    def states(self) -> dict[Key, str]:
        """Return the state of each run: "finished", "without weights", "failed", "interrupted" or "to do"."""
        return {job.key: self._state(job) for job in self.jobs}

    def _state(self, job: Job) -> str:
        return "to do" if self.context.store is None else self.context.store.state(job.content)

    def estimate(self) -> tuple[dict[Key, float], dict[Key, str]]:
        """Return the maximum seconds of the runs that are not stored, estimated by a few steps of each model at each
        size; and for other runs the reason why it is not known.

        Baselines, which take seconds, are omitted; finished parts of interrupted runs are not deducted.
        """
        rows: dict[tuple[str, int], float | str] = {}
        estimates: dict[Key, float] = {}
        reasons: dict[Key, str] = {}
        for job in self.jobs:
            if not isinstance(job.config, TrainingRun) or self._state(job) == "finished":
                continue
            row = job.key[:2]
            if row not in rows:
                try:
                    rows[row] = job.config.estimate(self.context.data)
                except (ValueError, RuntimeError, MemoryError) as error:
                    rows[row] = " ".join(str(error).split()) or type(error).__name__
            if isinstance(estimate := rows[row], str):
                reasons[job.key] = estimate
            else:
                estimates[job.key] = estimate
        return estimates, reasons

    def run(self, progress: bool = True, only_failed: bool = False) -> Comparison:
        """Execute the runs that are not stored yet, or only those that failed before or whose weights are missing or
        damaged, and return the comparison.

        Runs that fail are listed in its `failures`; runs that are left out are not part of it.
        """
        jobs = self.jobs
        if progress:
            for line in self.remarks():
                print(line, flush=True)
        if only_failed:
            states = self.states()
            jobs = tuple(job for job in jobs if states[job.key] not in ("to do", "interrupted"))
            for state, words in (("to do", "not started"), ("interrupted", "interrupted")):
                if progress and (skipped := sum(job_state == state for job_state in states.values())):
                    print(f"skipping {skipped} runs that were {words}", flush=True)
        records, failures = run_all(jobs, replace(self.context, remake_weights=only_failed), progress)
        trained = {job.key: job for job in jobs if isinstance(job.config, TrainingRun)}
        runs = {key: RunRecord.from_dict(records[key], job.config) for key, job in trained.items() if key in records}
        store = self.context.store
        return Comparison(
            task=self.task,
            metric=self.metric,
            labels=tuple(label for label in self.labels if any(key[0] == label for key in trained)) or self.labels,
            sizes=tuple(size for size in self.sizes if any(job.key[1] == size for job in jobs)),
            seeds=tuple(seed for seed in self.seeds if any(key[2] == seed for key in trained)) or self.seeds,
            elements=self.elements,
            data_id=self.data_id,
            units=self.units,
            matched=self.matched,
            runs=runs,
            baselines={job.key[:2]: BaselineRecord.from_dict(records[job.key], job.config)
                       for job in jobs if job.key in records and job.key not in trained},
            failures=failures,
            failed={key: FailedRun(job.config, job.spec) for key, job in trained.items()
                    if key in failures and isinstance(job.config, TrainingRun) and job.spec is not None},
            data=self.context.data,
            weights={} if store is None else {key: store.weights(trained[key].content) for key in runs},
            out=None if store is None else store.folder.parent,
        )  # fmt: skip
