"""The forward and the backward pass, in chunks of steps that stay in the processor's cache.

The forward pass saves the state before each block of steps and, where their product takes longer than to load them, the
pre-activations; the backward pass recomputes the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgnn.nn.scan.functional import Cell
from seqgnn.nn.scan.minimal.steps import Chunk, Steps

RECOMPUTED = 32  # channels of the signal up to which the backward pass recomputes the pre-activations


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
        states: the state before each block, ``[blocks, R, H]``, in the order of the scan.
        pre: a buffer with the pre-activations of all steps, or None if they are the signal or recomputed.
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
        self.steps, self.rows = signal.size(0), self.state.size(0)
        self.signal = signal.reshape(self.steps, self.rows, -1)
        self.active = None
        if spec.active is not None:
            self.active = spec.active.expand(*signal.shape[:-1], 1).reshape(self.steps, self.rows, 1)
        self.width = self.signal.size(-1) if self.weight is None else self.weight.size(0)
        self.step_bytes = self.rows * self.width * signal.element_size()
        size = min(self.steps, max(1, spec.steps.cached // self.step_bytes))
        self.block = min(size, spec.steps.block(self.step_bytes))
        self.size = size // self.block * self.block

    @property
    def saves_pre(self) -> bool:
        """True if the backward pass does not recompute the pre-activations."""
        return self.weight is not None and self.weight.size(1) > RECOMPUTED

    def pre(self, buffer: Tensor) -> Tensor:
        """Return a buffer of bytes as the pre-activations of some steps, ``[S, R, gates * H]``."""
        return buffer.view(self.signal.dtype).view(-1, self.rows, self.width)

    def project(self, steps: slice, pre: Tensor) -> None:
        """Write the pre-activations of some steps."""
        assert self.weight is not None
        torch.mm(self.signal[steps].flatten(0, 1), self.weight.t(), out=pre.flatten(0, 1))

    def chunks(self) -> list[tuple[slice, slice]]:
        """Return the steps of each chunk, and its blocks among all, in the order of the scan."""
        starts = range(0, self.steps, self.size)
        chunks, blocks = [], 0
        for start in reversed(starts) if self.spec.reverse else starts:
            steps = slice(start, min(start + self.size, self.steps))
            last = blocks + -(-(steps.stop - start) // self.block)
            chunks.append((steps, slice(blocks, last)))
            blocks = last
        return chunks

    def chunk(self, steps: slice, pre: Tensor) -> Chunk:
        """Return a chunk with its pre-activations."""
        active = None if self.active is None else self.active[steps]
        return Chunk(pre, self.bias, active, self.spec.reverse, self.block)


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
    states = state.new_empty(chunks[-1][1].stop, *state.shape) if save else None
    pool, buffer = None, None
    if weight is not None and save and tensors.saves_pre:
        pool = spec.steps.pool(weight)
        size = tensors.steps * tensors.step_bytes
        # Checkpointing compares the sizes of what is saved.
        buffer = signal.new_empty(size, dtype=torch.uint8) if pool is None else pool.take(size, exact=True)
    all_pre = signal if buffer is None else tensors.pre(buffer)
    scratch = None if buffer is not None else signal.new_empty(tensors.size, tensors.rows, tensors.width)
    for steps, blocks in chunks:
        pre = all_pre[steps]
        if weight is not None:
            pre = pre if scratch is None else scratch[: pre.size(0)]
            tensors.project(steps, pre)
        part = None if states is None else states[blocks]
        spec.steps.forward(tensors.chunk(steps, pre), state, output_rows[steps], part)
    return output, last, None if states is None else Saved(states, buffer)


def scan_backward(
    spec: ScanSpec,
    all_tensors: Sequence[Tensor | None],
    saved: Saved,
    grads: Sequence[Tensor | None],
    needs_grad: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients with respect to signal, weight, bias and state."""
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
    scratch = signal.new_empty(tensors.size, tensors.rows, tensors.width)
    for steps, blocks in reversed(tensors.chunks()):
        dpre = scratch[: steps.stop - steps.start]
        if weight is None and dsignal is not None:
            dpre = dsignal[steps]
        if weight is None or saved.pre is not None:
            pre = all_pre[steps]
        else:
            tensors.project(steps, pre := dpre)
        grad = None if output_grad is None else output_grad[steps]
        spec.steps.backward(tensors.chunk(steps, pre), saved.states[blocks], grad, d, dpre, dbias)
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
