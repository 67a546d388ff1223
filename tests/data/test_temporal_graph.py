import copy
import pickle

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from tests.support.temporal_graphs import EDGES, NAN, minutes, signal


def test_temporal_graph_has_sizes_names_and_targets():
    graph = TemporalGraph(signal(), EDGES, torch.ones(3), timestamps=minutes(10), nodes=["a", "b", "c"], name="toy")
    assert (len(graph), graph.num_nodes, graph.num_features, graph.num_targets) == (10, 3, 2, 1)
    assert graph.timestamps.dtype == "datetime64[s]" and graph.time.words == "every 5 minutes"
    assert graph.nodes == ("a", "b", "c") and graph.positions is None and graph.mask is None
    assert graph.targets.data_ptr() == graph.signal.data_ptr() and torch.equal(graph.targets, signal()[..., :1])
    assert repr(graph) == "TemporalGraph('toy', steps=10, nodes=3, features=2, edges=3)"
    assert TemporalGraph(signal(), EDGES).time is None


def test_temporal_graph_is_immutable_and_copies_are_equal():
    graph = TemporalGraph(signal(), EDGES)
    with pytest.raises(AttributeError, match="TemporalGraph is immutable, got an assignment to 'signal'"):
        graph.signal = signal()
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert torch.equal(other.signal, graph.signal) and torch.equal(other.edge_index, EDGES)


def test_temporal_graph_steps_are_views():
    graph = TemporalGraph(signal(), EDGES, mask=torch.ones(10, 3, dtype=torch.bool), timestamps=minutes(10))
    part = graph.steps(2, 6)
    assert torch.equal(part.signal, signal()[2:6]) and part.mask.shape == (4, 3, 1)
    assert part.signal.untyped_storage().data_ptr() == graph.signal.untyped_storage().data_ptr()
    assert part.targets.data_ptr() == part.signal.data_ptr()
    assert np.shares_memory(part.timestamps, graph.timestamps) and part.timestamps[0] == minutes(10)[2]
    assert torch.equal(part.steps(1, 2).signal, signal()[3:4])
    for start, stop in ((2, 2), (-1, 3), (0, 11), (5, 4)):
        with pytest.raises(ValueError, match=f"0 <= start < stop <= 10, got {start} and {stop}"):
            graph.steps(start, stop)


def test_temporal_graph_units_are_preserved_in_parts_and_copies():
    given = {"timestamps": minutes(10), "units": "miles per hour"}
    graph = TemporalGraph(signal(), EDGES, **given)
    others = [*graph.split(0.5, 0.2, 0.3), graph.steps(0, 2), graph.to("cpu"), graph.with_calendar(), graph.fill_gaps()]
    others += [copy.deepcopy(graph), pickle.loads(pickle.dumps(graph)), graph.windows(2).graph]
    assert {other.units for other in others} == {"miles per hour"}
    assert TemporalGraph(signal(), EDGES).units is None


def test_temporal_graph_with_graph_per_step_slices_edges():
    edges = [EDGES + 0, EDGES.flip(0), *[EDGES[:, : i % 3] for i in range(8)]]
    weights = [torch.full((e.size(1),), float(i)) for i, e in enumerate(edges)]
    graph = TemporalGraph(signal(), edges, weights)
    part = graph.steps(1, 4)
    assert [e.size(1) for e in part.edge_index] == [3, 0, 1] and part.edge_weight[0].tolist() == [1, 1, 1]
    assert part.edge_index[0] is edges[1] and "one graph per step" in repr(part)
    with pytest.raises(ValueError, match="expected 10 of edge_index, one per step, got 9"):
        TemporalGraph(signal(), edges[:9])
    with pytest.raises(ValueError, match="expected 10 of edge_weight, one per step, got Tensor"):
        TemporalGraph(signal(), edges, torch.ones(3))
    with pytest.raises(ValueError, match="edge_weight at every step or at none, got None at step 3"):
        TemporalGraph(signal(), edges, [*weights[:3], None, *weights[4:]])
    with pytest.raises(ValueError, match="between the signal's 3 nodes, got node 3 of step 1"):
        TemporalGraph(signal(), [edges[0], edges[1] + 1, *edges[2:]])


def test_temporal_graph_split_by_fractions_or_counts_is_in_order():
    graph = TemporalGraph(signal(20), EDGES)
    firsts = [(part.signal[0, 0, 0].item() / 6, len(part)) for part in graph.split(0.7, 0.1, 0.2, gap=1)]
    assert firsts == [(0, 14), (15, 2), (18, 2)]
    assert [len(part) for part in graph.split(10, 4, 5)] == [10, 4, 5]
    whole = torch.cat([part.signal for part in graph.split(0.55, 0.25, 0.2)])
    assert torch.equal(whole, graph.signal)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0.7, 0.2, 0.2), "above 0 with a sum of at most 1, got .*0.7"),
        ((8, 2, 1), "above 0 with a sum of at most 10"),
        ((0.8, 0.0, 0.2), "expected parts above 0"),
        ((5, 0, 5), "expected parts above 0"),
        ((NAN, 0.1, 0.2), "expected parts above 0"),
        ((0.9, 0.05, 0.05), "a non-empty val part, got .* of 10"),
        ((0.7, 0.2, 0.1, 1), "a non-empty test part, got .* of 10, gap 1"),
        ((6, 2, 2, 1), "parts and gaps of at most 10 together"),
        ((5, 0.2, 0.3), "three fractions or three counts"),
        ((True, True, True), "three fractions or three counts"),
        ((0.5, 0.2, 0.3, -1), "gap to be an integer of at least 0, got -1"),
        ((0.5, 0.2, 0.3, 0.5), "got 0.5"),
    ],
)
def test_temporal_graph_invalid_split_raises_value_error(arguments, match):
    with pytest.raises(ValueError, match=f"TemporalGraph: expected .*{match}|{match}"):
        TemporalGraph(signal(), EDGES).split(*arguments)


