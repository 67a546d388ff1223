"""The fused engine: backpropagation through time written by hand, for cells with linear projections.

The forward pass saves the gates and the state of each step, in buffers allocated once per call. The backward pass
recomputes an LSTM's output and the filters' signals, which takes a few percent of the time and saves a quarter of the
memory, and overwrites the gates by their gradients. The input's part of the gates is one product for many steps, as are
the gradients of the weights; within a step each filter propagates once and one product serves all gates.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.double_backward import differentiable_backward, scan_gradients
from seqgnn.nn.scan.functional import PeepholeLSTM, State, cell_key
from seqgnn.nn.scan.fused import cells as fused_cells
from seqgnn.nn.scan.fused.cells import FusedCell
from seqgnn.nn.scan.fused.equations import equations
from seqgnn.nn.scan.fused.passes import ScanBackward, ScanSpec, ScanTensors, rows, scan_forward
from seqgnn.nn.scan.gates import RecurrentUnit, at_every_step, is_recursive, step_operators
from seqgnn.nn.scan.graph_inputs import StepInputs

CELLS: dict[Any, type[FusedCell]] = {
    cells.rnn_tanh: fused_cells.RNN,
    cells.rnn_relu: fused_cells.ReLURNN,
    cells.lstm: fused_cells.LSTM,
    PeepholeLSTM: fused_cells.LSTM,
    cells.conv_cell_state_lstm: fused_cells.ConvCellStateLSTM,
    cells.gru: fused_cells.GRU,
    cells.gru_reset_before: fused_cells.GRUResetBefore,
}
DENSE = 32  # up to this many nodes a dense matrix multiplies faster than a sparse one, on the CPU


def is_supported(unit: RecurrentUnit) -> bool:
    """Return True for cells of :mod:`seqgnn.nn.scan.functional` with hidden projections by a filter's recursion."""
    return cell_key(unit.cell) in CELLS and all(is_recursive(projection) for projection in unit.hidden_projections)


def fused_scan(
    unit: RecurrentUnit,
    inputs: StepInputs,
    x: Tensor,
    state: State,
    reverse: bool = False,
    engine: str = "fused",
) -> tuple[Tensor, State]:
    """Return the outputs `[T, (B,) N, H]` of a unit over x `[T, (B,) N, F]` and the state after the last step.

    Args:
        unit: its cell and hidden projections must be supported, see :func:`is_supported`. An input projection by a
            filter's recursion is part of the scan; any other is called, and left to autograd.
        inputs: the graph of each step, and which sequences are active.
        state: before the first step, each tensor `[(B,) N, H]`.
        reverse: from the last step to the first; outputs keep the order of `x`.
        engine: ``"fused"`` or ``"triton"``, whose kernels then compute a step.
    """
    cell, input_projection = unit.cell, unit.input_projection
    hidden_projections: Sequence[Any] = unit.hidden_projections
    kind, batched = CELLS[cell_key(cell)], x.dim() == 4
    if engine == "triton":
        from seqgnn.nn.scan.triton import cells as triton_cells
        from seqgnn.nn.scan.triton import scan as triton_scan

        kind = triton_cells.KERNELS[kind]
    hidden = state[0].size(-1)
    inside = input_projection if is_recursive(input_projection) else None
    if inside is not None:
        signal = rows(x, batched).contiguous()
        weight = _in_order(inside.weight, hidden, kind)
        bias = None if inside.bias is None else _in_order(inside.bias, hidden, kind)
    else:
        gx = rows(at_every_step(input_projection, x, inputs.graphs), batched).movedim(-1, 0)
        signal, weight, bias = _in_order(gx, hidden, kind).unflatten(0, (-1, hidden)).movedim(1, -1), None, None
    projections: list[Any] = [inside, *hidden_projections]
    filters = [None if projection is None else projection.filter for projection in projections]
    operators = {filter: step_operators(filter, x, inputs.graphs) for filter in filters if filter is not None}
    distinct = list({id(op): op for every in operators.values() for step in every for op in step}.values())
    active = None if inputs.active is None else rows(inputs.active.expand(*x.shape[:-1], 1), batched)
    kernel = None
    if engine == "triton":
        hidden_filters = [projection.filter for projection in hidden_projections]
        kernel = triton_scan.ScanKernel if triton_scan.fits(kind, hidden_filters, operators, state[0]) else None
    spec = ScanSpec(
        cell,
        kind,
        filters,
        operators,
        distinct,
        len(distinct) > 0 and distinct[0].pattern.num_nodes <= DENSE and x.device.type == "cpu",
        x.shape[1:-1],
        active,
        reverse,
        # The products with a zero state are left out, but with an infinite weight they are nan.
        inputs.zero_state and _finite(*(projection.weight for projection in hidden_projections)),
        kernel,
    )
    tensors = (
        signal,
        _bias(kind, bias, [projection.bias for projection in hidden_projections], state[0]),
        weight,
        *(projection.weight for projection in hidden_projections),
        *((cell.weight_ci, cell.weight_cf, cell.weight_co) if isinstance(cell, PeepholeLSTM) else ()),
        *(rows(part, batched) for part in state),
        *(operator.values_as(x.dtype) for operator in distinct),
    )
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        output, *last = _Fused.apply(spec, *tensors)
    else:
        _, output, last, _ = _forward(spec, tensors, save=False)
    return output, tuple(last)


