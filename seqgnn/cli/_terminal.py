"""Printing to an output that may be closed, such as a pipe, without stopping the work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


@contextmanager
def despite_lost_output() -> Iterator[None]:
    """Within the block, drop what cannot be printed, as to a pipe that `head` has closed, and continue.

    Raises:
        OSError: at the end of the block, if output was lost; a BrokenPipeError for a closed pipe.
    """
    outlet: Any = _Outlet(sys.stdout)
    with redirect_stdout(outlet):
        yield
        outlet.flush()
    if outlet.error is not None:
        raise outlet.error


class _Outlet:
    """A stream that drops what is written to it after its first error."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
