"""Next-character prediction on any text."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch

from seqgnn.data.sequence_graph import path_graph, rounds_to_reach, sequence_batch
from seqgnn.data.task import Task, check_count


class CharText(Task):
    r"""The next character, at every character of a text.

    .. math:: x = (c_1, \dots, c_L), \quad y = (c_2, \dots, c_{L+1})

    The text is cut into three contiguous parts, in its order: train, validation, test. `draw` takes windows of L + 1
    characters from anywhere in the first. `validation` and `test` read theirs from the first character to the last in
    windows that follow each other, so that each character but a part's first is predicted once; what remains at the
    end is a shorter window, in a batch of its own. A model starts each window afresh.

    The vocabulary is the distinct characters of the *whole* text, so that any character can be read and predicted: from
    the later parts a model learns which characters exist, and nothing else. `unseen` is the number of characters in
    validation and test that never occur in training.

    Args:
        path: a text file; without one, the help topics that come with Python (`pydoc_data.topics`, in the order of
            their names), 465,126 characters of English in Python 3.11, some more in later versions.
        length: L, characters read by a sample, at least 1.
        encoding: of the file; "utf-8-sig" is UTF-8 with or without a byte-order mark. Line ends become "\n".
        split: shares of train, validation and test, positive, adding up to 1.
        directed, hops: the path's edges, see `path_graph`. On undirected paths a model would read its answers.

    Attributes:
        vocabulary: the characters in the order of their ids (code points ascending).
        train_ids, validation_ids, test_ids: the three parts.

    Shapes:
        `x [B * L]` ids, `y [B * L]`.

    Raises:
        ValueError: if the file cannot be read, is empty or too short for its split, or is not in `encoding` (with the
            byte that is wrong, and encodings that would do); if an argument is out of range.

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
        path: str | PathLike[str] | None = None,
        *,
        length: int = 30,
        encoding: str = "utf-8-sig",
        split: tuple[float, float, float] = (0.9, 0.05, 0.05),
        directed: bool = True,
        hops: tuple[int, ...] = (1,),
    ) -> None:
        self.length = check_count("CharText", "length", length, 1)
        if len(split) != 3 or not all(0 < share < 1 for share in split) or abs(sum(split) - 1) > 1e-6:
            raise ValueError(f"CharText: expected split to be three positive shares that add up to 1, got {split}")
        self.directed = directed
        self.hops = tuple(hops)
        self.edge_index = path_graph(length, directed, hops)
        self.depth = max(rounds_to_reach(length - 1, hops, directed), len(hops))

        self._source = "Python's help topics" if path is None else str(path)
        text = _help_topics() if path is None else _read(Path(path), encoding)
        self.vocabulary = "".join(sorted(set(text)))
        self.num_tokens = self.num_classes = len(self.vocabulary)
        self._ids = {character: i for i, character in enumerate(self.vocabulary)}
        ids = self.encode(text)
        first, second = round(split[0] * len(ids)), round((split[0] + split[1]) * len(ids))
        self.train_ids, self.validation_ids, self.test_ids = ids.tensor_split([first, second])
        if min(len(self.train_ids), len(self.validation_ids), len(self.test_ids)) <= length:
            raise ValueError(
                f"CharText: expected a text whose parts {tuple(split)} have more than length={length} characters each, "
                f"got {len(text)} characters in all from {self._source}"
            )
        self.unseen = int((~torch.isin(ids[first:], self.train_ids.unique())).sum())

    def encode(self, text: str) -> Tensor:
        """The ids of a text's characters; a ValueError names a character that the vocabulary lacks."""
        try:
            return torch.tensor([self._ids[character] for character in text], dtype=torch.long)
        except KeyError as error:
            raise ValueError(
                f"CharText: expected characters out of the {len(self.vocabulary)} of the text, got {error.args[0]!r}"
            ) from None

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of some ids."""
        numbers = ids.flatten().tolist() if isinstance(ids, Tensor) else list(ids)
        if numbers and not (min(numbers) >= 0 and max(numbers) < self.num_classes):
            raise ValueError(
                f"CharText: expected ids between 0 and {self.num_classes - 1}, got {min(numbers)} to {max(numbers)}"
            )
        return "".join(self.vocabulary[i] for i in numbers)

    def draw(self, batch_size: int, generator: Generator) -> Batch:
        check_count("CharText", "batch_size", batch_size, 1)
        windows = self.train_ids.unfold(0, self.length + 1, 1)
        start = torch.randint(len(windows), (batch_size,), generator=generator, device=generator.device)
        crops = windows[start.to(windows.device)]
        return sequence_batch(crops[:, :-1], crops[:, 1:], self.edge_index)

    def validation(self, batch_size: int) -> Iterator[Batch]:
        return self._read_through(self.validation_ids, check_count("CharText", "batch_size", batch_size, 1))

    def test(self, batch_size: int) -> Iterator[Batch]:
        return self._read_through(self.test_ids, check_count("CharText", "batch_size", batch_size, 1))

    def _read_through(self, ids: Tensor, batch_size: int) -> Iterator[Batch]:
        x, y = ids[:-1], ids[1:]
        whole = len(x) // self.length * self.length
        windows = zip(
            x[:whole].view(-1, self.length).split(batch_size), y[:whole].view(-1, self.length).split(batch_size)
        )
        for x_window, y_window in windows:
            yield sequence_batch(x_window, y_window, self.edge_index)
        if whole < len(x):
            rest = path_graph(len(x) - whole, self.directed, self.hops)
            yield sequence_batch(x[None, whole:], y[None, whole:], rest)

    def __repr__(self) -> str:
        return f"CharText({self._source!r}, length={self.length})"


def _help_topics() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _read(path: Path, encoding: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"CharText: expected a text file that can be read, got {path}: {error.strerror}") from error
    if not content:
        raise ValueError(f"CharText: expected a text, got the empty file {path}")
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ValueError(f"CharText: expected the name of an encoding, got {encoding!r}") from None
    except UnicodeDecodeError as error:
        offset = error.start + len(content) - len(error.object)  # utf-8-sig counts from behind its mark
        raise ValueError(
            f"CharText: expected {path} to be {encoding}, got byte 0x{content[offset]:02x} at offset {offset}; "
            f"encodings that can read it: {', '.join(_encodings_of(content))}"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encodings_of(content: bytes) -> list[str]:
    """Encodings that decode `content`; UTF-16 only with its mark, since it takes nearly everything of even length."""
    candidates = ["utf-8-sig", "cp1252", "latin-1"]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        candidates.insert(0, "utf-16")
    able = []
    for encoding in candidates:
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        able.append(encoding)
    return able
