"""Only layers that compute the same may be compared, so a difference must be seen."""

import dataclasses

import pytest
import torch

from seqgnn.nn import GCRN, LSTM
from seqgnn.profile import plain_layers as plain
from seqgnn.profile import reference_layers as peers
from tests.support.benchmark_rows import PLAIN_SIZE, SIZE, two_convs

# Of the matrices of PyG torch says once in a process that they are in beta and not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


def test_two_convolutions_and_their_twin_compute_the_same():
    assert peers.disagreement(two_convs(), SIZE, "cpu", ["fused", "reference"]) < 1e-12


def test_a_twin_that_computes_something_else_is_seen():
    def wrong(layer):
        twin = peers.from_two_convs(layer)
        with torch.no_grad():
            twin.bias_hh_l0[0] += 1e-3
        return twin

    other = dataclasses.replace(two_convs(), twin=wrong)
    assert peers.disagreement(other, SIZE, "cpu", ["reference"]) > 1e-5


def test_layers_without_a_peer_have_their_engines_beside_each_other(monkeypatch):
    monkeypatch.setattr(peers, "pyg_temporal", lambda: None)
    found = peers.alone()
    assert [peer.same for peer in found] == ["GCRN", "GCRN, GRU", "TGCN", "GCLSTM"]
    assert [peer.name for peer in peers.peers()] == ["two GCNConv"]
    for peer in found:
        assert peers.disagreement(peer, SIZE, "cpu", ["fused", "reference"]) < 1e-10
        contenders = peers.contenders(peer, peers.Problem(SIZE, "cpu"), ["auto", "reference"])
        assert list(contenders) == ["auto", "reference"]


def test_where_peers_are_installed_no_layer_is_alone(monkeypatch):
    monkeypatch.setattr(peers, "pyg_temporal", lambda: object())
    assert peers.alone() == []
    assert [peer.name for peer in peers.peers()] == ["GConvLSTM", "GConvGRU", "TGCN", "GCLSTM", "two GCNConv"]


def test_a_graph_has_neither_loops_nor_double_edges_and_eight_neighbors():
    problem = peers.Problem((2, 30, 2, 1, 1), "cpu")
    edges = {tuple(edge) for edge in problem.edge_index.T.tolist()}
    assert len(edges) == problem.edge_index.size(1) == 8 * 30 and all(a != b for a, b in edges)
    both, weight = problem.disjoint("edge_index")
    assert torch.equal(both[:, 240:], problem.edge_index + 30) and weight.shape == (480,)
    matrix, none = problem.disjoint("csr")
    assert none is None and torch.equal(matrix.to_dense()[both[1], both[0]], weight)


@pytest.mark.parametrize("kind", plain.KINDS)
def test_plain_layers_compute_what_torch_does(kind):
    assert plain.plain_disagreement(kind, PLAIN_SIZE, "cpu", ["auto", "fused", "reference"]) < 1e-12


def test_a_plain_layer_with_other_weights_is_seen(monkeypatch):
    monkeypatch.setattr(LSTM, "load_state_dict", lambda self, state: None)
    assert plain.plain_disagreement("LSTM", PLAIN_SIZE, "cpu", ["reference"]) > 1e-3


def test_a_training_step_leaves_gradients_of_itself_alone():
    problem = peers.Problem(SIZE, "cpu", torch.float64)
    layer = GCRN(2, 3, K=2).double()
    contender = peers.Contender(layer, lambda x: layer(x, problem.edge_index, problem.edge_weight)[0])
    contender.train(problem)
    once = [problem.x.grad.clone(), *(weight.grad.clone() for weight in layer.parameters())]
    contender.train(problem)
    assert all(map(torch.equal, once, [problem.x.grad, *(weight.grad for weight in layer.parameters())]))
