"""The copying task: its samples against their definition, written as loops, and its constants."""

import math

import pytest
import torch

from seqgnn.data import Copying, exponential_hops, path_graph, to_padded
from seqgnn.models import build
from seqgnn.training.loop import evaluate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def copies(symbols, delay, blank):
    """x and y of one sequence as lists."""
    count = len(symbols)
    x = [*symbols, *[blank] * (delay - 1), blank + 1, *[blank] * count]
    return x, [*[blank] * (count + delay), *symbols]


@pytest.mark.parametrize("options", [{}, {"symbols": 3, "copied": 4}, {"copied": 1}], ids=str)
@pytest.mark.parametrize("length", [1, 2, 7, 30])
def test_copying_samples_equal_their_definition(length, options):
    task = Copying(length, **options)
    blank, count = options.get("symbols", 8), options.get("copied", 10)
    for sequence in task.draw(50, generator()).to_data_list():
        symbols = sequence.x[:count].tolist()
        assert all(0 <= symbol < blank for symbol in symbols)
        assert (sequence.x.tolist(), sequence.y.tolist()) == copies(symbols, length, blank)
        assert len(sequence.x) == task.max_positions == length + 2 * count
    assert (task.num_tokens, task.num_classes, task.blank, task.delimiter) == (blank + 2, blank + 1, blank, blank + 1)


def test_copying_symbols_are_uniform_and_independent():
    x, _ = to_padded(Copying(3).draw(8000, generator()))
    counts = torch.stack([x[place].bincount(minlength=8) for place in range(10)])
    assert counts.shape == (10, 8) and bool((counts - 1000).abs().max() < 150)  # five standard deviations
    assert abs((x[0] == x[1]).double().mean().item() - 1 / 8) < 0.02


def test_copying_target_is_the_input_before_the_delay():
    task = Copying(13)
    x, y = (to_padded(batch, part)[0] for batch in [task.draw(9, generator())] for part in (batch.x, batch.y))
    assert torch.equal(y[23:], x[:10]) and bool((y[:23] == 8).all())


def test_copying_memoryless_scores_are_that_of_the_best_prediction():
    task = Copying(20, test_size=300)
    probabilities = torch.zeros(40, 9, dtype=torch.float64)
    probabilities[:30, 8] = 1.0
    probabilities[30:, :8] = 1 / 8
    total = count = 0
    for batch in task.test(100):
        for sequence in batch.to_data_list():
            total -= sum(math.log(probabilities[place, label]) for place, label in enumerate(sequence.y.tolist()))
            count += len(sequence.y)
    assert count == 300 * 40
    assert task.memoryless == pytest.approx((total / count, 1 / 8), rel=1e-12)
    assert task.memoryless[0] == pytest.approx(10 * math.log(8) / 40, rel=1e-12)


def test_copying_accuracy_counts_copied_symbols_only():
    task = Copying(5, test_size=64)

    class Blank(torch.nn.Module):
        def forward(self, batch, state=None):
            return torch.nn.functional.one_hot(torch.full_like(batch.y, 8), 9).float(), None

    class Right(torch.nn.Module):
        def forward(self, batch, state=None):
            return 50 * torch.nn.functional.one_hot(batch.y, 9).float(), None

    blank = evaluate(Blank(), task.test(10), objective=task.objective)
    right = evaluate(Right(), task.test(10), objective=task.objective)
    assert (blank.accuracy, blank.count) == (0.0, 640) and (right.accuracy, right.count) == (1.0, 640)


def test_copying_attributes_follow_its_options():
    task = Copying(20, hops=exponential_hops(40))
    assert (task.length, task.max_positions, task.num_features) == (20, 40, None)
    assert (task.per_element, task.directed, task.readout, task.hops) == (True, True, "last", (1, 2, 4, 8, 16, 32))
    assert task.depth == 6 and Copying(20).depth == 30 and Copying(20, hops=(1, 6)).depth == 5
    assert repr(Copying(20)) == "Copying(20, symbols=8, copied=10)"
    assert Copying(2, copied=2).draw(2, generator())[1].edge_index.tolist() == path_graph(6).tolist()


@pytest.mark.parametrize("name", ["lstm", "gcn", "gcn+lstm", "gcn-in-lstm"])
def test_copying_models_see_all_positions_beyond_the_delay(name):
    task = Copying(3)  # the delay is shorter than the symbols
    logits, _ = build(name, task, positions=True, hidden=4)(task.draw(2, generator()))
    assert logits.shape == (46, 9)


def test_copying_fixed_sets_do_not_depend_on_draws():
    task = Copying(6)
    first = task.draw(5, generator(1))
    torch.manual_seed(3)
    assert torch.equal(first.x, Copying(6, seed=4).draw(5, generator(1)).x)
    test = torch.cat([batch.x for batch in task.test(3000)])
    assert torch.equal(test, next(Copying(6).test(8192)).x)
    assert not torch.equal(test, next(Copying(6, seed=1).test(8192)).x)
    assert not torch.equal(test[: 2048 * 26], next(task.validation(2048)).x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "expected length to be an integer of at least 1, got 0"),
        ({"symbols": 1}, "expected symbols to be an integer of at least 2, got 1"),
        ({"copied": 0}, "expected copied to be an integer of at least 1, got 0"),
        ({"test_size": 2.5}, "expected test_size to be an integer of at least 1, got 2.5"),
        ({"seed": -1}, "expected seed to be an integer of at least 0, got -1"),
    ],
)
def test_copying_invalid_options_raise_value_error(arguments, message):
    with pytest.raises(ValueError, match=f"Copying: {message}"):
        Copying(**{"length": 5, **arguments})
    with pytest.raises(ValueError, match=r"expected hops that can sum to 15, got \(4,\)"):
        Copying(5, hops=(4,))
