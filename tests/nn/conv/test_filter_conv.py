"""Chebyshev and Diffusion as filters and as layers: PyG, dense oracles, literal figures, batches, gradients, errors."""

import copy
import json
import pickle

import pytest
import torch
from torch_geometric import nn as pyg

from seqgnn.nn import DCRNN, GCRN, ChebConv, Chebyshev, Diffusion, DiffusionConv
from tests.support import graph_oracles as og
from tests.support.filters import matrices, oracle
from tests.support.oracles import close, gradient, leaf, tricky_graph
from tests.support.paths import FIXTURE

NUMBERS = json.loads(FIXTURE.read_text())
EDGES, WEIGHTS, N = tricky_graph()
KINDS = [
    *(Chebyshev(K, norm, largest) for K in (2, 4) for norm in ("sym", "rw", None) for largest in (None, 1.7)),
    Diffusion(2), Diffusion(4), Diffusion(2, "authors"), Diffusion(4, "authors"),
]  # fmt: skip


def figures(values):
    return torch.tensor(values, dtype=torch.float64)


def test_chebyshev_and_diffusion_equal_literal_values():
    edges, weights = torch.tensor(NUMBERS["edge_index"]), figures(NUMBERS["edge_weight"])
    chebyshev = Chebyshev(3, lambda_max=2.0)
    for kind, name in ((chebyshev, "chebyshev K=3 sym lambda_max=2"), (Diffusion(3), "diffusion K=3")):
        close(matrices(kind, edges, weights, 6), figures(NUMBERS["operators"][name]))
    x = figures(NUMBERS["x [T,B,N,F]"])
    layers = {
        "GCRN model=2 lstm K=3 peephole": GCRN(2, 2, K=3, lambda_max=2.0, dtype=torch.float64),
        "DCRNN variant=paper K=3": DCRNN(2, 2, K=3, dtype=torch.float64),
    }
    for name, layer in layers.items():
        entry = NUMBERS["layers"][name]
        layer.load_state_dict({key: figures(value) for key, value in entry["parameters"].items()})
        output, state = layer(x, edges, weights)
        close(output, figures(entry["output [T,B,N,H]"]))
        close(torch.cat(state) if layer.kind == "lstm" else state, figures(entry["states [B,N,H]"]))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_chebyshev_and_diffusion_operators_equal_oracle(kind, weighted):
    weights = WEIGHTS if weighted else None
    close(matrices(kind, EDGES, weights, N), oracle(kind, EDGES, weights, N))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_chebyshev_and_diffusion_weight_gradients_equal_oracle(kind):
    ours, theirs = leaf(WEIGHTS), leaf(WEIGHTS)
    weighting = torch.randn(kind.num_terms, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (matrices(kind, EDGES, ours, N) * weighting)[1:].sum().backward()
    (oracle(kind, EDGES, theirs, N) * weighting)[1:].sum().backward()
    assert gradient(ours).isfinite().all()
    close(gradient(ours), gradient(theirs))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_chebyshev_and_diffusion_without_edges_equal_oracle(kind):
    empty = torch.empty(2, 0, dtype=torch.long)
    for weights in (None, torch.empty(0, dtype=torch.float64)):
        close(matrices(kind, empty, weights, 3), oracle(kind, empty, weights, 3))


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
def test_cheb_conv_on_one_graph_equals_pyg(normalization):
    torch.manual_seed(0)
    theirs, ours = pyg.ChebConv(3, 5, 4, normalization).double(), ChebConv(3, 5, 4, normalization).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(N, 3, dtype=torch.float64)
    batch = torch.zeros(N, dtype=torch.long)
    for weights in (None, WEIGHTS):
        close(ours(x, EDGES, weights), theirs(x, EDGES, weights))
        close(ours(x, EDGES, weights, lambda_max=1.5), theirs(x, EDGES, weights, lambda_max=1.5))
        several = torch.tensor([1.5], dtype=torch.float64)
        close(ours(x, EDGES, weights, batch, several), theirs(x, EDGES, weights, batch, several))


def test_diffusion_conv_equals_oracle():
    conv = DiffusionConv(3, 5, K=3).double()
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    operators = og.diffusion_operators(EDGES, WEIGHTS, N, 3)
    expected = [og.diffusion_conv(window, operators, [lin.weight for lin in conv.lins], conv.bias) for window in x]
    close(conv(x, EDGES, WEIGHTS), torch.stack(expected))
    close(conv(x, conv.prepare(EDGES, WEIGHTS, N)), torch.stack(expected))
    for copied in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(copied(x, EDGES), conv(x, EDGES))
    assert repr(conv) == "DiffusionConv(3, 5, filter=Diffusion(K=3))"
    conv.reset_parameters()
    assert not conv.bias.any()


def test_filters_are_comparable_hashable_and_picklable():
    assert Chebyshev(3) == Chebyshev(3, "sym") != Chebyshev(2) and hash(Diffusion(3)) == hash(Diffusion(3))
    assert [kind.num_terms for kind in (Chebyshev(3), Diffusion(3))] == [3, 5]
    assert repr(Chebyshev(3, None, 2.0)) == "Chebyshev(K=3, normalization=None, lambda_max=2.0)"
    assert pickle.loads(pickle.dumps(Diffusion(2, "authors"))) == Diffusion(2, "authors")


NEGATIVE = torch.tensor([-1.0, *[0.1] * 9])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Chebyshev(0), "Chebyshev: expected K to be an integer of at least 1, got 0"),
        (lambda: Diffusion(2.0), "Diffusion: expected K to be an integer"),
        (lambda: Chebyshev(2, "syn"), "Chebyshev: expected normalization .* did you mean 'sym'"),
        (lambda: Chebyshev(2, lambda_max=0.0), "Chebyshev: expected lambda_max to be above 0 and finite, got 0.0"),
        (lambda: Chebyshev(2, lambda_max=(1.0, -1.0)), "expected lambda_max to be above 0 and finite, got -1.0"),
        (lambda: Diffusion(2, "author"), "Diffusion: expected variant .* did you mean 'authors'"),
        (lambda: Chebyshev(2).prepare(EDGES, NEGATIVE, N), "Chebyshev: expected degrees >= 0 under the square root"),
        (lambda: Diffusion(2).prepare(EDGES, torch.full((10,), torch.nan), N), "expected finite edge_weight"),
        (
            lambda: Chebyshev(2, lambda_max=(1.0,)).prepare(EDGES, None, N, torch.tensor([0] * 6 + [1])),
            "expected one lambda_max for each graph, got 1 for 2 graphs",
        ),
        (
            lambda: Chebyshev(2, lambda_max=(1.0, 2.0)).prepare(EDGES, None, N),
            "one lambda_max .* got 2 for 1 graphs",
        ),
        (lambda: ChebConv(3, 5, 2)(torch.zeros(N, 4), EDGES), r"ChebConv: expected x of shape \[..., N, 3\]"),
        (lambda: DiffusionConv(0, 5, 2), "DiffusionConv: expected in_channels"),
        (lambda: GCRN(2, 3, K=2, cell="lstn"), "GCRN: expected cell .* did you mean 'lstm'"),
        (lambda: GCRN(2, 3, K=2, model=3), "GCRN: expected model to be 1 or 2, got 3"),
        (lambda: GCRN(2, 3, K=2, cell="gru", peephole=True), "GCRN: expected a cell of kind lstm with peephole=True"),
        (lambda: DCRNN(2, 3, K=2, variant="x"), "DCRNN: expected variant"),
    ],
)
def test_filters_and_layers_invalid_options_raise_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
