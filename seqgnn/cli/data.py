"""`seqgnn data`: texts to train on and time series to forecast."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqgnn._utils.options import Option, options_of
from seqgnn.cli._options import build, register

if TYPE_CHECKING:
    from seqgnn.data import TemporalGraph

app = typer.Typer(help="List, fetch and check texts to train on and time series to forecast.", no_args_is_help=True)

RAREST = 10


@app.command("list")
def list_data() -> None:
    """List the texts and time series that can be downloaded by name."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from seqgnn.data.datasets.catalog import SIGNALS, TEXTS, find

    table = Table()
    for heading in ("name", "title", "content"):
        table.add_column(heading)
    table.add_column("MB", justify="right")
    table.add_column("local path", overflow="fold")
    for name, text in TEXTS.items():
        number = "" if text.gutenberg is None else f" (Gutenberg {text.gutenberg})"
        title = f"{text.author}: {text.title}{number}"
        table.add_row(name, title, text.language, f"{text.bytes / 1e6:.2f}", escape(str(find(name) or "")))
    for name, signal in SIGNALS.items():
        size = f"{signal.steps} steps x {signal.nodes} sensors"
        table.add_row(name, signal.title, size, f"{signal.bytes / 1e6:.2f}", escape(str(find(name) or "")))
    Console().print(table)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a data set, see `seqgnn data list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; default: $SEQGNN_DATA if it has the files, otherwise the user's cache.")
    ] = None,
) -> None:
    """Download the files of a data set unless they exist, verify their checksums and print their paths."""
    from seqgnn.data.datasets import catalog as catalog

    for path in catalog.fetch_files(name, out):
        print(path)


def check_options() -> Sequence[Option]:
    """Return the options of `seqgnn data check`."""
    from seqgnn.data.datasets.data_source import DataSource

    names = "Texts, time series (see docs/forecasting.md for their formats), folders of either, or names of data sets."
    return (
        Option("names", list[str], names, shown="all names", positional=True, multiple=True),
        Option("text_encoding", str, "Encoding of text files.", default="utf-8-sig"),
        *options_of(DataSource, without=("data", "units")),
    )


def check(options: dict[str, Any]) -> None:
    """Describe the data that a model would read from a file, and verify the checksums of a data set."""
    from seqgnn._utils.validation import one_of
    from seqgnn.data.datasets import catalog as catalog
    from seqgnn.data.datasets.data_source import DataSource
    from seqgnn.data.io.readers import is_time_series

    names = options.pop("names", None)
    text_encoding = options.pop("text_encoding", "utf-8-sig")
    of_any = ("graph", "graph_kind", "threshold", "graph_nodes", "fill_gaps")
    graph = {name: value for name, value in options.items() if name in of_any}
    states = catalog.check()
    for item in names or states:
        if item in states:
            print(_state(item, states[item]))
            if names and item in catalog.SIGNALS and states[item] == "whole":
                print(f"  {_lines(build(DataSource, graph, data=item).read)}")
        elif is_time_series(Path(item)):
            print(f"{item}: {_lines(build(DataSource, options, data=item).read)}")
        elif Path(item).exists() or Path(item).suffix or len(Path(item).parts) > 1:
            print(_description(Path(item), text_encoding))
        else:
            one_of("check", "a file, a folder or a name", item, states)
    checked = [states[item] for item in names or states if item in states]
    if "changed" in checked or (names and "missing" in checked):
        raise typer.Exit(1)


def _state(name: str, state: str) -> str:
    from seqgnn.data.datasets.catalog import SIGNALS, find, instruction

    if state == "missing":
        manual = [file for file in (SIGNALS[name].files if name in SIGNALS else ()) if file.page is not None]
        if manual:
            return f"{name}: not downloaded; it needs {instruction(manual[0])}"
        return f"{name}: not downloaded; `seqgnn data fetch {name}` downloads it"
    note = "" if state == "whole" else ", which differs from the catalog: a checksum does not match"
    return f"{name}: {state}, {find(name)}{note}"


def _lines(read: "Callable[[], TemporalGraph]") -> str:
    """Return the lines of the report on a time series, and the notes of its readers."""
    from seqgnn.data.io.graphs import collected_notes
    from seqgnn.data.quality_report import describe_signal

    with collected_notes() as notes:
        signal = read()
    return "\n  ".join([*describe_signal(signal), *(f"note: {note}" for note in notes)])


def _description(path: Path, encoding: str) -> str:
    from seqgnn.tasks.language_modeling import CharText

    text = CharText(path, encoding=encoding)
    parts = [len(ids) for ids in (text.train_ids, text.validation_ids, text.test_ids)]
    frequencies = sorted(zip(text.vocabulary.counts, text.vocabulary.characters))
    rarest = ", ".join(f"{character!r} {count}" for count, character in frequencies[:RAREST])
    files = f" in {len(text.files)} files" if len(text.files) > 1 else ""
    return "\n".join(
        [
            f"{path}: {sum(parts)} characters{files}, {len(text.vocabulary)} of them distinct, encoding {encoding}",
            f"  train, validation, test: {', '.join(map(str, parts))}",
            f"  rarest in training: {rarest}",
            f"  in validation and test, but not in training: {text.unseen}",
        ]
    )


register(app, check, check_options)
