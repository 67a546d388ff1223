"""The filter of diffusion: random walks worked out by hand."""

import pytest
import torch

from seqgnn.nn import Diffusion
from tests.support.filters import matrices
from tests.support.oracles import close

# From node 0 to 1 with weight 1 and to 2 with weight 3; from 1 to 2 with weight 2.
EDGES = torch.tensor([[0, 0, 1], [1, 2, 2]])
WEIGHTS = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
FORWARD = torch.tensor([[0, 0.25, 0.75], [0, 0, 1], [0, 0, 0]], dtype=torch.float64)
BACKWARD = torch.tensor([[0, 0, 0], [1, 0, 0], [0.6, 0.4, 0]], dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)


def test_diffusion_walks_equal_hand_values():
    found = matrices(Diffusion(3), EDGES, WEIGHTS, 3)
    close(found, torch.stack([EYE, FORWARD, FORWARD @ FORWARD, BACKWARD, BACKWARD @ BACKWARD]))


def test_diffusion_of_the_authors_transposes_the_walks():
    found = matrices(Diffusion(2, "authors"), EDGES, WEIGHTS, 3)
    close(found[:2], torch.stack([EYE, FORWARD.T]))
    close(found[2], BACKWARD.T)


@pytest.mark.parametrize(("variant", "hops"), [("paper", 3), ("authors", 5)])
def test_diffusion_hops_follow_from_its_terms(variant, hops):
    assert Diffusion(4, variant).hops == hops and Diffusion(4, variant).num_terms == 7
