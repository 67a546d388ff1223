"""Files written in one piece: what was there before stays until the new content is on disk."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes `content`, text as UTF-8, to a new file beside `path` and moves it there once it is on disk.

    Raises:
        OSError: naming `path`, if that fails; what was there before is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


class NotWritten(ValueError):
    """Some of several files could not be written.

    Attributes:
        written: paths of the others.
        lost: a path, and in brackets why, for each that could not.
    """

    def __init__(self, written: list[Path], lost: list[str]) -> None:
        super().__init__(f"write: expected files that can be written, got {', '.join(lost)}")
        self.written, self.lost = written, lost


def write_all(files: Iterable[tuple[Path, str | bytes]]) -> list[Path]:
    """Writes each file as `write_atomically` does, whether or not those before it could be; returns their paths.

    Raises:
        NotWritten: after the last one, naming those that could not be written; what was there before is still there.
    """
    written: list[Path] = []
    lost: list[str] = []
    for path, content in files:
        try:
            write_atomically(path, content)
            written.append(path)
        except OSError as error:
            lost.append(f"{path} ({error.strerror})")
    if lost:
        raise NotWritten(written, lost)
    return written


def remove_unfinished(folder: Path) -> None:
    """Removes what `write_atomically` left in a folder when its process was killed."""
    for file in folder.glob(".*.????????.tmp"):
        file.unlink(missing_ok=True)
