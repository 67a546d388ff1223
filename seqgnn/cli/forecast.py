"""`seqgnn forecast`: forecasts of a trained model or a baseline, after the end of the data or on the test part."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option, options_of
from seqgnn.cli._options import build

HEAD = 10
PARTS = ("next", "test")


def forecast_options() -> Sequence[Option]:
    """Return the options of the command."""
    from seqgnn.data.datasets.data_source import DataSource

    checkpoint = (
        "Run of a model or baseline stored by `seqgnn compare forecast`: .json or .safetensors; or its --out, for the "
        "run with the best validation score."
    )
    data = "Data set name or file of the run; the file may have additional steps at the end."
    part = "Part to forecast: next (steps after the end of the data) or test (the run's test part, with ground truth)."
    source = {option.name: option for option in options_of(DataSource, without=("positions", "units"))}
    return (
        Option("checkpoint", Path, checkpoint, positional=True, required=True),
        replace(source.pop("data"), help=data, required=True),
        *source.values(),
        Option("horizon", int, "Horizon of the run to choose from a folder with several.", shown="the only one"),
        Option("part", str, part, default=PARTS[0]),
        Option("out", Path, "File to write, .csv or .parquet.", shown="csv on stdout"),
    )


def forecast(options: dict[str, Any]) -> None:
    """Forecast with a trained model or a baseline: write a table with one line per value, for the steps after the end
    of the data, or for the test part of the run with ground truth and errors."""
    from seqgnn._utils.validation import one_of
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.runs.record import BaselineRecord
    from seqgnn.experiments.trained import forecast as predict
    from seqgnn.report.forecast_table import as_csv, check_suffix, forecast_table, write_table

    part, out = one_of("forecast", "part", options.get("part", PARTS[0]), PARTS), options.get("out")
    if out is not None:
        check_suffix(out)
    path, graph = options["checkpoint"], None
    if path.is_dir():
        graph = build(DataSource, options).load()
        path = _choose(path, graph, options.get("horizon"))
    elif "horizon" in options:
        raise ValueError(f"forecast: expected --horizon with a folder of runs, got it with {path}")
    run = predict.load_record(path)
    trained = None if isinstance(run, BaselineRecord) else predict.load_forecaster(path)[0]
    graph = build(DataSource, options).load() if graph is None else graph
    model = predict.refit_baseline(run, graph) if isinstance(run, BaselineRecord) else trained
    assert model is not None
    errors = None
    if part == "test":
        values, starts, scores = predict.forecast_test(model, run, graph)
        units = "" if graph.units is None else f" ({graph.units})"
        errors = f"MAE {scores.mae:.6g}, RMSE {scores.rmse:.6g}{units} over {scores.count} values"
    else:
        values, starts = predict.forecast(model, run, graph)[:, None], range(len(graph), len(graph) + 1)
    table = forecast_table(graph, values, starts)
    if out is None:
        print(as_csv(table), end="")
    else:
        write_table(table, out)
        print(as_csv({name: column[:HEAD] for name, column in table.items()}), end="")
        print(f"wrote {out}, {len(table['forecast'])} lines")
    if errors:
        print(errors, file=sys.stderr if out is None else sys.stdout)  # so that a pipe receives only the table


def _choose(folder: Path, graph: Any, horizon: int | None) -> Path:
    """Return the file of the best run in a folder, after printing to stderr which one that is."""
    from seqgnn._utils.text import number
    from seqgnn.experiments.runs.problem import METRICS
    from seqgnn.experiments.trained.best_forecast import best_forecast

    best = best_forecast(folder, graph, horizon)
    name = best.label if best.seed is None else f"{best.label}, seed {best.seed}"
    units = "" if graph.units is None else f" {graph.units}"
    print(
        f"forecast by {name} ({best.path}): validation {METRICS[best.metric].short} {number(best.score, 4)}{units}, "
        f"the best of {best.runs} runs and {best.baselines} baselines",
        file=sys.stderr,
    )
    return best.path
