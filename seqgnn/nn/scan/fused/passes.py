"""The forward and backward pass of the fused engine over rows `[N * B, F]`: loop, buffers and order of steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.functional import Cell, PeepholeLSTM
from seqgnn.nn.scan.fused.cells import FusedCell, OutputGated
from seqgnn.nn.scan.fused.linear import FusedInputProjection, FusedProjection, NarrowInputProjection, StepOperator

ROWS = 4096  # matrix products of more rows are not faster


@dataclass(frozen=True)
class ScanSpec:
    """The description of a scan without its tensors.

    Args:
        cell: equations of the cell.
        kind: the same cell with a hand-written backward pass.
        filters: filter of the input projection, None if the signal holds pre-activations, and those of the hidden
            projections.
        operators: operators of each filter at every step.
        distinct: each of these operators once.
        dense: whether the operators are multiplied as dense matrices.
        shape: `[(B,) N]`.
        active: mask of active sequences, `[T, rows, 1]`, or None.
        reverse: whether the scan runs from the last step to the first.
        zero_state: whether the state before the first step is zero and needs no gradient.
        kernel: kernel that runs all steps in one launch, :class:`seqgnn.nn.scan.triton.scan.ScanKernel`, or None.
    """

    cell: Cell
    kind: type[FusedCell]
    filters: Sequence[Filter | None]
    operators: dict[Filter, list[tuple[Operator, ...]]]
    distinct: Sequence[Operator]
    dense: bool
    shape: Sequence[int]
    active: Tensor | None
    reverse: bool
    zero_state: bool
    kernel: Any = None

    @property
    def has_zero_entries(self) -> bool:
        """True if some operator is a dense matrix, whose zeros multiply the values of unconnected nodes."""
        return self.dense or (self.kernel is not None and any(filter and filter.recursion for filter in self.filters))

    def at(self, state: Sequence[Any], step: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return the states before and after a step, from states at T + 1 times."""
        before, after = (step + 1, step) if self.reverse else (step, step + 1)
        return [part[before] for part in state], [part[after] for part in state]

    @property
    def recomputes_output(self) -> bool:
        """True if the backward pass recomputes the outputs; not with `active`, since ended sequences keep
        their state."""
        return issubclass(self.kind, OutputGated) and self.active is None and self.kernel is None

    def chunk(self, tensors: "ScanTensors") -> int:
        """Return the number of steps per chunk, whose gradients, signals and recomputed outputs are stored at once; all
        steps if a kernel runs them in one launch."""
        return tensors.steps if self.kernel is not None else min(tensors.steps, max(1, ROWS // tensors.rows))

    def order(self, steps: Any) -> Any:
        return steps[::-1] if self.reverse else steps

    def begins(self, step: int, steps: int) -> bool:
        """Return True if the state before a step is zero."""
        return self.zero_state and step == self.order(range(steps))[0]

    def chunks(self, steps: int, size: int) -> Iterator[range]:
        """Yield chunks of steps in the order of the scan; inside a chunk, steps are in order of time."""
        for first in self.order(range(0, steps, size)):
            yield range(first, min(first + size, steps))


class ScanTensors:
    """The tensors of a scan, by name."""

    def __init__(self, spec: ScanSpec, tensors: Sequence[Any]) -> None:
        num_weights, num_peepholes = len(spec.filters), 3 if isinstance(spec.cell, PeepholeLSTM) else 0
        self.signal, self.bias = tensors[:2]
        self.weights, rest = tensors[2 : 2 + num_weights], tensors[2 + num_weights :]
        self.peepholes, rest = rest[:num_peepholes], rest[num_peepholes:]
        states = len(rest) - len(spec.distinct)
        self.state, self.values = rest[:states], rest[states:]
        self.steps, self.rows, _ = self.signal.shape[-3:]
        self.gates, self.hidden = self.bias.shape


def scan_forward(spec: ScanSpec, tensors: ScanTensors, save: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return the outputs, the last state and, if `save`, the tensors for the backward pass: gates, states and, if those
    of all steps are stored at once, signals."""
    size, like, kind = spec.chunk(tensors), tensors.bias, spec.kind
    save_gates = save and kind.needs_gates
    a = like.new_empty(tensors.gates, tensors.steps if save_gates else size, tensors.rows, tensors.hidden)
    kernel = spec.kernel and spec.kernel(spec, tensors)
    # A saved state has T + 1 entries; any other alternates between two.
    saved = [bool(kernel) or (save and not (spec.recomputes_output and i == 0)) for i in range(len(tensors.state))]
    states = [like.new_empty(tensors.steps + 1 if is_saved else 2, tensors.rows, tensors.hidden) for is_saved in saved]
    times = [part.unbind() * (1 if is_saved else tensors.steps // 2 + 1) for part, is_saved in zip(states, saved)]
    signals = _signal_buffers(spec, tensors)
    cell, (input_projection, *hidden_projections), _ = _bind(spec, tensors, signals)
    for part, start in zip(times, tensors.state):
        part[tensors.steps if spec.reverse else 0].copy_(start)
    gates, output = a.unbind(1), like.new_empty(tensors.steps, *spec.shape, tensors.hidden)
    for chunk in spec.chunks(tensors.steps, size):
        first = chunk.start if save_gates else 0
        pre, bias = a[:, first : first + len(chunk)], tensors.bias[:, None, None]
        if kind.inputs.stop < tensors.gates:
            pre[kind.inputs.stop :] = bias[kind.inputs.stop :]
        if input_projection is None:
            torch.add(tensors.signal[:, chunk.start : chunk.stop], bias[kind.inputs], out=pre[kind.inputs])
        else:
            z = tensors.signal[chunk.start : chunk.stop]
            input_projection.write(chunk.start, z, pre[kind.inputs].flatten(1, 2))
        if kernel is not None:
            kernel.forward(a, states, signals[1:])
            h = states[0][:-1] if spec.reverse else states[0][1:]
            output.copy_(_view_as_windows(h if spec.active is None else torch.where(spec.active, h, 0), spec.shape))
            break
        for t in spec.order(chunk):
            slot, (before, after) = t - chunk.start, spec.at(times, t)
            if spec.begins(t, tensors.steps):
                projections = [partial(projection.forward_zero, slot) for projection in hidden_projections]
            else:
                projections = [partial(projection.forward, t, slot) for projection in hidden_projections]
            cell.forward(gates[first + slot], projections, before, after)
            h = after[0]
            if spec.active is not None:
                h = torch.where(spec.active[t], h, 0)
                for new, old in zip(after, before):
                    torch.where(spec.active[t], new, old, out=new)
            output[t] = _view_as_windows(h, spec.shape)
    last = [windows(part[0 if spec.reverse else tensors.steps], spec.shape) for part in times]
    saved_states = [part for part, is_saved in zip(states, saved) if is_saved]
    return output, last, [*([a] if save_gates else []), *saved_states, *(signals if size == tensors.steps else ())]


class ScanBackward:
    """The gradients with respect to the tensors of a scan.

    Args:
        spec, tensors: specification and tensors of the forward pass.
        saved: tensors that the forward pass saved.
        grads: gradients with respect to outputs and last states; None stands for zero.
        needs_grad: which tensors need a gradient.
        retain_graph: whether backward may be called again, so that gates must not be overwritten by gradients.
    """

    def __init__(
        self,
        spec: ScanSpec,
        tensors: ScanTensors,
        saved: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        needs_grad: Sequence[bool],
        retain_graph: bool,
    ) -> None:
        self.spec, self.tensors, self.retain_graph = spec, tensors, retain_graph
        if spec.kind.needs_gates:
            self.a, *saved = saved
        else:
            self.a = tensors.bias.new_empty(tensors.gates, spec.chunk(tensors), tensors.rows, tensors.hidden)
        states = len(tensors.state) - spec.recomputes_output
        self.states, signals = saved[:states], saved[states:]
        self.times = [part.unbind() for part in self.states]
        self.outputs = None
        if spec.recomputes_output:
            self.outputs = tensors.bias.new_empty(spec.chunk(tensors), tensors.rows, tensors.hidden)
        self.batched = len(spec.shape) == 2
        self.doutput, *last = grads
        self.d = [
            start.new_zeros(start.shape)
            if part is None
            else rows(part, self.batched).clone(memory_format=torch.contiguous_format)
            for part, start in zip(last, tensors.state)
        ]
        self.values_need_grad = needs_grad[len(needs_grad) - len(tensors.values) :]
        self.cell, (self.input_projection, *self.hidden_projections), self.operators = _bind(
            spec, tensors, signals or _signal_buffers(spec, tensors), self.values_need_grad
        )
        self.cell.scratch = tensors.bias.new_empty(2, tensors.rows, tensors.hidden).unbind()
        self.dbias = torch.zeros_like(tensors.bias)
        self.dsignal = torch.empty_like(tensors.signal) if needs_grad[0] else None

    def run(self) -> list[Tensor | None]:
        """Return the gradients in the order of the tensors."""
        gates = self.a.unbind(1)
        kernel = None if any(self.values_need_grad) else self.spec.kernel and self.spec.kernel(self.spec, self.tensors)
        for chunk in reversed(list(self.spec.chunks(self.tensors.steps, self.spec.chunk(self.tensors)))):
            steps = slice(chunk.start, chunk.stop)
            if kernel is not None:
                da = kernel.backward(self.a, self.states, self.d, self._output_grad(slice(None)))
            else:
                da = self._gate_grad_buffer(steps)
                for t, dgates in reversed(list(zip(self.spec.order(chunk), self.spec.order(da.unbind(1))))):
                    self._step(t, t - chunk.start, gates, dgates)
            self._accumulate(steps, da, None if kernel is None else self.a)
        if self.input_projection is not None:
            self.dbias[self.spec.kind.inputs] = self.input_projection.dbias
        projections = (self.input_projection, *self.hidden_projections)
        dweights = [None if projection is None else projection.dweight for projection in projections]
        dvalues = [operator.dvalues for operator in self.operators]
        return [self.dsignal, self.dbias, *dweights, *self.cell.dweights, *self.d, *dvalues]

    def _gate_grad_buffer(self, steps: slice) -> Tensor:
        """Return the buffer for the gradients of the gates of some steps; it first holds these gates if the cell needs
        them."""
        if not self.spec.kind.needs_gates:
            return self.a[:, : steps.stop - steps.start]
        return self.a[:, steps].clone() if self.retain_graph else self.a[:, steps]

    def _step(self, t: int, slot: int, gates: Sequence[Tensor], a: Tensor) -> None:
        """Run the backward pass of one step with gates `a`; the gradients of ended sequences' states pass through
        unchanged."""
        output_grad = self._output_grad(t)
        if output_grad is not None:
            self.d[0].add_(output_grad)
        before, after = self.spec.at(self.times, t)
        if self.outputs is not None:
            h = self._recomputed_output(t, self.outputs[slot], gates, before)
            before, after = [h, *before], [h, *after]
        if self.spec.begins(t, self.tensors.steps):
            projections = [partial(projection.backward_zero, slot) for projection in self.hidden_projections]
        else:
            projections = [partial(projection.backward, t, slot) for projection in self.hidden_projections]
        passed: list[Any] = []
        if self.spec.active is not None:
            passed = [torch.where(self.spec.active[t], 0, part) for part in self.d]
            self.d = [torch.where(self.spec.active[t], part, 0) for part in self.d]
        self.d = self.cell.backward(a, projections, before, after, self.d)
        for part, unchanged in zip(self.d, passed):
            part.add_(unchanged)

    def _output_grad(self, steps: Any) -> Tensor | None:
        """Return the gradient with respect to the outputs of some steps; None stands for zero."""
        if self.doutput is None:
            return None
        grad = rows(self.doutput[steps], self.batched)
        return grad if self.spec.active is None else torch.where(self.spec.active[steps], grad, 0)

    def _recomputed_output(self, t: int, h: Tensor, gates: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
        """Return the output before a step, written to h."""
        if t == self.spec.order(range(self.tensors.steps))[0]:
            return h.copy_(self.tensors.state[0])
        assert isinstance(self.cell, OutputGated)
        self.cell.recompute_output(gates[t + 1 if self.spec.reverse else t - 1], before[0], h)
        return h

    def _accumulate(self, steps: slice, da: Tensor, a: Tensor | None) -> None:
        """Accumulate the gradients of weights and biases over some steps, and write the gradients of their signal.

        Args:
            steps: the steps.
            da: gradients with respect to their gates.
            a: the gates of these steps after a single launch, in which gradients do not overwrite them; otherwise None.
        """
        kind, first = self.spec.kind, steps.start
        early, late = [part[steps] for part in self.states], [part[1:][steps] for part in self.states]
        before, after = (late, early) if self.spec.reverse else (early, late)
        if self.outputs is not None:
            h = self.outputs[: da.size(1)]
            before, after = [h, *before], [h, *after]
        self.cell.accumulate(da, before, after)
        for projection, gates, z in zip(self.hidden_projections, kind.hidden, self.cell.sources(before, a)):
            projection.accumulate(da[gates].flatten(1, 2), z)
        if kind.inputs.stop < self.tensors.gates:
            self.dbias[kind.inputs.stop :] += da[kind.inputs.stop :].sum((1, 2))
        dinputs = da[kind.inputs]
        if self.input_projection is None:
            self.dbias[kind.inputs] += dinputs.sum((1, 2))
            if self.dsignal is not None:
                self.dsignal[:, steps] = dinputs
            return
        z = self.tensors.signal[steps]
        if self.input_projection.recompute:
            self.input_projection.spread(first, z)
        self.input_projection.accumulate(dinputs.flatten(1, 2), z)
        if self.dsignal is not None or any(self.values_need_grad):
            dz = torch.empty_like(z) if self.dsignal is None else self.dsignal[steps]
            self.input_projection.backward_input(first, dinputs.flatten(1, 2), z, dz)


def _bind(
    spec: ScanSpec, tensors: ScanTensors, signals: Sequence[Any], values_need_grad: Sequence[bool] = ()
) -> tuple[FusedCell, list[Any], list[StepOperator]]:
    """Return the cell, the projections and the operators, each with its tensors."""
    values_need_grad = values_need_grad or [False] * len(tensors.values)
    operators = [StepOperator(*parts, spec.dense) for parts in zip(spec.distinct, tensors.values, values_need_grad)]
    by_id = {id(operator): bound for operator, bound in zip(spec.distinct, operators)}
    projections: list[Any] = []
    for filter, weight, buffer in zip(spec.filters, tensors.weights, signals):
        if filter is None:
            projections.append(None)
            continue
        steps = [[by_id[id(op)] for op in step] for step in spec.operators[filter]]
        args = filter, steps, weight, tensors.hidden, buffer, spec.chunk(tensors) < tensors.steps
        if projections:
            projections.append(FusedProjection(*args))
        else:
            kind = NarrowInputProjection if weight.size(1) < tensors.hidden else FusedInputProjection
            projections.append(kind(tensors.bias[spec.kind.inputs], *args))
    return spec.kind(*tensors.peepholes), projections, operators


def _signal_buffers(spec: ScanSpec, tensors: ScanTensors) -> list[Any]:
    """Return a buffer per filter for the signals of its recursion over a chunk of steps."""
    return [
        None
        if filter is None
        else weight.new_empty(
            len(filter.recursion), spec.chunk(tensors), tensors.rows, weight.size(1) // filter.num_terms
        )
        for filter, weight in zip(spec.filters, tensors.weights)
    ]


def rows(x: Tensor, batched: bool) -> Tensor:
    """Return `[..., B, N, F]` as rows `[..., N * B, F]`, nodes first."""
    return x.transpose(-3, -2).flatten(-3, -2) if batched else x


def windows(signal: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a copy of rows `[..., N * B, F]` as `[..., (B,) N, F]`."""
    return _view_as_windows(signal, shape).clone(memory_format=torch.contiguous_format)


def _view_as_windows(signal: Tensor, shape: Sequence[int]) -> Tensor:
    return signal if len(shape) == 1 else signal.unflatten(-2, (shape[1], shape[0])).transpose(-3, -2)
