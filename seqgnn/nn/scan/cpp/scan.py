"""The scan of a layer by the compiled library, with its backward pass."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.buffers import pool_of
from seqgnn.nn.scan.cpp.passes import equations, scan_backward, scan_forward
from seqgnn.nn.scan.cpp.spec import CELLS, ScanSpec, ScanTensors
from seqgnn.nn.scan.double_backward import scan_gradients
from seqgnn.nn.scan.functional import PeepholeLSTM, State, cell_key
from seqgnn.nn.scan.fused.scan import fused_scan
from seqgnn.nn.scan.gates import RecurrentUnit, at_every_step, is_recursive, step_operators
from seqgnn.nn.scan.graph_inputs import StepInputs
from seqgnn.nn.scan.reference import reference_scan


def is_supported(unit: RecurrentUnit, x: Tensor) -> bool:
    """Return True for the cells of :mod:`seqgnn.nn.scan.functional` with hidden projections by a filter's recursion, on
    the CPU, if the library can be used."""
    return (
        x.device.type == "cpu"
        and cell_key(unit.cell) in CELLS
        and all(is_recursive(projection) for projection in unit.hidden_projections)
        and all(projection.filter.num_terms <= library.MAX_TERMS for projection in _recursive(unit))
        and is_available()
    )


def is_available() -> bool:
    """Return True if the library is built and not switched off."""
    return library.load()[0] is not None


def cpp_scan(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool = False
) -> tuple[Tensor, State]:
    """Return the outputs `[T, (B,) N, H]` of a unit over x `[T, (B,) N, F]` and the state after the last step.

    Args:
        unit: must be supported, see :func:`is_supported`. An input projection by a filter's recursion is part of the
            scan; any other is called, and left to autograd.
        inputs: the graph of each step, and which sequences are active.
        state: before the first step, each tensor `[(B,) N, H]`.
        reverse: from the last step to the first; outputs keep the order of `x`.
    """
    cell = unit.cell
    hidden_projections: Sequence[Any] = unit.hidden_projections
    inside: Any = unit.input_projection if is_recursive(unit.input_projection) else None
    signal = x if inside is not None else at_every_step(unit.input_projection, x, inputs.graphs)
    projections: list[Any] = [inside, *hidden_projections]
    filters = [projection.filter for projection in projections if projection is not None]
    graphs = inputs.graphs[:1] if inputs.graphs.count(inputs.graphs[0]) == len(inputs.graphs) else inputs.graphs
    operators = {filter: step_operators(filter, x, graphs) for filter in filters}
    distinct = list({id(op): op for every in operators.values() for step in every for op in step}.values())
    if any(max(op.pattern.num_nodes, op.pattern.row.numel()) > library.MAX_INDEX for op in distinct):
        return fused_scan(unit, inputs, x, state, reverse)
    pool = pool_of(projections[1].weight)
    threads, shape = torch.get_num_threads(), x.shape[1:-1]
    spec = ScanSpec(unit, inputs, projections, operators, distinct, shape, reverse, threads, pool)
    tensors = (
        signal,
        *(None if projection is None else projection.weight for projection in projections),
        *(None if projection is None else projection.bias for projection in projections),
        *((cell.weight_ci, cell.weight_cf, cell.weight_co) if isinstance(cell, PeepholeLSTM) else ()),
        *state,
        *(operator.values_as(x.dtype) for operator in distinct),
    )
    if not spec.fits(ScanTensors(spec, tensors), x):
        return reference_scan(unit, inputs, x, state, reverse)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        output, *last = _Compiled.apply(spec, *tensors)
    else:
        output, last, _ = scan_forward(spec, ScanTensors(spec, tensors), save=False)
    return output, tuple(last)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spec: ScanSpec, *tensors: Tensor | None) -> Any:
        output, last, saved = scan_forward(spec, ScanTensors(spec, tensors), save=True)
        ctx.spec, ctx.reuses = spec, not torch_internals.hooks_see_saved_tensors()
        ctx.save_for_backward(*tensors, saved)
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *tensors, saved = ctx.saved_tensors  # once, since checkpointing lets them be unpacked no second time

        def by_hand(needs_grad: Sequence[bool]) -> list[Tensor | None]:
            results = scan_backward(ctx.spec, ScanTensors(ctx.spec, tensors), saved, grads, needs_grad)
            if ctx.reuses and not torch_internals.keeps_graph():
                ctx.spec.pool.give(saved)
            return results

        return scan_gradients(ctx, partial(equations, ctx.spec), tensors, grads, by_hand)


def _recursive(unit: RecurrentUnit) -> list[Any]:
    """Return the projections that the library computes."""
    return [part for part in (unit.input_projection, *unit.hidden_projections) if is_recursive(part)]
