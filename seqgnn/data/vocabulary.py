"""Vocabulary: characters and their token ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import one_of


@dataclass(frozen=True)
class Vocabulary:
    """The characters known to a model, with their ids and their counts in the training part.

    Immutable; vocabularies with the same characters, order and counts are equal.

    Args:
        characters: all characters without duplicates, in the order of their ids.
        counts: number of occurrences of each, integers of at least 0.

    Example:
        >>> vocabulary = Vocabulary("abc", [5, 1, 0])
        >>> vocabulary.encode("cab").tolist(), vocabulary.decode([1, 0, 1])
        ([2, 0, 1], 'bab')
        >>> Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary
        True
    """

    characters: str
    counts: Sequence[int]
    _points: np.ndarray = field(init=False, repr=False, compare=False)
    _table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str) or not self.characters:
            raise ValueError(f"Vocabulary: expected a text of at least one character, got {self.characters!r}")
        if len(set(self.characters)) < len(self.characters):
            duplicates = sorted({c for c in self.characters if self.characters.count(c) > 1})
            raise ValueError(f"Vocabulary: expected distinct characters, got duplicates {_list(duplicates)}")
        counts = tuple(self.counts) if isinstance(self.counts, Iterable) else (self.counts,)
        if len(counts) != len(self.characters):
            expected = f"{len(self.characters)} counts, one per character"
            raise ValueError(f"Vocabulary: expected {expected}, got {len(counts)}")
        invalid = [n for n in counts if isinstance(n, bool) or not isinstance(n, int) or n < 0]
        if invalid:
            raise ValueError(f"Vocabulary: expected counts to be integers of at least 0, got {invalid[0]!r}")
        points = code_points(self.characters)
        table = np.full(int(points.max()) + 2, -1, dtype=np.int32)  # the last entry is for all larger code points
        table[points] = np.arange(len(points), dtype=np.int32)
        for name, value in (("counts", counts), ("_points", points), ("_table", table)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} characters, {sum(self.counts)} counted)"

    def encode(self, text: str, on_unknown: str = "error") -> Tensor:
        """Return the token ids of a text.

        Args:
            text: any text.
            on_unknown: "error", or "skip" to leave out characters that are not in the vocabulary.

        Returns:
            long `[L]`, L the number of (known) characters.

        Raises:
            ValueError: naming all unknown characters; if an argument is wrong.
        """
        one_of("Vocabulary", "on_unknown", on_unknown, ("error", "skip"))
        if not isinstance(text, str):
            raise ValueError(f"Vocabulary: expected a text to encode, got {type(text).__name__}")
        points = code_points(text)
        ids = self.ids_of(points)
        known = ids >= 0
        if on_unknown == "error" and not known.all():
            raise ValueError(self.complaint("Vocabulary", points[~known]))
        return torch.from_numpy(ids[known].astype(np.int64))

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of token ids of any integer dtype and shape."""
        numbers = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
        if numbers.size == 0:
            return ""
        if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= len(self):
            actual = f"{numbers.min()} to {numbers.max()}" if numbers.dtype.kind in "iuf" else str(numbers.dtype)
            raise ValueError(f"Vocabulary: expected ids, integers between 0 and {len(self) - 1}, got {actual}")
        return self._points[numbers.reshape(-1)].tobytes().decode("utf-32-le", "surrogatepass")

    def ids_of(self, points: np.ndarray) -> np.ndarray:
        """Return int32 ids of code points, -1 for unknown ones."""
        return self._table.take(points, mode="clip")

    def complaint(self, caller: str, points: np.ndarray) -> str:
        """Return the error message for a text with these unknown code points."""
        return (
            f"{caller}: expected characters out of the {len(self)} of the vocabulary, "
            f"got unknown {_list(map(chr, np.unique(points).tolist()))}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible dict for `from_dict`."""
        return {"characters": self.characters, "counts": list(self.counts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Vocabulary":
        """Return the vocabulary of a dict from `to_dict`.

        Raises:
            ValueError: if the dict has other keys.
        """
        if not isinstance(values, dict) or set(values) != {"characters", "counts"}:
            actual = sorted(map(str, values)) if isinstance(values, dict) else type(values).__name__
            raise ValueError(f"Vocabulary: expected a dict with 'characters' and 'counts', got {actual}")
        return cls(values["characters"], values["counts"])


def code_points(text: str) -> np.ndarray:
    """Return the Unicode code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _list(characters: Iterable[str]) -> str:
    return ", ".join(map(repr, characters))
