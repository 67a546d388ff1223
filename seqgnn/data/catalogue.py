"""Texts that can be fetched by name, each with its checksum."""

import os
from dataclasses import dataclass
from pathlib import Path

from seqgnn.data.text_files import fingerprint
from seqgnn.errors import one_of


@dataclass(frozen=True)
class Text:
    """A text of the catalogue.

    Attributes:
        title, author, language: as the text says.
        gutenberg: its number at Project Gutenberg, if it is from there.
        url: where this very file is, for good: the address names a commit.
        file: where it lies within a folder of data.
        sha256, bytes: of the file.
        rights: who may use it.
        encoding: of the file, as `CharText` takes it.
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
    """Where a text of the catalogue lies, None if it is not here.

    Args:
        name: one of `TEXTS`.
        folder: where to look; without one, in the folder that the variable SEQGNN_DATA names, then in the cache that
            the system gives to programs (`pooch.os_cache("seqgnn")`).

    Raises:
        ValueError: if there is no such name.
    """
    text = TEXTS[one_of("catalogue", "text", name, TEXTS)]
    if folder is not None:
        places = [Path(folder)]
    else:
        places = [Path(data)] if (data := os.environ.get("SEQGNN_DATA")) else []
        places.append(_cache())
    return next((place / text.file for place in places if (place / text.file).is_file()), None)


def fetch(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """The file of a text of the catalogue, downloaded if it is not here yet; its checksum is verified either way.

    Args:
        name: one of `TEXTS`.
        folder: where it is or goes; without one, where `find` finds it, else the system's cache.

    Raises:
        ValueError: if there is no such name, the download fails, or the file is not the one it should be. A file that
            was there stays as it is; of a failed download nothing stays.
    """
    path = find(name, folder)
    if path is None:
        return _download(name, (_cache() if folder is None else Path(folder)) / TEXTS[name].file)
    if (found := fingerprint(path)) != TEXTS[name].sha256:
        raise ValueError(
            f"catalogue: expected {path} to be {name} with SHA-256 {TEXTS[name].sha256}, got {found}; "
            "move it away to fetch it anew"
        )
    return path


def check(folder: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Of each text of the catalogue whether it is "whole", "changed" (another checksum) or "missing".

    Args:
        folder: where to look, as for `find`.
    """
    states = {}
    for name, text in TEXTS.items():
        path = find(name, folder)
        states[name] = "missing" if path is None else "whole" if fingerprint(path) == text.sha256 else "changed"
    return states


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("seqgnn"))


def _download(name: str, path: Path) -> Path:
    import pooch

    text = TEXTS[name]
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # an error is to be one line
    try:
        pooch.retrieve(text.url, known_hash=f"sha256:{text.sha256}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # what requests raises are OSErrors
        found = f"{type(error).__name__} ({_first_reason(error)})"
        raise ValueError(f"catalogue: expected to download {name} from {text.url}, got {found}") from error
    finally:
        logger.setLevel(level)
    return path


def _first_reason(error: BaseException) -> str:
    """What the first error of a chain says: of the layers that a connection has, the lowest says it shortest."""
    return str(error) if error.__context__ is None else _first_reason(error.__context__)
