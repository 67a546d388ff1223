"""Reader for text files in chunks, which never loads a whole file into memory."""

import codecs
import hashlib
import io
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

TextPath = str | PathLike[str] | Sequence[str | PathLike[str]]

CHUNK = 2**20  # bytes read at a time


def find_files(path: TextPath) -> list[Path]:
    """Return the text files of a path.

    Args:
        path: a file with any name; a folder, for all `*.txt` in it and its subfolders, ordered by path; or a list of
            both, in its order.

    Raises:
        ValueError: if the list is empty or a folder has no text file.
    """
    if not isinstance(path, str | PathLike):
        if not isinstance(path, Sequence) or not path:
            raise ValueError(f"CharText: expected a file, a folder or a list of them, got {path!r}")
        return [file for item in path for file in find_files(item)]
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".txt" and file.is_file())
    if not files:
        raise ValueError(f"CharText: expected a folder with text files (*.txt), got none in {path}")
    return files


def read_text(files: Sequence[Path], encoding: str) -> Iterator[str]:
    """Yield the text of files in chunks. Line ends become newlines, and files are separated by at least one newline.

    Raises:
        ValueError: if a file cannot be read, is empty, is binary, or has another encoding (the message then has the
            offset of the invalid byte and encodings that can read the file).
    """
    _check_encoding(encoding)
    for number, file in enumerate(files):
        last = "\n"
        for text in _read_file(file, encoding):
            last = text[-1]
            yield text
        if last != "\n" and number + 1 < len(files):
            yield "\n"


def total_bytes(files: Sequence[Path]) -> int:
    """Return the total size of files in bytes; files that do not exist count as empty."""
    return sum(file.stat().st_size for file in files if file.exists())


def fingerprint(path: TextPath) -> str:
    """Return the SHA-256 of a file or, for several files, that of their SHA-256s, in order.

    Raises:
        ValueError: if a file cannot be read or there is none.
    """
    digests = [_sha256(file) for file in find_files(path)]
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def _sha256(file: Path) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for content in _chunks(file):
        digest.update(content)
    return digest


def _chunks(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while content := stream.read(CHUNK):
                yield content
    except OSError as error:
        raise ValueError(f"CharText: expected a readable text file, got {file}: {error.strerror}") from error


def _read_file(file: Path, encoding: str) -> Iterator[str]:
    characters = 0
    try:
        for text in _decoded(file, encoding):
            if "\0" in text:
                raise ValueError(
                    f"CharText: expected a text, got the binary file {file} (NUL at character "
                    f"{characters + text.index(chr(0))}); UTF-16 without a mark is 'utf-16-le' or 'utf-16-be'"
                )
            characters += len(text)
            yield text
    except _InvalidByte as invalid:
        encodings = _encodings_of(file)
        hint = f"encodings that can read it: {', '.join(encodings)}" if encodings else "it is a binary file"
        actual = f"byte 0x{invalid.byte:02x} at offset {invalid.offset}"
        raise ValueError(f"CharText: expected {file} to be {encoding}, got {actual}; {hint}") from None
    if not characters:
        raise ValueError(f"CharText: expected a text, got the empty file {file}")


class _InvalidByte(Exception):
    """A byte that is invalid in an encoding, and its offset in the file."""

    def __init__(self, offset: int, byte: int) -> None:
        super().__init__(offset, byte)
        self.offset, self.byte = offset, byte


def _decoded(file: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file in non-empty chunks."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    size, content = 0, b""
    try:
        for content in _chunks(file):
            size += len(content)
            if text := decoder.decode(content):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text
    except UnicodeDecodeError as error:
        # The decoder reports an offset in its remaining bytes, which are the last ones that were read.
        raise _InvalidByte(size - len(error.object) + error.start, error.object[error.start]) from None
    except UnicodeError:  # UTF-16 and UTF-32 without a byte-order mark, up to Python 3.12
        raise _InvalidByte(0, content[0]) from None


def _check_encoding(encoding: str) -> None:
    try:
        b"a".decode(encoding)  # codecs that are not text encodings, such as "hex", raise a LookupError only here
        codecs.getincrementaldecoder(encoding)
    except UnicodeDecodeError:
        return  # one byte is too short for UTF-16
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"CharText: expected the name of an encoding, got {encoding!r}") from None


def _encodings_of(file: Path) -> list[str]:
    """Return encodings that can read a file as text; UTF-16 only with a byte-order mark, since it decodes nearly any
    file of even length."""
    candidates = ["utf-8-sig", "cp1252", "latin-1"]
    with file.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            candidates.insert(0, "utf-16")
    return [encoding for encoding in candidates if _is_text(file, encoding)]


def _is_text(file: Path, encoding: str) -> bool:
    try:
        return all("\0" not in text for text in _decoded(file, encoding))
    except _InvalidByte:
        return False
