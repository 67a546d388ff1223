"""`seqgnn runs`."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option
from seqgnn._utils.text import csv_cell

FORMATS = ("table", "csv", "json")
COLUMNS = ("task", "label", "size", "seed", "state", "metric", "validation", "test", "path")


def runs_options() -> Sequence[Option]:
    """Return the options of the command."""
    folders = "Folders written by `seqgnn compare` (its --out), or their subfolders runs/."
    return (
        Option("folders", list[Path], folders, positional=True, required=True, multiple=True),
        Option("format", str, "Format of the list: table, csv or json.", default=FORMATS[0]),
    )


def runs(options: dict[str, Any]) -> None:
    """List stored runs with their scores and files: by task and size, the best on the validation set first.

    Baselines have no validation score and follow the models. The test score is shown, but does not sort: it is no means
    of selection.
    """
    from seqgnn._utils.validation import one_of
    from seqgnn.experiments.results.run_list import list_runs

    form = one_of("runs", "format", options.get("format", FORMATS[0]), FORMATS)
    listed, problems = list_runs(options["folders"])
    if form == "json":
        print(json.dumps([run.as_dict() for run in listed], indent=1))
    else:
        rows = [[_cell(getattr(run, name)) for name in COLUMNS] for run in listed]
        print(_as_csv(rows) if form == "csv" else _as_table(rows))
    for problem in problems:
        print(f"seqgnn: left out: {problem}", file=sys.stderr)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_csv(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *(map(csv_cell, row) for row in rows)])
    return stream.getvalue().rstrip("\n")


def _as_table(rows: list[list[str]]) -> str:
    """Return columns of text; the last one, the path, may be longer than the terminal is wide, and stays whole."""
    table = [list(COLUMNS), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)
