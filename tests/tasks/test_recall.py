import time

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import FirstDigitRecall, Palindromes, exponential_hops, path_graph, sequence_batch, to_padded


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(batch):
    return to_padded(batch)[0].t()


@pytest.mark.parametrize("length", [2, 3, 4, 9, 20])
def test_palindromes_draw_returns_uniform_palindromes(length):
    batch = Palindromes(length, base=7).draw(500, generator())
    whole = torch.cat([digits(batch), batch.y[:, None]], dim=1)
    assert whole.shape == (500, length)
    assert torch.equal(whole, whole.flip(1))
    half = whole[:, : (length + 1) // 2]
    counts = torch.stack([column.bincount(minlength=7) for column in half.t()])
    assert counts.shape[1] == 7 and counts.min() > 30 and counts.max() < 120


def test_palindromes_of_even_length_have_target_of_odd_count():
    task = Palindromes(12, test_size=300)
    for batch in task.test(300):
        counts = torch.nn.functional.one_hot(digits(batch), 10).sum(1)
        assert torch.equal((counts % 2).argmax(1), batch.y)
        assert bool(((counts % 2).sum(1) == 1).all())


def test_first_digit_recall_draws_independent_digits():
    batch = FirstDigitRecall(10).draw(4000, generator())
    x = digits(batch)
    assert x.shape == (4000, 9)
    assert torch.equal(batch.y, x[:, 0])
    same = (x[:, :1] == x[:, 1:]).double().mean(0)
    assert bool(((same - 0.1).abs() < 0.02).all())  # four standard deviations


@pytest.mark.parametrize("kind", [Palindromes, FirstDigitRecall])
class TestBoth:
    def test_recall_task_attributes_follow_its_options(self, kind):
        task = kind(20, base=8, hops=exponential_hops(20))
        assert (task.length, task.num_tokens, task.num_classes, task.num_features) == (20, 8, 8, None)
        assert (task.per_element, task.directed, task.readout) == (False, True, "last")
        assert (task.hops, task.depth) == ((1, 2, 4, 8, 16), 5)
        assert kind(20).depth == 18
        assert kind(20, hops=(1, 6)).depth == 3
        assert kind(2).depth == 1
        assert repr(task) == f"{kind.__name__}(20, base=8)"

    def test_recall_task_edges_equal_path_graph(self, kind):
        batch = kind(6, directed=False, hops=(1, 3)).draw(2, generator())
        assert batch[1].edge_index.tolist() == path_graph(5, False, (1, 3)).tolist()
        assert not kind(6, directed=False).directed

    def test_recall_task_draw_depends_on_the_generator_only(self, kind):
        task = kind(9)
        one, other = generator(1), generator(1)
        first = task.draw(5, one)
        torch.manual_seed(3)
        assert torch.equal(first.x, kind(9, seed=4).draw(5, other).x)
        assert not torch.equal(first.x, task.draw(5, one).x)
        state = torch.random.get_rng_state()
        list(task.validation(512))
        task.draw(5, one)
        assert torch.equal(state, torch.random.get_rng_state())

    def test_recall_task_fixed_sets_are_equal_and_disjoint(self, kind):
        task = kind(15)
        sizes = [batch.num_graphs for batch in task.test(3000)]
        assert sizes == [3000, 3000, 2192]
        assert sum(batch.num_graphs for batch in task.validation(500)) == 2048
        test, again = next(task.test(8192)), next(kind(15).test(8192))
        assert torch.equal(test.x, again.x)
        assert torch.equal(torch.cat([batch.x for batch in task.test(3000)]), test.x)
        assert not torch.equal(test.x, next(kind(15, seed=1).test(8192)).x)
        assert not torch.equal(next(task.validation(2048)).x, test.x[: 2048 * 14])
        drawn = {tuple(row) for row in digits(task.draw(2048, generator(0))).tolist()}
        assert not drawn & {tuple(row) for row in digits(next(task.validation(2048))).tolist()}

    def test_recall_task_set_from_inference_mode_allows_backward(self, kind):
        task = kind(7)
        with torch.inference_mode():
            next(task.test(10))
        batch = next(task.test(10))
        embedding = torch.zeros(10, 2, requires_grad=True)
        torch.nn.functional.embedding(batch.x, embedding).sum().backward()
        assert embedding.grad.sum() == 2 * 60

    def test_recall_task_batches_have_one_edge_index(self, kind):
        task, source = kind(8), generator()
        one, two = task.draw(4, source), task.draw(4, source)
        assert one.edge_index is two.edge_index
        assert isinstance(one, Batch) and one[3].y.tolist() == one.y[3:].tolist()

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"length": 1}, "expected length to be an integer of at least 2, got 1"),
            ({"base": 1}, "expected base to be an integer of at least 2, got 1"),
            ({"validation_size": 0}, "expected validation_size to be an integer of at least 1, got 0"),
            ({"test_size": 2.5}, "expected test_size to be an integer of at least 1, got 2.5"),
            ({"seed": -1}, "expected seed to be an integer of at least 0, got -1"),
        ],
    )
    def test_recall_task_invalid_options_raise_value_error(self, kind, arguments, match):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {match}"):
            kind(**{"length": 5, **arguments})

    def test_recall_task_invalid_batch_size_raises_value_error(self, kind):
        for call in (lambda t: t.draw(0, generator()), lambda t: t.test(0), lambda t: t.validation(-1)):
            with pytest.raises(ValueError, match="expected batch_size to be an integer of at least 1"):
                call(kind(5))


def test_palindromes_draw_takes_less_than_a_millisecond():
    task, source = Palindromes(20, hops=exponential_hops(20)), generator()
    task.draw(64, source)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        task.draw(64, source)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3  # about 0.1 ms on one core; a batch made from a list takes 2 ms


def test_sequence_batch_of_two_rows_has_their_targets():
    x = torch.tensor([[1, 2, 2], [3, 0, 0]])
    batch = sequence_batch(x, x[:, 0], path_graph(3))
    assert batch.y.tolist() == [1, 3]
