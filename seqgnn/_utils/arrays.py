"""Array operations."""

import numpy as np


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values of a flat array, increasing.

    numpy's `unique` has hashed integers since 2.3, which takes 100 times as long as sorting if most of them differ
    (numpy 2.4.6, two million node indices), so this sorts.

    Example:
        >>> distinct(np.array([3, 1, 3, 2])).tolist()
        [1, 2, 3]
    """
    ordered = np.sort(values)
    return ordered[np.concatenate([np.ones(min(len(ordered), 1), dtype=bool), ordered[1:] != ordered[:-1]])]
