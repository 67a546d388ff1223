"""`seqgnn data`: texts to train on and signals to forecast, what is known of them, and where they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seqgnn.data import TemporalGraph

app = typer.Typer(help="Texts to train on, signals to forecast: list, fetch and check them.", no_args_is_help=True)

RAREST = 10
SIGNAL_FILES = {".csv", ".parquet", ".npz", ".npy", ".h5", ".hdf5"}


@app.command("list")
def list_data() -> None:
    """Lists the texts and signals that can be fetched by name."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from seqgnn.data.datasets.catalog import SIGNALS, TEXTS, find

    table = Table()
    for heading in ("name", "title", "what"):
        table.add_column(heading)
    table.add_column("MB", justify="right")
    table.add_column("here", overflow="fold")
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
    name: Annotated[str, typer.Argument(help="A name of the list.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; default: $SEQGNN_DATA if it is there, else the system's cache.")
    ] = None,
) -> None:
    """Fetches a text or a signal's files, if they are not here yet, verifies checksums and prints the paths."""
    from seqgnn.data.datasets import catalog as catalog

    for path in catalog.fetch_files(name, out):
        print(path)


@app.command()
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, folders, signals (.csv, .parquet, .npz, .npy, .h5), or names of the list; none: all names.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of text files.")] = "utf-8-sig",
    graph: Annotated[Path | None, typer.Option(help="Of a signal: matrix, edges or distances.")] = None,
    graph_kind: Annotated[str | None, typer.Option(help="Of a csv: adjacency, edges or distances.")] = None,
    missing: Annotated[float | None, typer.Option(help="What stands for a missing value of a signal, as 0.")] = None,
) -> None:
    """Says of a file what a model would read, and of a name whether it is here and whole."""
    from seqgnn._utils.validation import one_of
    from seqgnn.data import load_temporal_graph
    from seqgnn.data.datasets import catalog as catalog

    states = catalog.check()
    for item in what or states:
        if item in states:
            print(_state(item, states[item]))
            if what and item in catalog.SIGNALS and states[item] == "whole":
                print(f"  {_lines(load_temporal_graph(item, graph, graph_kind=graph_kind))}")
        elif Path(item).suffix.lower() in SIGNAL_FILES:
            print(_signal(Path(item), graph, graph_kind, missing))
        elif Path(item).exists() or Path(item).suffix or len(Path(item).parts) > 1:
            print(_description(Path(item), encoding))
        else:
            one_of("check", "a file, a folder or a name", item, states)
    found = [states[item] for item in what or states if item in states]
    if "changed" in found or (what and "missing" in found):
        raise typer.Exit(1)


def _state(name: str, state: str) -> str:
    from seqgnn.data.datasets.catalog import find

    if state == "missing":
        return f"{name}: not here; `seqgnn data fetch {name}` fetches it"
    wrong = "" if state == "whole" else ", which is not the catalog's: a checksum is wrong"
    return f"{name}: {state}, {find(name)}{wrong}"


def _signal(path: Path, graph: Path | None, graph_kind: str | None, missing: float | None) -> str:
    from seqgnn.data import read_signal

    return f"{path}: {_lines(read_signal(path, graph, graph_kind=graph_kind, missing=missing))}"


def _lines(signal: "TemporalGraph") -> str:
    from seqgnn.data.quality_report import describe_signal

    return "\n  ".join(describe_signal(signal))


def _description(path: Path, encoding: str) -> str:
    from seqgnn.tasks.language_modeling import CharText

    text = CharText(path, encoding=encoding)
    parts = [len(ids) for ids in (text.train_ids, text.validation_ids, text.test_ids)]
    counted = sorted(zip(text.vocabulary.counts, text.vocabulary.characters))
    rarest = ", ".join(f"{character!r} {count}" for count, character in counted[:RAREST])
    files = f" in {len(text.files)} files" if len(text.files) > 1 else ""
    return "\n".join(
        [
            f"{path}: {sum(parts)} characters{files}, {len(text.vocabulary)} of them distinct, encoding {encoding}",
            f"  train, validation, test: {', '.join(map(str, parts))}",
            f"  rarest in training: {rarest}",
            f"  in validation and test, never in training: {text.unseen}",
        ]
    )
