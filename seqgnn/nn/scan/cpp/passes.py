"""The forward and the backward pass by the compiled library, and the same scan under autograd."""

import math
from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.call import Call
from seqgnn.nn.scan.cpp.spec import ScanSpec, ScanTensors
from seqgnn.nn.scan.functional import PeepholeLSTM, State
from seqgnn.nn.scan.reference import unroll


@dataclass(frozen=True)
class _Layout:
    """The places in the buffer that the forward pass saves: gates, then the states of all steps."""

    states: dict[int, int]
    shape: Sequence[int]
    size: int

    def state(self, buffer: Tensor, place: int, dtype: torch.dtype) -> Tensor:
        """Return the states of all steps, `[T, (B,) N, H]`."""
        start, size = self.states[place], math.prod(self.shape) * dtype.itemsize
        return buffer[start : start + size].view(dtype).view(self.shape)


def _layout(spec: ScanSpec, tensors: ScanTensors, call: Call) -> _Layout:
    """Return the layout of a scan; an output that can be recomputed from gates and cell state is not saved."""
    end = library.load()[0].seqgnn_saved_bytes(byref(call.struct), call.is_double)
    shape = (tensors.signal.size(0), *tensors.state[0].shape)
    states = {}
    for place in range(len(tensors.state)):
        if place > 0 or not spec.recomputes_output:
            states[place] = end
            end += -(-math.prod(shape) * tensors.signal.element_size() // 64) * 64
    return _Layout(states, shape, end)


def scan_forward(spec: ScanSpec, tensors: ScanTensors, save: bool) -> tuple[Tensor, list[Tensor], Tensor | None]:
    """Return the outputs, the last state and, if `save`, a buffer for the backward pass, with gates and states."""
    call, like = Call(spec, tensors), tensors.signal
    struct, (steps, *_) = call.struct, like.shape
    output = library.empty((*like.shape[:-1], tensors.state[0].size(-1)), like.dtype)
    struct.output = call.pointer(output)
    layout, saved = _layout(spec, tensors, call), None
    if save:
        saved = spec.pool.take(layout.size, exact=True)  # checkpointing compares the sizes of what is saved
        struct.gates = saved.data_ptr()
        state = {place: layout.state(saved, place, like.dtype) for place in layout.states}
        state.setdefault(0, output)
    else:
        state = {0: output if spec.inputs.active is None else torch.empty_like(output)}
        if len(tensors.state) == 2:
            state[1] = like.new_empty(2, *output.shape[1:])
    for place, part in state.items():
        struct.states[place] = call.pointer(part)
    call.run(backward=False)
    last_step = 0 if spec.reverse else steps - 1
    last = [state[0][last_step].clone()]
    if len(tensors.state) == 2:
        last.append(state[1][last_step if save else (steps - 1) % 2].clone())
    return output, last, saved


def scan_backward(
    spec: ScanSpec, tensors: ScanTensors, saved: Tensor, grads: Sequence[Tensor | None], needs_grad: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients with respect to the tensors of a scan."""
    call, needed = Call(spec, tensors), ScanTensors(spec, needs_grad)
    struct, results = call.struct, ScanTensors(spec, [None] * len(needs_grad))
    struct.gates = saved.data_ptr()
    for place, start in _layout(spec, tensors, call).states.items():
        struct.states[place] = saved.data_ptr() + start
    struct.output_gradient = call.pointer(grads[0])
    for place, grad in enumerate(grads[1:]):
        struct.last_gradient[place] = call.pointer(grad)

    def target(tensor: Tensor) -> tuple[Tensor, int | None]:
        gradient = library.empty(tensor.shape, tensor.dtype)
        return gradient, call.pointer(gradient)

    values_needed = any(needed.values)
    if needed.signal:
        results.signal, address = target(tensors.signal)
        if spec.projections[0] is None:
            struct.pre_gradient = address
        else:
            struct.x_gradient = address
    for place, projection in enumerate(call.projections):
        if spec.projections[place] is None:
            continue
        projection.needs_gradient = place > 0 or needed.signal or values_needed
        results.weights[place], projection.weight_gradient = target(tensors.weights[place])
        if tensors.biases[place] is not None:
            results.biases[place], projection.bias_gradient = target(tensors.biases[place])
    for place, part in enumerate(tensors.peepholes):
        results.peepholes[place], struct.peephole_gradient[place] = target(part)
    for place, part in enumerate(tensors.state):
        if needed.state[place]:
            results.state[place], struct.first_gradient[place] = target(part)
    sorted_values: dict[int, Tensor] = {}
    for place, (operator, part) in enumerate(zip(call.operators, tensors.values)):
        if needed.values[place]:
            sorted_values[place], operator.gradient = target(part)
    call.run(backward=True)
    for place, gradient in sorted_values.items():
        order = spec.distinct[place].pattern.compressed(False)[2]
        results.values[place] = torch.empty_like(gradient).index_copy_(0, order.long(), gradient)
    return results.all()


def equations(spec: ScanSpec, all_tensors: Sequence[Any]) -> tuple[Tensor, State]:
    """Return the output and the last state of a scan by the equations of its cell, under autograd."""
    tensors = ScanTensors(spec, all_tensors)
    values = {id(operator): part for operator, part in zip(spec.distinct, tensors.values)}

    def times(operator: Operator, z: Tensor) -> Tensor:
        nodes_first = z.movedim(-2, 0)
        terms = nodes_first.index_select(0, operator.pattern.col)
        terms = terms * values[id(operator)].view(-1, *[1] * (z.dim() - 1))
        return torch.index_add(torch.zeros_like(nodes_first), 0, operator.pattern.row, terms).movedim(0, -2)

    def linear(place: int, step: int, z: Tensor) -> Tensor:
        projection = spec.projections[place]
        assert projection is not None
        operators = spec.operators_at(projection.filter, step)
        basis = projection.filter.follow(z, lambda k, z: times(operators[k], z))
        return F.linear(torch.cat(basis, dim=-1), tensors.weights[place], tensors.biases[place])

    gx = tensors.signal
    if spec.projections[0] is not None:
        gx = torch.stack([linear(0, step, z) for step, z in enumerate(gx)])
    hidden_projections: list[Any] = []
    for step in range(len(gx)):
        first, *rest = [partial(linear, place, step) for place in range(1, len(spec.projections))]
        hidden_projections.append((first, *rest) if rest else first)
    cell = PeepholeLSTM(*tensors.peepholes) if tensors.peepholes else spec.unit.cell
    return unroll(cell, gx, hidden_projections, tuple(tensors.state), spec.inputs.active, spec.reverse)
