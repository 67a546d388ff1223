r"""The steps of cells whose gates do not see the hidden state, over a chunk of time, forward and backward.

.. math::
    h_t = k_t h_{t-1} + z_t c_t, \qquad k_t = 1 - z_t

The gates z of all steps are computed at once, so that a step is one call of torch, and so is a step of the backward
pass: :math:`\partial L / \partial h_t = d_t = g_t + k_{t+1} d_{t+1}`, where g_t is the gradient of the output.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.cpp.buffers import BufferPool


@dataclass(frozen=True, eq=False)
class Chunk:
    """A chunk of steps, in the order of time.

    Args:
        pre: pre-activations of gates and candidate without `bias`, ``[S, R, gates * H]``.
        bias: ``[gates * H]`` or None.
        active: ``[S, R, 1]``, true where a sequence has a step, or None.
        reverse: whether the steps run from the last to the first.
        block: the number of steps after which a state is saved.
    """

    pre: Tensor
    bias: Tensor | None
    active: Tensor | None
    reverse: bool
    block: int

    def in_order(self, values: Any) -> Any:
        """Return a list or range of the steps in the order of the scan."""
        return values[::-1] if self.reverse else values


class Steps(ABC):
    """The steps of a cell, as torch's operations or as a kernel.

    Args:
        cell: one of :data:`seqgnn.nn.scan.functional.MINIMAL_CELLS`.

    Attributes:
        cached: bytes of the pre-activations of a chunk.
    """

    cached = 2**20

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def pool(self, weight: Tensor) -> BufferPool | None:
        """Return the buffers of a layer and direction with this weight, or None if there are none."""
        return None

    def block(self, step_bytes: int) -> int:
        """Return the number of steps after which a state is saved, by the bytes of a step's pre-activations."""
        return 2**62

    @abstractmethod
    def forward(self, chunk: Chunk, state: Tensor, output: Tensor, states: Tensor | None) -> None:
        """Compute the outputs of a chunk.

        Args:
            chunk: the steps.
            state: the state before them, ``[R, H]``, replaced by that after them.
            output: where to write the outputs, ``[S, R, H]``.
            states: where to write the states before each block, ``[blocks, R, H]``, or None.
        """

    @abstractmethod
    def backward(
        self, chunk: Chunk, states: Tensor, output_grad: Tensor | None, d: Tensor, dpre: Tensor, dbias: Tensor | None
    ) -> None:
        """Compute the gradients of a chunk.

        Args:
            chunk: the steps.
            states: the states before each block, ``[blocks, R, H]``.
            output_grad: the gradient with respect to their outputs; None stands for zero.
            d: the gradient with respect to the state after them, replaced by that with respect to the state before.
            dpre: where to write the gradient with respect to the pre-activations, which it may overwrite.
            dbias: to which the gradient with respect to the bias is added, or None.
        """


class TorchSteps(Steps):
    """The steps by torch, in place and without autograd; a chunk is one block."""

    def forward(self, chunk: Chunk, state: Tensor, output: Tensor, states: Tensor | None) -> None:
        if states is not None:
            states[0] = state
        gates = _Gates(self.cell, chunk)
        self.recurrence(gates.keep, gates.new, state, chunk.reverse, output)
        state.copy_(output[chunk.in_order(range(len(output)))[-1]])
        if chunk.active is not None:
            output.masked_fill_(~chunk.active, 0)

    def backward(
        self, chunk: Chunk, states: Tensor, output_grad: Tensor | None, d: Tensor, dpre: Tensor, dbias: Tensor | None
    ) -> None:
        gates, order = _Gates(self.cell, chunk), chunk.in_order(range(len(dpre)))
        z, keep, c = gates.z, gates.keep, gates.c.clone()
        after = torch.empty_like(c)
        self.recurrence(keep, gates.new, states[0], chunk.reverse, after)
        before = torch.cat([after[1:], states] if chunk.reverse else [states, after[:-1]])
        grads = torch.zeros_like(after) if output_grad is None else output_grad.clone()
        if chunk.active is not None:
            grads.masked_fill_(~chunk.active, 0)
        one = torch.ones_like(keep[:1])
        later = torch.cat([one, keep[:-1]] if chunk.reverse else [keep[1:], one])
        self.recurrence(later, grads, d, not chunk.reverse, grads)
        torch.mul(keep[order[0]], grads[order[0]], out=d)
        dlogit = (grads * c).sub_(before.mul_(grads)).mul_(1 - z).mul_(z)
        *dgates, dc = dpre.chunk(gates.number, dim=-1)
        if self.cell is cells.min_lstm:
            f, i = gates.sigmoids_of_negative()
            torch.mul(dlogit, f.neg_(), out=dgates[0])
            torch.mul(dlogit, i, out=dgates[1])
        else:
            dgates[0].copy_(dlogit)
        torch.mul(grads, z, out=dc)
        if chunk.active is not None:
            dpre.masked_fill_(~chunk.active, 0)
        if dbias is not None:
            dbias += dpre.sum((0, 1))

    def recurrence(self, keep: Tensor, new: Tensor, h: Tensor, reverse: bool, out: Tensor) -> None:
        """Write :math:`h_t = k_t h_{t-1} + b_t` of all steps, ``[S, R, H]``, with k and b as `keep` and `new`.

        Args:
            h: the state before the first step.
            reverse: whether that is before the last step in time.
            out: may be `new`.
        """
        steps = list(zip(keep.unbind(), new.unbind(), out.unbind()))
        for k, b, state in reversed(steps) if reverse else steps:
            h = torch.addcmul(b, k, h, out=state)


class LogDepthSteps(TorchSteps):
    """The steps by torch in logarithmic depth (Hillis and Steele 1986): more work in fewer calls, for GPUs, on which it
    has not been run yet.

    Where the product of many gates underflows, an infinite value becomes nan.
    """

    cached = 2**26

    def recurrence(self, keep: Tensor, new: Tensor, h: Tensor, reverse: bool, out: Tensor) -> None:
        if reverse:
            keep, new = keep.flip(0), new.flip(0)
        keep, states, size = keep.clone(), new.clone(), 1
        states[0].addcmul_(keep[0], h)
        while size < states.size(0):
            states[size:] = torch.addcmul(states[size:], keep[size:], states[:-size])
            keep[size:] = keep[size:] * keep[:-size]
            size *= 2
        out.copy_(states.flip(0) if reverse else states)


class _Gates:
    """The gate z and the candidate c of all steps of a chunk, the fraction of the state that is kept, and what is new.
    A step that is not active keeps all of it."""

    def __init__(self, cell: Any, chunk: Chunk) -> None:
        self.number = 3 if cell is cells.min_lstm else 2
        self.pre = chunk.pre if chunk.bias is None else chunk.pre + chunk.bias
        *gates, self.c = self.pre.chunk(self.number, dim=-1)
        if cell is cells.min_lstm:
            f, i = gates
            self.z = (F.logsigmoid(i) - F.logsigmoid(f)).sigmoid_()
        else:
            self.z = torch.sigmoid(gates[0])
        self.keep, self.new = 1 - self.z, self.z * self.c
        if chunk.active is not None:
            self.keep.masked_fill_(~chunk.active, 1)
            self.new.masked_fill_(~chunk.active, 0)

    def sigmoids_of_negative(self) -> list[Tensor]:
        r"""Return :math:`\sigma(-a) = 1 - \sigma(a)` of each gate's pre-activation."""
        *gates, _ = self.pre.chunk(self.number, dim=-1)
        return [torch.sigmoid(-gate) for gate in gates]
