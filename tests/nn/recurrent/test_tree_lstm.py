"""TreeLSTM and its cell."""

import pytest
import torch

from seqgnn.nn import TreeLSTM, TreeLSTMCell
from tests.support.dag_layers import F, H, make, signal
from tests.support.oracles import close


def test_tree_lstm_cell_by_levels_equals_tree_lstm():
    tree, x = make("tree"), signal(6, F)
    cell = TreeLSTMCell(F, H, dtype=torch.float64)
    cell.load_state_dict(tree.state_dict())
    wanted = tree(x, torch.tensor([[0, 1, 2, 3, 4], [3, 3, 4, 5, 5]]))[1]  # ((0 1) (2)), and 5 is the root
    leaves = cell(x[:3])
    inner = cell(x[3:5], leaves, torch.tensor([0, 0, 1]))
    root = cell(x[5:], inner, torch.tensor([0, 0]))
    for a, *parts in zip(wanted, leaves, inner, root):
        close(torch.cat(parts), a)


def test_tree_lstm_cycle_is_named_edge_by_edge():
    with pytest.raises(ValueError, match=r"got (1 -> 2 -> 0 -> 1|2 -> 0 -> 1 -> 2|0 -> 1 -> 2 -> 0)$"):
        TreeLSTM(F, H)(torch.zeros(5, F), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 0, 0, 1]]))
