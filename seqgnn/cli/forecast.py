"""`seqgnn forecast`: what a trained forecaster says comes next, or said of the test part."""

import sys
from pathlib import Path
from typing import Annotated

import typer

HEAD = 10
PARTS = ("next", "test")


def forecast(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A run that `seqgnn compare forecast` kept: .json or .safetensors.", show_default=False),
    ],
    data: Annotated[
        str,
        typer.Option(help="The run's signal, by name or file, or a file with more steps after it.", show_default=False),
    ],
    graph: Annotated[Path | None, typer.Option(help="The run's graph, if it is not the name's own.")] = None,
    graph_kind: Annotated[str | None, typer.Option(help="Of a csv: adjacency, edges or distances.")] = None,
    missing: Annotated[float | None, typer.Option(help="What stands for a missing value, as 0.")] = None,
    part: Annotated[
        str, typer.Option(help="next: the steps after the end. test: the run's test part, beside the truth.")
    ] = "next",
    out: Annotated[Path | None, typer.Option(help="Write here, .csv or .parquet; default: print as csv.")] = None,
) -> None:
    """Forecasts with a trained model, in a table of a line a value: of what comes after a signal's end, or of the run's
    test part beside the truth, with errors."""
    from seqgnn._utils.validation import one_of
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.trained import forecast as predict
    from seqgnn.report.forecast_table import as_csv, check_suffix, forecast_table, write_table

    one_of("forecast", "part", part, PARTS)
    if out is not None:
        check_suffix(out)
    model, run = predict.load_forecaster(checkpoint)
    signal = DataSource(data, None if graph is None else str(graph), graph_kind, missing).load()
    errors = None
    if part == "test":
        values, starts, scores = predict.forecast_test(model, run, signal)
        units = "" if signal.units is None else f" ({signal.units})"
        errors = f"MAE {scores.mae:.6g}, RMSE {scores.rmse:.6g}{units} over {scores.count} values"
    else:
        values, starts = predict.forecast(model, run, signal)[:, None], range(len(signal), len(signal) + 1)
    table = forecast_table(signal, values, starts)
    if out is None:
        print(as_csv(table), end="")
    else:
        write_table(table, out)
        print(as_csv({name: column[:HEAD] for name, column in table.items()}), end="")
        print(f"wrote {out}, {len(table['forecast'])} lines")
    if errors:
        print(errors, file=sys.stderr if out is None else sys.stdout)  # so that a pipe gets the table alone
