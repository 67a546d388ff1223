"""The graph of every step and the length of every sequence."""

import pytest
import torch

from seqgnn.nn import GCN
from seqgnn.nn.scan.graph_inputs import StepInputs, active_steps, length_mask, step_graphs

EDGES = torch.tensor([[0, 1], [1, 2]])


def test_length_mask_is_true_before_each_end():
    mask = length_mask(torch.tensor([1, 3]), torch.zeros(3, 2, 5, 4))
    assert mask.shape == (3, 2, 1, 1)
    assert mask.flatten(1).tolist() == [[True, True], [False, True], [False, True]]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([1, 4]), r"Layer: expected lengths between 1 and 3, got \[1, 4\]"),
        (torch.tensor([1.0, 2.0]), r"expected integer lengths of shape \(2,\), got torch.float32 \(2,\)"),
        ([1, 2], r"expected integer lengths of shape \(2,\), got list"),
        (torch.ones(2, dtype=torch.long, device="meta"), "expected lengths on the CPU or on cpu, got meta"),
    ],
)
def test_active_steps_invalid_lengths_raise_value_error(lengths, message):
    with pytest.raises(ValueError, match=message):
        active_steps("Layer", lengths, torch.zeros(3, 2, 5, 4))


def test_active_steps_in_vmap_equal_those_of_each():
    lengths, x = torch.tensor([[1, 3], [2, 2]]), torch.zeros(3, 2, 5, 4)
    found = torch.func.vmap(lambda lengths: active_steps("Layer", lengths, x))(lengths)
    assert torch.equal(found, torch.stack([active_steps("Layer", each, x) for each in lengths]))


def test_step_graphs_of_one_graph_are_the_same_object():
    graphs = step_graphs("Layer", [GCN()], torch.zeros(4, 3, 2), EDGES)
    assert len(graphs) == 4 and len(set(map(id, graphs))) == 1 and graphs[0].prepared.num_edges == 2


def test_step_graphs_of_a_list_differ_by_step():
    edge_index, weights = [EDGES, EDGES[:, :1]], [torch.ones(2), torch.tensor([3.0])]
    attributes = [torch.zeros(2, 4), torch.ones(1, 4)]
    graphs = step_graphs("Layer", [GCN()], torch.zeros(2, 3, 1), edge_index, weights, attributes)
    assert [graph.prepared.num_edges for graph in graphs] == [2, 1]
    assert graphs[1].prepared.edge_weight.tolist() == [3.0] and graphs[1].edge_attr is attributes[1]


def test_step_graphs_lists_with_one_graph_raise_value_error():
    x, state = torch.zeros(2, 3, 1), (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match=r"one edge_weight with one edge_index, got 2; pass a state as state=\.\.\.$"):
        step_graphs("Layer", [GCN()], x, EDGES, state)
    with pytest.raises(ValueError, match=r"one edge_weight with one edge_index, got 3$"):
        step_graphs("Layer", [GCN()], x, EDGES, [torch.ones(2)] * 3)
    with pytest.raises(ValueError, match=r"one edge_attr with one edge_index, got 2$"):
        step_graphs("Layer", [GCN()], x, EDGES, None, state)


def test_step_graphs_of_nested_lists_raise_value_error():
    with pytest.raises(ValueError, match=r"or a list of 2 of them, got a list of list; torch\.tensor"):
        step_graphs("Layer", [GCN()], torch.zeros(2, 3, 1), EDGES.tolist())


def test_step_graphs_and_active_steps_of_sparse_tensors_raise_value_error():
    with pytest.raises(ValueError, match=r"Layer: expected edge_attr to be a dense tensor, got torch.sparse_coo"):
        step_graphs("Layer", [GCN()], torch.zeros(2, 3, 1), EDGES, edge_attr=torch.ones(2, 4).to_sparse())
    with pytest.raises(ValueError, match=r"Layer: expected lengths to be a dense tensor, got torch.sparse_coo"):
        active_steps("Layer", torch.tensor([1, 2]).to_sparse(), torch.zeros(3, 2, 5, 4))


def test_step_inputs_segment_has_a_zero_state_only_at_first():
    inputs = StepInputs(list("abcd"), torch.arange(4), zero_state=True)
    first, second = inputs.segment(slice(0, 2), True), inputs.segment(slice(2, 4), False)
    assert (first.graphs, first.zero_state) == (["a", "b"], True)
    assert (second.graphs, second.active.tolist(), second.zero_state) == (["c", "d"], [2, 3], False)
    other = StepInputs(list("abcd")).segment(slice(0, 2), True)
    assert other.active is None and not other.zero_state
