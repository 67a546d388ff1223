"""Forecasts of a stored run, of a model or a baseline: of the steps after the end of its time series, and of its test
set.

A run does not store its scaling, nor a baseline what it was fitted to; both are fitted again on the same part. This
needs the time series of the run, or one that continues it: a hash of its first steps identifies it.
"""

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqgnn._utils.validation import check_count
from seqgnn.data.datasets.data_source import content_hash
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.transforms.splits import split_range
from seqgnn.data.windows import WindowBatch
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.problem import read_config
from seqgnn.experiments.runs.record import BaselineRecord, RunRecord
from seqgnn.experiments.runs.result import read_weights
from seqgnn.experiments.runs.store import read_run
from seqgnn.metrics.forecasting import ForecastScores
from seqgnn.models.baselines.forecasting import Baseline
from seqgnn.models.forecaster import Forecaster
from seqgnn.tasks.forecasting import Forecasting, Protocol, window_starts
from seqgnn.training.checkpoint import read_checkpoint


def load_record(path: str | PathLike[str]) -> RunRecord | BaselineRecord:
    """Return the record of a run of a forecaster or of a baseline of forecasts.

    Args:
        path: `<key>.json` or `<key>.safetensors`, two files in one folder; baselines have no weights.

    Raises:
        ValueError: naming the file, if the record is missing, damaged or changed since, and for runs of other tasks.
    """
    path = Path(path)
    if path.suffix not in (".json", ".safetensors"):
        raise ValueError(f"load_forecaster: expected a run's .json or .safetensors, got {path}")
    record_file, weights_file = path.with_suffix(".json"), path.with_suffix(".safetensors")
    if weights_file.exists() and not record_file.exists():
        _, info = read_checkpoint(weights_file)
        actual = "a sequence model" if "vocabulary" in info else f"no {record_file.name} in its folder"
        raise ValueError(f"load_forecaster: expected the weights of a forecaster in {weights_file}, got {actual}")
    content = read_run(record_file)
    config = read_config(content["config"])
    if isinstance(config, ForecastBaseline):
        return BaselineRecord.from_dict(content, config)
    if not isinstance(config, ForecastRun):
        actual = f"a run of {config.task!r}"
        raise ValueError(f"load_forecaster: expected a run of a forecaster in {record_file}, got {actual}")
    return RunRecord.from_dict(content, config)


def load_forecaster(path: str | PathLike[str]) -> tuple[Forecaster, RunRecord]:
    """Return a trained forecaster in evaluation mode and the record of its run.

    Args:
        path: `<key>.json` or `<key>.safetensors`, two files in one folder.

    Raises:
        ValueError: naming the file, if one of the two is missing, damaged or changed since, if the weights are those of
            another run, and for runs of other tasks and of baselines, which have no weights.
    """
    run, weights_file = load_record(path), Path(path).with_suffix(".safetensors")
    if isinstance(run, BaselineRecord):
        actual = f"the baseline {run.config.baseline!r}; use load_record and refit_baseline"
        record_file = weights_file.with_suffix(".json")
        raise ValueError(f"load_forecaster: expected a run of a forecaster in {record_file}, got {actual}")
    config = cast(ForecastRun, run.config)
    weights = read_weights(weights_file, run.result.weights_sha256)
    try:
        model = _build(config, _in_channels(config, weights))
        model.load_state_dict(weights)
    except (RuntimeError, KeyError, ValueError) as error:
        expected, actual = f"the weights of {config.model} in {weights_file}", " ".join(str(error).split())
        raise ValueError(f"load_forecaster: expected {expected}, got {actual}") from error
    return model.eval(), run


def refit_baseline(run: BaselineRecord, graph: TemporalGraph) -> Baseline:
    """Return the baseline of a run, fitted again to the same part of its time series.

    Args:
        run: of `load_record`.
        graph: the time series of the run, or one that continues it: the same nodes and edges, more steps.

    Raises:
        ValueError: if the time series is another.
    """
    config = cast(ForecastBaseline, run.config)
    return config.fit(trained_task(None, run, graph))


def forecast(
    model: Forecaster | Baseline, run: RunRecord | BaselineRecord, graph: TemporalGraph, start: int | None = None
) -> Tensor:
    """Return the forecast of `horizon` steps, in the units of the time series.

    Args:
        model, run: of `load_forecaster`; or the result of `refit_baseline` for this graph, and its record.
        graph: the time series of the run, or one that continues it: the same nodes and edges, more steps.
        start: the first step of the forecast, which reads the lags before it; None: ``len(graph)``, the first step
            after the end.

    Shapes:
        ``[horizon, N, C]``.

    Raises:
        ValueError: if the time series is another, has other features or fewer steps than lags, or `start` has fewer
            steps before it than lags.
    """
    task = trained_task(model, run, graph)
    lags, horizon = task.protocol.lags, task.protocol.horizon
    start = len(graph) if start is None else check_count("forecast", "start", start, lags)
    if start > len(graph):
        raise ValueError(f"forecast: expected start to be at most {len(graph)}, the number of steps, got {start}")
    past = task.graph.steps(start - lags, start)
    edges, weights = (list(part) if isinstance(part, tuple) else part for part in (past.edge_index, past.edge_weight))
    y = past.targets.new_zeros(horizon, 1, *past.targets.shape[1:])  # not known, not read
    batch = WindowBatch(past.signal[:, None], y, None, edges, weights, torch.tensor([start - lags]))  # type: ignore[arg-type]
    return _unscale(task, _predict(model, batch))[:, 0]


