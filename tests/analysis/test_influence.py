"""Influence compared with Jacobians of single sequences and with receptive fields."""

from math import inf

import networkx as nx
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian
from torch_geometric.data import Batch

from seqgnn.analysis import edges_to_last, influence, receptive_field
from seqgnn.data import CharText, ExpressionTrees, FirstDigitRecall, SequenceGraph
from seqgnn.models.sequence_model import NAMES, build
from tests.support import oracles

DIGITS = {"num_classes": 10, "num_tokens": 10}


def model_of(name, **options):
    torch.manual_seed(0)
    gnn = {"num_layers": 2} if name in ("gcn", "gcn-residual") else {}
    return build(name, **{**DIGITS, "hidden": 6, "hops": (1,), **gnn, **options}).double()


def jacobian_norms(model, sample):
    """Return the influence of one sequence, from the Jacobian of a function of x."""
    batch = Batch.from_data_list([sample])
    with torch.no_grad():
        x = model.inputs(batch)
    logits = lambda x: model.head(model.readout(model.encoder(x, batch, None)[0], batch))[-1]  # noqa: E731
    return jacobian(logits, x).square().sum((0, 2)).sqrt().flip(0)


@pytest.mark.parametrize("options", [{}, {"encoding": "embedding"}, {"readout": "mean"}, {"per_element": True}])
@pytest.mark.parametrize("name", [*NAMES, "tree-lstm"])
def test_influence_equals_jacobian_of_each_sequence(name, options):
    model = model_of(name, **options)
    samples = [SequenceGraph.from_values([i, 3, 1, 4, 1, 5][: 6 - i]) for i in range(3)]
    each = [torch.nn.functional.pad(jacobian_norms(model, sample), (0, 6 - sample.num_nodes)) for sample in samples]
    count = torch.tensor([3, 3, 3, 3, 2, 1])
    oracles.close(influence(model, Batch.from_data_list(samples)), torch.stack(each).sum(0) / count)
    oracles.close(influence(model, samples[0]), each[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hops, layers", [((1,), 3), ((1, 2), 3), ((1, 2, 4, 8), 4)])
def test_influence_is_zero_beyond_the_receptive_field(name, hops, layers):
    options = {"num_layers": layers} if name in ("gcn", "gcn-residual") else {}
    hops = hops if max(hops) < 4 or name != "gcn-in-lstm" else (1, 2)
    batch = FirstDigitRecall(30, hops=hops).draw(64, torch.Generator().manual_seed(0))
    model = model_of(name, hops=hops, **options)
    visible = influence(model, batch) > 0
    positions = receptive_field(model).positions
    if positions == inf:
        assert visible.all()
    else:
        assert visible[: int(positions) + 1].all()
        assert not visible[max(hops) * layers + 1 :].any()
        if hops == (1,):
            assert visible.sum() == positions + 1


def test_influence_does_not_change_the_model():
    model = model_of("lstm", dropout=0.5).train()
    batch = FirstDigitRecall(8).draw(4, torch.Generator().manual_seed(0))
    first, second = influence(model, batch), influence(model, batch)
    assert torch.equal(first, second) and model.training and model.inputs.training
    assert not model.inputs._forward_hooks and all(p.grad is None for p in model.parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert torch.equal(influence(model, batch), first)


def test_influence_on_text_is_that_on_the_last_prediction():
    text = CharText(length=9)
    model = model_of("gru", num_classes=text.num_classes, num_tokens=text.num_tokens, per_element=True)
    batch = text.draw(3, torch.Generator().manual_seed(0))
    expected = torch.stack([jacobian_norms(model, batch[i]) for i in range(3)]).mean(0)
    oracles.close(influence(model, batch), expected)


class InputsOnly(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.inputs, self.value = build("rnn", **DIGITS).inputs, value

    def forward(self, batch, state=None):
        return self.value(self.inputs(batch)), None


@pytest.mark.parametrize(
    "model, message",
    [
        (nn.Linear(2, 2), "a SequenceModel with a module `inputs`, got Linear"),
        (InputsOnly(lambda x: torch.zeros(4, 2)), "a prediction that depends on the inputs, got one that does not"),
        (InputsOnly(lambda x: torch.zeros(4, 2, requires_grad=True)), "a prediction that depends on the inputs"),
        (
            InputsOnly(lambda x: torch.cat([x[:1] / 0, x[1:]])),
            "a finite Jacobian, got NaN or infinite entries at 1 of 28 positions",
        ),
        (InputsOnly(lambda x: x / 0), "a finite Jacobian, got NaN or infinite entries at 28 of 28 positions"),
    ],
)
def test_influence_invalid_models_raise_value_error(model, message):
    batch = FirstDigitRecall(8).draw(4, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=f"influence: expected {message}"):
        influence(model, batch)
    if isinstance(model, InputsOnly):
        assert not model.inputs._forward_hooks


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_influence_on_gpu_equals_cpu(name):
    batch, model = FirstDigitRecall(8).draw(4, torch.Generator().manual_seed(0)), model_of(name)
    expected = influence(model, batch)
    oracles.close(influence(model.cuda(), batch.to("cuda")), expected)


def test_influence_by_tree_distance_equals_mean_jacobian_norms():
    task = ExpressionTrees(7)
    batch = task.draw(8, torch.Generator().manual_seed(0))
    distance = edges_to_last(batch)
    graphs = [nx.DiGraph(graph.edge_index.T.tolist()).reverse() for graph in batch.to_data_list()]
    expected = [nx.single_source_shortest_path_length(graph, 6) for graph in graphs]
    assert distance.tolist() == [lengths[node] for lengths in expected for node in range(7)]
    model = model_of("tree-lstm", num_tokens=12)
    each = torch.zeros(len(distance), dtype=torch.float64)
    for number, sample in enumerate(batch.to_data_list()):
        each[7 * number : 7 * number + 7] = jacobian_norms(model, sample).flip(0)
    means = [each[distance == d].mean() for d in range(int(distance.max()) + 1)]
    oracles.close(influence(model, batch, distance), torch.stack(means))
    with pytest.raises(ValueError, match=r"expected 56 integer distances of at least 0, got torch.int64 \[55\]"):
        influence(model, batch, distance[1:])
    with pytest.raises(ValueError, match=r"expected 56 integer distances of at least 0, got torch.float32 \[56\]"):
        influence(model, batch, distance.float())
    with pytest.raises(ValueError, match=r"expected 56 integer distances of at least 0, got torch.int64 \[56\]"):
        influence(model, batch, distance - 1)


def test_edges_to_last_rejects_nodes_without_a_path():
    with pytest.raises(ValueError, match="edges_to_last: expected a directed path from each node"):
        edges_to_last(
            Batch.from_data_list([SequenceGraph(x=torch.zeros(3).long(), edge_index=torch.tensor([[1], [2]]))])
        )
