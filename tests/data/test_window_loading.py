"""Windows in torch's DataLoader: batches equal those of `Windows.batch` exactly."""

from dataclasses import replace

import pytest
import torch
import torch_geometric.loader
from torch.utils.data import ConcatDataset, DataLoader, StackDataset, Subset, default_collate, random_split
from torch.utils.data._utils.pin_memory import pin_memory

from seqgnn.data import TemporalGraph, WindowBatch

FORKED = "ignore:.*multi-threaded.*fork"  # Python 3.12 and later, of DataLoader's workers
EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0]])


def temporal_graph(seed=0, *, dynamic=False, weighted=True, masked=True, steps=30, nodes=3):
    generator = torch.Generator().manual_seed(seed)
    edges = [EDGES[:, : 1 + (i + seed) % 4] for i in range(steps)] if dynamic else EDGES
    weights = None
    if weighted:
        weights = [torch.rand(e.size(1), generator=generator) for e in edges] if dynamic else torch.arange(1.0, 5)
    mask = torch.rand(steps, nodes, generator=generator) < 0.8 if masked else None
    return TemporalGraph(torch.randn(steps, nodes, 2, generator=generator), edges, weights, mask=mask)


def assert_same(batch, expected):
    assert type(batch) is WindowBatch
    for name, value in vars(expected).items():
        found = getattr(batch, name)
        if value is None:
            assert found is None, name
        elif isinstance(value, list):
            assert len(found) == len(value) and all(map(torch.equal, found, value)), name
        else:
            assert found.dtype == value.dtype and torch.equal(found, value), name


GRAPHS = [
    pytest.param({"dynamic": False, "weighted": True, "masked": True}, id="static"),
    pytest.param({"dynamic": False, "weighted": False, "masked": False}, id="static-bare"),
    pytest.param({"dynamic": True, "weighted": True, "masked": False}, id="dynamic"),
    pytest.param({"dynamic": True, "weighted": False, "masked": True}, id="dynamic-bare"),
]


@pytest.mark.parametrize("options", GRAPHS)
def test_data_loader_of_windows_equals_windows_batch(options):
    windows = temporal_graph(**options).windows(lags=4, horizon=3)
    batches = list(DataLoader(windows, batch_size=8))
    assert [batch.num_graphs for batch in batches] == [8, 8, 8]
    for i, batch in enumerate(batches):
        assert_same(batch, windows.batch(range(8 * i, 8 * i + 8)))
    generator = torch.Generator().manual_seed(1)
    batches = list(DataLoader(windows, batch_size=10, shuffle=True, drop_last=True, generator=generator))
    starts = [start for batch in batches for start in batch.start.tolist()]
    assert len(batches) == 2 and len(set(starts)) == 20 and starts != sorted(starts)
    for batch in batches:
        assert_same(batch, windows.batch(batch.start))
    assert_same(next(iter(DataLoader(windows))), windows.batch([0]))
    assert_same(next(iter(DataLoader(windows, batch_size=None))), windows.batch([0]))


@pytest.mark.filterwarnings(FORKED)
@pytest.mark.parametrize("options", [GRAPHS[0], GRAPHS[2]])
def test_data_loader_with_workers_equals_windows_batch(options):
    windows = temporal_graph(**options).windows(lags=4, horizon=3)
    both = ConcatDataset([windows, windows])
    for dataset in (windows, both):
        batches = list(DataLoader(dataset, batch_size=9, num_workers=2))
        assert sum(batch.num_graphs for batch in batches) == len(dataset)
        for batch in batches:
            assert_same(batch, windows.batch(batch.start))


@pytest.mark.parametrize("options", GRAPHS)
def test_data_loader_of_subsets_and_concats_equals_windows_batch(options):
    windows = temporal_graph(**options).windows(lags=4, horizon=3)
    assert_same(next(iter(DataLoader(Subset(windows, [9, 3, 3]), batch_size=3))), windows.batch([9, 3, 3]))
    for part in random_split(windows, [14, 10], generator=torch.Generator().manual_seed(0)):
        for batch in DataLoader(part, batch_size=4):
            assert_same(batch, windows.batch(batch.start))
    drawn = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    for order in (drawn, drawn.numpy()):
        assert_same(next(iter(DataLoader(Subset(windows, order), batch_size=7))), windows.batch(drawn[:7]))
    again = ConcatDataset([Subset(windows, range(5)), Subset(windows, range(5, 24))])
    for i, batch in enumerate(DataLoader(again, batch_size=6)):
        assert_same(batch, windows.batch(range(6 * i, 6 * i + 6)))
    assert_same(default_collate([windows.batch([2, 5]), windows[7]]), windows.batch([2, 5, 7]))
    pairs = StackDataset(windows, torch.arange(24))
    batch, places = next(iter(DataLoader(pairs, batch_size=5)))
    assert places.tolist() == [0, 1, 2, 3, 4]
    assert_same(batch, windows.batch(range(5)))


