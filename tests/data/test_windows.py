import pickle
import tracemalloc
from itertools import pairwise

import pytest
import torch

from seqgnn.data import TemporalGraph, Windows

EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0]])
FORKED = "ignore:.*multi-threaded.*fork"  # Python 3.12 and later, of DataLoader's workers


def toy(steps=40, nodes=3, features=2, dynamic=False):
    """Values that say step, node and feature: 100 * step + 10 * node + feature."""
    step, node, feature = torch.meshgrid(*(torch.arange(n) for n in (steps, nodes, features)), indexing="ij")
    mask = (step + node)[..., 0] % 7 != 0
    x = (100 * step + 10 * node + feature).float()
    if not dynamic:
        return TemporalGraph(x, EDGES, torch.rand(4, generator=torch.Generator().manual_seed(0)), mask=mask)
    graphs = [EDGES[:, : 1 + i % 4] for i in range(steps)]
    return TemporalGraph(x, graphs, [torch.full((1 + i % 4,), float(i)) for i in range(steps)], mask=mask)


def storage(x):
    return x.untyped_storage().data_ptr()


def test_windows_are_all_that_fit_in_the_graph():
    windows = toy().steps(5, 20).windows(4, 3, stride=2)
    assert len(windows) == 5 and windows.starts == range(0, 9, 2) and windows.steps == range(15)
    assert [windows[i].start.item() for i in (0, 4, -1)] == [0, 8, 8]
    assert windows[4].x[:, 0, 0, 0].tolist() == [1300, 1400, 1500, 1600]
    assert windows[4].y[:, 0, 2, 0].tolist() == [1720, 1820, 1920]
    assert len(toy().windows(12, 28)) == 1
    with pytest.raises(
        ValueError, match="lags \\+ horizon to be at most the number of steps, got 13 \\+ 28 of 40 steps"
    ):
        toy().windows(13, 28)
    with pytest.raises(IndexError):
        windows[5]


def test_windows_batch_equals_its_single_windows():
    windows = toy().windows(4, 3)
    batch = windows.batch([7, 0, 33])
    assert batch.x.shape == (4, 3, 3, 2) and batch.y.shape == batch.mask.shape == (3, 3, 3, 1)
    assert batch.num_graphs == 3 and batch.start.tolist() == [7, 0, 33] and batch.edge_index is EDGES
    for b, i in enumerate((7, 0, 33)):
        for name in ("x", "y", "mask"):
            assert torch.equal(getattr(batch, name)[:, b], getattr(windows[i], name)[:, 0])
    t, b, n, f = 2, 1, 2, 1
    assert batch.x[t, b, n, f] == 221 and batch.y[t, b, n, 0] == 620 and batch.mask[t, b, n, 0] == ((6 + 2) % 7 != 0)
    assert torch.equal(windows.batch(torch.tensor([7, 0, 33])).x, batch.x)
    strided = toy().windows(4, 3, stride=5)
    assert torch.equal(strided.batch([1, 2]).x, windows.batch([5, 10]).x)
    moved = batch.to("meta")
    assert {moved.x.device.type, moved.edge_weight.device.type, moved.start.device.type} == {"meta"}


def test_windows_batch_of_graph_per_step_is_their_union():
    graph = toy(dynamic=True)
    windows = graph.windows(3, 2)
    batch = windows.batch([6, 2])
    assert len(batch.edge_index) == len(batch.edge_weight) == 3
    for lag in range(3):
        first, second = graph.edge_index[6 + lag], graph.edge_index[2 + lag]
        assert torch.equal(batch.edge_index[lag], torch.cat([first, second + 3], dim=1))
        assert batch.edge_weight[lag].tolist() == [6.0 + lag] * first.size(1) + [2.0 + lag] * second.size(1)
    one = windows[6]
    assert [e is g for e, g in zip(one.edge_index, graph.edge_index[6:9])] == [True] * 3 and len(one.edge_weight) == 3
    bare = TemporalGraph(graph.signal, list(graph.edge_index)).windows(3, 2).batch([6, 2])
    assert bare.edge_weight is None and bare.mask is None and bare.to("meta").edge_weight is None
    assert batch.to("meta").edge_index[2].device.type == "meta"


