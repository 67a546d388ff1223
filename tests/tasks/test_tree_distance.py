import time

import networkx
import pytest
import torch

from seqgnn.data import TreeDistance
from seqgnn.tasks.tree_distance import tree_distance


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def read(sample):
    """Parents and marks, out of the features that a sequence model gets."""
    n = sample.num_nodes
    offset = (sample.x[:, 1] * n).round().long()
    return torch.arange(n) - offset, sample.x[:, 0].nonzero().flatten().tolist()


@pytest.mark.parametrize("target", ["at-most-k", "even"])
@pytest.mark.parametrize("nodes", [3, 4, 17, 32])
def test_tree_distance_task_equals_networkx(nodes, target):
    task = TreeDistance(nodes, target)
    for sample in task.draw(60, generator()).to_data_list():
        graph = networkx.Graph(sample.edge_index.t().tolist())
        assert networkx.is_tree(graph) and graph.number_of_nodes() == nodes
        assert sample.edge_index.shape == (2, 2 * (nodes - 1)) and sample.is_undirected()

        parent, marks = read(sample)
        assert {frozenset((i, int(parent[i]))) for i in range(1, nodes)} == {frozenset(e) for e in graph.edges}
        assert parent[0] == 0 and bool((parent[1:] < torch.arange(1, nodes)).all())
        depth = networkx.single_source_shortest_path_length(graph, 0)
        order = [(depth[i], int(parent[i])) for i in range(nodes)]
        assert order == sorted(order)  # breadth first: level by level, the children of a parent together

        assert len(marks) == 2
        distance = networkx.shortest_path_length(graph, *marks)
        assert sample.y.item() == (distance <= task.k if target == "at-most-k" else distance % 2 == 0)


def test_tree_distance_of_one_tree_equals_hand_values():
    #        0
    #      1   2
    #     3 4   5
    #            6
    parent = torch.tensor([0, 0, 0, 1, 1, 2, 5]).expand(6, -1)
    first, second = torch.tensor([0, 3, 3, 6, 5, 1]), torch.tensor([6, 4, 6, 0, 6, 1])
    assert tree_distance(parent, first, second).tolist() == [3, 2, 5, 3, 1, 0]


@pytest.mark.parametrize("nodes", [10, 32])
def test_tree_distance_task_k_is_the_median(nodes):
    task = TreeDistance(nodes)
    distance = tree_distance(*task._trees(20000, generator(1)))
    assert (distance < task.k).double().mean() < 0.5 < (distance <= task.k).double().mean()
    assert task.depth == task.k == TreeDistance(nodes, "even", seed=5).k
    even = TreeDistance(nodes, "even")
    assert 0.985 < (distance <= even.depth).double().mean() < 1
    balance = torch.cat([batch.y for batch in task.test(4096)]).double().mean()
    assert 0.5 < balance < 0.8


def test_tree_distance_task_marks_are_uniform_and_distinct():
    x = TreeDistance(6).draw(6000, generator()).x.view(6000, 6, 2)
    marked = x[:, :, 0]
    assert bool((marked.sum(1) == 2).all())
    assert bool(((marked.mean(0) - 1 / 3).abs() < 0.025).all())


def test_tree_distance_task_draws_every_tree_of_four_nodes():
    parents = TreeDistance(4)._trees(2000, generator())[0]
    assert {tuple(p) for p in parents.tolist()} == {(0, 0, i, j) for i in range(2) for j in range(3) if i <= j}


def test_tree_distance_task_attributes_and_sets_are_fixed():
    task = TreeDistance(9, validation_size=50, test_size=70)
    assert (task.name, task.length, task.num_features, task.num_tokens, task.num_classes) == ("trees", 9, 2, None, 2)
    assert (task.per_element, task.directed, task.readout) == (False, False, "mean")
    assert repr(task) == "TreeDistance(9, target='at-most-k')"
    assert [batch.num_graphs for batch in task.test(40)] == [40, 30]
    whole = next(task.test(70))
    assert torch.equal(torch.cat([batch.x for batch in task.test(40)]), whole.x)
    second = list(task.test(40))[1]
    assert second[3].edge_index.tolist() == whole[43].edge_index.tolist()
    assert torch.equal(next(TreeDistance(9, test_size=70).test(70)).x, whole.x)
    assert next(task.validation(50)).num_graphs == 50
    assert torch.equal(task.draw(5, generator(3)).x, TreeDistance(9, seed=2).draw(5, generator(3)).x)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"nodes": 2}, "expected nodes to be an integer of at least 3, got 2"),
        ({"target": "evn"}, "expected target to be one of 'at-most-k', 'even', got 'evn'; did you mean 'even'"),
        ({"test_size": 0}, "expected test_size to be an integer of at least 1, got 0"),
    ],
)
def test_tree_distance_task_invalid_options_raise_value_error(arguments, match):
    with pytest.raises(ValueError, match=f"TreeDistance: {match}"):
        TreeDistance(**{"nodes": 5, **arguments})


def test_tree_distance_task_draw_takes_less_than_2_ms():
    task, source = TreeDistance(32), generator()
    task.draw(64, source)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        task.draw(64, source)
        times.append(time.perf_counter() - start)
    assert min(times) < 2e-3  # about 0.3 ms on one core
