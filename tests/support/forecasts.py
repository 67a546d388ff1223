"""Forecasts of two models and a baseline for hourly time series of a town, and their errors in numpy."""

import numpy as np
import torch
from matplotlib.figure import Figure

from seqgnn.analysis.forecast_errors import collect_forecasts
from seqgnn.data import TemporalGraph
from seqgnn.models import build_forecaster
from seqgnn.models.baselines.forecasting import fit_baseline
from seqgnn.tasks import Forecasting, Protocol

NODES = ("north", "east", "south", "west", "middle")
EDGES = torch.tensor([[0, 1, 2, 3, 4, 4, 1, 2], [1, 2, 3, 0, 0, 4, 0, 1]])  # the last two are earlier ones reversed
LAGS, HORIZON = 4, 3
HOUR = np.timedelta64(1, "h")


def town_graph(steps=200, every=HOUR, mask=True, **options):
    rng = np.random.default_rng(0)
    t = np.arange(steps)[:, None]
    values = 20 + 5 * np.sin(t / 7 + np.arange(5)) + rng.normal(size=(steps, 5)) * (1 + np.arange(5))
    defaults = {"nodes": NODES, "positions": torch.tensor([[0.0, 51], [1, 50], [0, 49], [-1, 50], [0, 50]])}
    defaults["timestamps"] = np.datetime64("2024-01-01T00", "s") + np.arange(steps) * every
    observed = torch.from_numpy(rng.random((steps, 5)) < 0.8) if mask else None
    defaults |= {"name": "town", "units": "mph"}
    return TemporalGraph(torch.from_numpy(values)[..., None].float(), EDGES, mask=observed, **defaults | options)


def collected(seeds=2, **options):
    task = Forecasting(town_graph(**options), Protocol(lags=LAGS, horizon=HORIZON))
    models = {}
    for label, name in {"LSTM": "lstm", "GCRN": "gcrn"}.items():
        models[label] = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            models[label].append(build_forecaster(name, in_channels=1, hidden=4, lags=LAGS, horizon=HORIZON, skip=True))
    baselines = {"persistence": fit_baseline("persistence", task.train_windows)}
    return task, models, collect_forecasts(task, models, baselines, batch_size=7)


def errors_by_loop(task, model):
    """Absolute errors `[W, horizon, N]` in the units of the series, NaN where not observed, window by window."""
    graph = town_graph()
    raw, observed = graph.signal[..., 0].double().numpy(), graph.mask[..., 0].numpy()
    offset, scale = task.scaler.offset.item(), task.scaler.scale.item()
    errors = []
    for window, start in enumerate(task.test_windows.starts):
        with torch.no_grad():
            forecast = model(task.test_windows[window])[0][:, 0, :, 0].double().numpy() * scale + offset
        future = slice(start + LAGS, start + LAGS + HORIZON)
        errors.append(np.where(observed[future], np.abs(forecast - raw[future]), np.nan))
    return np.stack(errors)


def with_edges(graph, edges):
    return TemporalGraph(graph.signal, edges, mask=graph.mask)


class FunctionModel(torch.nn.Module):
    """Forecasts a function of the targets."""

    def __init__(self, function):
        super().__init__()
        self.weight, self.function = torch.nn.Parameter(torch.zeros(1)), function

    def forward(self, batch):
        return self.function(batch.y), None


def panel():
    return Figure().subplots()
