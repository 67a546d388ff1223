"""Values that are not finite stay where they are: the fused engine's are those of the reference."""

import pytest
import torch

from seqgnn import nn as sg
from seqgnn.nn.scan.fused import scan as fused
from tests.support import fused_scans
from tests.support.fused_scans import EDGES, SOME, WEIGHTS, B, F, H, N, T, both, signal
from tests.support.layer_cases import CASES, Case
from tests.support.oracles import close, leaf

RELU = next(case for case in CASES if str(case) == "GCNRNN relu GCN()")
PATH = torch.tensor([[0, 1, 3, 4], [1, 0, 4, 3]])  # two pairs, and two nodes alone


def poisoned(layer, case, where, bad):
    """All that a layer returns and all gradients, with `bad` at one node: of its input, its state or its output's
    gradient, or among its weights."""
    x, state = signal(T, B, N, F), [signal(1, B, N, H, seed=3 + i) for i in range(2 if layer.kind == "lstm" else 1)]
    if where == "x":
        x[1, 0, 1, 0] = bad
    if where == "state":
        state[-1][0, 1, 2, 0] = bad
    if where == "weight":
        layer.weight_hh_l0.data[0, 0] = bad
    inputs = [leaf(x), *map(leaf, state)]
    hx = (tuple(inputs[1:]) if len(state) == 2 else inputs[1]) if where == "state" else None
    parts = case.parts(layer(inputs[0], EDGES, WEIGHTS, hx))
    grad = signal(*parts[0].shape, seed=9)
    if where == "gradient":
        grad[2, 0, 1] = bad
    wanted = [*inputs[: 1 if hx is None else None], *layer.parameters()]
    return [*parts, *torch.autograd.grad(parts[0], wanted, grad)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["x", "state", "gradient", "weight"])
@pytest.mark.parametrize("case", [*SOME, RELU], ids=str)
def test_fused_scan_nan_and_inf_spread_along_edges_only(case, where, bad):
    found, expected = (poisoned(layer, case, where, bad) for layer in both(case))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.isfinite(), b.isfinite())
        close(a.nan_to_num(0, 0, 0), b.nan_to_num(0, 0, 0))
    assert where == "gradient" or not all(part.isfinite().all() for part in expected)  # a dead relu stops a gradient
    assert where == "weight" or expected[0].isfinite().any()


@pytest.mark.parametrize("window", [0, 1])
def test_fused_scan_overflow_stays_in_its_window_and_component(window):
    """Finite inputs and weights, whose state overflows at the second step."""
    case = Case("", sg.GCNRNN, options={"nonlinearity": "relu", "bias": False})
    results = []
    for layer in both(case):
        with torch.no_grad():
            layer.weight_ih_l0.fill_(1.0)
            layer.weight_hh_l0.fill_(1e200)
        x = torch.full((2, 2, 6, F), 1e-300, dtype=torch.float64)
        x[0, window, 3] = 1e200
        x.requires_grad_()
        output, last = layer(x, PATH)
        results.append([output, last, *torch.autograd.grad(output.sum(), x)])
    reached = torch.zeros(2, 6, dtype=torch.bool)
    reached[window, 3:5] = True  # the pair of the large value
    (output, last, dx), (_, _, expected_dx) = results
    assert output[0].isfinite().all() and dx.isfinite().all()
    assert torch.equal(~output[1].isfinite().all(-1), reached)
    assert torch.equal(~last[0].isfinite().all(-1), reached)
    close(dx, expected_dx)


@pytest.mark.parametrize("nodes", [6, fused.DENSE + 1])
def test_fused_scan_infinite_gradient_stays_in_its_component(nodes):
    """Two steps are as far as the gradient of the pair's first node may go."""
    layer = sg.GCNLSTM(F, H, engine=fused_scans.ENGINE, dtype=torch.float64)
    x = leaf(signal(3, B, nodes, F))
    output = layer(x, PATH)[0]
    grad = torch.ones_like(output)
    grad[2, 1, 3] = float("inf")
    (dx,) = torch.autograd.grad(output, x, grad)
    spoilt = ~dx.isfinite().all(-1).all(0)
    expected = torch.zeros(B, nodes, dtype=torch.bool)
    expected[1, 3:5] = True
    assert torch.equal(spoilt, expected)


def test_fused_scan_overflow_of_the_input_gradient_stays_in_its_component():
    """All gradients of weights are finite, and only that of the input overflows."""
    layer = sg.GCNRNN(F, H, nonlinearity="relu", bias=False, engine=fused_scans.ENGINE, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1e200)
        layer.weight_hh_l0.fill_(0.0)
    x = torch.full((2, 2, 6, F), 1e-300, dtype=torch.float64, requires_grad=True)
    output = layer(x, PATH)[0]
    grad = torch.ones_like(output)
    grad[0, 1, 3] = 1e200
    dx, dweight = torch.autograd.grad(output, [x, layer.weight_ih_l0], grad)
    overflows = torch.zeros(2, 2, 6, dtype=torch.bool)
    overflows[0, 1, 3:5] = True
    assert dweight.isfinite().all() and torch.equal(~dx.isfinite().all(-1), overflows)
