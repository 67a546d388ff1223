from math import comb

import networkx
import pytest
import torch

from seqgnn.data import ExpressionTrees


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def value(text):
    """Return the value of an expression in postfix order, modulo 10, with a stack."""
    waiting = []
    for symbol in text:
        if symbol.isdigit():
            waiting.append(int(symbol))
        else:
            right, left = waiting.pop(), waiting.pop()
            waiting.append(left + right if symbol == "+" else left * right)
    (answer,) = waiting
    return answer % 10


def catalan(n):
    """Binary trees with n + 1 leaves."""
    return comb(2 * n, n) // (n + 1)


@pytest.mark.parametrize("length", [3, 5, 15, 31])
def test_expression_trees_targets_equal_values_of_their_trees(length):
    task = ExpressionTrees(length)
    for sample in task.draw(40, generator()).to_data_list():
        text = task.spell(sample.x)
        assert len(text) == length and sum(map(str.isdigit, text)) == (length + 1) // 2
        assert sample.y.item() == value(text)
        tree = networkx.DiGraph(sample.edge_index.T.tolist())
        assert networkx.is_arborescence(tree.reverse()) and bool((sample.edge_index[0] < sample.edge_index[1]).all())
        assert dict(tree.in_degree()) == {i: 0 if symbol.isdigit() else 2 for i, symbol in enumerate(text)}
        assert tree.out_degree(length - 1) == 0
        for operator in (i for i, symbol in enumerate(text) if not symbol.isdigit()):
            left, right = sorted(tree.predecessors(operator))
            below = sorted(networkx.ancestors(tree, right) | {right})
            assert right == operator - 1 and below == list(range(left + 1, operator))  # operands are adjacent


def test_expression_trees_shapes_and_symbols_are_uniform():
    task, count = ExpressionTrees(7), 20_000
    x = task.draw(count, generator()).x.view(count, 7)
    shapes = (x >= 10).long() @ (2 ** torch.arange(7))
    numbers = shapes.unique(return_counts=True)[1].double() / count
    assert len(numbers) == 5 and bool((numbers - 0.2).abs().max() < 0.015)
    share = torch.bincount(x.flatten(), minlength=12).double() / x.numel() * 7
    assert bool((share[:10] - 0.4).abs().max() < 0.02) and bool((share[10:] - 1.5).abs().max() < 0.02)


def test_expression_trees_of_long_expressions_are_uniform():
    length, count = 1201, 2000
    task = ExpressionTrees(length)
    batch = task.draw(count, generator())
    assert batch[0].y.item() == value(task.spell(batch[0].x))
    edges = (batch.edge_index - batch.ptr[:-1].repeat_interleave(length - 1)).view(2, count, length - 1)
    left = edges[0].masked_fill(edges[1] < length - 1, length).min(1).values + 1  # tokens of the left operand
    leaves = (length + 1) // 2
    for digits in range(1, 8):  # of all trees, as many have so many leaves on the left, and as many on the right
        share = catalan(digits - 1) * catalan(leaves - digits - 1) / catalan(leaves - 1)
        margin = 4 * (share * (1 - share) / count) ** 0.5
        for tokens in (left, length - 1 - left):
            assert abs((tokens == 2 * digits - 1).double().mean().item() - share) < margin
    assert 110 < task.depth < 140  # grows with the square root of the length: 79 at 501


def test_expression_trees_depth_covers_nearly_all_trees():
    task = ExpressionTrees(15)
    depths = [
        networkx.dag_longest_path_length(networkx.DiGraph(sample.edge_index.T.tolist()))
        for sample in task.draw(400, generator(1)).to_data_list()
    ]
    assert 0.97 < sum(depth <= task.depth for depth in depths) / 400 <= 1 and max(depths) <= 7


def test_expression_trees_draws_and_sets_are_deterministic():
    task, other = ExpressionTrees(9, test_size=50), ExpressionTrees(9, test_size=50)
    assert torch.equal(task.draw(8, generator(3)).x, other.draw(8, generator(3)).x)
    assert not torch.equal(task.draw(8, generator(3)).x, task.draw(8, generator(4)).x)
    first, second = (torch.cat([batch.x for batch in t.test(20)]) for t in (task, other))
    assert torch.equal(first, second) and len(first) == 450
    assert not torch.equal(next(iter(task.validation(20))).x, next(iter(task.test(20))).x)


@pytest.mark.parametrize(
    "length, message", [(4, "length to be odd, n digits and n - 1 operators, got 4"), (1, "length")]
)
def test_expression_trees_invalid_length_raises_value_error(length, message):
    with pytest.raises(ValueError, match=f"ExpressionTrees: expected {message}"):
        ExpressionTrees(length)
