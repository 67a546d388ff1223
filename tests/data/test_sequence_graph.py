import copy
import pickle

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from seqgnn.data import (
    SequenceGraph,
    exponential_hops,
    from_padded,
    layers_to_reach,
    path_graph,
    sequence_batch,
    sequence_graph,
    to_padded,
)
from seqgnn.data.sequence_graph import part_of_batch


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


class TestPathGraph:
    def test_edges_by_hand(self):
        assert path_graph(4, directed=False).tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
        assert path_graph(5, hops=(2, 1, 2, 4)).tolist() == [[0, 0, 0, 1, 1, 2, 2, 3], [1, 2, 4, 2, 3, 3, 4, 4]]

    @pytest.mark.parametrize("length", [1, 2, 7, 64])
    @pytest.mark.parametrize("hops", [(1,), (3, 1), (1, 2, 4, 8, 16, 32)])
    def test_edges_are_all_pairs_one_hop_apart(self, length, hops):
        pairs = [[i, j] for i in range(length) for j in range(length) if j - i in hops]
        both = [[i, j] for i in range(length) for j in range(length) if abs(j - i) in hops]
        assert path_graph(length, hops=hops).t().tolist() == pairs
        assert path_graph(length, directed=False, hops=hops).t().tolist() == both

    def test_no_edge_runs_backwards(self):
        source, target = path_graph(50, hops=exponential_hops(50))
        assert bool((source < target).all())

    def test_hops_without_room_are_left_out(self):
        assert path_graph(1).shape == (2, 0)
        assert path_graph(3, hops=(1, 3, 8)).tolist() == path_graph(3).tolist()

    @pytest.mark.parametrize("length", [0, -1, 2.0, True])
    def test_length_is_checked(self, length):
        with pytest.raises(ValueError, match=r"path_graph: expected length to be an integer of at least 1, got"):
            path_graph(length)

    @pytest.mark.parametrize("hops", [(), (0,), (1, -2), (1.5,), 1, (True,)])
    def test_hops_are_checked(self, hops):
        with pytest.raises(ValueError, match=r"path_graph: expected hops to be integers of at least 1, got"):
            path_graph(3, hops=hops)

    def test_powers_of_two(self):
        expected = {1: (1,), 2: (1,), 3: (1, 2), 4: (1, 2), 5: (1, 2, 4), 9: (1, 2, 4, 8), 33: (1, 2, 4, 8, 16, 32)}
        assert {length: exponential_hops(length) for length in expected} == expected
        with pytest.raises(ValueError, match="exponential_hops: expected length"):
            exponential_hops(0)


class TestRoundsToReach:
    @pytest.mark.parametrize("directed", [True, False])
    @pytest.mark.parametrize("hops", [(1,), (1, 2, 4, 8), (1, 5, 6)])
    @pytest.mark.parametrize("distance", [0, 1, 7, 10, 15])
    def test_powers_of_the_adjacency_matrix(self, distance, hops, directed):
        adjacency = torch.eye(distance + 1)
        adjacency[tuple(path_graph(distance + 1, directed, hops))] = 1
        power, rounds = torch.eye(distance + 1), 0
        while power[0, distance] == 0:
            power, rounds = power @ adjacency, rounds + 1
        assert layers_to_reach(distance, hops, directed) == rounds

    def test_backward_hops_can_be_a_shortcut(self):
        assert layers_to_reach(4, hops=(2, 3)) == 2
        assert layers_to_reach(7, hops=(1, 4), directed=True) == 4
        assert layers_to_reach(7, hops=(1, 4), directed=False) == 3  # 0, 4, 3, 7
        assert layers_to_reach(7, hops=(4, 5), directed=False) == 5  # 0, 5, 1, 6, 2, 7

    def test_errors(self):
        with pytest.raises(ValueError, match=r"expected hops that can sum to 3, got \(2,\)"):
            layers_to_reach(3, hops=(2,))
        with pytest.raises(ValueError, match="expected distance to be an integer of at least 0, got -1"):
            layers_to_reach(-1)


class TestFromValues:
    def test_ids_and_features(self):
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
    def test_x_is_checked(self, x, match):
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
    def test_y_is_checked(self, y, match):
        with pytest.raises(ValueError, match=match):
            SequenceGraph.from_values([1, 2, 3], y)