def test_windows_item_is_a_view():
    graph = toy()
    window = graph.windows(12, 12)[9]
    assert storage(window.x) == storage(window.y) == storage(graph.signal)
    assert storage(window.mask) == storage(graph.mask)
    assert torch.equal(window.x[:, 0], graph.signal[9:21]) and torch.equal(window.y[:, 0], graph.targets[21:33])


def test_windows_memory_is_constant_in_number_of_windows():
    graph = TemporalGraph(torch.zeros(1, 3, 1).expand(200_000, 3, 1), EDGES)

    def bytes_of(steps):
        tracemalloc.start()
        windows = graph.steps(0, steps).windows(12, 12)
        parts = windows.split(0.7, 0.1, 0.2)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert all(storage(part.graph.signal) == storage(graph.signal) for part in (windows, *parts))
        return len(windows), used

    bytes_of(1000)
    (few, small), (many, large) = bytes_of(1000), bytes_of(200_000)
    assert (few, many) == (977, 199_977) and large < small + 500
    windows = toy(steps=2000).windows(12, 12)
    assert abs(len(pickle.dumps(windows)) - len(pickle.dumps(toy(steps=2000).steps(0, 2000).windows(500, 500)))) < 100


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("gap", [0, 2])
def test_windows_split_parts_have_no_target_in_common(horizon, stride, gap):
    windows = toy(100).windows(5, horizon, stride)
    parts = windows.split(0.5, 0.2, 0.3, gap)
    futures = [{s + 5 + h for s in part.starts for h in range(horizon)} for part in parts]
    for earlier, later in pairwise(futures):
        assert max(earlier) < min(later)
    assert sum(map(len, parts)) <= len(windows) - 2 * gap
    assert parts[2].starts[-1] == windows.starts[-1]
    assert all(part.lags == 5 and part.horizon == horizon and part.graph is windows.graph for part in parts)
    if horizon == 1:
        assert sum(map(len, parts)) == len(windows) - 2 * gap
        assert len(parts[0]) == int(0.5 * len(windows))


def test_windows_counts_equal_those_of_published_protocols():
    chickenpox, pedalme = (toy(steps).windows(4) for steps in (521, 35))
    assert (len(chickenpox), len(pedalme)) == (517, 31)
    assert [len(part) for part in chickenpox.split(0.16, 0.04, 0.8)] == [82, 20, 415]
    assert [len(part) for part in pedalme.split(20, 7, 4)] == [20, 7, 4]
    with pytest.raises(ValueError, match="Windows: expected parts above 0 with a sum of at most 31"):
        pedalme.split(20, 8, 4)
    with pytest.raises(ValueError, match="Windows: expected a part whose targets do not overlap the next part, got 2"):
        toy().windows(4, 5).split(20, 2, 10)


def test_windows_split_changed_future_leaves_earlier_parts_equal():
    graph = toy(60)
    train, val, _ = graph.windows(4, 3).split(0.5, 0.2, 0.3)
    first = torch.cat([graph.signal[: val.steps.stop], torch.full((60 - val.steps.stop, 3, 2), -1.0)])
    other = TemporalGraph(first, EDGES, mask=graph.mask).windows(4, 3).split(0.5, 0.2, 0.3)
    for part, changed in zip((train, val), other):
        every = range(len(part))
        assert torch.equal(part.batch(every).x, changed.batch(every).x)
        assert torch.equal(part.batch(every).y, changed.batch(every).y)


def seen(windows, **options):
    return [batch.start.tolist() for batch in windows.loader(4, **options)]


def test_windows_loader_without_shuffle_is_in_order():
    windows = toy().windows(4, 3)
    assert seen(windows) == [list(range(i, min(i + 4, 34))) for i in range(0, 34, 4)]
    batch = next(iter(windows.loader(4)))
    assert batch.x.shape == (4, 4, 3, 2) and torch.equal(batch.x, windows.batch(range(4)).x)


