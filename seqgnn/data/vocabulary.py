"""Characters and their ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils.validation import one_of


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows, each with its id and how often it occurs in the training part.

    Immutable; equal to another of the same characters in the same order with the same counts.

    Args:
        characters: all of them, each once, in the order of their ids.
        counts: how often each occurs, integers of at least 0.

    Raises:
        ValueError: if there is no character, one occurs twice, or the counts do not fit.

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
            twice = sorted({c for c in self.characters if self.characters.count(c) > 1})
            raise ValueError(f"Vocabulary: expected each character once, got several times {_list(twice)}")
        counts = tuple(self.counts) if isinstance(self.counts, Iterable) else (self.counts,)
        if len(counts) != len(self.characters):
            raise ValueError(f"Vocabulary: expected {len(self.characters)} counts, one a character, got {len(counts)}")
        wrong = [n for n in counts if isinstance(n, bool) or not isinstance(n, int) or n < 0]
        if wrong:
            raise ValueError(f"Vocabulary: expected counts to be integers of at least 0, got {wrong[0]!r}")
        points = code_points(self.characters)
        table = np.full(int(points.max()) + 2, -1, dtype=np.int32)  # the last stands for all that lies behind
        table[points] = np.arange(len(points), dtype=np.int32)
        for name, value in (("counts", counts), ("_points", points), ("_table", table)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} characters, {sum(self.counts)} counted)"

    def encode(self, text: str, on_unknown: str = "error") -> Tensor:
        """The ids of a text's characters.

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
        """The text of some ids, of any integer type and shape."""
        numbers = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
        if numbers.size == 0:
            return ""
        if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= len(self):
            found = f"{numbers.min()} to {numbers.max()}" if numbers.dtype.kind in "iuf" else str(numbers.dtype)
            raise ValueError(f"Vocabulary: expected ids, integers between 0 and {len(self) - 1}, got {found}")
        return self._points[numbers.reshape(-1)].tobytes().decode("utf-32-le", "surrogatepass")

    def ids_of(self, points: np.ndarray) -> np.ndarray:
        """int32 ids of code points, -1 where one is unknown."""
        return self._table.take(points, mode="clip")

    def complaint(self, who: str, points: np.ndarray) -> str:
        """What is wrong with a text that has these code points, which are unknown."""
        return (
            f"{who}: expected characters out of the {len(self)} of the vocabulary, "
            f"got unknown {_list(map(chr, np.unique(points).tolist()))}"
        )

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same vocabulary of; fit for JSON."""
        return {"characters": self.characters, "counts": list(self.counts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Vocabulary":
        """The vocabulary that `to_dict` described.

        Raises:
            ValueError: if it is no such description.
        """
        if not isinstance(values, dict) or set(values) != {"characters", "counts"}:
            found = sorted(map(str, values)) if isinstance(values, dict) else type(values).__name__
            raise ValueError(f"Vocabulary: expected a dict with 'characters' and 'counts', got {found}")
        return cls(values["characters"], values["counts"])


def code_points(text: str) -> np.ndarray:
    """The Unicode code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _list(characters: Iterable[str]) -> str:
    return ", ".join(map(repr, characters))
