"""Dirichlet energies of trained models, and their verdict."""

import math

import pytest
import torch

from seqgnn.experiments.results.load import load_comparisons
from seqgnn.report.html.model_inspection import ModelInspection, inspect_models, trained_model
from seqgnn.report.html.oversmoothing import smoothing, verdict


def test_smoothing_energies_equal_those_of_trained_models(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    seen = inspect_models(comparison)
    found = smoothing(comparison, seen)
    assert list(found.energies) == ["GCN", "GCN, one hop"] and not found.missing
    model, task = trained_model(comparison, "GCN", 6, 0)
    batch = task.draw(16, torch.Generator().manual_seed(0))
    x = model.inputs(batch)
    neighbors = {i: set() for i in range(len(x))}
    for i, j in batch.edge_index.T.tolist():
        neighbors[i].add(j), neighbors[j].add(i)
    scaled = {i: x[i] / (1 + len(near)) ** 0.5 for i, near in neighbors.items()}
    energy = sum(float((scaled[i] - scaled[j]).square().sum()) for i in neighbors for j in neighbors[i]) / 2
    assert found.energies["GCN"][0] == pytest.approx(energy / float(x.square().sum()), rel=1e-5)
    assert len(found.energies["GCN"]) == 1 + comparison.runs["GCN", 6, 0].config.num_layers
    comparison.weights.clear()
    without = smoothing(comparison, seen)
    assert not without.energies and set(without.missing.values()) == {"the weights were not saved"}
    assert smoothing(comparison, ModelInspection()).energies == {}


@pytest.mark.parametrize(
    "energies, says",
    [
        ([0.5, 0.3, 0.25], "falls from 0.500 to 0.250 over 2 layers"),
        ([0.5, 0.3], "changes from 0.500 to 0.300 over one layer"),
        ([0.0, 0.0], "is zero throughout"),
        ([0.2, 0.4], "rises from 0.200 to 0.400 over one layer"),
        ([0.2, 0.1, math.nan, math.nan], "the ReLU outputs are all zero after layer 2"),
    ],
)
def test_verdict_of_energies_states_rise_or_fall(energies, says):
    assert verdict(energies).startswith(says)
