"""Padded tensors of batches."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from seqgnn.data import SequenceGraph, from_padded, path_graph, sequence_batch, to_padded


def random_values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def random_ids(*shape):
    return torch.randint(10, shape, generator=torch.Generator().manual_seed(0))


def ragged_batch(lengths=(3, 1, 5, 2), features=4):
    x = random_values(sum(lengths), features).split(lengths)
    return Batch.from_data_list([SequenceGraph.from_values(part, y=i) for i, part in enumerate(x)])


class TestPadding:
    def test_to_padded_equal_lengths_returns_a_view(self):
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

    def test_to_padded_ragged_lengths_equals_pad_sequence(self):
        batch = ragged_batch()
        padded, lengths = to_padded(batch)
        assert lengths.tolist() == [3, 1, 5, 2]
        expected = torch.nn.utils.rnn.pad_sequence([sample.x for sample in batch.to_data_list()])
        assert torch.equal(padded, expected)
        assert torch.equal(from_padded(padded, lengths), batch.x)
        assert torch.equal(from_padded(padded, batch), batch.x)
        longer = torch.cat([padded, torch.full((2, 4, 4), torch.nan)])
        assert torch.equal(from_padded(longer, lengths), batch.x)

    def test_to_padded_values_and_ids_are_padded_with_zeros(self):
        batch = ragged_batch()
        values = random_values(11, 2, 3)
        padded, lengths = to_padded(batch, values)
        assert padded.shape == (5, 4, 2, 3)
        assert torch.equal(from_padded(padded, lengths), values)
        ids, _ = to_padded(batch, torch.arange(11))
        assert ids.t().tolist() == [[0, 1, 2, 0, 0], [3, 0, 0, 0, 0], [4, 5, 6, 7, 8], [9, 10, 0, 0, 0]]

    @pytest.mark.parametrize("lengths", [(3, 1, 5, 2), (4, 4, 4)])
    def test_to_padded_gradients_pass_gradcheck(self, lengths):
        batch = ragged_batch(lengths)
        values = random_values(sum(lengths), 2).double().requires_grad_()
        forward = torch.autograd.gradcheck(lambda v: to_padded(batch, v)[0].sin(), values)
        inverse = torch.autograd.gradcheck(lambda v: from_padded(to_padded(batch, v)[0].sin(), batch), values)
        assert forward and inverse

    def test_to_padded_of_sample_and_plain_batch_equals_hand_values(self):
        sample = SequenceGraph.from_values([5, 6, 7])
        padded, lengths = to_padded(sample)
        assert (padded.tolist(), lengths.tolist()) == ([[5], [6], [7]], [3])
        by_hand = Batch(x=torch.tensor([5, 6, 7]), ptr=torch.tensor([0, 1, 3]))
        assert to_padded(by_hand)[0].tolist() == [[5, 6], [0, 7]]

    def test_to_padded_lengths_stay_on_the_cpu(self):
        batch = ragged_batch().to("meta")
        padded, lengths = to_padded(batch)
        assert (padded.device.type, padded.shape) == ("meta", (5, 4, 4))
        assert lengths.tolist() == [3, 1, 5, 2]
        assert from_padded(padded, batch).shape == (11, 4)

    def test_to_padded_invalid_arguments_raise_value_error(self):
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
