"""Notes on what a reader has understood: logged, so that `seqgnn data check` can show them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("seqgnn.data")


class Notes:
    """Notes on one file. Guesses are logged as warnings, which Python shows on stderr by default."""

    def __init__(self, caller: str) -> None:
        self.caller = caller

    def add(self, text: str) -> None:
        """Log what was read."""
        LOGGER.info("%s: %s", self.caller, text)

    def warn(self, text: str) -> None:
        """Log what was guessed."""
        LOGGER.warning("%s: %s", self.caller, text)


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if (line := record.getMessage()) not in self.lines:
            self.lines.append(line)


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Collect the notes of all readers as lines, which are then not shown elsewhere."""
    lines: list[str] = []
    handler, level, propagate = _Collector(lines), LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield lines
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate
