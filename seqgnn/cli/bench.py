"""`seqgnn bench`."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    seconds: Annotated[
        float, typer.Option(help="Time limit in seconds; cases that are not measured within it are listed.")
    ] = 150.0,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder for the figure and its data; default: not written.")] = None,
) -> None:
    """Benchmark the layers on this machine, by engine, against torch.nn, PyG and, if installed, PyTorch Geometric
    Temporal, and against a lower bound, the time of the matrix products alone.

    Before timing, all layers are checked to compute the same values. Timing is interleaved, and a ratio is the median
    over repetitions. The number of threads is that of torch; set it with OMP_NUM_THREADS.
    """
    from rich.console import Console

    from seqgnn.profile import suite as run
    from seqgnn.report import benchmark as report

    folder = None if out is None else run.folder_for(out)
    with Console(stderr=True).status("") as status:
        result = run.bench(seconds, device, report=status.update)
    if folder is not None and not result.cases:
        raise ValueError("bench: no layer was timed; increase --seconds")
    report.show(result)  # before files are written, which may fail
    for path in [] if folder is None else report.write(result, folder):
        print(f"wrote {path}")
