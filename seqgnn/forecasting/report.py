"""The pictures of a comparison of forecasters, from the weights that it kept."""

import os
from pathlib import Path
from typing import Any

import torch

from seqgnn.figures import save
from seqgnn.forecasting.figures import steps_figure, times_figure, truth_figure
from seqgnn.forecasting.forecasts import Forecasts, collect_forecasts
from seqgnn.forecasting.maps import difference_figure, graph_figure
from seqgnn.forecasting.predict import load_forecaster
from seqgnn.forecasting.run import ForecastBaseline, ForecastRun, Signal
from seqgnn.forecasting.task import Forecasting
from seqgnn.outcome import Comparison


def write_pictures(comparison: Comparison, source: Signal, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes figures of the greatest horizon as PNG and SVG: `forecast-truth`, what the best model and the next say
    beside what came; `forecast-steps`, all errors by step ahead; `forecast-times`, by hour, day or month, where the
    signal has timestamps; `forecast-graph`, where the best model errs; and `forecast-difference`, where it errs less
    than the next. Without kept weights there are none.

    Raises:
        ValueError: if weights or the signal are not those of the runs.
    """
    found = forecasts_of(comparison, source)
    if found is None:
        return []
    best, *others = found.models
    figures: dict[str, Any] = {"truth": truth_figure(found), "steps": steps_figure(found)}
    if found.times is not None:
        figures["times"] = times_figure(found)
    figures["graph"] = graph_figure(found, best)
    if others:
        figures["difference"] = difference_figure(found, best, others[0])
    return [path for name, figure in figures.items() for path in save(figure, Path(folder) / f"forecast-{name}")]


def forecasts_of(comparison: Comparison, source: Signal, most: int = 4) -> Forecasts | None:
    """What the models of the greatest horizon say of the test part, the best first, and at most so many of them; None
    where no weights are kept."""
    horizon = max((length for _, length, _ in comparison.runs), default=0)
    kept = {key: path for key, path in comparison.weights.items() if key[1] == horizon and path.exists()}
    if not kept:
        return None
    labels = {label for label, _, _ in kept}
    means = {row["model"]: row[comparison.metric] for row in comparison.rows() if row["length"] == horizon}
    ranked = sorted(labels, key=means.__getitem__)[:most]
    run = ForecastRun.from_dict(comparison.runs[next(key for key in kept if key[0] == ranked[0])]["config"])
    task = Forecasting(source.load(), run.protocol)
    models = {label: [load_forecaster(path)[0] for key, path in kept.items() if key[0] == label] for label in ranked}
    baselines = {name: ForecastBaseline.from_dict(record["config"]).fit(task)
                 for (name, length), record in comparison.baselines.items() if length == horizon}  # fmt: skip
    with torch.no_grad():
        return collect_forecasts(task, models, baselines)
