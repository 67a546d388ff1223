"""Character-level language modeling."""

import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.batching import sequence_batch
from seqgnn.data.io.text import TextPath, find_files, read_text, total_bytes
from seqgnn.data.paths import layers_to_reach, path_graph
from seqgnn.data.vocabulary import Vocabulary, code_points
from seqgnn.tasks.base import Task

MAP_ABOVE = 64 * 2**20  # bytes of text above which ids are memory-mapped


class CharText(Task):
    r"""Prediction of the next character at every position of a text.

    .. math:: x = (c_1, \dots, c_L), \quad y = (c_2, \dots, c_{L+1})

    The text is split into three contiguous parts, in order: train, validation, test. Each can be read in two ways.

    - As independent windows: `draw` samples windows of L + 1 characters from the training part; `validation` and `test`
      read their part in consecutive windows, the last of which may be shorter and is then a batch of its own.
    - As streams, for models whose state is carried over from batch to batch: `stream` for training, `streams` for
      evaluation.

    In evaluation, each character of a part except the first is predicted once.

    The vocabulary consists of the distinct characters of the *whole* text, so that every character can be encoded; this
    reveals which characters exist in the later parts, and nothing else. Its counts are those of the training part.
    `unseen` is the number of characters in validation and test that do not occur in training.

    Files are read in chunks, and ids are stored in the smallest sufficient dtype. For texts of more than 64 MB they are
    in a temporary, memory-mapped file, which is removed together with the object; Python's temporary folder (`TMPDIR`)
    needs enough disk space.

    Args:
        path: a text file; a folder, for all `*.txt` in it and its subfolders, sorted by path; or a list of both. Files
            are concatenated, with a line break between them. None: the help topics of Python (`pydoc_data.topics`,
            sorted by name), 465,126 characters of English in Python 3.11 and a few more in later versions.
        length: L, number of input characters per sample, at least 1.
        encoding: encoding of the files; "utf-8-sig" is UTF-8 with or without a byte-order mark. Line breaks become
            "\n".
        split: fractions of train, validation and test, positive, with sum 1.
        directed, hops: edges of the path graph, see `path_graph`. On undirected paths a model would see its targets.
        vocabulary: the vocabulary of an existing model, used unchanged, including its counts; the text must not contain
            other characters. None: that of the text.

    Attributes:
        vocabulary: the characters in the order of their ids (ascending code points if made from the text).
        train_ids, validation_ids, test_ids: the three parts, uint8, int16 or int32; use `.long()` before indexing.
        files: the files read, empty for the default text.

    Shapes:
        `x [B * L]` ids, `y [B * L]`, long.

    Raises:
        ValueError: if a file cannot be read, is empty, binary, or not in `encoding` (with the invalid byte and possible
            encodings); if a folder has no text file; if the text is too short for its split, has a single distinct
            character, or characters that are not in `vocabulary`; or if an argument is out of range.

    Example:
        >>> text = CharText(length=5)
        >>> batch = text.draw(2, torch.Generator().manual_seed(0))
        >>> x, y = text.decode(batch[0].x), text.decode(batch[0].y)
        >>> len(x), x[1:] == y[:-1]
        (5, True)
    """

    name = "text"
    per_element = True

    def __init__(
        self,
        path: TextPath | None = None,
        *,
        length: int = 30,
        encoding: str = "utf-8-sig",
        split: tuple[float, float, float] = (0.9, 0.05, 0.05),
        directed: bool = True,
        hops: tuple[int, ...] = (1,),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.length = check_count("CharText", "length", length, 1)
        if len(split) != 3 or not all(0 < part < 1 for part in split) or abs(sum(split) - 1) > 1e-6:
            raise ValueError(f"CharText: expected split to be three positive fractions with sum 1, got {split}")
        self.directed = directed
        self.hops = tuple(hops)
        self.edge_index = path_graph(length, directed, hops)
        self.depth = max(layers_to_reach(length - 1, hops, directed), len(hops))

        self.files = () if path is None else tuple(find_files(path))
        self._source = _name_of(path)

        def pieces() -> Iterator[np.ndarray]:
            texts = read_text(self.files, encoding) if self.files else iter([_help_topics()])
            return map(code_points, texts)

        total, points = _survey(pieces())
        if len(points) < 2:
            raise ValueError(
                f"CharText: expected a text of at least two distinct characters, got {chr(points[0])!r} alone, "
                f"{total} times, from {self._source}"
            )
        sizes = round(split[0] * total), round((split[0] + split[1]) * total)
        if min(sizes[0], sizes[1] - sizes[0], total - sizes[1]) <= length:
            raise ValueError(
                f"CharText: expected a text whose parts {tuple(split)} have more than length={length} characters each, "
                f"got {total} characters in all from {self._source}"
            )
        characters = "".join(map(chr, points.tolist()))
        known = Vocabulary(characters, [0] * len(characters)) if vocabulary is None else vocabulary
        unknown = points[known.ids_of(points) < 0]
        if len(unknown):
            raise ValueError(f"{known.complaint('CharText', unknown)} in {self._source}")
        mapped = total_bytes(self.files) > MAP_ABOVE
        ids, self._pages, train, later = _encode(pieces, known, total, sizes[0], mapped)
        self.vocabulary = Vocabulary(characters, train.tolist()) if vocabulary is None else vocabulary
        self.num_tokens = self.num_classes = len(self.vocabulary)
        self.train_ids, self.validation_ids, self.test_ids = ids.tensor_split(sizes)
        self.unseen = int(later[train == 0].sum())

    def encode(self, text: str, on_unknown: str = "error") -> Tensor:
        """Return the token ids of a text, see `Vocabulary.encode`."""
        return self.vocabulary.encode(text, on_unknown)

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of token ids, see `Vocabulary.decode`."""
        return self.vocabulary.decode(ids)

    def draw(self, batch_size: int, generator: Generator) -> Batch:
        check_count("CharText", "batch_size", batch_size, 1)
        windows = self.train_ids.unfold(0, self.length + 1, 1)
        start = torch.randint(len(windows), (batch_size,), generator=generator, device=generator.device)
        crops = windows[start.to(windows.device)]
        return self._batch(crops[:, :-1], crops[:, 1:])

    def validation(self, batch_size: int) -> Iterator[Batch]:
        return self._read_through(self.validation_ids, check_count("CharText", "batch_size", batch_size, 1))

    def test(self, batch_size: int) -> Iterator[Batch]:
        return self._read_through(self.test_ids, check_count("CharText", "batch_size", batch_size, 1))

    def stream(self, batch_size: int, index: int) -> tuple[Batch, bool]:
        r"""Return a batch of the training part, read as B parallel streams over many epochs.

        With N training characters, each of the B streams has :math:`M = \lfloor (N - 1) / B \rfloor` inputs. Epoch p
        starts :math:`s = p \bmod L` characters into every stream and has :math:`\lfloor (M - s) / L \rfloor` windows:
        window boundaries move from epoch to epoch, and L epochs contain each of the M - L + 1 windows of a stream once.

        Args:
            batch_size: B, at least 1; a window must fit into a stream.
            index: index of the batch over all epochs, from 0 on; batches can be requested in any order.

        Returns:
            The batch, whose sequence i continues sequence i of the previous one, and True if it is the first of an
            epoch, so that the state must be reset.

        Raises:
            ValueError: if an argument is out of range.
        """
        check_count("CharText", "batch_size", batch_size, 1)
        check_count("CharText", "index", index, 0)
        each = (len(self.train_ids) - 1) // batch_size
        if each < self.length:
            raise ValueError(
                f"CharText: expected batch_size of at most {(len(self.train_ids) - 1) // self.length}, so that "
                f"each stream has length={self.length} characters to read, got {batch_size}"
            )
        shift, window = self._place(each, index)
        starts = torch.arange(batch_size, device="cpu") * each + shift + window * self.length
        crops = self.train_ids.unfold(0, self.length + 1, 1)[starts]
        return self._batch(crops[:, :-1], crops[:, 1:]), window == 0

    def streams(self, part: str, batch_size: int) -> Iterator[Batch]:
        """Iterate over a part once, as parallel streams; sequence i of a batch continues that of the previous one.

        The lengths of streams differ by at most one, and longer ones come first; their last characters are a batch of
        their own.

        Args:
            part: "validation", "test" or "train".
            batch_size: number of streams, at least 1; fewer if the part is shorter.

        Raises:
            ValueError: if an argument is out of range.
        """
        one_of("CharText", "part", part, ("validation", "test", "train"))
        check_count("CharText", "batch_size", batch_size, 1)
        ids = {"validation": self.validation_ids, "test": self.test_ids, "train": self.train_ids}[part]
        return self._read_streams(ids, batch_size)

    def _place(self, each: int, index: int) -> tuple[int, int]:
        """Return shift and window of batch `index` in streams of `each` characters."""
        index %= each - self.length + 1
        windows, left = divmod(each, self.length)
        long_passes = (left + 1) * windows  # the batches of passes with shifts 0, ..., left
        if index < long_passes:
            return divmod(index, windows)
        shift, window = divmod(index - long_passes, windows - 1)
        return left + 1 + shift, window

    def _read_streams(self, ids: Tensor, batch_size: int) -> Iterator[Batch]:
        each, longer = divmod(len(ids) - 1, batch_size)
        stream = torch.arange(batch_size, device="cpu")
        starts = stream * each + stream.clamp(max=longer)
        for begin in range(0, each, self.length):
            steps = torch.arange(begin, min(begin + self.length, each), device="cpu")
            places = starts[:, None] + steps
            yield self._batch(ids[places], ids[places + 1])
        if longer:
            places = starts[:longer, None] + each
            yield self._batch(ids[places], ids[places + 1])

    def _read_through(self, ids: Tensor, batch_size: int) -> Iterator[Batch]:
        x, y = ids[:-1], ids[1:]
        whole = len(x) // self.length * self.length
        windows = zip(
            x[:whole].view(-1, self.length).split(batch_size), y[:whole].view(-1, self.length).split(batch_size)
        )
        for x_window, y_window in windows:
            yield self._batch(x_window, y_window)
        if whole < len(x):
            yield self._batch(x[None, whole:], y[None, whole:])

    def _batch(self, x: Tensor, y: Tensor) -> Batch:
        length = x.shape[1]
        edges = self.edge_index if length == self.length else path_graph(length, self.directed, self.hops)
        batch = sequence_batch(x.long(), y.long(), edges)
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            # Release pages already read, so that the resident memory does not grow to the size of the file.
            self._pages.madvise(mmap.MADV_DONTNEED)
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pages": None}  # a copy has its ids in main memory

    def __repr__(self) -> str:
        return f"CharText({self._source!r}, length={self.length})"


def _help_topics() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _name_of(path: TextPath | None) -> str:
    if path is None:
        return "Python's help topics"
    return str(path) if isinstance(path, str | PathLike) else ", ".join(map(str, path))


def _survey(pieces: Iterable[np.ndarray]) -> tuple[int, np.ndarray]:
    """Return the number of characters, and the distinct code points in ascending order."""
    total, seen = 0, np.zeros(0x110000, dtype=bool)
    for points in pieces:
        total += len(points)
        seen[points] = True
    return total, seen.nonzero()[0]


def _encode(
    pieces: Callable[[], Iterable[np.ndarray]], vocabulary: Vocabulary, total: int, first: int, mapped: bool
) -> tuple[Tensor, mmap.mmap | None, np.ndarray, np.ndarray]:
    """Return the ids of a text, their memory map, and the counts of each id in the training part and in the rest."""
    size = len(vocabulary)
    dtype = np.uint8 if size <= 2**8 else np.int16 if size <= 2**15 else np.int32
    train, later = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)

    def encoded() -> Iterator[np.ndarray]:
        done = 0
        for points in pieces():
            ids = vocabulary.ids_of(points)
            border = min(max(first - done, 0), len(ids))
            done += len(ids)
            if ids.min() < 0 or done > total:
                break
            train[:] += np.bincount(ids[:border], minlength=size)
            later[:] += np.bincount(ids[border:], minlength=size)
            yield ids.astype(dtype)
        if done != total or ids.min() < 0:
            raise ValueError("CharText: expected files that do not change, got one that was modified while being read")

    pages = _write(encoded(), total * np.dtype(dtype).itemsize) if mapped else None
    ids = np.concatenate(list(encoded())) if pages is None else np.frombuffer(pages, dtype=dtype)
    return torch.from_numpy(ids), pages, train, later


def _write(pieces: Iterable[np.ndarray], size: int) -> mmap.mmap:
    """Return a memory map of a temporary file, which the system removes when the map is no longer used."""
    try:
        with tempfile.TemporaryFile() as file:
            for piece in pieces:  # not assigned through the map, where a full disk would raise a signal
                file.write(piece.data)
            file.flush()
            return mmap.mmap(file.fileno(), 0)
    except OSError as error:
        raise ValueError(
            f"CharText: expected {size} free bytes in {tempfile.gettempdir()} (TMPDIR), got: {error.strerror}"
        ) from error