def forecast_test(
    model: Forecaster | Baseline, run: RunRecord | BaselineRecord, graph: TemporalGraph, batch_size: int = 64
) -> tuple[Tensor, range, ForecastScores]:
    """Return the forecasts of all windows of the run's test set, in the units of the time series, the first step of
    each, and the scores, which equal those of the run.

    Args:
        model, run, graph: as in `forecast`.
        batch_size: windows per batch.

    Shapes:
        ``[horizon, W, N, C]`` and W steps.

    Raises:
        ValueError: as `forecast`.
    """
    task = trained_task(model, run, graph)
    forecasts, sums = [], task.objective.sums()
    for batch in task.test(batch_size):
        forecasts.append(_predict(model, batch))
        task.objective.add(sums, forecasts[-1], batch)
    window_range, lags = task.test_windows.starts, task.protocol.lags
    starts = range(window_range.start + lags, window_range.stop + lags)
    return _unscale(task, torch.cat(forecasts, dim=1)), starts, sums.result().scores


def trained_task(
    model: Forecaster | Baseline | None, run: RunRecord | BaselineRecord, graph: TemporalGraph
) -> Forecasting:
    """Return the forecasting task of a run on its time series, or on one that continues it: split and scaled as then.

    Raises:
        ValueError: if it is another time series, see `forecast`.
    """
    config = cast(ForecastRun | ForecastBaseline, run.config)
    if isinstance(model, Forecaster):
        features = model.in_channels - 2 * len(config.protocol.calendar)
        if graph.num_features != features:
            shape = tuple(graph.signal.shape)
            raise ValueError(f"forecast: expected a time series [T, N, {features}], as in training, got {shape}")
    if len(graph) < config.protocol.lags:
        raise ValueError(f"forecast: expected at least {config.protocol.lags} steps to read, got {len(graph)}")
    for stop, protocol in _cuts(config.protocol, graph, run.result.test.count):
        if config.data_id.endswith(f"({content_hash(_first_steps(graph, stop))})"):
            task = Forecasting(graph, protocol)
            return config.task_of(task) if isinstance(config, ForecastBaseline) else task
    has_gaps = graph.time is not None and len(graph.time.gaps()) > 0
    remedy = f"pass the options of the comparison{', such as --fill-gaps' if has_gaps else ''}"
    raise ValueError(
        f"forecast: expected the time series {config.data_id} that the run was trained on, with the same nodes and "
        f"edges, or one that continues it, got {graph!r} ({content_hash(graph)}); {remedy}"
    )


def _cuts(protocol: Protocol, graph: TemporalGraph, count: int) -> Iterator[tuple[int, Protocol]]:
    """Yield the numbers of first steps, the largest first, whose test set has `count` observed values; with each, the
    protocol in counts, which splits a longer time series at the same steps."""
    lags, horizon = protocol.lags, protocol.horizon
    observed = torch.ones_like(graph.targets) if graph.mask is None else graph.mask
    counts = pad(observed.sum((1, 2)).long(), (1, 0)).cumsum(0)  # values observed before each step
    for stop in range(len(graph), lags + horizon - 1, -1):
        total = stop - (lags + horizon - 1) if protocol.split_by == "windows" else stop
        try:
            parts = split_range("forecast", total, *protocol.split, protocol.gap)
            fixed = replace(protocol, split=(len(parts[0]), len(parts[1]), len(parts[2])))
            test = window_starts(graph, fixed)[2]
        except ValueError:  # too few steps for the protocol
            continue
        first, last = (counts[step + lags : step + lags + horizon] for step in (test.start, test.stop))
        if (last - first).sum() == count:
            yield stop, fixed


def _first_steps(graph: TemporalGraph, stop: int) -> TemporalGraph:
    """Return the first steps as read from a file of their own: without a mask if nothing is missing."""
    part = graph.steps(0, stop)
    if part.mask is None or not part.mask.all():
        return part
    return TemporalGraph(part.signal, part.edge_index, part.edge_weight, targets=part.targets)


def _predict(model: Forecaster | Baseline, batch: WindowBatch) -> Tensor:
    if not isinstance(model, torch.nn.Module):
        return model(batch)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            output: Tensor = model(batch)[0]
            return output
    finally:
        model.train(training)


def _unscale(task: Forecasting, forecast: Tensor) -> Tensor:
    return task.objective.forecast(forecast).to(task.series.targets.dtype)


def _build(config: ForecastRun, in_channels: int) -> Any:
    return config.build(SimpleNamespace(in_channels=in_channels, out_channels=1))  # signals of files have one target


def _in_channels(config: ForecastRun, weights: dict[str, Tensor]) -> int:
    """Return the F of a model with these weights, whose sizes are linear in F."""
    narrow, wide = (_build(config, size).state_dict() for size in (1, 2))
    for name in narrow:
        for size, next_size, actual in zip(narrow[name].shape, wide[name].shape, weights[name].shape):
            if next_size > size:
                return 1 + (actual - size) // (next_size - size)
    raise AssertionError("a model whose weights do not depend on F")
