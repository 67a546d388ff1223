"""Figures of a comparison of forecasters, from its saved weights."""

import math
import os
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.files import write_all
from seqgnn.analysis.forecast_errors import Forecasts, collect_forecasts
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.trained.forecast import load_forecaster
from seqgnn.models.forecasters import uses_neighbors
from seqgnn.report.plots.error_maps import difference_figure, graph_figure
from seqgnn.report.plots.forecasts import steps_figure, times_figure, truth_figure
from seqgnn.report.plots.style import rendered
from seqgnn.tasks.forecasting import Forecasting

MOST = 4  # models


def write_figures(comparison: Comparison, source: DataSource | None, folder: str | os.PathLike[str]) -> list[Path]:
    """Write figures for the largest horizon as PNG and SVG. `forecast-truth`: forecasts of the best models and the
    ground truth; `forecast-steps`: errors by step ahead; `forecast-times`: errors by hour, day or month, if the time
    series has timestamps; `forecast-graph`: errors of the best model at each node; `forecast-difference`: the
    difference in error between the two models of `compared_pair`. Without saved weights there are no figures.

    Raises:
        ValueError: if the weights or the time series are not those of the runs.
        NotWritten: names the files that could not be written; all others are written.
    """
    forecasts = forecasts_of(comparison, source)
    if forecasts is None:
        return []
    figures: dict[str, Any] = {"truth": truth_figure(forecasts), "steps": steps_figure(forecasts)}
    if forecasts.times is not None:
        figures["times"] = times_figure(forecasts)
    figures["graph"] = graph_figure(forecasts, next(iter(forecasts.models)))
    if pair := compared_pair(comparison, forecasts):
        figures["difference"] = difference_figure(forecasts, *pair)
    return write_all(
        file for name, figure in figures.items() for file in rendered(figure, Path(folder) / f"forecast-{name}")
    )


def forecasts_of(comparison: Comparison, source: DataSource | None) -> Forecasts | None:
    """Return the test forecasts of the best models at the largest horizon, the best first, both of `compared_pair`
    included; None where no weights are stored."""
    runs = {key: run.config for key, run in comparison.runs.items() if isinstance(run.config, ForecastRun)}
    horizon = max((run.size for run in runs.values()), default=0)
    weights = {key: path for key, path in comparison.weights.items()
            if key in runs and key[1] == horizon and path.exists()}  # fmt: skip
    if not weights or source is None:
        return None
    labels = [label for label in comparison.labels if any(key[0] == label for key in weights)]
    means = {row.model: row.mean(comparison.metric) for row in comparison.rows() if row.size == horizon}
    ranked = sorted(labels, key=lambda label: means[label] or math.inf)
    kind = sees_neighbors(comparison, ranked[0])
    counterpart = next((label for label in ranked if sees_neighbors(comparison, label) != kind), ranked[0])
    ranked = ranked[:MOST] if counterpart in ranked[:MOST] else [*ranked[: MOST - 1], counterpart]
    run = next(runs[key] for key in weights if key[0] == ranked[0])
    task = Forecasting(source.load(), run.protocol)
    models = {label: [load_forecaster(path)[0] for key, path in weights.items() if key[0] == label] for label in ranked}
    baselines = {name: record.config.fit(task) for (name, size), record in comparison.baselines.items()
                 if size == horizon and isinstance(record.config, ForecastBaseline)}  # fmt: skip
    with torch.no_grad():
        return collect_forecasts(task, models, baselines)


def compared_pair(comparison: Comparison, forecasts: Forecasts) -> tuple[str, str] | None:
    """Return the two models whose errors are compared node by node: the best one that uses neighbors and the best one
    that does not or, if there are only models of one kind, the best two; None for a single model."""
    kinds = {sees_neighbors(comparison, label): label for label in reversed(list(forecasts.models))}
    if len(kinds) == 2:
        return kinds[True], kinds[False]
    best, *remaining = forecasts.models
    return (best, remaining[0]) if remaining else None


def sees_neighbors(comparison: Comparison, label: str) -> bool:
    """Return True if a model exchanges messages between neighbors."""
    config = next(run.config for key, run in comparison.runs.items() if key[0] == label)
    return isinstance(config, ForecastRun) and uses_neighbors(config.model, neighbors=config.neighbors, K=config.K)
