"""Atomic file writes: an existing file is replaced only when the new content is on disk."""

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to a temporary file in the same folder, then rename it to `path`.

    Raises:
        OSError: naming `path`, if that fails; an existing file is unchanged.
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
        written: paths of the files that were written.
        lost: path and reason of each file that was not.
    """

    def __init__(self, written: list[Path], lost: list[str]) -> None:
        super().__init__(f"write: expected writable files, got {', '.join(lost)}")
        self.written, self.lost = written, lost


def write_all(files: Iterable[tuple[Path, str | bytes]]) -> list[Path]:
    """Write all files with `write_atomically`, even if some fail, and return their paths.

    Raises:
        NotWritten: after the last file, if some could not be written; existing files are unchanged.
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


def is_lost(folder: Path) -> bool:
    """Return True if a folder is no longer there: removed, renamed or unmounted."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENOTCONN, errno.ESTALE)
    return False


def is_read_only(folder: Path) -> bool:
    """Return True if files cannot be created in a folder because it, or its disk, is read-only; not if it is full."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return False
    except OSError as error:
        return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def is_temporary(name: str) -> bool:
    """Return True for the name of a temporary file of `write_atomically`.

    Example:
        >>> is_temporary(".table.csv.0a1b2c3d.tmp"), is_temporary("table.csv"), is_temporary(".notes.tmp")
        (True, False, False)
    """
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", name, re.DOTALL) is not None


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files of `write_atomically` that a killed process left in a folder."""
    for file in folder.iterdir():
        if is_temporary(file.name):
            file.unlink(missing_ok=True)
