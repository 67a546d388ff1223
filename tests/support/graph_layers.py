"""Inputs of the battery over all graph-recurrent layers."""

import pytest
import torch

from seqgnn.nn.scan import dispatch
from tests.support.layer_cases import CASES, MINIMAL, OTHERS, PUBLISHED
from tests.support.oracles import tricky_graph

SOME = [case for case in CASES + MINIMAL if "GCN()" in str(case)] + PUBLISHED
ALL = SOME + OTHERS
T, B, F, H = 4, 2, 2, 3
EDGES, WEIGHTS, N = tricky_graph()


@pytest.fixture(autouse=True)
def auto_is_fused(monkeypatch):
    """In a module that imports this, the engine "auto" is the fused one, also in calls as tiny as these."""
    monkeypatch.setattr(dispatch, "ELEMENTS", 1)


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
