"""Cells of graph-recurrent layers, step by step."""

import pytest
import torch

from seqgnn import nn as sg
from tests.support.graph_layers import ALL, EDGES, WEIGHTS, B, F, H, N, T, auto_is_fused, signal  # noqa: F401
from tests.support.oracles import close


@pytest.mark.parametrize("case", [case for case in ALL if case.steps and case.state], ids=str)
def test_graph_cell_step_by_step_equals_layer(case):
    layer, x = case.make(), signal(T, B, N, F)
    cell = getattr(sg, type(layer).__name__ + "Cell")(F, H, **case.options, dtype=torch.float64)
    cell.load_state_dict(layer.state_dict())
    output, *last = case.parts(layer(x, EDGES, WEIGHTS))
    state = None
    for t in range(T):
        state = cell(x[t], EDGES, WEIGHTS, state)
        close(case.parts(({}, state))[1], output[t])
    for a, b in zip(case.parts(({}, state))[1:], last, strict=True):
        close(a, b[0])
    for wrong, message in ((x, "rank 2 or 3"), (x[0, 0, 0], "rank 2 or 3"), (x[0].float(), "torch.float64")):
        with pytest.raises(ValueError, match=f"{type(cell).__name__}: expected input of .*{message}"):
            cell(wrong, EDGES, WEIGHTS)
    with pytest.raises(ValueError, match=rf"{type(cell).__name__}: expected a state .*\({B}, {N}, {H}\)"):
        cell(x[0], EDGES, WEIGHTS, x[0])
    alone = cell(x[0, 0], EDGES, WEIGHTS)
    assert case.parts(({}, alone))[1].shape == (N, H)


@pytest.mark.parametrize("variant", ["O", "H"])
def test_evolve_gcn_cell_step_by_step_equals_layer(variant):
    torch.manual_seed(0)
    layer, x = sg.EvolveGCN(F, H, variant=variant, dtype=torch.float64), signal(T, B, N, F)
    cell = sg.EvolveGCNCell(F, H, variant=variant, dtype=torch.float64)
    cell.load_state_dict(layer.state_dict())
    output, (last,) = layer(x, EDGES, WEIGHTS)
    state = None
    for t in range(T):
        found, state = cell(x[t], EDGES, WEIGHTS, state)
        close(found, output[t])
    for a, b in zip(*(part if isinstance(part, tuple) else (part,) for part in (state, last)), strict=True):
        close(a, b)
    with pytest.raises(ValueError, match="EvolveGCNCell: expected input of rank 2 or 3"):
        cell(x, EDGES)
    with pytest.raises(ValueError, match="EvolveGCNCell: expected no num_layers, which a single step does not have"):
        sg.EvolveGCNCell(F, H, num_layers=2)
