"""Runs that reports of forecasts read."""

import pytest

from seqgnn.experiments.grid.forecast_specs import ForecasterSpec
from seqgnn.experiments.results.load import load_comparisons
from tests.support.comparisons import plan_grid
from tests.support.stored_runs import write_signal

FORECASTERS = ["lstm", "gru", ForecasterSpec("Told", "lstm", neighbors=True), "gcrn"]


@pytest.fixture(scope="session")
def stored_forecasts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    source = write_signal(folder, missing=[(step, 1) for step in range(50, 60)])
    options = {"lags": 3, "sizes": [2], "steps": 4, "eval_every": 2, "hidden": 4, "batch_size": 8, "seeds": [0, 1]}
    options |= {"models": FORECASTERS, "out": folder}
    plan_grid("forecast", data=source.data, graph=source.graph, **options).run(progress=False)
    (found,) = load_comparisons([folder], data=[source]).comparisons
    return found, source
