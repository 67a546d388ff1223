"""The runs of a comparison of forecasters: models x horizons x seeds on one time series, and the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.experiments.grid.specs import check_labels
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun, forecasting_task
from seqgnn.experiments.runs.job import Job
from seqgnn.experiments.runs.specs import ForecasterSpec
from seqgnn.models.forecasters import NAMES, STATIC
from seqgnn.tasks.forecasting import Protocol
from seqgnn.training.loop import TrainConfig

BASELINES = ("persistence", "mean", "seasonal", "ar", "ar-node", "ar-graph")
DAY, WEEK = np.timedelta64(1, "D"), np.timedelta64(7, "D")


FORECASTER_SPECS = {
    "linear": ForecasterSpec("Linear", "linear"),
    "lstm": ForecasterSpec("LSTM", "lstm"),
    "gru": ForecasterSpec("GRU", "gru"),
    "gcn": ForecasterSpec("GCN", "gcn"),
    "gcn-lstm": ForecasterSpec("GCN in LSTM", "gcn-lstm"),
    "gcn-gru": ForecasterSpec("GCN in GRU", "gcn-gru"),
    "gcrn": ForecasterSpec("GCRN", "gcrn"),
    "gcrn-gru": ForecasterSpec("GCRN, GRU", "gcrn-gru"),
    "dcrnn": ForecasterSpec("DCRNN, encoder", "dcrnn"),
    "dcrnn-forecaster": ForecasterSpec("DCRNN", "dcrnn-forecaster"),
    "tgcn": ForecasterSpec("TGCN", "tgcn"),
    "a3tgcn": ForecasterSpec("A3TGCN", "a3tgcn"),
    "evolve-gcn": ForecasterSpec("EvolveGCN", "evolve-gcn"),
}
DEFAULT_SPECS = ("lstm", "gru", "gcn", "gcn-lstm", "gcrn", "dcrnn")


def forecast_jobs(
    source: DataSource,
    *,
    rows: Sequence[ForecasterSpec],
    protocols: Sequence[Protocol],
    seeds: Sequence[int],
    hidden: int,
    refit: bool,
    device: str,
    train: TrainConfig,
    rates: Mapping[int, float],
    parameters: int | None = None,
) -> list[Job]:
    """Return the runs, those of the longest horizon first, and the baselines that the time series allows; with
    `parameters`, hidden sizes are chosen for that number of parameters."""
    graph, data_id = source.load(), source.identity()
    period = season(graph)
    jobs = []
    for protocol in sorted(protocols, key=lambda protocol: -protocol.horizon):
        rate = rates.get(protocol.horizon, train.lr)
        title = f"forecast {graph.name or source.data} {protocol.horizon} ahead"
        task = forecasting_task(data_id, source, protocol, device)
        first = task.test_windows.steps.start + protocol.lags  # the step that the test part forecasts first
        for row in rows:
            run = ForecastRun(
                task="forecast",
                data_id=data_id,
                model=row.model,
                hidden=hidden if row.hidden is None else row.hidden,
                num_layers=row.num_layers,
                K=row.K,
                residual=row.residual,
                skip=row.skip,
                neighbors=row.neighbors,
                dropout=row.dropout,
                protocol=protocol,
                refit=refit,
                seed=0,
                device=device,
                train=replace(train, lr=rate if row.lr is None else row.lr),
            )
            if parameters is not None:
                run = run.sized(parameters, task)
            for seed in seeds:
                config = replace(run, seed=seed)
                jobs.append(Job((row.label, protocol.horizon, seed), f"{title} {row.label} seed {seed}", config, row))
        for name in BASELINES:
            if name == "seasonal" and (period is None or first < period):
                continue
            baseline = ForecastBaseline(
                "forecast", data_id, name, protocol, refit, period if name == "seasonal" else None
            )
            jobs.append(Job((name, protocol.horizon, 0), f"{title} {name}", baseline))
    return jobs


def choose_forecasters(chosen: Sequence[Any] | None, **options: Any) -> tuple[ForecasterSpec, ...]:
    """Return the models of a comparison: those chosen, by name or user-defined, or the default ones; options that are
    not None apply to models given by name.

    Raises:
        ValueError: for an unknown name or model, and for labels that are empty, repeated or names of baselines.
    """
    changes = {name: value for name, value in options.items() if value is not None}
    rows = tuple(
        item if isinstance(item, ForecasterSpec)
        else replace(FORECASTER_SPECS[one_of("compare", "model", item, FORECASTER_SPECS)], **changes)
        for item in (DEFAULT_SPECS if chosen is None else chosen)
    )  # fmt: skip
    check_labels([row.label for row in rows], BASELINES)
    for row in rows:
        one_of("compare", f"the model of row {row.label!r}", row.model, NAMES)
    return rows


def fitting(rows: tuple[ForecasterSpec, ...], graph: TemporalGraph, chosen: bool) -> tuple[ForecasterSpec, ...]:
    """Return the models that support the graph of the time series, which may change from step to step.

    Raises:
        ValueError: if a model that was `chosen` needs one graph for all steps.
    """
    if not isinstance(graph.edge_index, tuple):
        return rows
    static = [row for row in rows if row.model in STATIC]
    if static and chosen:
        model = f"{static[0].model!r} ({static[0].label!r})"
        raise ValueError(f"compare: expected models for a graph that changes, got {model}, which needs a fixed graph")
    return tuple(row for row in rows if row not in static)


def season(graph: TemporalGraph) -> int | None:
    """Return the number of steps in a season: a day, for daily steps a week, for weekly steps a year; None where the
    time series has no timestamps or is shorter than that."""
    step = graph.period
    if step is None:
        return None
    length = DAY if step < DAY else WEEK if step < WEEK else 52 * WEEK
    steps = int(length // step)
    return steps if 1 < steps < len(graph) else None
