"""Signals in files, and runs on them as a comparison keeps them."""

import json
from dataclasses import asdict, replace

import torch

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments import FORECASTER_SPECS
from seqgnn.experiments.runs.forecast_config import ForecastRun
from seqgnn.experiments.runs.store import RunStore
from seqgnn.tasks import Protocol
from seqgnn.training.checkpoint import write_checkpoint
from seqgnn.training.loop import TrainConfig

PROTOCOL = Protocol(lags=3, horizon=2, split=(0.6, 0.2, 0.2))
TRAIN = TrainConfig(steps=4, batch_size=8, optimizer="adam", lr=1e-2, eval_every=2, monitor="loss")


def write_signal(folder, steps=60, name="signal.csv", missing=(), times=True, seed=0):
    """A signal of three nodes and its first steps, the same for any number of them; daily from 1 January 2020."""
    values = torch.randn(200, 3, generator=torch.Generator().manual_seed(seed)).cumsum(0)[:steps]
    rows = [[f"{value:.4f}" for value in row] for row in values.tolist()]
    for step, node in missing:
        rows[step][node] = ""
    moments = (torch.arange(steps) + 18262).numpy().astype("datetime64[D]")
    head = ["time"] if times else []
    lines = [",".join([*head, "a", "b", "c"])]
    lines += [",".join(([str(moment)] if times else []) + row) for moment, row in zip(moments, rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "edges.csv").write_text("from,to\na,b\nb,c\n")
    return DataSource(str(folder / name), str(folder / "edges.csv"))


def run_of(source, **changes):
    run = ForecastRun(
        "forecast", source.identity(), "gcrn", 4, 1, 2, True, True, False, 0.0, PROTOCOL, False, 0, "cpu", TRAIN
    )
    return replace(run, **changes)


def keep(run, source, folder):
    """Makes a run and keeps it; the path of its record."""
    folder.mkdir(exist_ok=True)
    outcome, config = run.perform(source), json.loads(json.dumps(asdict(run)))
    store = RunStore(folder)
    if outcome.weights:
        write_checkpoint(store.weights(config), outcome.weights, {"config": config})
    return store.put(config, outcome.result, outcome.measured, asdict(FORECASTER_SPECS["gcrn"]))
