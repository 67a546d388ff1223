"""Gradients of gradients of the fused scan."""

import pytest
import torch
from torch.func import functional_call
from torch_geometric.nn import GraphConv

from seqgnn import nn as sg
from tests.support.fused_scans import (
    EDGES,
    SOME,
    WEIGHTS,
    H,
    N,
    T,
    both,
    signal,
)
from tests.support.layer_cases import Case
from tests.support.oracles import close, leaf

INPUT_CONV = Case("GCNGRU", sg.GCNGRU, options={"input_conv": GraphConv, "hidden_conv": sg.Chebyshev(2)})


def inputs_of(layer):
    names, values = zip(*((name, leaf(p)) for name, p in layer.named_parameters()))
    return names, (leaf(signal(2, N, 1)), leaf(WEIGHTS), *values)


@pytest.mark.parametrize("case", [*SOME, INPUT_CONV], ids=str)
def test_fused_scan_second_order_gradients_equal_reference(case):
    found = []
    for layer in both(case, in_channels=1, hidden_channels=2):
        names, inputs = inputs_of(layer)
        x, weight, *values = inputs
        output = case.parts(functional_call(layer, dict(zip(names, values)), (x, EDGES, weight)))[0]
        first = torch.autograd.grad(output.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        found.append([*first, *second])
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_second_order_of_dependent_inputs_is_equal(case):
    found = []
    for layer in both(case, in_channels=H):
        x, weight = leaf(signal(T, N, H)), leaf(WEIGHTS)
        first = layer(x, EDGES, weight)
        second = case.parts(layer(x, EDGES, weight * x.exp().mean(), first[1]))
        inputs = [x, weight, *layer.parameters()]
        slopes = torch.autograd.grad(sum(part.square().sum() for part in second), inputs, create_graph=True)
        found.append([*slopes, *torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)])
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_fused_scan_second_order_of_cell_states_alone_is_equal():
    """The peephole of the output gate has no part in the cell state of a single step."""
    case, found = Case("", sg.GCNLSTM, options={"peephole": True}), []
    for layer in both(case):
        x = leaf(signal(1, N, 2))
        c = layer(x, EDGES)[1][1]
        inputs = [x, layer.weight_ih_l0, layer.weight_ci_l0, layer.weight_co_l0]
        first = torch.autograd.grad(c.square().sum(), inputs, create_graph=True, allow_unused=True)
        assert first[3] is None or not first[3].any()
        found.append([*first[:2], *torch.autograd.grad(sum(slope.square().sum() for slope in first[:2]), inputs[:2])])
    for a, b in zip(*found, strict=True):
        close(a, b)
