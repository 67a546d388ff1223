"""`seqgnn bench`."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    seconds: Annotated[
        float, typer.Option(help="How long to measure; of what does not fit the names are printed.")
    ] = 150.0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder for the figure and its numbers; default: none kept.")] = None,
) -> None:
    """Measures how fast the layers are here: beside torch.nn's, beside PyG's and, if installed, PyTorch Geometric
    Temporal's, by each engine, and beside the floor, which is the time of the products alone.

    Layers are first checked to compute the same. Candidates take turns, and a ratio is the median of those of the
    rounds. Threads are torch's: OMP_NUM_THREADS sets them.
    """
    from rich.console import Console

    from seqgnn.profile import suite as run
    from seqgnn.report import benchmark as report

    folder = None if out is None else run.folder_for(out)
    with Console(stderr=True).status("") as status:
        found = run.bench(seconds, device, say=status.update)
    written = [] if folder is None else report.write(found, folder)
    report.show(found)
    for path in written:
        print(f"wrote {path}")
