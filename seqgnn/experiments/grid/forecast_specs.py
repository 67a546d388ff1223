"""The runs of a comparison of forecasters: models x horizons x seeds on one time series, and the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqgnn._utils.text import listed
from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.data.times.axis import Season
from seqgnn.data.times.parse import in_words
from seqgnn.experiments.grid.specs import check_labels
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun, forecasting_task
from seqgnn.experiments.runs.job import Job
from seqgnn.experiments.runs.specs import ForecasterSpec
from seqgnn.models.forecasters import NAMES, NODEWISE, STATIC, uses_neighbors
from seqgnn.tasks.forecasting import Forecasting, Protocol
from seqgnn.training.loop import TrainConfig

BASELINES = ("persistence", "mean", "seasonal", "ar", "ar-node", "ar-graph")

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
    jobs = []
    for protocol in sorted(protocols, key=lambda protocol: -protocol.horizon):
        rate = rates.get(protocol.horizon, train.lr)
        title = f"forecast {graph.name or source.data} {protocol.horizon} ahead"
        task = forecasting_task(data_id, source, protocol, device)
        season = season_of(graph, task)
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
            if name == "seasonal" and season.steps is None:
                continue
            period = season.steps if name == "seasonal" else None
            baseline = ForecastBaseline("forecast", data_id, name, protocol, refit, period)
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
        ValueError: if a model that was `chosen` needs one graph for all steps, or a model uses neighbors and the graph
            has no edges.
    """
    if not has_neighbors(graph):
        users = [row for row in rows if uses_neighbors(row.model, K=row.K, neighbors=row.neighbors)]
        if users:
            models = list(dict.fromkeys(row.model for row in users))
            names = f"{listed(models)}, which {'uses' if len(models) == 1 else 'use'} neighbors"
            other = ",".join(row.model for row in rows if row not in users) or ",".join(NODEWISE)
            raise ValueError(
                f"compare: expected a graph for {names}, got no edges between different nodes; "
                f"pass its file (--graph), or models without a graph (--models {other})"
            )
    if not isinstance(graph.edge_index, tuple):
        return rows
    static = [row for row in rows if row.model in STATIC]
    if static and chosen:
        model = f"{static[0].model!r} ({static[0].label!r})"
        raise ValueError(f"compare: expected models for a graph that changes, got {model}, which needs a fixed graph")
    return tuple(row for row in rows if row not in static)


def has_neighbors(graph: TemporalGraph) -> bool:
    """Return True if there is an edge between different nodes."""
    graphs = graph.edge_index if isinstance(graph.edge_index, tuple) else (graph.edge_index,)
    return any(bool((edges[0] != edges[1]).any()) for edges in graphs)


def season_of(graph: TemporalGraph, task: Forecasting) -> Season:
    """Return the season of a time series if the test part begins later than one season into it."""
    if graph.time is None:
        return Season(None, "there are no timestamps")
    season = graph.time.season()
    first = task.test_windows.steps.start + task.protocol.lags  # the step that the test part forecasts first
    if season.steps is not None and graph.time.numbers[first] - graph.time.numbers[0] < season.steps:
        return Season(None, f"the test part begins before {season.words} of the time series")
    return season


def remarks_on(graph: TemporalGraph, tasks: Sequence[Forecasting]) -> tuple[str, ...]:
    """Return remarks on the times of a series: gaps, and why there is no seasonal baseline."""
    remarks = []
    if graph.time is not None and len(gaps := graph.time.gaps()):
        first = in_words(graph.time.times.wall_clock[gaps[0]])
        remarks.append(
            f"{graph.time.words}, but {len(gaps)} gap{'s' * (len(gaps) > 1)}, the first after {first}: windows ignore "
            "gaps, --fill-gaps inserts the missing steps"
        )
    reasons = {season.words for task in tasks if (season := season_of(graph, task)).steps is None}
    return (*remarks, *(f"no baseline 'seasonal': {reason}" for reason in sorted(reasons)))
