"""`seqgnn bench`."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    seconds: Annotated[
        float, typer.Option(help="Time limit of the measurement; cases that do not fit are listed.")
    ] = 150.0,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figure and its numbers; default: not written.")
    ] = None,
) -> None:
    """Measure the speed of the layers on this machine, by engine, relative to torch.nn, PyG and, if installed, PyTorch
    Geometric Temporal, and to a lower bound, the time of the matrix products alone.

    Layers are first checked to compute the same. Timing is interleaved, and a ratio is the median over repetitions. The
    number of threads is that of torch, see OMP_NUM_THREADS.
    """
    from rich.console import Console

    from seqgnn.profile import suite as run
    from seqgnn.report import benchmark as report

    folder = None if out is None else run.folder_for(out)
    with Console(stderr=True).status("") as status:
        result = run.bench(seconds, device, report=status.update)
    paths = [] if folder is None else report.write(result, folder)
    report.show(result)
    for path in paths:
        print(f"wrote {path}")
