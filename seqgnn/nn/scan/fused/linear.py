"""Linear projections of graph signals at every step of a scan, forward and backward.

Signals are rows, nodes first, so that one product with an operator serves all windows; gates are the first dimension
of all. None of this is recorded by autograd.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator


class StepOperator:
    r"""The operator of a step as a matrix for rows `[N * B, F]`.

    .. math:: Y = P X, \qquad \partial L / \partial X = P^\top \, \partial L / \partial Y, \qquad
        \partial L / \partial P_{ij} = \langle \partial L / \partial Y_i, X_j \rangle
    """

    def __init__(self, operator: Operator, values: Tensor, requires_grad: bool, dense: bool) -> None:
        self.operator, self.pattern, self.values, self.dense = operator, operator.pattern, values, dense
        self.matrices: dict[bool, Tensor] = {}
        self.dvalues = torch.zeros_like(values) if requires_grad else None

    def forward(self, x: Tensor, y: Tensor, scale: float) -> None:
        """Writes y = scale P x."""
        self._add(x, y, scale, False, 0.0)

    def backward(self, dy: Tensor, x: Tensor, dx: Tensor, scale: float) -> None:
        """Adds to the gradient with respect to x, and to that of the values if they require one."""
        self._add(dy, dx, scale, True, 1.0)
        if self.dvalues is not None:
            nodes = self.pattern.num_nodes
            self.dvalues.add_(self.operator.values_grad(dy.view(nodes, -1), x.view(nodes, -1)), alpha=scale)

    def _add(self, x: Tensor, y: Tensor, scale: float, transposed: bool, beta: float) -> None:
        if transposed not in self.matrices:
            self.matrices[transposed] = self.operator.matrix(self.values, transposed, self.dense)
        y = y.view(self.pattern.num_nodes, -1)
        torch.addmm(y, self.matrices[transposed], x.view(y.shape), beta=beta, alpha=scale, out=y)


class FusedProjection:
    r""":math:`u(z) = \sum_k z_k W_k^\top` for all gates, where the signals :math:`z_k` are those of a filter.

    Args:
        filter: the filter of the basis.
        operators: the filter's, for every step.
        weight: `[gates * H, m F]`.
        hidden: H.
        signals: a buffer for those that the recursion computes from z, `[hops, slots, rows, F]`.
        recompute: whether the backward pass recomputes them, since later steps have overwritten the buffer.
    """

    def __init__(
        self,
        filter: Filter,
        operators: Sequence[Sequence[StepOperator]],
        weight: Tensor,
        hidden: int,
        signals: Tensor,
        recompute: bool,
    ) -> None:
        self.recompute = recompute
        self.recursion, self.first, self.operators = filter.recursion, int(not filter.keeps_input), operators
        self.blocks = weight.view(-1, hidden, filter.num_terms, signals.size(-1))
        self.weights = self.blocks.unbind(2)  # [gates, H, F] for each signal
        self.signals, self.at = signals, [part.unbind() for part in signals.unbind(1)]
        self.dsignals: Tensor | None = None
        self.seen: dict[int, Tensor] = {}  # the inputs of the backward pass

    @cached_property
    def transposed(self) -> Sequence[Tensor]:
        """Return the weights by which `[rows, F]` is multiplied at every step, `[gates, F, H]`."""
        return self.blocks.permute(2, 0, 3, 1).contiguous().unbind()

    def forward(self, step: int, slot: int, z: Tensor, a: Tensor) -> None:
        """Adds u(z) of a step to a `[gates, rows, H]`, for z `[rows, F]`; its other signals are saved in `slot`."""
        for signal, weight in zip(self.propagate(step, slot, z), self.transposed):
            add_products(a, signal.expand(a.size(0), -1, -1), weight)

    def forward_zero(self, slot: int, z: Tensor, a: Tensor) -> None:
        """The same for z = 0, where u(z) = 0 and all signals are zero."""
        self.signals[:, slot] = 0

    def backward_zero(self, slot: int, da: Tensor, z: Tensor) -> Tensor:
        """The backward pass of `forward_zero`, whose gradient no caller needs."""
        self.seen[slot] = z
        if self.recompute:
            self.signals[:, slot] = 0
        return torch.zeros_like(z)

    def backward(self, step: int, slot: int, da: Tensor, z: Tensor) -> Tensor:
        """Return the gradient with respect to the z of a step, in a buffer that the next call overwrites; those of the
        operators' values are accumulated."""
        if self.dsignals is None:
            self.dsignals = z.new_empty(1 + len(self.recursion), *z.shape)
        dsignals = self.dsignals.unbind()
        self.seen[slot] = z
        if self.recompute:
            self.propagate(step, slot, z)
        self.gather(da, dsignals)
        return self.propagate_back(step, slot, z, dsignals)

    def accumulate(self, da: Tensor, z: Tensor | None) -> None:
        """Accumulates the gradient of the weights over the steps whose signals are in the buffer.

        da: `[gates, steps * rows, H]`; z: `[steps, rows, F]`, or None for the inputs that `backward` has recorded.
        """
        if z is None:
            z = torch.stack([part for _, part in sorted(self.seen.items())])
            self.seen.clear()
        for signal, dweight in zip(self.basis(z), self.dblocks.unbind(2)):
            add_products(dweight, da.transpose(1, 2), signal.flatten(0, 1).expand(da.size(0), -1, -1))

    @cached_property
    def dblocks(self) -> Tensor:
        return torch.zeros_like(self.blocks)

    @property
    def dweight(self) -> Tensor:
        return self.dblocks.flatten(2).flatten(0, 1)

    def basis(self, z: Tensor) -> list[Tensor]:
        """Return the basis of the steps whose signals are in the buffer, z `[steps, rows, F]`."""
        return [z, *self.signals[:, : z.size(0)].unbind()][self.first :]

    def propagate(self, step: int, slot: int, z: Tensor) -> list[Tensor]:
        """Return the basis of z `[rows, F]`."""
        signals = [z, *self.at[slot]]
        for y, recursion in zip(signals[1:], self.recursion):
            self.operators[step][recursion.operator].forward(signals[recursion.source], y, recursion.scale)
            if recursion.minus is not None:
                y.sub_(signals[recursion.minus])
        return signals[self.first :]

    def propagate_back(self, step: int, slot: int, z: Tensor, dsignals: Sequence[Tensor]) -> Tensor:
        """Return the gradient with respect to z from those of all signals, in which it accumulates."""
        signals = [z, *self.at[slot]]
        for dy, recursion in reversed(list(zip(dsignals[1:], self.recursion))):
            operator = self.operators[step][recursion.operator]
            operator.backward(dy, signals[recursion.source], dsignals[recursion.source], recursion.scale)
            if recursion.minus is not None:
                dsignals[recursion.minus].sub_(dy)
        return dsignals[0]

    def gather(self, da: Tensor, dsignals: Sequence[Tensor]) -> None:
        """Writes the gradients of the signals `[rows, F]` of the basis, and zero for z if it is none of them."""
        for dsignal in dsignals[: self.first]:
            dsignal.zero_()
        for dsignal, weight in zip(dsignals[self.first :], self.weights):
            torch.addbmm(dsignal, da, weight, beta=0, out=dsignal)


