"""The runs stored in folders, one line each, the best first."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqgnn.experiments.results.load import StoredRun, read_entries
from seqgnn.experiments.results.naming import distinct_labels
from seqgnn.experiments.runs.problem import METRICS, PROBLEMS
from seqgnn.experiments.runs.record import BaselineRecord, RunRecord

FINISHED, FAILED = "finished", "failed"


@dataclass(frozen=True)
class ListedRun:
    """A stored run.

    Attributes:
        task: name of the task.
        data_id: name and hash of the data that the task reads; None for tasks that generate their samples.
        label: label of the model, or name of the baseline.
        size: length, number of nodes or horizon.
        seed: its seed; None for a baseline.
        state: "finished" or "failed".
        metric: the headline metric.
        validation: score of its weights on the validation set, in terms of the metric; None for a baseline, which has
            none, and for a failed run.
        test: score on the test set.
        path: file of the run.
    """

    task: str
    data_id: str | None
    label: str
    size: int
    seed: int | None
    state: str
    metric: str
    validation: float | None
    test: float | None
    path: Path

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON holds it."""
        return asdict(self) | {"path": str(self.path)}


def list_runs(paths: Sequence[str | os.PathLike[str]]) -> tuple[list[ListedRun], list[str]]:
    """Return the runs and baselines stored in folders, and a line for each file that cannot be read.

    They are sorted by task, data and size, and within these by the score on the validation set, the best first; runs
    without one follow. The score on the test set does not change the order: it is no means of selection.

    Args:
        paths: as in `load_comparisons`.

    Raises:
        ValueError: if there is no run in any of them.

    Example:
        >>> import tempfile
        >>> from seqgnn.experiments.compare import compare
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"sizes": [4], "seeds": [0], "hidden": 16, "progress": False, "out": folder}
        ...     result = compare("recall", models=["rnn", "gcn-1hop"], steps=60, **options)
        ...     listed, problems = list_runs([folder])
        >>> [(run.label, run.seed) for run in listed]
        [('RNN', 0), ('GCN, one hop', 0), ('chance', None), ('linear', None), ('majority', None)]
    """
    entries, problems = read_entries(paths)
    if not entries:
        reasons = "; ".join(problems) or "no path"
        raise ValueError(f"runs: expected folders with runs of seqgnn compare, got none ({reasons})")
    trained = [entry for entry in entries if entry.spec is not None]
    labels = distinct_labels([entry.spec.label for entry in trained if entry.spec], [entry.run for entry in trained])
    names = {entry.file.name: label for entry, label in zip(trained, labels)}
    runs = [_listed(entry, names.get(entry.file.name)) for entry in entries]
    return sorted(runs, key=_place), problems


def _listed(entry: StoredRun, label: str | None) -> ListedRun:
    run, record = entry.run, entry.outcome
    metric = PROBLEMS[run.task].headline(run)
    return ListedRun(
        task=run.task,
        data_id=run.data_id,
        label=str(getattr(run, "baseline", "")) if label is None else label,
        size=run.size,
        seed=None if label is None else run.seed,
        state=FAILED if isinstance(record, str) else FINISHED,
        metric=metric,
        validation=validation_score(record) if isinstance(record, RunRecord) else None,
        test=record.result.test.values.get(metric) if isinstance(record, RunRecord | BaselineRecord) else None,
        path=entry.file,
    )


def validation_score(record: RunRecord) -> float | None:
    """Return the validation score of the weights that were tested: their accuracy if that is the headline metric, or
    else their loss, which for forecasts is the metric; None if that evaluation is not stored."""
    problem, result = PROBLEMS[record.config.task], record.result
    point = next((point for point in result.validation if point.step == result.best_step), None)
    if point is None:
        return None
    return point.accuracy if problem.headline(record.config) == "accuracy" else point.loss


def _place(run: ListedRun) -> tuple[Any, ...]:
    score = math.inf if run.validation is None else run.validation * (-1 if METRICS[run.metric].higher_is_better else 1)
    return run.task, run.data_id or "", run.size, score, run.seed is None, run.label, run.seed or 0, run.path.name
