"""The plan of a comparison: its runs, their states, the time they take, and their execution."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from seqgnn._utils.text import count
from seqgnn._utils.threads import one_thread
from seqgnn.analysis import diagnose
from seqgnn.experiments.grid.seeds import AutoSeeds
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.leading_difference import leading_difference
from seqgnn.experiments.results.ranking import baseline_score, best_baseline
from seqgnn.experiments.runs.base import TrainingRun
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.executor import run_all
from seqgnn.experiments.runs.job import Job, Key, RunContext
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.record import BaselineRecord, FailedRun, RunRecord


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison, none of them started; `left_out` are default models that do not fit the data, `notes`
    remarks on it. With `auto`, these are the runs of the first seeds, and `run` draws further ones."""

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
    auto: AutoSeeds | None = None

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

    def outline(self) -> str:
        """Return the runs in a line: "recall: 12 runs (2 models, T = 10 and 20, 3 seeds) and 6 baselines"."""
        num_runs = sum(isinstance(job.config, TrainingRun) for job in self.jobs)
        seeds = count(len(self.seeds), "seed") + ("" if self.auto is None else ", then more")
        axis = PROBLEMS[self.task].size
        grid = f"{count(len(self.labels), 'model')}, {axis.all(self.sizes)}, {seeds}"
        return f"{self.task}: {count(num_runs, 'run')} ({grid}) and {count(len(self.jobs) - num_runs, 'baseline')}"

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
                    with one_thread():  # as runs have
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

        Raises:
            ValueError: for `only_failed` with seeds that are drawn; and if a file of a run is damaged, or cannot be
                written.
        """
        if only_failed and self.auto is not None:
            raise ValueError("compare: expected a list of seeds with retry_failed, got seeds='auto'")
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
        if self.auto is not None:
            return self._draw_seeds(self.auto, progress)
        context = replace(self.context, remake_weights=only_failed)
        return self._comparison(jobs, *run_all(jobs, context, progress))

    def _draw_seeds(self, rule: AutoSeeds, progress: bool) -> Comparison:
        """Execute the runs of the first seeds, then draw further ones where the leading difference is not precise."""
        start = time.monotonic()
        records: dict[Key, dict[str, Any]] = {}
        failures: dict[Key, str] = {}
        jobs, batch, seed = list(self.jobs), list(self.jobs), self.seeds[-1]
        while True:
            finished, failed = run_all(batch, self.context, progress)
            records |= finished
            failures |= failed
            result = self._comparison(jobs, records, failures)
            sizes, lines = imprecise_sizes(result, rule)
            seed += 1
            reasons = {
                f"the maximum of {rule.max_seeds} seeds is reached": seed >= rule.max_seeds,
                f"the budget of {rule.budget:g} s is spent" if rule.budget else "":
                    rule.budget is not None and time.monotonic() - start >= rule.budget,
            }  # fmt: skip
            over = next((reason for reason, applies in reasons.items() if applies), None)
            if progress:
                for line in lines:
                    print(line, flush=True)
                if sizes:
                    print(f"no more seeds: {over}" if over else f"drawing seed {seed}", flush=True)
            if not sizes or over:
                return result
            trained = (job for job in self.jobs if isinstance(job.config, TrainingRun) and job.key[2] == self.seeds[0])
            batch = [_with_seed(job, seed) for job in trained if job.key[1] in sizes]
            jobs += batch

    def _comparison(
        self, jobs: Sequence[Job], records: Mapping[Key, dict[str, Any]], failures: dict[Key, str]
    ) -> Comparison:
        """Return the comparison of the given runs."""
        trained = {job.key: job for job in jobs if isinstance(job.config, TrainingRun)}
        runs = {key: RunRecord.from_dict(records[key], job.config) for key, job in trained.items() if key in records}
        store = self.context.store
        return Comparison(
            task=self.task,
            metric=self.metric,
            labels=tuple(label for label in self.labels if any(key[0] == label for key in trained)) or self.labels,
            sizes=tuple(size for size in self.sizes if any(job.key[1] == size for job in jobs)),
            seeds=tuple(dict.fromkeys(seed for _, _, seed in trained)) or self.seeds,
            elements=self.elements,
            data_id=self.data_id,
            units=self.units,
            matched=self.matched,
            runs=runs,
            baselines={job.key[:2]: BaselineRecord.from_dict(records[job.key], job.config)
                       for job in jobs if job.key in records and job.key not in trained},
            failures=dict(failures),
            failed={key: FailedRun(job.config, job.spec) for key, job in trained.items()
                    if key in failures and isinstance(job.config, TrainingRun) and job.spec is not None},
            data=self.context.data,
            weights={} if store is None else {key: store.weights(trained[key].content) for key in runs},
            out=None if store is None else store.folder.parent,
        )  # fmt: skip


def imprecise_sizes(result: Comparison, rule: AutoSeeds) -> tuple[set[int], list[str]]:
    """Return the sizes at which the leading difference is not precise enough, and a line about each size.

    Sizes without a leading difference, or without a known width, are not among them: more seeds would not help.
    """
    sizes, lines = set(), []
    for size in result.sizes:
        lead, baseline = leading_difference(result, size), best_baseline(result, size)
        if lead is None:
            continue
        score = None if baseline is None else baseline_score(result, baseline, size)
        limit = rule.limit(result.higher_is_better, score)
        if limit is None:
            lines.append(f"{result.at(size)}: no baseline, so no default for the width of the interval")
            continue
        if lead.width > limit:
            sizes.add(size)
        width = "unknown" if math.isinf(lead.width) else f"{lead.width:.3g}"
        lines.append(
            f"{result.at(size)}, {lead.seeds} seeds: {lead.first} and {lead.second}, the leading difference; width of "
            f"its 95% interval {width}, {'at most' if lead.width <= limit else 'more than'} {limit:.3g}"
        )
    return sizes, lines


def _with_seed(job: Job, seed: int) -> Job:
    """Return the same run with another seed."""
    label, size, own_seed = job.key
    title = f"{job.title.removesuffix(f'seed {own_seed}')}seed {seed}"
    return Job((label, size, seed), title, replace(cast(Any, job.config), seed=seed), job.spec)
