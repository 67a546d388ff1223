"""`seqgnn report`."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option, options_of
from seqgnn.cli._options import build
from seqgnn.cli.compare import default_book

PAGE = Path("report.html")


def report_options() -> Sequence[Option]:
    """Return the options of the command."""
    from seqgnn.data.datasets.data_source import DataSource

    runs = "Folders written by `seqgnn compare` (its --out), or their subfolders runs/."
    data, *source_options = options_of(DataSource)
    return (
        Option("runs", list[Path], runs, positional=True, required=True, multiple=True),
        Option("out", Path, "Path of the report.", default=PAGE),
        replace(data, help="Data on which the models were trained, to analyze them.", shown="as `seqgnn compare`"),
        *source_options,
    )


def report(options: dict[str, Any]) -> None:
    """Write an HTML report on finished runs, with tables, figures and an analysis of the trained models.

    Runs that cannot be read are listed in the report and on stderr.
    """
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.experiments.results.load import load_comparisons
    from seqgnn.report.html import write_page

    data = [build(DataSource, options)] if "data" in options else [book] if (book := default_book()) else []
    loaded = load_comparisons(options["runs"], data)
    path = write_page(loaded.comparisons, options.get("out", PAGE), loaded.problems)
    for problem in loaded.problems:
        print(f"seqgnn: left out: {problem}", file=sys.stderr)
    print(f"wrote {path}")
