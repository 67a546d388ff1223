"""Batches of sequences of equal length, compared with PyG's."""

import copy
import pickle

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from seqgnn.data import SequenceGraph, batching, path_graph, sequence_batch
from seqgnn.data.batching import part_of_batch


def random_values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def random_ids(*shape):
    return torch.randint(10, shape, generator=torch.Generator().manual_seed(0))


def ragged_batch(lengths=(3, 1, 5, 2), features=4):
    x = random_values(sum(lengths), features).split(lengths)
    return Batch.from_data_list([SequenceGraph.from_values(part, y=i) for i, part in enumerate(x)])


def assert_same(value, other):
    """Two batches or samples hold the same keys and tensors, in the same order."""
    assert type(value) is type(other)
    assert list(value.keys()) == list(other.keys())
    for key in value.keys():  # noqa: SIM118
        assert value[key].dtype == other[key].dtype
        assert value[key].tolist() == other[key].tolist(), key


class TestSequenceBatch:
    @pytest.mark.parametrize("x", [random_ids(5, 6), random_values(5, 6, 3)])
    @pytest.mark.parametrize("y", [random_ids(5), random_ids(5, 6)])
    @pytest.mark.parametrize("edges", [path_graph(6), path_graph(6, False, (1, 4)), torch.empty(2, 0).long()])
    def test_sequence_batch_equals_from_data_list(self, x, y, edges):
        samples = [SequenceGraph(x=x[i], edge_index=edges, y=y[i : i + 1].flatten()) for i in range(5)]
        batch, expected = sequence_batch(x, y, edges), Batch.from_data_list(samples)
        assert_same(batch, expected)
        assert batch.num_graphs == len(batch) == expected.num_graphs == 5
        assert batch.num_nodes == 30
        for one, two, sample in zip(batch.to_data_list(), expected.to_data_list(), samples, strict=True):
            assert_same(one, two)
            assert_same(one, sample)
        assert_same(batch[torch.tensor([3])][0], samples[3])
        for dictionary in ("_slice_dict", "_inc_dict"):
            one, two = getattr(batch, dictionary), getattr(expected, dictionary)
            assert {k: v.tolist() for k, v in one.items()} == {k: v.tolist() for k, v in two.items()}
        batch.validate()

    def test_sequence_batch_with_edges_per_sample_equals_data_list(self):
        edges = torch.tensor([[[0, 0], [1, 2]], [[0, 1], [1, 2]]])
        batch = sequence_batch(random_ids(2, 3), random_ids(2), edges)
        assert batch.edge_index.tolist() == [[0, 0, 3, 4], [1, 2, 4, 5]]
        x, y = random_ids(2, 3), random_ids(2)
        samples = [SequenceGraph(x=x[i], edge_index=edges[i], y=y[i : i + 1]) for i in (0, 1)]
        assert_same(batch, Batch.from_data_list(samples))
        assert [sample.edge_index.tolist() for sample in batch.to_data_list()] == edges.tolist()

    @pytest.mark.parametrize("y", [random_ids(3), random_ids(3, 4)])
    def test_batch_without_pygs_slices_is_the_same(self, monkeypatch, y):
        x, edges = random_values(3, 4, 2), path_graph(4)
        each = torch.stack([edges, edges.flip(0), edges])
        expected = sequence_batch(x, y, edges), sequence_batch(x, y, each), sequence_batch(x[1:], y[1:], edges)
        monkeypatch.setattr(batching, "_batch_class", None)
        found = sequence_batch(x, y, edges), sequence_batch(x, y, each)
        for batch, same in zip((*found, part_of_batch(found[0], 1, 3)), expected):
            assert_same(batch, same)
            assert batch.num_graphs == same.num_graphs
        with pytest.raises(ValueError, match="expected edges between nodes 0 and 3, got 0 to 4"):
            sequence_batch(x, y, path_graph(5))

    def test_sequence_batch_of_same_structure_reuses_tensors(self):
        one = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7))
        two = sequence_batch(random_values(4, 7, 2), random_ids(4, 7), path_graph(7))
        other = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7, directed=False))
        assert one.edge_index is two.edge_index and one.batch is two.batch and one.ptr is two.ptr
        assert one.edge_index is not other.edge_index and one.batch is other.batch

    def test_sequence_batch_cached_in_inference_mode_allows_backward(self):
        x, y, edges = random_values(3, 11, 2), random_ids(3), path_graph(11, hops=(1, 5))
        with torch.inference_mode():
            first = sequence_batch(x, y, edges)
        second = sequence_batch(x.clone().requires_grad_(), y, edges)
        assert first.edge_index is second.edge_index
        for name in ("edge_index", "batch", "ptr"):
            assert not second[name].is_inference()
        torch.zeros(3, 2).index_add(0, second.batch, second.x.sin()).sum().backward()

    def test_sequence_batch_to_device_reuses_structure(self):
        batches = [sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7)) for _ in range(2)]
        for batch in batches:
            assert batch.to("meta") is batch
            assert {batch[key].device.type for key in batch.keys()} == {"meta"}  # noqa: SIM118
        assert batches[0].edge_index is batches[1].edge_index
        assert batches[0].ptr is batches[1].ptr
        again = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7))
        assert again.edge_index.device.type == "cpu"
        again.to("meta", "x")
        assert (again.x.device.type, again.edge_index.device.type) == ("meta", "cpu")

    def test_ragged_batch_to_device_moves_every_tensor(self):
        batch = ragged_batch().to("meta")
        assert {batch[key].device.type for key in batch.keys()} == {"meta"}  # noqa: SIM118
        sample = SequenceGraph.from_values([1, 2], 0).to("cpu")
        assert_same(sample, SequenceGraph.from_values([1, 2], 0))

    def test_data_loader_of_ragged_samples_equals_batch(self):
        samples = ragged_batch().to_data_list()
        for batch in torch.utils.data.DataLoader(samples, batch_size=len(samples)):
            assert_same(batch, ragged_batch())

    def test_sequence_batch_pickled_copied_and_loaded_is_equal(self):
        batch = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7))
        for other in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), copy.copy(batch)):
            assert_same(other, batch)
            assert_same(other[2], batch[2])
        for samples in (batch, batch.to_data_list(), torch.utils.data.Subset(batch, range(4))):
            for loader in (DataLoader, torch.utils.data.DataLoader):
                assert_same(next(iter(loader(samples, batch_size=4))), batch)

    @pytest.mark.parametrize(
        ("x", "y", "edges", "match"),
        [
            (random_ids(4), random_ids(4), path_graph(4), r"expected x of shape \[B, L\] or .*, got \[4\]"),
            (random_ids(4, 0), random_ids(4), path_graph(4), r"not empty, got \[4, 0\]"),
            (random_ids(4, 3), random_ids(3), path_graph(3), r"expected y of shape \[4\] or \[4, 3\], got \[3\]"),
            (random_ids(4, 3), random_ids(4), random_ids(3, 2), r"expected edge_index of shape .* got \[3, 2\]"),
            (random_ids(4, 3), random_ids(4), random_ids(3, 2, 5), r"or \[4, 2, E\], got \[3, 2, 5\]"),
            (random_ids(4, 3), random_ids(4), path_graph(3).int(), "dtype torch.int64, got torch.int32"),
            (random_ids(4, 3), random_ids(4), path_graph(4), "expected edges between nodes 0 and 2, got 0 to 3"),
            (random_ids(4, 3), random_ids(4), -path_graph(3), "expected edges between nodes 0 and 2, got -2 to 0"),
            (random_ids(1, 3), random_ids(1), path_graph(4)[None], "expected edges between nodes 0 and 2, got 0 to 3"),
        ],
    )
    def test_sequence_batch_invalid_arguments_raise_value_error(self, x, y, edges, match):
        with pytest.raises(ValueError, match=match):
            sequence_batch(x, y, edges)
