"""Dirichlet energy compared with the dense Laplacian and with values by hand, and its change with depth."""

import networkx
import numpy as np
import pytest
import torch
from torch import nn

from seqgnn.analysis import dirichlet_energy, energy_by_depth
from seqgnn.data import FirstDigitRecall, karate_club, path_graph
from seqgnn.models.sequence_model import build
from tests.support import oracles


def test_dirichlet_energy_equals_trace_with_dense_laplacian():
    club = karate_club()
    adjacency = networkx.to_numpy_array(networkx.karate_club_graph(), weight=None) + np.eye(34)
    scale = np.diag(adjacency.sum(1) ** -0.5)
    laplacian = np.eye(34) - scale @ adjacency @ scale
    x = np.random.default_rng(0).normal(size=(34, 3))
    expected = torch.tensor(np.trace(x.T @ laplacian @ x))
    found = dirichlet_energy(torch.from_numpy(x), club.edge_index)
    oracles.close(found, expected)
    oracles.close(dirichlet_energy(torch.from_numpy(x), club.edge_index, relative=True), expected / (x**2).sum())


def test_dirichlet_energy_of_star_and_ring_equals_hand_values():
    edges = torch.tensor([[0, 0, 0], [1, 2, 3]])  # a star: degrees 3, 1, 1, 1
    x = torch.tensor([[4.0], [0.0], [0.0], [2.0]]).double()
    assert dirichlet_energy(x, edges).item() == pytest.approx(2**2 + 2**2 + (2 - 2**0.5) ** 2, rel=1e-12)
    again = torch.cat([edges, edges.flip(0), edges[:, :1], torch.tensor([[2], [2]])], dim=1)
    oracles.close(dirichlet_energy(x, again), dirichlet_energy(x, edges))
    assert dirichlet_energy(x, edges[:, :0]) == 0
    assert dirichlet_energy(torch.ones(5, 2), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])) == 0


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_energy_by_depth_without_residual_connections_falls(seed, directed):
    batch = FirstDigitRecall(20, directed=directed).draw(16, torch.Generator().manual_seed(seed))
    found = {}
    for name in ("gcn", "gcn-residual"):
        torch.manual_seed(seed)
        model = build(name, num_classes=10, num_tokens=10, hidden=32, num_layers=8, directed=directed)
        found[name] = energy_by_depth(model, batch)
        relative = energy_by_depth(model, batch, relative=True)
        # Untrained, both lose nearly all differences between neighbors, relative to the features.
        assert bool((relative >= 0).all() and (relative <= 2).all()) and relative[-1] < 0.1 * relative[0]
    plain, residual = found.values()
    assert bool((plain[1:] < plain[:-1]).all())
    assert plain[-1] / plain[0] < 1e-3 < 1 < residual[-1] / residual[0]


def test_energy_by_depth_equals_energy_of_hidden_features():
    torch.manual_seed(0)
    model = build("gcn-residual", num_classes=10, num_tokens=10, hidden=8, num_layers=2, dropout=0.5)
    batch = FirstDigitRecall(6).draw(3, torch.Generator().manual_seed(0))
    gcn, x = model.encoder, model.inputs.one_hot[batch.x]
    features = [gcn.first(x)]
    for layer in gcn.layers:
        features.append(features[-1] + torch.relu(layer(features[-1], batch.edge_index)))
    expected = torch.stack([dirichlet_energy(h, batch.edge_index) for h in features])
    oracles.close(energy_by_depth(model, batch), expected, rtol=1e-6)
    assert model.training and not gcn._forward_hooks and not gcn.layers[0]._forward_pre_hooks


def test_energy_by_depth_relative_of_zeros_is_nan():
    torch.manual_seed(0)
    model = build("gcn", num_classes=10, num_tokens=10, hidden=4, num_layers=2)
    model.encoder.layers[0].bias.data.fill_(-1e3)
    batch = FirstDigitRecall(6).draw(3, torch.Generator().manual_seed(0))
    assert energy_by_depth(model, batch)[1] == 0 and bool(energy_by_depth(model, batch, relative=True)[1].isnan())


EDGES = path_graph(3)


@pytest.mark.parametrize(
    "x, edges, message",
    [
        (torch.zeros(3), EDGES, "floating x of shape \\[N, F\\], got torch.float32 \\(3,\\)"),
        (torch.zeros(3, 2).long(), EDGES, "floating x"),
        (torch.zeros(3, 2), EDGES.float(), "edge_index of torch.int64 and shape \\[2, E\\]"),
        (torch.zeros(3, 2), EDGES[0], "edge_index of torch.int64 and shape \\[2, E\\], got torch.int64 \\(2,\\)"),
        (torch.zeros(3, 2), torch.cat([EDGES, EDGES[:1]]), "edge_index of .*, got torch.int64 \\(3, 2\\)"),
        (torch.zeros(2, 2), EDGES, "edges between nodes 0 and 1, got 0 to 2"),
        (torch.zeros(3, 2), EDGES - 1, "edges between nodes 0 and 2, got -1 to 1"),
    ],
)
def test_dirichlet_energy_invalid_arguments_raise_value_error(x, edges, message):
    with pytest.raises(ValueError, match=f"dirichlet_energy: expected {message}"):
        dirichlet_energy(x, edges)


def test_energy_of_zeros_and_other_models_raises_value_error():
    with pytest.raises(ValueError, match="nonzero x with relative=True"):
        dirichlet_energy(torch.zeros(3, 2), EDGES, relative=True)
    for model in (nn.Linear(2, 2), build("lstm", num_classes=2, num_tokens=2)):
        with pytest.raises(ValueError, match="energy_by_depth: expected a model with one GCN, such as 'gcn', got 0"):
            energy_by_depth(model, None)


def test_dirichlet_energy_of_a_loop_is_zero():
    assert dirichlet_energy(torch.ones(3, 2), torch.tensor([[1], [1]])) == 0
