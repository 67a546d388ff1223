"""Only layers with equal outputs are compared, so a difference must be detected."""

import dataclasses

import pytest
import torch

from seqgnn.nn import GCRN
from seqgnn.profile import reference_layers as references
from tests.support.benchmark_rows import SIZE, two_convs

# torch warns once per process that PyG's sparse matrices are in beta and not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


def test_disagreement_of_two_convs_and_gcn_lstm_is_small():
    assert references.disagreement(two_convs(), SIZE, "cpu", ["fused", "reference"]) < 1e-12


def test_disagreement_of_different_weights_is_detected():
    def wrong(layer):
        equivalent = references.from_two_convs(layer)
        with torch.no_grad():
            equivalent.bias_hh_l0[0] += 1e-3
        return equivalent

    other = dataclasses.replace(two_convs(), equivalent=wrong)
    assert references.disagreement(other, SIZE, "cpu", ["reference"]) > 1e-5


def test_layers_without_reference_compare_their_engines(monkeypatch):
    monkeypatch.setattr(references, "pyg_temporal", lambda: None)
    layers = references.layers_without_reference()
    assert [reference.equivalent_name for reference in layers] == ["GCRN", "GCRN, GRU", "TGCN", "GCLSTM"]
    assert [reference.name for reference in references.reference_layers()] == ["two GCNConv"]
    for reference in layers:
        assert references.disagreement(reference, SIZE, "cpu", ["fused", "reference"]) < 1e-10
        candidates = references.candidates(reference, references.GraphInputs(SIZE, "cpu"), ["auto", "reference"])
        assert list(candidates) == ["auto", "reference"]


def test_reference_layers_are_complete_where_installed(monkeypatch):
    monkeypatch.setattr(references, "pyg_temporal", lambda: object())
    assert references.layers_without_reference() == []
    names = ["GConvLSTM", "GConvGRU", "TGCN", "GCLSTM", "two GCNConv"]
    assert [layer.name for layer in references.reference_layers()] == names


def test_graph_inputs_have_eight_distinct_neighbors_and_no_loops():
    inputs = references.GraphInputs((2, 30, 2, 1, 1), "cpu")
    edges = {tuple(edge) for edge in inputs.edge_index.T.tolist()}
    assert len(edges) == inputs.edge_index.size(1) == 8 * 30 and all(a != b for a, b in edges)
    both, weight = inputs.disjoint("edge_index")
    assert torch.equal(both[:, 240:], inputs.edge_index + 30) and weight.shape == (480,)
    matrix, none = inputs.disjoint("csr")
    assert none is None and torch.equal(matrix.to_dense()[both[1], both[0]], weight)


def test_candidate_train_does_not_accumulate_gradients():
    inputs = references.GraphInputs(SIZE, "cpu", torch.float64)
    layer = GCRN(2, 3, K=2).double()
    candidate = references.Candidate(layer, lambda x: layer(x, inputs.edge_index, inputs.edge_weight)[0])
    candidate.train(inputs)
    once = [inputs.x.grad.clone(), *(weight.grad.clone() for weight in layer.parameters())]
    candidate.train(inputs)
    assert all(map(torch.equal, once, [inputs.x.grad, *(weight.grad for weight in layer.parameters())]))
