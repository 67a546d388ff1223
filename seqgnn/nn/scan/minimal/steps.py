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
        gates.run(chunk, state, output)
        state.copy_(output[chunk.in_order(range(len(output)))[-1]])
        if chunk.active is not None:
            output.masked_fill_(~chunk.active, 0)

    def backward(
        self, chunk: Chunk, states: Tensor, output_grad: Tensor | None, d: Tensor, dpre: Tensor, dbias: Tensor | None
    ) -> None:
        gates, order = _Gates(self.cell, chunk), chunk.in_order(range(len(dpre)))
        z, keep, c = gates.z, gates.keep, gates.c.clone()
        after = torch.empty_like(c)
        gates.run(chunk, states[0], after)
        before = torch.cat([after[1:], states] if chunk.reverse else [states, after[:-1]])
        grads = torch.zeros_like(after) if output_grad is None else output_grad.clone()
        if chunk.active is not None:
            grads.masked_fill_(~chunk.active, 0)
        all_d, all_keep = grads.unbind(), keep.unbind()
        all_d[order[-1]].add_(d)
        for t, later in zip(order[-2::-1], order[:0:-1]):
            all_d[t].addcmul_(all_keep[later], all_d[later])
        torch.mul(all_keep[order[0]], all_d[order[0]], out=d)
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


class _Gates:
    """The gate z, 1 - z, and the candidate c of all steps of a chunk; a step that is not active keeps the state."""

    def __init__(self, cell: Any, chunk: Chunk) -> None:
        self.number = 3 if cell is cells.min_lstm else 2
        self.pre = chunk.pre if chunk.bias is None else chunk.pre + chunk.bias
        *gates, self.c = self.pre.chunk(self.number, dim=-1)
        if cell is cells.min_lstm:
            f, i = gates
            self.z = (F.logsigmoid(i) - F.logsigmoid(f)).sigmoid_()
        else:
            self.z = torch.sigmoid(gates[0])
        self.keep = 1 - self.z
        if chunk.active is not None:
            self.keep.masked_fill_(~chunk.active, 1)

    def sigmoids_of_negative(self) -> list[Tensor]:
        r"""Return :math:`\sigma(-a) = 1 - \sigma(a)` of each gate's pre-activation."""
        *gates, _ = self.pre.chunk(self.number, dim=-1)
        return [torch.sigmoid(-gate) for gate in gates]

    def run(self, chunk: Chunk, h: Tensor, states: Tensor) -> None:
        """Write the states after all steps."""
        new = self.z * self.c
        if chunk.active is not None:
            new.masked_fill_(~chunk.active, 0)
        for keep, b, state in chunk.in_order(list(zip(self.keep.unbind(), new.unbind(), states.unbind()))):
            h = torch.addcmul(b, keep, h, out=state)
