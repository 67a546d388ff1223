"""The runs of a comparison of forecasters: models x horizons x seeds on one signal, beside the baselines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqgnn.data.temporal_graph import TemporalGraph
from seqgnn.errors import one_of
from seqgnn.forecasting.models import NAMES, STATIC
from seqgnn.forecasting.run import ForecastBaseline, ForecastRun, Signal
from seqgnn.forecasting.task import Forecasting, Protocol
from seqgnn.parallel import Job
from seqgnn.rows import check_labels
from seqgnn.training import TrainConfig

TRAIN = TrainConfig(
    steps=1000, batch_size=64, optimizer="adam", lr=5e-3, schedule="cosine", clip=5.0, eval_every=50, select="loss"
)
BASELINES = ("persistence", "mean", "seasonal", "ar", "ar-node", "ar-graph")
DAY, WEEK = np.timedelta64(1, "D"), np.timedelta64(7, "D")


@dataclass(frozen=True)
class ForecastRow:
    """A line of the table: a forecaster and how it is set up.

    Args:
        label: its name in tables and figures.
        model: a name of `build_forecaster`.
        residual, skip, neighbours, K, num_layers, dropout: see `build_forecaster`.
        hidden, lr: of this row; None: those of the comparison. Where hidden sizes are chosen for a number of
            parameters, `hidden` is not used.
    """

    label: str
    model: str
    residual: bool = False
    skip: bool = True
    neighbours: bool = False
    K: int = 2
    num_layers: int = 1
    dropout: float = 0.0
    hidden: int | None = None
    lr: float | None = None


FORECAST_ROWS = {
    "linear": ForecastRow("Linear", "linear"),
    "lstm": ForecastRow("LSTM", "lstm"),
    "gru": ForecastRow("GRU", "gru"),
    "gcn": ForecastRow("GCN", "gcn"),
    "gcn-lstm": ForecastRow("GCN in LSTM", "gcn-lstm"),
    "gcn-gru": ForecastRow("GCN in GRU", "gcn-gru"),
    "gcrn": ForecastRow("GCRN", "gcrn"),
    "gcrn-gru": ForecastRow("GCRN, GRU", "gcrn-gru"),
    "dcrnn": ForecastRow("DCRNN, encoder", "dcrnn"),
    "dcrnn-forecaster": ForecastRow("DCRNN", "dcrnn-forecaster"),
    "tgcn": ForecastRow("TGCN", "tgcn"),
    "a3tgcn": ForecastRow("A3TGCN", "a3tgcn"),
    "evolve-gcn": ForecastRow("EvolveGCN", "evolve-gcn"),
}
DEFAULT_ROWS = ("lstm", "gru", "gcn", "gcn-lstm", "gcrn", "dcrnn")


def forecast_jobs(
    source: Signal,
    *,
    rows: Sequence[ForecastRow],
    protocols: Sequence[Protocol],
    seeds: Sequence[int],
    hidden: int,
    refit: bool,
    device: str,
    train: TrainConfig,
    parameters: int | None = None,
) -> list[Job]:
    """The runs, those of the longest horizon first, and the baselines that the signal allows; with `parameters` hidden
    sizes are chosen for so many."""
    graph, text = source.load(), source.identity()
    period = season(graph)
    jobs = []
    for protocol in sorted(protocols, key=lambda protocol: -protocol.horizon):
        about = f"forecast {graph.name or source.data} {protocol.horizon} ahead"
        task = Forecasting(graph, protocol)
        first = task.test_windows.steps.start + protocol.lags  # the step that the test part forecasts first
        for row in rows:
            run = ForecastRun(
                task="forecast",
                length=protocol.horizon,
                text=text,
                model=row.model,
                hidden=hidden if row.hidden is None else row.hidden,
                num_layers=row.num_layers,
                K=row.K,
                residual=row.residual,
                skip=row.skip,
                neighbours=row.neighbours,
                dropout=row.dropout,
                protocol=protocol,
                refit=refit,
                seed=0,
                device=device,
                train=train if row.lr is None else replace(train, lr=row.lr),
            )
            if parameters is not None:
                run = run.sized(parameters, task)
            for seed in seeds:
                job = replace(run, seed=seed)
                jobs.append(Job((row.label, protocol.horizon, seed), f"{about} {row.label} seed {seed}", job))
        for name in BASELINES:
            if name == "seasonal" and (period is None or first < period):
                continue
            plain = ForecastBaseline(
                "forecast", protocol.horizon, text, name, protocol, refit, period if name == "seasonal" else None
            )
            jobs.append(Job((name, protocol.horizon, 0), f"{about} {name}", plain))
    return jobs


def choose_forecasters(chosen: Sequence[str | ForecastRow] | None, **options: Any) -> tuple[ForecastRow, ...]:
    """The rows of a comparison: those chosen, by name, with the options that are not None, or of one's own; else the
    default ones.

    Raises:
        ValueError: for an unknown name or model, and labels empty, twice or taken.
    """
    given = {name: value for name, value in options.items() if value is not None}
    rows = tuple(
        item if isinstance(item, ForecastRow)
        else replace(FORECAST_ROWS[one_of("compare", "model", item, FORECAST_ROWS)], **given)
        for item in (DEFAULT_ROWS if chosen is None else chosen)
    )  # fmt: skip
    check_labels([row.label for row in rows], BASELINES)
    for row in rows:
        one_of("compare", f"the model of row {row.label!r}", row.model, NAMES)
    return rows


def fitting(rows: tuple[ForecastRow, ...], graph: TemporalGraph, chosen: bool) -> tuple[ForecastRow, ...]:
    """The rows whose models take the signal's graph, which may change: one a step.

    Raises:
        ValueError: if one that was `chosen` takes one graph for all steps alone.
    """
    if not isinstance(graph.edge_index, tuple):
        return rows
    static = [row for row in rows if row.model in STATIC]
    if static and chosen:
        found = f"{static[0].model!r} in row {static[0].label!r}, which takes one graph for all steps"
        raise ValueError(f"compare: expected models for a graph that changes, got {found}")
    return tuple(row for row in rows if row not in static)


def season(graph: TemporalGraph) -> int | None:
    """Steps after which it is the same time again: a day, of days and their like a week, of weeks a year; None where
    the signal has no timestamps or is shorter than that."""
    step = graph.period
    if step is None:
        return None
    whole = DAY if step < DAY else WEEK if step < WEEK else 52 * WEEK
    steps = int(whole // step)
    return steps if 1 < steps < len(graph) else None
