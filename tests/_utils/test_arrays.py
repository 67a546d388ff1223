"""Array operations equal Python's sets."""

import numpy as np
import pytest

from seqgnn._utils.arrays import distinct


@pytest.mark.parametrize("values", [[], [5], [3, 1, 3, 2, 1], list(range(9, 0, -1))])
def test_distinct_equals_a_sorted_set(values):
    assert distinct(np.array(values, dtype=np.int64)).tolist() == sorted(set(values))