def _forward(spec: ScanSpec, tensors: Sequence[Any], save: bool) -> tuple[ScanSpec, Tensor, list[Tensor], list[Tensor]]:
    """Return the results of :func:`scan_forward` and their specification.

    Zeros of a dense operator carry inf and nan to all nodes. From the step where that happens, all later states are
    nan, the last one too; the scan is then repeated with sparse operators.
    """
    output, last, saved = scan_forward(spec, ScanTensors(spec, tensors), save)
    if spec.has_zero_entries and not _finite(*last):
        spec = replace(spec, dense=False, kernel=None)
        output, last, saved = scan_forward(spec, ScanTensors(spec, tensors), save)
    return spec, output, last, saved


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spec: ScanSpec, *tensors: Tensor | None) -> Any:
        ctx.spec, output, last, saved = _forward(spec, tensors, save=True)
        ctx.num_tensors = len(tensors)
        ctx.save_for_backward(*tensors, *saved)
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved = ctx.saved_tensors  # once, since checkpointing lets them be unpacked no second time
        tensors, saved = saved[: ctx.num_tensors], saved[ctx.num_tensors :]
        spec, scan = ctx.spec, partial(equations, ctx.spec)

        def by_hand(needs_grad: Sequence[bool]) -> list[Tensor | None]:
            retain_graph = torch_internals.keeps_graph()
            results = ScanBackward(spec, ScanTensors(spec, tensors), saved, grads, needs_grad, retain_graph).run()
            # Without a filter the gradient of the input is that of the gates, which the one of the bias sums up.
            checked = results if spec.filters[0] is not None else results[1:]
            if spec.has_zero_entries and not _finite(*checked):
                # Zeros of dense operators may have carried inf and nan to all nodes; the gates are overwritten by now.
                return differentiable_backward(scan, tensors, needs_grad, grads)
            return results

        return scan_gradients(ctx, scan, tensors, grads, by_hand)


def _finite(*tensors: Tensor | None) -> bool:
    """Return True if there is no inf or nan; assumed on a device, where checking would synchronize."""
    present = [tensor.detach() for tensor in tensors if tensor is not None]
    return all(tensor.device.type != "cpu" or math.isfinite(tensor.sum()) for tensor in present)


def _in_order(gates: Tensor, hidden: int, kind: type[FusedCell]) -> Tensor:
    """Return the input's `[gates * H, ...]` with its gates in the order of the fused cell."""
    if list(kind.order) == sorted(kind.order):
        return gates
    parts = gates.split(hidden)
    return torch.cat([parts[gate] for gate in kind.order])


def _bias(kind: type[FusedCell], input_bias: Tensor | None, biases: Sequence[Tensor | None], state: Tensor) -> Tensor:
    """Return the sum of all biases, `[gates, H]`."""
    hidden, terms = state.size(-1), []
    for places, bias in zip((kind.inputs, *kind.hidden), (input_bias, *biases)):
        if bias is not None:
            padding = hidden * places.start, hidden * (kind.gates - places.stop)
            terms.append(F.pad(bias, padding) if any(padding) else bias)
    total = reduce(torch.add, terms) if terms else state.new_zeros(kind.gates * hidden)
    return total.view(kind.gates, hidden)
