"""Samples that are sequences."""

import pytest
import torch

from seqgnn.data import SequenceGraph


def random_values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class TestFromValues:
    def test_from_values_of_ids_and_features_sets_dtypes_and_edges(self):
        sample = SequenceGraph.from_values([2, 0, 1], y=[1, 1, 0], hops=(1, 2))
        assert sample.x.dtype == sample.y.dtype == torch.long
        assert sample.y.tolist() == [1, 1, 0]
        assert sample.edge_index.tolist() == [[0, 0, 1], [1, 2, 2]]
        sample = SequenceGraph.from_values(random_values(3, 2).numpy(), directed=False)
        assert torch.equal(sample.x, random_values(3, 2))
        assert sample.y is None
        assert SequenceGraph.from_values([[1, 2], [3, 4]]).x.dtype == torch.float32
        assert SequenceGraph.from_values(torch.ones(2, 1, dtype=torch.float64)).x.dtype == torch.float64

    @pytest.mark.parametrize(
        ("x", "match"),
        [
            ([], r"expected x of shape \[L\] or \[L, F\] with at least one position, got \[0\]"),
            (torch.ones(3, 0), r"got \[3, 0\]"),
            (torch.ones(1, 2, 3), r"got \[1, 2, 3\]"),
            (3, r"got \[\]"),
            ([0.5, 1.0], r"expected x of integers, got torch.float32; features are \[L, F\]"),
            ([True, False], "expected x of integers, got torch.bool"),
            ([1, -2], "expected x of at least 0, got -2"),
            ([[1.0], [float("nan")], [float("inf")]], "expected finite x, got 2 NaN or infinite values"),
            (torch.ones(2, 2, dtype=torch.complex64), "expected real features x, got torch.complex64"),
            ("abc", "expected x to be a tensor, an array or numbers"),
            ([[1, 2], [3]], "expected x to be a tensor, an array or numbers"),
        ],
    )
    def test_from_values_invalid_x_raises_value_error(self, x, match):
        with pytest.raises(ValueError, match=match):
            SequenceGraph.from_values(x)

    @pytest.mark.parametrize(
        ("y", "match"),
        [
            ([1, 2], r"expected y of shape \[1\] or \[3\], got \[2\]"),
            ([[1]], r"expected y of shape \[1\] or \[3\], got \[1, 1\]"),
            (0.5, "expected y of integers, got torch.float32$"),
            (-1, "expected y of at least 0, got -1"),
        ],
    )
    def test_from_values_invalid_y_raises_value_error(self, y, match):
        with pytest.raises(ValueError, match=match):
            SequenceGraph.from_values([1, 2, 3], y)
