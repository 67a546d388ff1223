"""Catalog of texts and time series that can be downloaded by name, with checksums."""

import os
from dataclasses import dataclass
from pathlib import Path

from seqgnn._utils.validation import one_of
from seqgnn.data.datasets.sources import SIGNALS, File, SignalSource
from seqgnn.data.io.text import fingerprint


@dataclass(frozen=True)
class Text:
    """A text of the catalog.

    Attributes:
        title, author, language: description of the text.
        gutenberg: number at Project Gutenberg; None if it is not from there.
        url: permanent URL of the file, pinned to a commit.
        file: path within a data folder.
        sha256, bytes: checksum and size of the file.
        rights: terms of use.
        encoding: encoding of the file, for `CharText`.
    """

    title: str
    author: str
    language: str
    gutenberg: int | None
    url: str
    file: str
    sha256: str
    bytes: int
    rights: str = "public domain in the USA"
    encoding: str = "utf-8-sig"

    @property
    def files(self) -> tuple[File, ...]:
        """The file, as a tuple of one."""
        return (File(self.url, self.file, self.sha256, self.bytes),)


_GITHUB = "https://raw.githubusercontent.com"
_BOOKS = f"{_GITHUB}/uvadlc/DL_assignments_2019/b396da3ef01084e06eb8d6791f354c8afa8fafbd/assignment_2/part2/assets"
_CHAR_RNN = f"{_GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"

TEXTS = {
    "democracy": Text(
        "Democracy in America, Volume 1",
        "Alexis de Tocqueville",
        "English",
        815,
        f"{_BOOKS}/book_EN_democracy_in_the_US.txt",
        "democracy_in_america/book_EN_democracy_in_the_US.txt",
        "1ba23c5acbb00b0ffbfe48be30273f5b965eaedca5e8dfce55253e6bb24f2ca5",
        1_148_437,
    ),
    "grimm": Text(
        "Grimms' Fairy Tales",
        "Jacob and Wilhelm Grimm",
        "English",
        2591,
        f"{_BOOKS}/book_EN_grimms_fairy_tails.txt",
        "grimm/book_EN_grimms_fairy_tails.txt",
        "e6439bd511820742e842e21b75e89b394d3809eec82ca56b506c39ff39d4a7d6",
        550_595,
    ),
    "darwin": Text(
        "De Reis om de Wereld",
        "Charles Darwin",
        "Dutch",
        33764,
        f"{_BOOKS}/book_NL_darwin_reis_om_de_wereld.txt",
        "darwin/book_NL_darwin_reis_om_de_wereld.txt",
        "389b114334f9e34bea0b01d43dbe6892d44d7c9430c79a6517c74f0658370535",
        1_366_815,
    ),
    "anna-karenina": Text(
        "Anna Karenina",
        "Lev Tolstoy",
        "Dutch",
        13214,
        f"{_BOOKS}/book_NL_tolstoy_anna_karenina.txt",
        "anna_karenina/book_NL_tolstoy_anna_karenina.txt",
        "e8516bf15a6636966224617543fa22a129b35655f66fdfe8af224a9802e8e633",
        1_314_934,
    ),
    "calculus": Text(
        "Calculus Made Easy (in TeX)",
        "Silvanus Thompson",
        "English",
        33283,
        f"{_BOOKS}/book_TeX_calculus_made_easy.tex",
        "calculus/book_TeX_calculus_made_easy.tex",
        "ceca75298f640dfda6e9d632c7f7b1d71d04bc3e619140b8ea1bc76991d57352",
        434_571,
        encoding="latin-1",
    ),
    "tinyshakespeare": Text(
        "Plays, an extract",
        "William Shakespeare",
        "English",
        None,
        f"{_CHAR_RNN}/data/tinyshakespeare/input.txt",
        "tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        rights="public domain",
    ),
}


def find(name: str, folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the path of the (first) file of a text or time series; None unless all of its files are present.

    Args:
        name: one of `TEXTS` or `SIGNALS`.
        folder: where to search; None: the folder of the variable SEQGNN_DATA, then the user's cache
            (`pooch.os_cache("seqgnn")`).

    Raises:
        ValueError: if the name is unknown.
    """
    paths = [_find(file, folder) for file in _entry(name).files]
    return None if None in paths else paths[0]


def fetch(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the (first) file of a text or time series; see `fetch_files`."""
    return fetch_files(name, folder)[0]


def fetch_files(name: str, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the paths of the files of a text or time series. Missing files are downloaded, unless they have no
    permanent URL; checksums are always verified.

    Args:
        name: one of `TEXTS` or `SIGNALS`.
        folder: data folder; None: where `find` finds the files, or the user's cache.

    Raises:
        ValueError: if the name is unknown, a download fails, a checksum differs, or a file is missing that users
            download themselves. Existing files are not changed, and a failed download leaves no file.
    """
    return [_fetch(name, file, folder) for file in _entry(name).files]


def check(folder: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Return the state of each text and time series: "whole", "changed" (a different checksum) or "missing" (some of
    its files). Files without a permanent URL have no checksum.

    Args:
        folder: where to search, as for `find`.
    """
    states = {}
    for name, entry in (TEXTS | SIGNALS).items():
        paths = [_find(file, folder) for file in entry.files]
        changed = any(
            path is not None and file.page is None and fingerprint(path) != file.sha256
            for path, file in zip(paths, entry.files)
        )
        states[name] = "changed" if changed else "missing" if None in paths else "whole"
    return states


def _entry(name: str) -> Text | SignalSource:
    entries = TEXTS | SIGNALS
    return entries[one_of("catalog", "name", name, entries)]


def _find(file: File, folder: str | os.PathLike[str] | None) -> Path | None:
    if folder is not None:
        folders = [Path(folder)]
    else:
        folders = [Path(data)] if (data := os.environ.get("SEQGNN_DATA")) else []
        folders.append(_cache())
    names = (file.file,) if file.page is None else (file.file, Path(file.file).name)
    paths = (folder_path / name for folder_path in folders for name in names)
    return next((path for path in paths if path.is_file()), None)


def _fetch(name: str, file: File, folder: str | os.PathLike[str] | None) -> Path:
    path = _find(file, folder)
    if path is None and file.page is not None:
        raise ValueError(f"catalog: expected {instruction(file, folder)}, for {name}, got no such file")
    if path is None:
        return _download(name, file, (_cache() if folder is None else Path(folder)) / file.file)
    if file.page is None and (checksum := fingerprint(path)) != file.sha256:
        raise ValueError(
            f"catalog: expected {path} to be {name} with SHA-256 {file.sha256}, got {checksum}; "
            "move it away to download it again"
        )
    return path


def instruction(file: File, folder: str | os.PathLike[str] | None = None) -> str:
    """Return in words where to download a file without a permanent URL, and where to put it."""
    place = _cache() / file.file if folder is None else Path(folder) / file.file
    return f"{Path(file.file).name}, downloaded from {file.page}, as {place} or in the folder of SEQGNN_DATA"


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("seqgnn"))


def _download(name: str, file: File, path: Path) -> Path:
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # so that an error is a single line
    try:
        pooch.retrieve(file.url, known_hash=f"sha256:{file.sha256}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # exceptions of requests are OSErrors
        reason = f"{type(error).__name__} ({_first_reason(error)})"
        raise ValueError(f"catalog: expected to download {name} from {file.url}, got {reason}") from error
    finally:
        logger.setLevel(level)
    return path


def _first_reason(error: BaseException) -> str:
    """Return the message of the first error of a chain; the lowest layer of a connection has the shortest message."""
    return str(error) if error.__context__ is None else _first_reason(error.__context__)
