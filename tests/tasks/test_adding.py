"""The adding problem: its samples against their definition, written as loops, and its constants."""

import math

import pytest
import torch

from seqgnn.data import Adding, exponential_hops, path_graph, to_padded
from seqgnn.models import build
from seqgnn.training.loop import evaluate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", [2, 3, 4, 9, 50])
def test_adding_targets_equal_a_loop_over_pairs(length):
    batch = Adding(length).draw(200, generator())
    assert batch.x.dtype == batch.y.dtype == torch.float32
    for sequence in batch.to_data_list():
        total, places = 0.0, []
        for place, (value, marker) in enumerate(sequence.x.tolist()):
            assert 0 <= value < 1 and marker in (0, 1)
            if marker == 1:
                total += value
                places.append(place)
        assert len(places) == 2 and places[0] < length // 2 <= places[1]
        assert sequence.y.item() == pytest.approx(total, rel=1e-6)


def test_adding_values_and_markers_are_uniform():
    x, _ = to_padded(Adding(7).draw(7000, generator()))
    values, markers = x.unbind(-1)
    assert bool((values.mean(1) - 0.5).abs().max() < 0.02)
    assert bool((values.var(1) - 1 / 12).abs().max() < 0.01)
    counts = markers.sum(1)
    assert bool((counts[:3] - 7000 / 3).abs().max() < 200)  # five standard deviations
    assert bool((counts[3:] - 7000 / 4).abs().max() < 200)
    assert abs(float(torch.corrcoef(markers[[0, 3]])[0, 1])) < 0.05


def test_adding_constant_prediction_has_mse_one_sixth():
    task = Adding(20)
    squares = torch.cat([(batch.y - 1) ** 2 for batch in task.test(1000)])
    assert len(squares) == 8192
    assert abs(squares.mean().item() - 1 / 6) < 4 * squares.std().item() / math.sqrt(8192)


def test_adding_attributes_follow_its_options():
    task = Adding(20, hops=exponential_hops(20))
    assert (task.length, task.max_positions) == (20, 20)
    assert (task.num_tokens, task.num_features, task.num_classes) == (None, 2, 1)
    assert (task.per_element, task.directed, task.readout, task.hops) == (False, True, "last", (1, 2, 4, 8, 16))
    assert task.depth == 5 and Adding(20).depth == 19 and Adding(20, hops=(1, 6)).depth == 4
    assert repr(task) == "Adding(20)"
    undirected = Adding(6, directed=False, hops=(1, 3))
    assert undirected.draw(2, generator())[1].edge_index.tolist() == path_graph(6, False, (1, 3)).tolist()


def test_adding_fixed_sets_do_not_depend_on_draws():
    task = Adding(15)
    first = task.draw(5, generator(1))
    torch.manual_seed(3)
    assert torch.equal(first.x, Adding(15, seed=4).draw(5, generator(1)).x)
    test = torch.cat([batch.x for batch in task.test(3000)])
    assert torch.equal(test, next(Adding(15).test(8192)).x)
    assert not torch.equal(test, next(Adding(15, seed=1).test(8192)).x)
    assert not torch.equal(test[: 2048 * 15], next(task.validation(2048)).x)


def test_adding_mean_readout_of_single_positions_solves_it():
    task = Adding(12, test_size=500)
    model = build("gcn", task, readout="mean", hidden=1, num_layers=1, hops=(1,))
    with torch.no_grad():
        model.encoder.layers[0].lin.weight.copy_(torch.tensor([[1.0, 1.0]]))
        model.encoder.layers[0].bias.fill_(-1.0)
        model.head.weight.fill_(12.0)
        model.head.bias.zero_()
    batch = next(task.test(500))
    batch.edge_index = batch.edge_index[:, :0]  # no neighbors: relu(value + marker - 1)
    torch.testing.assert_close(model(batch)[0].squeeze(-1), batch.y, rtol=1e-5, atol=1e-5)
    assert evaluate(model, [batch], objective=task.objective).accuracy == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1}, "expected length to be an integer of at least 2, got 1"),
        ({"length": 2.5}, "expected length to be an integer of at least 2, got 2.5"),
        ({"test_size": 0}, "expected test_size to be an integer of at least 1, got 0"),
        ({"seed": -1}, "expected seed to be an integer of at least 0, got -1"),
    ],
)
def test_adding_invalid_options_raise_value_error(arguments, message):
    with pytest.raises(ValueError, match=f"Adding: {message}"):
        Adding(**{"length": 5, **arguments})
    with pytest.raises(ValueError, match=r"expected hops that can sum to 4, got \(3,\)"):
        Adding(5, hops=(3,))
