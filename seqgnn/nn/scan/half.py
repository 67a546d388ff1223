"""Half precision on the CPU: engines with a hand-written backward pass compute in float32 and round their results."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.cpp.buffers import share_pool
from seqgnn.nn.scan.functional import PeepholeLSTM, State, cell_key
from seqgnn.nn.scan.gates import FilterProjection, LinearProjection, Projection, RecurrentUnit
from seqgnn.nn.scan.graph_inputs import StepInputs

HALF = (torch.bfloat16, torch.float16)
UNPROMOTED = (cells.rnn_tanh, cells.rnn_relu, cells.conv_cell_state_lstm)  # no product with the earlier state

Scan = Callable[[RecurrentUnit, StepInputs, Tensor, State], tuple[Tensor, State]]


def is_half(x: Tensor) -> bool:
    """Return True if x is on the CPU and in half precision, by its dtype or by autocast."""
    if x.device.type != "cpu":
        return False
    return x.dtype in HALF or (x.dtype == torch.float32 and torch.is_autocast_enabled("cpu"))


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of the products with x in half precision."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def is_supported(unit: RecurrentUnit) -> bool:
    """Return True if all projections are by weights; convolutions are called in half precision."""
    projections: tuple[Any, ...] = (unit.input_projection, *unit.hidden_projections)
    return all(isinstance(projection, FilterProjection | LinearProjection) for projection in projections)


def scan_in_float32(
    scan: Scan, unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State
) -> tuple[Tensor, State]:
    """Return what a scan in float32 returns, rounded to the dtype that the equations would have."""
    dtype = _result_dtype(unit, x, state)
    with torch.autocast("cpu", enabled=False):
        output, last = scan(_in_float32(unit), inputs, x.float(), tuple(part.float() for part in state))
        return output.to(dtype), tuple(part.to(dtype) for part in last)


def _result_dtype(unit: RecurrentUnit, x: Tensor, state: State) -> torch.dtype:
    """Return the dtype of products, promoted by the factors of the cell that are not."""
    if cell_key(unit.cell) in UNPROMOTED:
        return product_dtype(x)
    peepholes = (unit.cell.weight_ci,) if isinstance(unit.cell, PeepholeLSTM) else ()
    return reduce(torch.promote_types, (part.dtype for part in (*state, *peepholes)), product_dtype(x))


def _in_float32(unit: RecurrentUnit) -> RecurrentUnit:
    cell = unit.cell
    if isinstance(cell, PeepholeLSTM):
        cell = PeepholeLSTM(cell.weight_ci.float(), cell.weight_cf.float(), cell.weight_co.float())
    hidden = tuple(map(_projection_in_float32, unit.hidden_projections))
    return RecurrentUnit(cell, _projection_in_float32(unit.input_projection), hidden)


def _projection_in_float32(projection: Projection) -> Projection:
    assert isinstance(projection, FilterProjection | LinearProjection)
    weight, bias = projection.weight.float(), None if projection.bias is None else projection.bias.float()
    share_pool(projection.weight, weight)
    if isinstance(projection, LinearProjection):
        return LinearProjection(weight, bias)
    return replace(projection, weight=weight, bias=bias)
