"""The seeds of a comparison: given, or drawn until the leading difference is known precisely enough."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from seqgnn._utils.validation import check_count
from seqgnn.metrics.significance import ACCURACY_MARGIN, RELATIVE_MARGIN, margin

AUTO = "auto"
FIRST = 3  # seeds before the first decision


@dataclass(frozen=True)
class AutoSeeds:
    """The rule that draws seeds until the leading difference is known precisely enough.

    The leading difference is that of the best model and the next one, paired by seed; of a single model, that of it and
    the best baseline. After seeds 0, 1 and 2, each further seed is drawn only at the sizes where the 95% interval of
    this difference (Student's t over seeds) is wider than `interval_width`. The rule looks at the width only,
    never at the difference or its p-value, so it does not stop because a result looks good. Since it stops where the
    spread happens to look small, intervals cover slightly less than 95% (Chow and Robbins 1965); docs/comparisons.md
    has the numbers.

    Args:
        interval_width: with seeds "auto", the width of the 95% interval of the leading difference at which no more
            seeds are drawn, in units of the metric, above 0; None: 0.05 for an accuracy, 2% of the best baseline for a
            loss or an error.
        max_seeds: with seeds "auto", the maximum number of seeds, at least 3.
        budget: with seeds "auto", the number of seconds after which no more seeds are drawn, above 0. The number of
            seeds then depends on the machine; None: no limit.

    Raises:
        ValueError: if a value is out of range.

    Example:
        >>> AutoSeeds(max_seeds=10).first
        (0, 1, 2)
    """

    interval_width: float | None = None
    max_seeds: int = 20
    budget: float | None = None

    def __post_init__(self) -> None:
        check_count("AutoSeeds", "max_seeds", self.max_seeds, FIRST)
        for name in ("interval_width", "budget"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value < math.inf):
                raise ValueError(f"AutoSeeds: expected {name} to be a number above 0, got {value!r}")

    @property
    def in_words(self) -> str:
        """What happens after the first seeds."""
        default = f"{ACCURACY_MARGIN} (accuracy) or {RELATIVE_MARGIN:.0%} of the best baseline (loss, error)"
        width = default if self.interval_width is None else f"{self.interval_width:g}"
        end = "" if self.budget is None else f", and none after {self.budget:g} s"
        return (
            f"one more at a time until the 95% interval of the leading difference is at most {width} wide; at most "
            f"{self.max_seeds} seeds{end}"
        )

    @property
    def first(self) -> tuple[int, ...]:
        """The seeds before the first decision."""
        return tuple(range(FIRST))

    def limit(self, higher_is_better: bool, best_baseline: float | None) -> float | None:
        """Return the width that is small enough: `interval_width`, or the default for the metric; None if that depends
        on a baseline and there is none.

        Example:
            >>> AutoSeeds().limit(True, None), AutoSeeds().limit(False, 4.0), AutoSeeds().limit(False, None)
            (0.05, 0.08, None)
        """
        if self.interval_width is not None:
            return self.interval_width
        return margin(higher_is_better, best_baseline)


Seeds: TypeAlias = Sequence[int] | str | AutoSeeds
RULE = tuple(item.name for item in fields(AutoSeeds))
