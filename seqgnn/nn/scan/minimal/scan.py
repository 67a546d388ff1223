"""The scan of a cell whose gates do not see the hidden state, with a hand-written backward pass."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn.nn.scan.cpp import minimal as compiled
from seqgnn.nn.scan.cpp.library import can_read
from seqgnn.nn.scan.double_backward import scan_gradients
from seqgnn.nn.scan.functional import MINIMAL_CELLS, Cell, State, min_gru, min_lstm
from seqgnn.nn.scan.gates import FilterProjection, LinearProjection, RecurrentUnit, at_every_step
from seqgnn.nn.scan.graph_inputs import StepInputs
from seqgnn.nn.scan.minimal.passes import Saved, ScanSpec, scan_backward, scan_forward
from seqgnn.nn.scan.minimal.steps import LogDepthSteps, TorchSteps
from seqgnn.nn.scan.reference import reference_scan, unroll

NUM_GATES: dict[Cell, int] = {min_gru: 2, min_lstm: 3}  # with the candidate
STEPS = 3  # with fewer steps, the equations take less time than the setup of the compiled engine


def is_minimal(unit: RecurrentUnit) -> bool:
    """Return True for the cells of :data:`seqgnn.nn.scan.functional.MINIMAL_CELLS`."""
    return any(unit.cell is cell for cell in MINIMAL_CELLS.values())


def choose_engine(engine: str, x: Tensor, worthwhile: bool) -> str:
    """Return ``"cpp"``, ``"fused"`` or ``"reference"`` for a minimal unit, whose input x these engines support.

    With ``"auto"``, that is the first which can be used and is worthwhile: the compiled one with at least 3 steps.
    """
    if compiled.is_supported(x) and (engine == "cpp" or (engine == "auto" and len(x) >= STEPS)):
        return "cpp"
    return "fused" if worthwhile else "reference"


def minimal_scan(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool = False, engine: str = "fused"
) -> tuple[Tensor, State]:
    """Return the outputs `[T, (B,) N, H]` of a unit over x `[T, (B,) N, F]` and the state after the last step.

    Args:
        unit: must be minimal, see :func:`is_minimal`. The product of its input projection, by a filter or without a
            graph, is part of the scan; propagation and convolutions are left to autograd.
        inputs: the graph of each step, and which sequences are active.
        state: before the first step, `[(B,) N, H]`.
        reverse: from the last step to the first; outputs keep the order of `x`.
        engine: ``"cpp"`` for the steps by the compiled library, or ``"fused"`` for those by torch.
    """
    projection: Any = unit.input_projection
    signal, weight, bias = x, None, None
    if isinstance(projection, FilterProjection | LinearProjection):
        weight, bias = projection.weight, projection.bias
    if isinstance(projection, FilterProjection):
        signal = at_every_step(projection.basis, x, inputs.graphs)
    elif weight is None:
        signal = at_every_step(projection, x, inputs.graphs)
    if not _fits(unit, (signal, weight, bias, *state)):
        return reference_scan(unit, inputs, x, state, reverse)
    kind = LogDepthSteps if x.device.type == "cuda" else TorchSteps
    steps = compiled.CompiledSteps(unit.cell) if engine == "cpp" else kind(unit.cell)
    spec = ScanSpec(unit.cell, steps, inputs.active, reverse)
    tensors = (signal, weight, bias, *state)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        output, last = _Minimal.apply(spec, *tensors)
    else:
        output, last, _ = scan_forward(spec, tensors, save=False)
    return output, (last,)


def _fits(unit: RecurrentUnit, tensors: Sequence[Tensor | None]) -> bool:
    """Return True if weight and bias have the shapes that the cell implies, and all tensors are of one dtype and no
    subclasses, as what reads their memory takes for granted."""
    signal, weight, bias, state = tensors
    assert signal is not None and state is not None
    rows = NUM_GATES[unit.cell] * state.size(-1)
    if weight is not None and weight.shape != (rows, signal.size(-1)):
        return False
    if bias is not None and bias.shape != (rows,):
        return False
    return state.device.type != "cpu" or can_read(tensors, state)


class _Minimal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spec: ScanSpec, *tensors: Tensor | None) -> Any:
        output, last, saved = scan_forward(spec, tensors, save=True)
        assert saved is not None
        ctx.spec, ctx.reuses = spec, not torch_internals.hooks_see_saved_tensors()
        ctx.save_for_backward(*tensors, saved.states, saved.pre)
        ctx.set_materialize_grads(False)
        return output, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        *tensors, states, pre = ctx.saved_tensors  # once, since checkpointing lets them be unpacked no second time

        def by_hand(needs_grad: Sequence[bool]) -> list[Tensor | None]:
            results = scan_backward(ctx.spec, tensors, Saved(states, pre), grads, needs_grad)
            pool = None if pre is None else ctx.spec.steps.pool(tensors[1])
            if pool is not None and ctx.reuses and not torch_internals.keeps_graph():
                pool.give(pre)
            return results

        return scan_gradients(ctx, partial(_equations, ctx.spec), tensors, grads, by_hand)


def _equations(spec: ScanSpec, tensors: Sequence[Any]) -> tuple[Tensor, State]:
    """Return the output and the last state by the equations of the cell, under autograd."""
    signal, weight, bias, state = tensors
    gx = signal if weight is None else F.linear(signal, weight, bias)
    return unroll(spec.cell, gx, [()] * len(gx), (state,), spec.active, spec.reverse)
