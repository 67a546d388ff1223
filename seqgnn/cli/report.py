"""`seqgnn report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders: the --out of `seqgnn compare`, or its runs/.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    data: Annotated[
        Path | None,
        typer.Option(help="Text or signal that models read, to look at them; default: as `seqgnn compare`."),
    ] = None,
    graph: Annotated[Path | None, typer.Option(help="Of a signal in a file.")] = None,
    graph_kind: Annotated[str | None, typer.Option(help="Of a csv: adjacency, edges or distances.")] = None,
    missing: Annotated[float | None, typer.Option(help="What stands for a missing value of a signal, as 0.")] = None,
    positions: Annotated[Path | None, typer.Option(help="Of a signal's sensors, to draw maps.")] = None,
    units: Annotated[str | None, typer.Option(help="Of a signal in a file, in words.")] = None,
) -> None:
    """Makes one page of finished runs, wherever they lie: tables, figures, and a look into the trained models.

    What cannot be read is named on the page and here; all else is shown.
    """
    from seqgnn.cli.compare import default_book
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.results.load import load_comparisons
    from seqgnn.report.html import write_page

    texts = [default_book(), None] if data is None or graph is not None or not data.exists() else [data]
    edges, places = (None if path is None else str(path) for path in (graph, positions))
    signals = [] if data is None else [DataSource(str(data), edges, graph_kind, missing, places, units)]
    found = load_comparisons(runs, texts, signals)
    path = write_page(found.comparisons, out, found.problems)
    for problem in found.problems:
        print(f"seqgnn: left out: {problem}", file=sys.stderr)
    print(f"wrote {path}")