@pytest.mark.filterwarnings(FORKED)
@pytest.mark.parametrize("dynamic", [False, True])
def test_windows_loader_shuffled_is_equal_with_any_num_workers(dynamic):
    windows = toy(dynamic=dynamic).windows(4, 3)
    found = []
    for workers in (0, 2):
        generator = torch.Generator().manual_seed(3)
        loader = windows.loader(4, shuffle=True, generator=generator, num_workers=workers)
        state = torch.get_rng_state()
        found.append([(b.start.tolist(), b.x, b.y, b.edge_index) for _ in range(2) for b in loader])
        assert torch.equal(torch.get_rng_state(), state)
    alone, together = found
    assert [batch[0] for batch in alone] == [batch[0] for batch in together]
    for (_, *one), (_, *other) in zip(alone, together):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
        assert all(map(torch.equal, one[2], other[2])) if dynamic else torch.equal(one[2], other[2])
    orders = [[i for batch in alone[half : half + 9] for i in batch[0]] for half in (0, 9)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(34)) and orders[0] != orders[1]


@pytest.mark.gpu
@pytest.mark.parametrize("dynamic", [False, True])
def test_windows_batch_on_gpu_equals_cpu(dynamic):
    graph = toy(dynamic=dynamic)
    here, there = graph.windows(4, 3).batch([7, 0]), graph.to("cuda").windows(4, 3).batch([7, 0])
    for name in ("x", "y", "mask", "start"):
        assert getattr(there, name).is_cuda and torch.equal(getattr(there, name).cpu(), getattr(here, name))
    edges = zip(there.edge_index, here.edge_index) if dynamic else [(there.edge_index, here.edge_index)]
    assert all(one.is_cuda and torch.equal(one.cpu(), other) for one, other in edges)
    generator = torch.Generator().manual_seed(0)
    loader = graph.to("cuda").windows(4, 3).loader(8, shuffle=True, generator=generator)
    assert sorted(i for batch in loader for i in batch.start.tolist()) == list(range(34))
    moved = here.to("cuda")
    assert moved.x.is_cuda and torch.equal(moved.y, there.y)
    with pytest.raises(ValueError, match="expected no workers for a graph on cuda"):
        graph.to("cuda").windows(4).loader(4, num_workers=2)


def test_windows_invalid_arguments_raise_value_error():
    windows = toy().windows(4, 3)
    for indices in ([], [0.5], [[1]], [True]):
        with pytest.raises(ValueError, match="Windows: expected a non-empty list of integers"):
            windows.batch(indices)
    for indices, said in (([0, 34], "0 to 34"), ([-1], "-1 to -1")):
        with pytest.raises(ValueError, match=f"Windows: expected indices from 0 to 33, got {said}"):
            windows.batch(indices)
    with pytest.raises(ValueError, match="Windows: expected a generator for shuffling, got None"):
        windows.loader(4, shuffle=True)
    with pytest.raises(ValueError, match="Windows: expected batch_size to be an integer of at least 1, got 0"):
        windows.loader(0)
    with pytest.raises(ValueError, match="Windows: expected num_workers to be an integer of at least 0, got -1"):
        windows.loader(1, num_workers=-1)
    with pytest.raises(ValueError, match="Windows: expected no workers for a graph on meta, got 2"):
        toy().to("meta").windows(4).loader(4, num_workers=2)
    for name in ("lags", "horizon", "stride"):
        with pytest.raises(ValueError, match=f"TemporalGraph: expected {name} to be an integer of at least 1, got 0"):
            toy().windows(**{"lags": 2, name: 0})
    with pytest.raises(
        ValueError, match="Windows: expected windows within the 40 steps, got starts 0 to 34, lags 4, h"
    ):
        Windows(toy(), range(35), 4, 3)
    for starts in (range(0), range(5, 1, -1), [0, 1]):
        with pytest.raises(ValueError, match="Windows: expected starts as an increasing, non-empty range"):
            Windows(toy(), starts, 4, 3)
    assert repr(windows).startswith("Windows(34 of TemporalGraph(steps=40")
