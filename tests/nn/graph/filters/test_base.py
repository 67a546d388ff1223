"""What all filters share: the identity, equality and copies, errors."""

import copy
import pickle

import pytest
import torch

from seqgnn.nn import Chebyshev, Diffusion
from seqgnn.nn.graph.filters import GCN, Identity
from seqgnn.nn.graph.prepare import as_graph
from tests.support.oracles import tricky_graph
from tests.support.sparse_products import AWKWARD, path  # noqa: F401


def test_identity_filter_returns_x_and_accepts_any_graph():
    x = torch.randn(3, 7, 2)
    for kind in (Identity(), GCN()):
        assert Identity().basis(x, kind.prepare(AWKWARD, num_nodes=7))[0] is x
    graph = GCN().prepare(AWKWARD, num_nodes=7)
    assert as_graph("Layer", [Identity(), GCN()], graph, None, 7) is graph


def test_filters_are_comparable_hashable_and_picklable():
    assert GCN() == GCN("sym", False) and hash(GCN()) == hash(GCN("sym"))
    assert GCN() != GCN("rw") and Identity() == Identity() and Identity() != GCN()
    assert GCN().num_terms == Identity().num_terms == 1
    assert repr(Identity()) == "Identity()" and repr(GCN()) == "GCN()"
    shown = "GCN(normalization='rw', improved=True, add_self_loops=False, flow='target_to_source')"
    assert repr(GCN("rw", True, False, "target_to_source")) == shown
    for kind in (Identity(), GCN("rw")):
        assert pickle.loads(pickle.dumps(kind)) == copy.deepcopy(kind) == kind
    with pytest.raises(AttributeError):
        GCN().improved = True


def test_filter_invalid_features_or_options_raise_value_error():
    graph = GCN().prepare(AWKWARD, num_nodes=7)
    for kind in (GCN(), Identity()):
        name = type(kind).__name__
        with pytest.raises(ValueError, match=rf"{name}: expected x of shape \[..., 7, F\], got \(6, 2\)"):
            kind.basis(torch.zeros(6, 2), graph)
        with pytest.raises(ValueError, match=rf"{name}: expected x of shape \[..., 7, F\], got \(7,\)"):
            kind.basis(torch.zeros(7), graph)
        with pytest.raises(ValueError, match=f"{name}: expected x of a floating dtype, got torch.int64"):
            kind.basis(torch.zeros(7, 2, dtype=torch.long), graph)
        with pytest.raises(ValueError, match=f"{name}: expected x on cpu, where the graph is, got meta"):
            kind.basis(torch.zeros(7, 2, device="meta"), graph)
    with pytest.raises(ValueError, match="normalization to be one of 'sym', 'rw', got 'syn'; did you mean 'sym'"):
        GCN("syn")
    with pytest.raises(ValueError, match="GCN: expected flow to be one of"):
        GCN(flow="up")


EDGES, WEIGHTS, N = tricky_graph()


@pytest.mark.parametrize("kind", [Chebyshev, Diffusion])
def test_filter_with_one_term_warns_and_sees_no_neighbor(kind):
    with pytest.warns(UserWarning, match=rf"{kind.__name__}: K=1 sees no neighbor: K is the number of terms") as seen:
        local = kind(1)
    assert seen[0].filename == __file__
    x = torch.randn(N, 2)
    assert local.hops == 0 and local.basis(x, local.prepare(EDGES, None, N))[0] is x
    assert local.basis(x, Diffusion(2).prepare(EDGES, None, N))[0] is x