class FusedInputProjection(FusedProjection):
    r""":math:`\sum_k z_k W_k^\top + b`, of many steps at once."""

    def __init__(self, bias: Tensor, *args: Any) -> None:
        super().__init__(*args)
        self.bias = bias
        self.dbias = torch.zeros_like(bias)

    def write(self, first: int, z: Tensor, a: Tensor) -> None:
        """Writes the projections of the steps from `first` on to a `[gates, steps * rows, H]`, z `[steps, rows, F]`."""
        self.spread(first, z)
        self.multiply(self.basis(z), a)

    def spread(self, first: int, z: Tensor) -> None:
        """Computes the signals of the steps from `first` on."""
        for slot, part in enumerate(z.unbind()):
            self.propagate(first + slot, slot, part)

    def multiply(self, basis: list[Tensor], a: Tensor) -> None:
        """Writes the sum over the signals `[steps, rows, F]` of the basis to a."""
        a.copy_(self.bias[:, None])
        for signal, weight in zip(basis, self.weights):
            add_products(a, signal.flatten(0, 1).expand(a.size(0), -1, -1), weight.transpose(1, 2))

    def accumulate(self, da: Tensor, z: Tensor | None) -> None:
        super().accumulate(da, z)
        self.dbias += da.sum(1)

    def backward_input(self, first: int, da: Tensor, z: Tensor, dz: Tensor) -> None:
        """Writes the gradient with respect to the z of the steps from `first` on to dz; those of the operators' values
        are accumulated."""
        dsignals = [dz, *z.new_empty(len(self.recursion), *z.shape)]
        self.gather(da, [dsignal.flatten(0, 1) for dsignal in dsignals])
        for slot, part in enumerate(z.unbind()):
            self.propagate_back(first + slot, slot, part, [dsignal[slot] for dsignal in dsignals])


class NarrowInputProjection(FusedInputProjection):
    """An input projection of few channels: one product with all signals, and ones for the bias, side by side."""

    @cached_property
    def with_bias(self) -> Tensor:
        """`[gates, m F + 1, H]`."""
        return torch.cat([*self.weights, self.bias[:, :, None]], dim=-1).transpose(1, 2).contiguous()

    def multiply(self, basis: list[Tensor], a: Tensor) -> None:
        torch.bmm(self._factor(basis, a.size(0)), self.with_bias, out=a)

    def accumulate(self, da: Tensor, z: Tensor | None) -> None:
        assert z is not None
        dwith_bias = torch.bmm(self._factor(self.basis(z), da.size(0)).transpose(1, 2), da)
        self.dblocks += dwith_bias[:, :-1].transpose(1, 2).reshape(self.dblocks.shape)
        self.dbias += dwith_bias[:, -1]

    def _factor(self, basis: list[Tensor], gates: int) -> Tensor:
        ones = basis[0].new_ones(1).expand(*basis[0].shape[:-1], 1)
        return torch.cat([*basis, ones], dim=-1).flatten(0, 1).expand(gates, -1, -1)


def add_products(y: Tensor, a: Tensor, b: Tensor, beta: float = 1.0) -> None:
    """Writes beta y + a b, each `[gates, ., .]`; threads split the gates if that leaves none of them idle."""
    if y.device.type == "cpu" and y.size(0) % torch.get_num_threads():
        for parts in zip(y.unbind(), a.unbind(), b.unbind()):
            torch.addmm(*parts, beta=beta, out=parts[0])
    else:
        torch.baddbmm(y, a, b, beta=beta, out=y)