class TestSequenceBatch:
    @pytest.mark.parametrize("x", [random_ids(5, 6), random_values(5, 6, 3)])
    @pytest.mark.parametrize("y", [random_ids(5), random_ids(5, 6)])
    @pytest.mark.parametrize("edges", [path_graph(6), path_graph(6, False, (1, 4)), torch.empty(2, 0).long()])
    def test_equals_from_data_list(self, x, y, edges):
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

    def test_edges_of_each_sample(self):
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
        monkeypatch.setattr(sequence_graph, "_batch_class", None)
        found = sequence_batch(x, y, edges), sequence_batch(x, y, each)
        for batch, same in zip((*found, part_of_batch(found[0], 1, 3)), expected):
            assert_same(batch, same)
            assert batch.num_graphs == same.num_graphs
        with pytest.raises(ValueError, match="expected edges between nodes 0 and 3, got 0 to 4"):
            sequence_batch(x, y, path_graph(5))

    def test_structure_is_the_very_same_tensor(self):
        one = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7))
        two = sequence_batch(random_values(4, 7, 2), random_ids(4, 7), path_graph(7))
        other = sequence_batch(random_ids(4, 7), random_ids(4), path_graph(7, directed=False))
        assert one.edge_index is two.edge_index and one.batch is two.batch and one.ptr is two.ptr
        assert one.edge_index is not other.edge_index and one.batch is other.batch

    def test_structure_made_in_inference_mode_serves_training(self):
        x, y, edges = random_values(3, 11, 2), random_ids(3), path_graph(11, hops=(1, 5))
        with torch.inference_mode():
            first = sequence_batch(x, y, edges)
        second = sequence_batch(x.clone().requires_grad_(), y, edges)
        assert first.edge_index is second.edge_index
        for name in ("edge_index", "batch", "ptr"):
            assert not second[name].is_inference()
        torch.zeros(3, 2).index_add(0, second.batch, second.x.sin()).sum().backward()

    def test_moving_keeps_the_structure_shared(self):
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

    def test_moving_other_batches(self):
        batch = ragged_batch().to("meta")
        assert {batch[key].device.type for key in batch.keys()} == {"meta"}  # noqa: SIM118
        sample = SequenceGraph.from_values([1, 2], 0).to("cpu")
        assert_same(sample, SequenceGraph.from_values([1, 2], 0))

    def test_loader_of_ragged_samples(self):
        samples = ragged_batch().to_data_list()
        for batch in torch.utils.data.DataLoader(samples, batch_size=len(samples)):
            assert_same(batch, ragged_batch())

    def test_pickle_copy_and_loader(self):
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
    def test_errors(self, x, y, edges, match):
        with pytest.raises(ValueError, match=match):
            sequence_batch(x, y, edges)


class TestPadding:
    def test_equal_lengths_are_a_view(self):
        x = random_values(4, 7, 3)
        batch = sequence_batch(x, random_ids(4), path_graph(7))
        padded, lengths = to_padded(batch)
        assert torch.equal(padded, x.transpose(0, 1))
        assert padded.data_ptr() == batch.x.data_ptr() == x.data_ptr()
        assert lengths.tolist() == [7] * 4
        assert torch.equal(from_padded(padded, lengths), batch.x)
        assert from_padded(padded, batch).data_ptr() == x.data_ptr()
        listed = Batch.from_data_list(batch.to_data_list())
        assert to_padded(listed)[0].data_ptr() == listed.x.data_ptr()

    def test_ragged_lengths(self):
        batch = ragged_batch()
        padded, lengths = to_padded(batch)
        assert lengths.tolist() == [3, 1, 5, 2]
        expected = torch.nn.utils.rnn.pad_sequence([sample.x for sample in batch.to_data_list()])
        assert torch.equal(padded, expected)
        assert torch.equal(from_padded(padded, lengths), batch.x)
        assert torch.equal(from_padded(padded, batch), batch.x)
        longer = torch.cat([padded, torch.full((2, 4, 4), torch.nan)])
        assert torch.equal(from_padded(longer, lengths), batch.x)

    def test_other_values_and_ids(self):
        batch = ragged_batch()
        values = random_values(11, 2, 3)
        padded, lengths = to_padded(batch, values)
        assert padded.shape == (5, 4, 2, 3)
        assert torch.equal(from_padded(padded, lengths), values)
        ids, _ = to_padded(batch, torch.arange(11))
        assert ids.t().tolist() == [[0, 1, 2, 0, 0], [3, 0, 0, 0, 0], [4, 5, 6, 7, 8], [9, 10, 0, 0, 0]]

    @pytest.mark.parametrize("lengths", [(3, 1, 5, 2), (4, 4, 4)])
    def test_gradients(self, lengths):
        batch = ragged_batch(lengths)
        values = random_values(sum(lengths), 2).double().requires_grad_()
        forward = torch.autograd.gradcheck(lambda v: to_padded(batch, v)[0].sin(), values)
        inverse = torch.autograd.gradcheck(lambda v: from_padded(to_padded(batch, v)[0].sin(), batch), values)
        assert forward and inverse

    def test_a_single_sample_and_a_batch_by_hand(self):
        sample = SequenceGraph.from_values([5, 6, 7])
        padded, lengths = to_padded(sample)
        assert (padded.tolist(), lengths.tolist()) == ([[5], [6], [7]], [3])
        by_hand = Batch(x=torch.tensor([5, 6, 7]), ptr=torch.tensor([0, 1, 3]))
        assert to_padded(by_hand)[0].tolist() == [[5, 6], [0, 7]]

    def test_lengths_stay_on_the_host(self):
        batch = ragged_batch().to("meta")
        padded, lengths = to_padded(batch)
        assert (padded.device.type, padded.shape) == ("meta", (5, 4, 4))
        assert lengths.tolist() == [3, 1, 5, 2]
        assert from_padded(padded, batch).shape == (11, 4)

    def test_errors(self):
        batch = ragged_batch()
        with pytest.raises(ValueError, match=r"to_padded: expected values with 11 rows, .* got shape \[10\]"):
            to_padded(batch, torch.ones(10))
        with pytest.raises(ValueError, match="expected a batch with lengths"):
            to_padded(Batch(x=torch.ones(3)))
        with pytest.raises(ValueError, match=r"at least one position, got lengths \[2, 0\]"):
            to_padded(Batch.from_data_list([Data(x=torch.ones(2)), Data(x=torch.ones(0))]))
        padded, _ = to_padded(batch)
        with pytest.raises(ValueError, match=r"got \[5, 4, 4\] and \[3\]"):
            from_padded(padded, torch.tensor([3, 1, 5]))
        for lengths in ([3, 1, 6, 2], [3, 0, 5, 2]):
            with pytest.raises(ValueError, match="expected lengths between 1 and 5, got"):
                from_padded(padded, torch.tensor(lengths))
