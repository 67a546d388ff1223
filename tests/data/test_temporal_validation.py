"""What a temporal graph rejects."""

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from tests.support.temporal_graphs import EDGES, NAN, minutes, signal


@pytest.mark.parametrize("units", ["", "  ", "a\nb", 3, b"mph", ["mph"]])
def test_temporal_graph_invalid_units_raise_value_error(units):
    with pytest.raises(ValueError, match="TemporalGraph: expected units as a line of text, not empty, got ") as error:
        TemporalGraph(signal(), EDGES, units=units)
    assert str(error.value).endswith(repr(units))


def test_temporal_graph_nan_values_must_be_masked():
    x = signal(features=1)
    x[3, 1] = NAN
    mask = torch.ones(10, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"finite signal .* got nan at step 3, node 1 \(b\), feature 0"):
        TemporalGraph(x, EDGES, nodes=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"got nan at step 3, node 1, feature 0"):
        TemporalGraph(x, EDGES, mask=mask)
    mask[3, 1] = mask[4, 0] = False
    graph = TemporalGraph(x, EDGES, mask=mask)
    assert graph.signal[3, 1].item() == graph.targets[3, 1].item() == 0 and graph.signal[4, 0].item() == 12
    assert graph.mask.shape == (10, 3, 1) and graph.mask.sum() == 28 and x[3, 1].isnan()
    covariate = torch.cat([torch.zeros_like(x), x], dim=-1)  # next to the target, NaN was not observed
    partial = TemporalGraph(covariate, EDGES, mask=torch.ones(10, 3, dtype=torch.bool))
    assert torch.equal(partial.known, covariate.isfinite()) and torch.equal(partial.signal, covariate.nan_to_num(0))
    targets = x.expand(-1, -1, 2).clone()
    each = torch.ones(10, 3, 2, dtype=torch.bool)
    each[3, 1, 0] = False
    with pytest.raises(ValueError, match=r"expected finite targets .* got nan at step 3, node 1, feature 1"):
        TemporalGraph(signal(), EDGES, targets=targets, mask=each)
    each[3, 1, 1] = False
    assert TemporalGraph(signal(), EDGES, targets=targets, mask=each).targets[3, 1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (minutes(9), r"expected 10 timestamps, one per step, got 9"),
        (
            minutes(10)[[0, 1, 2, 2, 4, 5, 6, 7, 8, 9]],
            "increasing timestamps, got 2012-03-01 00:10 again at step 3; if clocks were set back",
        ),
        (minutes(10)[::-1], "got 2012-03-01 00:40 after 2012-03-01 00:45 at step 1$"),
        (["soon"] * 10, "expected a timestamp as 2012-03-01 00:05, got 'soon' at step 0"),
        ([*minutes(9), np.datetime64("NaT", "s")], "a timestamp at every step, got none at step 9"),
    ],
)
def test_temporal_graph_invalid_timestamps_raise_value_error(times, match):
    with pytest.raises(ValueError, match=match):
        TemporalGraph(signal(), EDGES, timestamps=times)


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((signal().long(), EDGES), {}, r"floats \[T, N\] or \[T, N, F\], not empty, got torch.int64 \(10, 3, 2\)"),
        ((signal()[0, 0], EDGES), {}, r"got torch.float32 \(2,\)"),
        ((signal()[:0], EDGES), {}, "not empty"),
        (([1.0], EDGES), {}, "got list"),
        ((signal(), EDGES), {"targets": signal(9)}, r"targets \[10, 3, C\] on cpu, as the signal, got .*\(9, 3, 2\)"),
        ((signal(), EDGES + 2), {}, "between the signal's 3 nodes, got node 4"),
        ((signal(), EDGES - 1), {}, "between the signal's 3 nodes, got node -1"),
        ((signal(), EDGES.float()), {}, "edge_index as integers"),
        ((signal(), EDGES.T[:, :1]), {}, r"edge_index as integers \(int64\) \[2, E\], got torch.int64 \(3, 1\)"),
        ((signal(), EDGES, torch.ones(2)), {}, r"edge_weight as floats \[3\], one per edge, got torch.float32 \(2,\)"),
        ((signal(), EDGES, torch.tensor([1.0, NAN, 1.0])), {}, "finite weights, got nan at edge 1"),
        ((signal(), EDGES.to("meta")), {}, "the graph on cpu"),
        ((signal(), EDGES), {"mask": torch.ones(10, 3)}, r"a bool mask \[10, 3\] or \[10, 3, 1\] .*got torch.float32"),
        ((signal(), EDGES), {"mask": torch.ones(10, 4, dtype=torch.bool)}, r"a bool mask .*got torch.bool \(10, 4\)"),
        ((signal(), EDGES), {"nodes": ["a", "b"]}, "3 names of nodes, got 2"),
        ((signal(), EDGES), {"nodes": ["a", "b", "a"]}, "distinct nodes, got 'a' more than once"),
        ((signal(), EDGES), {"positions": torch.zeros(2, 2)}, r"positions \[3, 2\], got \(2, 2\)"),
        ((signal(), EDGES), {"positions": torch.full((3, 2), NAN)}, "finite positions"),
    ],
)
def test_temporal_graph_invalid_arguments_raise_value_error(arguments, options, match):
    with pytest.raises(ValueError, match=f"TemporalGraph: expected .*{match}"):
        TemporalGraph(*arguments, **options)
