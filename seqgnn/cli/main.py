"""The command line: commands are functions in `seqgnn.cli`, a file each; their work is done by the library."""

import atexit
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import seqgnn
from seqgnn._utils.processes import interrupting_signals
from seqgnn.cli import SIGNALED
from seqgnn.cli._compare_options import compare_options
from seqgnn.cli._options import register
from seqgnn.cli.bench import bench
from seqgnn.cli.compare import compare
from seqgnn.cli.data import app as data
from seqgnn.cli.forecast import forecast, forecast_options
from seqgnn.cli.generate import generate, generate_options
from seqgnn.cli.gradients import gradients, gradients_options
from seqgnn.cli.report import report, report_options
from seqgnn.cli.runs import runs, runs_options
from seqgnn.cli.train import app as train

USAGE_ERROR: Any = typer.BadParameter.__base__  # click's UsageError, wherever this version of typer keeps it

app = typer.Typer(
    name="seqgnn",
    help="RNNs, GNNs and their hybrids on the same samples.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        print(f"seqgnn {seqgnn.__version__}")
        raise typer.Exit()


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """RNNs, GNNs and their hybrids on the same samples."""


app.command()(bench)
register(app, compare, compare_options)
register(app, forecast, forecast_options)
register(app, generate, generate_options)
register(app, gradients, gradients_options)
register(app, report, report_options)
register(app, runs, runs_options)
app.add_typer(train, name="train")
app.add_typer(data, name="data")


def run() -> None:
    """Run the command line as the only work of this process.

    It ends once the handlers of `atexit` have been called. Python would then free the modules of torch and PyG, one
    object after another, which takes seconds, and more than a signal should on a busy machine.
    """
    codes: list[int] = []

    def end() -> None:
        if codes:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(codes[0])

    atexit.register(end)  # before commands import what registers others, as multiprocessing: it is called after those
    try:
        main()
    except SystemExit as stop:
        if isinstance(stop.code, int):
            codes.append(stop.code)
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: with code 2 and one line on stderr after an error in the input, with 128 plus the
    number of a signal, so 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP."""
    with interrupting_signals() as request:
        code = _run(arguments)
        if code == SIGNALED + signal.SIGINT:  # newer versions of typer return it, older ones raise Abort
            code = _print_error("interrupted", SIGNALED + (request.number or signal.SIGINT))
        try:
            sys.stdout.flush()
        except OSError:  # or Python would report the same error again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line and return the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as there is a process)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table with replaced characters is better than none
    try:
        code = app(args=arguments, prog_name="seqgnn", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        code = 1
    except USAGE_ERROR as error:
        code = _print_error(error.format_message(), 2)
    except OSError as error:
        expected = "expected to write all output, got"
        if error.filename:
            expected = f"expected a file that can be used, got {error.filename}"
        code = _print_error(f"{expected}: {error.strerror}", 2)
    except ValueError as error:
        code = _print_error(str(error), 2)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("alloc|out of memory", str(error)):
            raise
        code = _print_error("expected sizes for which there is memory, got an allocation that failed", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = SIGNALED + signal.SIGINT
    return code


def _print_error(message: str, code: int) -> int:
    if message:  # empty if the help was shown instead
        with contextlib.suppress(OSError):
            print(f"seqgnn: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code