def test_with_calendar_adds_sine_and_cosine_of_time():
    times = np.array(["2012-03-01T06:00", "2012-03-05T00:00", "2012-12-31T12:00"], "datetime64[s]")
    graph = TemporalGraph(signal(3), EDGES, timestamps=times)
    fuller = graph.with_calendar(["time-of-day", "day-of-week", "day-of-year"])
    assert fuller.num_features == 8 and torch.equal(fuller.targets, graph.targets)
    assert torch.equal(fuller.signal[..., :2], graph.signal)
    assert torch.equal(fuller.signal[:, 0, 2:], fuller.signal[:, 2, 2:])
    # Thursday, Monday, Monday; days 60, 64 and 365 (from 0) of 366
    phases = np.array([[6 / 24, 3 / 7, 60 / 366], [0, 0, 64 / 366], [0.5, 0, 365 / 366]])
    expected = np.stack([np.sin(2 * np.pi * phases), np.cos(2 * np.pi * phases)], axis=2).reshape(3, 6)
    assert np.allclose(fuller.signal[:, 1, 2:], expected, atol=1e-6)
    assert graph.with_calendar().num_features == 6 and graph.with_calendar("day-of-year").num_features == 4
    with pytest.raises(ValueError, match=r"calendar: expected name to be one of .*did you mean 'day-of-week'"):
        graph.with_calendar(["day-of-weak"])
    for names in ([], ["day-of-week", "day-of-week"]):
        with pytest.raises(ValueError, match="calendar: expected distinct names"):
            graph.with_calendar(names)
    with pytest.raises(ValueError, match="expected timestamps for calendar features, got none"):
        TemporalGraph(signal(), EDGES).with_calendar()


@pytest.mark.parametrize("dynamic", [False, True])
def test_fill_gaps_inserts_masked_zeros(dynamic):
    kept = [0, 1, 4, 5, 7]
    edges = [EDGES[:, : i % 3] for i in range(5)] if dynamic else EDGES
    weights = [torch.full((i % 3,), float(i)) for i in range(5)] if dynamic else None
    mask = torch.ones(5, 3, dtype=torch.bool)
    mask[1, 2] = False
    graph = TemporalGraph(signal(5) + 1, edges, weights, mask=mask, timestamps=minutes(8)[kept])
    full = graph.fill_gaps()
    assert len(full) == 8 and np.array_equal(full.timestamps, minutes(8))
    assert torch.equal(full.signal[kept], graph.signal) and not full.signal[[2, 3, 6]].any()
    assert torch.equal(full.mask[kept], graph.mask) and not full.mask[[2, 3, 6]].any()
    assert full.targets.data_ptr() == full.signal.data_ptr()
    if dynamic:
        assert [e.size(1) for e in full.edge_index] == [0, 1, 1, 1, 2, 0, 0, 1]
        assert [w[0].item() for w in full.edge_weight if len(w)] == [1, 1, 1, 2, 4]
    own = TemporalGraph(signal(5), EDGES, targets=signal(5), timestamps=minutes(8)[kept]).fill_gaps()
    assert torch.equal(own.targets[kept], signal(5)) and own.mask.sum() == 30
    assert torch.equal(full.fill_gaps().signal, full.signal)
    with pytest.raises(ValueError, match="expected timestamps to find gaps, got none"):
        TemporalGraph(signal(), EDGES).fill_gaps()
    with pytest.raises(ValueError, match="expected timestamps every 5 minutes, got 2012-03-01 00:11:40 at step 2"):
        odd = np.array([0, 300, 700, 1000], "timedelta64[s]") + np.datetime64("2012-03-01")
        TemporalGraph(signal(4), EDGES, timestamps=odd).fill_gaps()


def test_fill_gaps_refuses_steps_that_no_memory_holds():
    times = np.array(["1000-01-01", "1000-01-02", "9000-01-01"], "M8[s]")
    times[1] = times[0] + 1
    graph = TemporalGraph(signal(3), EDGES, timestamps=times)
    with pytest.raises(
        ValueError, match=r"expected at most [\d,]+ steps when gaps are filled, got 252,455,616,001 every"
    ):
        graph.fill_gaps()


def test_temporal_graph_targets_are_preserved_by_calendar_and_to():
    targets = torch.randn(10, 3, 2, generator=torch.Generator().manual_seed(0))
    graph = TemporalGraph(signal(), EDGES, targets=targets, timestamps=minutes(10))
    assert graph.num_targets == 2 and torch.equal(graph.with_calendar().targets, targets)
    moved = TemporalGraph(signal(), [EDGES] * 10, timestamps=minutes(10), positions=torch.zeros(3, 2)).to("cpu")
    assert moved.targets.data_ptr() == moved.signal.data_ptr() and isinstance(moved.edge_index, tuple)
    assert moved.to("meta").signal.device.type == moved.to("meta").positions.device.type == "meta"