@pytest.mark.parametrize("dynamic", [False, True])
def test_data_loader_of_two_temporal_graphs_concatenates_windows(dynamic):
    one = temporal_graph(0, dynamic=dynamic, masked=False).windows(4, 3)
    other = temporal_graph(1, dynamic=dynamic).windows(4, 3)
    batch = next(iter(DataLoader(ConcatDataset([Subset(one, [5, 8]), Subset(other, [2])]), batch_size=3)))
    first, second = one.batch([5, 8]), other.batch([2])
    assert torch.equal(batch.x, torch.cat([first.x, second.x], 1)) and batch.start.tolist() == [5, 8, 2]
    assert torch.equal(batch.y, torch.cat([first.y, second.y], 1))
    assert batch.mask[:, :2].all() and torch.equal(batch.mask[:, 2:], second.mask) and not second.mask.all()
    if not dynamic:
        assert torch.equal(batch.edge_index, EDGES) and torch.equal(batch.edge_weight, torch.arange(1.0, 5))
        return
    for lag in range(4):
        graphs = [(window.edge_index[lag], window.edge_weight[lag]) for window in (one[5], one[8], other[2])]
        union = torch.cat([edges + 3 * b for b, (edges, _) in enumerate(graphs)], dim=1)
        assert torch.equal(batch.edge_index[lag], union)
        assert torch.equal(batch.edge_weight[lag], torch.cat([weights for _, weights in graphs]))


def test_data_loader_custom_collate_fn_receives_windows():
    windows = temporal_graph().windows(4, 3)
    loaded = next(iter(DataLoader(windows, batch_size=5, collate_fn=list)))
    assert len(loaded) == 5 and torch.equal(torch.cat([window.x for window in loaded], 1), windows.batch(range(5)).x)


def test_default_collate_of_unequal_windows_raises_value_error():
    window = temporal_graph().windows(4, 3)[0]
    for lags, horizon in ((4, 2), (3, 3)):
        with pytest.raises(ValueError, match=r"WindowBatch: expected windows of one shape, .*\(4, 3, 2\), \(3, 3, 1"):
            default_collate([window, temporal_graph().windows(lags, horizon)[0]])
    changing = temporal_graph(dynamic=True).windows(4, 3)[0]
    bare = temporal_graph(dynamic=True, weighted=False).windows(4, 3)[0]
    moved = replace(window, edge_index=window.edge_index.flip(0))
    for pair in ([window, temporal_graph(weighted=False).windows(4, 3)[0]], [window, changing], [changing, bare]):
        with pytest.raises(ValueError, match="WindowBatch: expected windows on the same graph, or each with a"):
            default_collate(pair)
    with pytest.raises(ValueError, match="got different edge_index or edge_weight"):
        default_collate([window, moved])


def test_pyg_data_loader_of_windows_raises_type_error():
    loader = torch_geometric.loader.DataLoader(temporal_graph().windows(4, 3), batch_size=4)
    with pytest.raises(TypeError, match=r"DataLoader found invalid type: .*WindowBatch"):
        next(iter(loader))


def test_pin_memory_of_window_batch_copies_each_tensor(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())  # which needs an accelerator
    for options in ({"dynamic": True}, {"weighted": False, "masked": False}):
        batch = temporal_graph(**options).windows(4, 3).batch([3, 0])
        pinned = pin_memory(batch)
        assert_same(pinned, batch)
        for name, value in vars(batch).items():
            pairs = zip(value, getattr(pinned, name)) if isinstance(value, list) else [(value, getattr(pinned, name))]
            assert all(one is None or one is not other for one, other in pairs), name


@pytest.mark.gpu
@pytest.mark.parametrize("options", GRAPHS)
@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_pin_memory_on_gpu_pins_window_batches(options, workers):
    windows = temporal_graph(**options).windows(4, 3)
    for i, batch in enumerate(DataLoader(windows, batch_size=8, pin_memory=True, num_workers=workers)):
        assert_same(batch, windows.batch(range(8 * i, 8 * i + 8)))
        assert batch.x.is_pinned() and batch.y.is_pinned() and batch.start.is_pinned()
        assert all(edges.is_pinned() for edges in (batch.edge_index if options["dynamic"] else [batch.edge_index]))
        assert_same(batch.to("cuda", non_blocking=True).to("cpu"), windows.batch(range(8 * i, 8 * i + 8)))


def test_window_batch_repr_is_short_and_has_a_table():
    batch = next(iter(temporal_graph().windows(lags=3, horizon=2).loader(4)))
    observed = f"observed: {100 * batch.mask.float().mean():.1f}%"
    shown = f"x: [3, 4, 3, 2]; y: [2, 4, 3, 1]; {observed}; graph: 4 edges with weights; start: 0 to 3"
    assert repr(batch) == f"WindowBatch(4 windows; {shown})"
    table = "<table><caption>WindowBatch: 4 windows</caption><tbody><tr><td>x</td><td>[3, 4, 3, 2]</td></tr>"
    assert batch._repr_html_().startswith(table)
    batch = next(iter(temporal_graph(dynamic=True, weighted=False, masked=False).windows(lags=3, horizon=2).loader(1)))
    assert "graph: 3 graphs, 1 to 3 edges; start: 0)" in repr(batch) and "observed" not in repr(batch)
