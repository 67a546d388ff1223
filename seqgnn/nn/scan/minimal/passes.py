"""The forward and the backward pass, in chunks of steps that stay in the processor's cache.

The forward pass saves the pre-activations, and the state before each chunk; the backward pass recomputes the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn.nn.scan.functional import Cell
from seqgnn.nn.scan.minimal.steps import Chunk, Steps


@dataclass(frozen=True, eq=False)
class ScanSpec:
    """The description of a scan without its tensors.

    Args:
        cell: one of :data:`seqgnn.nn.scan.functional.MINIMAL_CELLS`.
        steps: its steps.
        active: ``[T, ..., 1]``, true where a sequence has a step, or None.
        reverse: whether the scan runs from the last step to the first.
    """

    cell: Cell
    steps: Steps
    active: Tensor | None
    reverse: bool


@dataclass(frozen=True, eq=False)
class Saved:
    """What the forward pass saves.

    Args:
        states: the state before each chunk, ``[chunks, R, H]``.
        pre: a buffer with the pre-activations of all steps, or None if they are the signal.
    """

    states: Tensor
    pre: Tensor | None


class ScanTensors:
    """The tensors of a scan as rows: signal ``[T, R, C]``, weight ``[gates * H, C]`` and bias, or pre-activations
    ``[T, R, gates * H]`` as the signal, and the initial state ``[R, H]``."""

    def __init__(self, spec: ScanSpec, tensors: Sequence[Tensor | None]) -> None:
        signal, self.weight, self.bias, state = tensors
        assert signal is not None and state is not None
        self.spec, self.shape = spec, state.shape
        self.state = state.reshape(-1, state.size(-1))
        self.steps, self.rows = len(signal), len(self.state)
        self.signal = signal.reshape(self.steps, self.rows, -1)
        self.active = None
        if spec.active is not None:
            self.active = spec.active.expand(*signal.shape[:-1], 1).reshape(self.steps, self.rows, 1)
        self.width = self.signal.size(-1) if self.weight is None else len(self.weight)
        self.size = min(self.steps, max(1, spec.steps.cached // (self.rows * self.width * signal.element_size())))

    def pre(self, buffer: Tensor) -> Tensor:
        """Return a buffer of bytes as the pre-activations of some steps, ``[S, R, gates * H]``."""
        return buffer.view(self.signal.dtype).view(-1, self.rows, self.width)

    def chunks(self) -> list[slice]:
        """Return the chunks in the order of the scan."""
        chunks = [slice(first, min(first + self.size, self.steps)) for first in range(0, self.steps, self.size)]
        return chunks[::-1] if self.spec.reverse else chunks

    def chunk(self, steps: slice, pre: Tensor) -> Chunk:
        """Return a chunk with its pre-activations."""
        return Chunk(pre, self.bias, None if self.active is None else self.active[steps], self.spec.reverse)


def scan_forward(
    spec: ScanSpec, all_tensors: Sequence[Tensor | None], save: bool
) -> tuple[Tensor, Tensor, Saved | None]:
    """Return the outputs, the last state and, if `save`, what the backward pass needs."""
    tensors = ScanTensors(spec, all_tensors)
    chunks, weight, signal = tensors.chunks(), tensors.weight, tensors.signal
    last = tensors.state.new_empty(tensors.shape)
    state = last.view(tensors.state.shape).copy_(tensors.state)
    output = signal.new_empty(tensors.steps, *tensors.shape)
    output_rows = output.view(tensors.steps, *state.shape)
    states = state.new_empty(len(chunks), *state.shape) if save else None
    pool, buffer = None if weight is None else spec.steps.pool(weight), None
    if weight is not None:
        size = tensors.rows * tensors.width * signal.element_size() * (tensors.steps if save else tensors.size)
        # Checkpointing compares the sizes of what is saved.
        buffer = signal.new_empty(size, dtype=torch.uint8) if pool is None else pool.take(size, exact=save)
    for number, steps in enumerate(chunks):
        pre = signal[steps]
        if weight is not None and buffer is not None:
            part = tensors.pre(buffer)[steps] if save else tensors.pre(buffer)[: len(pre)]
            pre = torch.mm(pre.flatten(0, 1), weight.t(), out=part.flatten(0, 1)).view(part.shape)
        if states is not None:
            states[number] = state
        spec.steps.forward(tensors.chunk(steps, pre), state, output_rows[steps])
    if pool is not None and buffer is not None and not save:
        pool.give(buffer)
    return output, last, None if states is None else Saved(states, buffer)


def scan_backward(
    spec: ScanSpec,
    all_tensors: Sequence[Tensor | None],
    saved: Saved,
    grads: Sequence[Tensor | None],
    needs_grad: Sequence[bool],
    retain_graph: bool,
) -> list[Tensor | None]:
    """Return the gradients with respect to signal, weight, bias and state.

    Args:
        retain_graph: whether backward may be called again, so that what is saved must not be overwritten.
    """
    tensors = ScanTensors(spec, all_tensors)
    signal, weight, bias = tensors.signal, tensors.weight, tensors.bias
    output_grad, last_grad = grads
    if output_grad is not None:
        output_grad = output_grad.reshape(tensors.steps, *tensors.state.shape)
    d = torch.zeros_like(tensors.state, memory_format=torch.contiguous_format)
    if last_grad is not None:
        d.copy_(last_grad.reshape(d.shape))
    dsignal = torch.empty_like(signal, memory_format=torch.contiguous_format) if needs_grad[0] else None
    dweight = None if weight is None or not needs_grad[1] else torch.zeros_like(weight)
    dbias = None if bias is None or not needs_grad[2] else torch.zeros_like(bias)
    all_pre = signal if saved.pre is None else tensors.pre(saved.pre)
    for before, steps in reversed(list(zip(saved.states, tensors.chunks()))):
        pre = all_pre[steps]
        if weight is None:
            dpre = torch.empty_like(pre) if dsignal is None else dsignal[steps]
        else:
            dpre = torch.empty_like(pre) if retain_graph else pre
        grad = None if output_grad is None else output_grad[steps]
        spec.steps.backward(tensors.chunk(steps, pre), before, grad, d, dpre, dbias)
        if weight is None:
            continue
        rows = dpre.flatten(0, 1)
        if dweight is not None:
            dweight.addmm_(rows.t(), signal[steps].flatten(0, 1))
        if dsignal is not None:
            torch.mm(rows, weight, out=dsignal[steps].flatten(0, 1))
    if dsignal is not None:
        dsignal = dsignal.view(tensors.steps, *tensors.shape[:-1], signal.size(-1))
    return [dsignal, dweight, dbias, d.view(tensors.shape)]
