"""The best run of a comparison of forecasters, chosen on the validation set."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from seqgnn._utils.text import listed
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.experiments.results.load import StoredRun, read_entries
from seqgnn.experiments.results.run_list import validation_score
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.record import BaselineRecord, RunRecord
from seqgnn.experiments.trained.forecast import trained_task


@dataclass(frozen=True)
class BestForecast:
    """The run of a folder with the best validation score.

    Attributes:
        path: file of the run.
        label: label of the model, or name of the baseline.
        seed: seed of the model; None for a baseline.
        metric: name of the metric.
        score: its value on the validation set; lower is better.
        runs, baselines: numbers of runs and baselines among which it was chosen.
    """

    path: Path
    label: str
    seed: int | None
    metric: str
    score: float
    runs: int
    baselines: int


def best_forecast(
    folder: str | os.PathLike[str], graph: TemporalGraph, horizon: int | None = None
) -> BestForecast:
    """Return the model or baseline with the best score on the validation set; test scores are not read.

    The score of a model is that of its weights during training. Baselines store none, so they are fitted to the
    training part again and scored on the validation part; also where the comparison refitted all of them.

    Args:
        folder: the `--out` of a comparison of forecasters, or its `runs/`.
        graph: the time series of the runs, or one that continues it.
        horizon: horizon of the runs; None: the only one in the folder.

    Raises:
        ValueError: if there is no such run, if runs differ in horizon, protocol or data, or if the time series is
            another.
    """
    entries, problems = read_entries([folder])
    finished = [entry for entry in entries if isinstance(entry.run, ForecastRun | ForecastBaseline)
                and not isinstance(entry.outcome, str)]  # fmt: skip
    horizons = sorted({entry.run.size for entry in finished})
    if horizon is not None:
        finished = [entry for entry in finished if entry.run.size == horizon]
    if not finished:
        actual = f"runs with horizons {listed([str(size) for size in horizons])}" if horizons else "none"
        suffix = "" if horizon is None else f" with horizon {horizon}"
        reasons = f" ({'; '.join(problems)})" if problems else ""
        raise ValueError(f"forecast: expected finished runs of forecasters{suffix} in {folder}, got {actual}{reasons}")
    if horizon is None and len(horizons) > 1:
        got = listed([str(size) for size in horizons])
        raise ValueError(f"forecast: expected one horizon in {folder}, got {got}; pass --horizon")
    if len({(entry.run.data_id, entry.run.setting) for entry in finished}) > 1:
        raise ValueError(
            f"forecast: expected runs of one time series and protocol in {folder}, got several; pass the file of a run"
        )
    metric = cast(ForecastRun, finished[0].run).protocol.metric
    models = [(score, entry) for entry in finished if isinstance(entry.outcome, RunRecord)
              and (score := validation_score(entry.outcome)) is not None]  # fmt: skip
    baselines = list(_baseline_scores(finished, graph))
    score, best = min([*models, *baselines], key=lambda pair: (pair[0], pair[1].file.name))
    label = str(getattr(best.run, "baseline", "")) if best.spec is None else best.spec.label
    seed = None if best.spec is None else best.run.seed
    return BestForecast(best.file, label, seed, metric, score, len(models), len(baselines))


def _baseline_scores(entries: Iterable[StoredRun], graph: TemporalGraph) -> Iterable[tuple[float, StoredRun]]:
    """Yield the validation score of each baseline, fitted to the training part only."""
    for entry in entries:
        if isinstance(entry.outcome, BaselineRecord):
            task = trained_task(None, entry.outcome, graph)
            fitted = replace(cast(ForecastBaseline, entry.run), refit=False).fit(task)
            sums = task.objective.sums()
            for batch in task.validation(64):
                task.objective.add(sums, fitted(batch), batch)
            yield sums.result().loss, entry
