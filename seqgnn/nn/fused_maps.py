"""Linear maps of graph signals, there and back, at every step of a walk. Signals are rows, nodes first, so that one
product with an operator serves all windows, and gates come first of all. Autograd knows nothing of this."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.filters import Filter
from seqgnn.nn.operator import Operator

DENSE = 32  # up to so many nodes a dense matrix multiplies faster than a sparse one


class StepOperator:
    r"""The operator of a step as a matrix for rows `[N * B, F]`.

    .. math:: Y = P X, \qquad \partial L / \partial X = P^\top \, \partial L / \partial Y, \qquad
        \partial L / \partial P_{ij} = \langle \partial L / \partial Y_i, X_j \rangle
    """

    def __init__(self, operator: Operator, values: Tensor, learnt: bool) -> None:
        self.operator, self.pattern, self.values = operator, operator.pattern, values
        self.dense = self.pattern.num_nodes <= DENSE
        self.matrices: dict[bool, Tensor] = {}
        self.dvalues = torch.zeros_like(values) if learnt else None

    def forward(self, x: Tensor, y: Tensor, scale: float) -> None:
        """Writes y = scale P x."""
        self._add(x, y, scale, False, 0.0)

    def backward(self, dy: Tensor, x: Tensor, dx: Tensor, scale: float) -> None:
        """Adds to the derivatives by x, and by the values where they are learnt."""
        self._add(dy, dx, scale, True, 1.0)
        if self.dvalues is not None:
            nodes = self.pattern.num_nodes
            self.dvalues.add_(self.operator.joined(dy.view(nodes, -1), x.view(nodes, -1)), alpha=scale)

    def _add(self, x: Tensor, y: Tensor, scale: float, transposed: bool, beta: float) -> None:
        if transposed not in self.matrices:
            self.matrices[transposed] = self.operator.matrix(self.values, transposed, self.dense)
        y = y.view(self.pattern.num_nodes, -1)
        torch.addmm(y, self.matrices[transposed], x.view(y.shape), beta=beta, alpha=scale, out=y)


class LinearMap:
    r""":math:`u(z) = \sum_k z_k W_k^\top` for all gates, where the signals :math:`z_k` are those of a filter.

    Args:
        filter: whose basis is meant.
        operators: the filter's, for every step.
        weight: `[gates * H, m F]`.
        hidden: H.
        signals: room for those that the recursion makes of z, `[hops, places, rows, F]`.
    """

    def __init__(
        self,
        filter: Filter,
        operators: Sequence[Sequence[StepOperator]],
        weight: Tensor,
        hidden: int,
        signals: Tensor,
    ) -> None:
        self.recursion, self.first, self.operators = filter.recursion, int(not filter.keeps_own), operators
        self.weights = weight.view(-1, hidden, filter.num_terms, signals.size(-1)).permute(2, 0, 3, 1).contiguous()
        self.dweights = torch.zeros_like(self.weights)  # [m, gates, F, H]
        self.by_gate = [[gate.t() for gate in block.unbind()] for block in self.weights.unbind()]
        self.signals = signals
        self.dsignals: Tensor | None = None

    def forward(self, step: int, place: int, z: Tensor, a: Tensor) -> None:
        """Adds u(z) to a `[gates, steps * rows, H]`, for z `[(steps,) rows, F]` of the steps from `step` on; the other
        signals are kept from `place` on."""
        for signal, weight in zip(self.propagate(step, place, z), self.weights.unbind()):
            a.baddbmm_(_at_each_gate(signal, a.size(0)), weight)

    def forward_zero(self, place: int, z: Tensor, a: Tensor) -> None:
        """The same where z is zero, of one step."""
        self.signals[:, place] = 0

    def backward(self, step: int, place: int, da: Tensor, z: Tensor) -> Tensor:
        """The derivative by z, of steps that `forward` has seen, good until the next call; those by the values of
        operators are added up."""
        signals = self._signals(place, z)
        if self.dsignals is None or self.dsignals.size(1) != len(signals[0]):
            self.dsignals = torch.empty(len(signals), *signals[0].shape, dtype=z.dtype, device=z.device)
        dsignals, (dfirst, *dgates) = self.dsignals.unbind(), da.unbind()
        for dsignal in dsignals[: self.first]:
            dsignal.zero_()
        for dsignal, (first, *others) in zip(dsignals[self.first :], self.by_gate):
            rows = dsignal.view(dfirst.size(0), -1)
            torch.mm(dfirst, first, out=rows)
            for dgate, weight in zip(dgates, others):
                rows.addmm_(dgate, weight)
        for dy, hop in reversed(list(zip(dsignals[1:], self.recursion))):
            parts = dy.unbind(), signals[hop.source].unbind(), dsignals[hop.source].unbind()
            for t, (dy_t, x_t, dx_t) in enumerate(zip(*parts), step):
                self.operators[t][hop.operator].backward(dy_t, x_t, dx_t, hop.scale)
            if hop.minus is not None:
                dsignals[hop.minus].sub_(dy)
        return dsignals[0].view(z.shape)

    def learn(self, place: int, da: Tensor, z: Tensor) -> None:
        """Adds to the derivatives by the weights."""
        for signal, dweight in zip(self._signals(place, z)[self.first :], self.dweights):
            dweight.baddbmm_(_at_each_gate(signal, len(da)).transpose(1, 2), da)

    @property
    def dweight(self) -> Tensor:
        m, gates, channels, hidden = self.dweights.shape
        return self.dweights.permute(1, 3, 0, 2).reshape(gates * hidden, m * channels)

    def propagate(self, step: int, place: int, z: Tensor) -> list[Tensor]:
        """The basis of z."""
        signals = self._signals(place, z)
        for y, hop in zip(signals[1:], self.recursion):
            for t, (x_t, y_t) in enumerate(zip(signals[hop.source].unbind(), y.unbind()), step):
                self.operators[t][hop.operator].forward(x_t, y_t, hop.scale)
            if hop.minus is not None:
                y.sub_(signals[hop.minus])
        return signals[self.first :]

    def _signals(self, place: int, z: Tensor) -> list[Tensor]:
        z = z.view(-1, *self.signals.shape[2:])
        return [z, *self.signals[:, place : place + z.size(0)].unbind()]


class InputMap(LinearMap):
    r""":math:`\sum_k z_k W_k^\top + b`. An input may have few channels, so all signals and ones are one factor."""

    def __init__(self, bias: Tensor, *args: Any) -> None:
        super().__init__(*args)
        self.with_bias = torch.cat([*self.weights, bias[:, None]], dim=1)  # [gates, m F + 1, H]
        self.dwith_bias = torch.zeros_like(self.with_bias)

    def forward(self, step: int, place: int, z: Tensor, a: Tensor) -> None:
        """Writes them to a."""
        torch.bmm(self._factor(self.propagate(step, place, z), len(a)), self.with_bias, out=a)

    def learn(self, place: int, da: Tensor, z: Tensor) -> None:
        basis = self._signals(place, z)[self.first :]
        self.dwith_bias.baddbmm_(self._factor(basis, len(da)).transpose(1, 2), da)

    @property
    def dweight(self) -> Tensor:
        return self.dwith_bias[:, :-1].transpose(1, 2).flatten(0, 1)

    @property
    def dbias(self) -> Tensor:
        return self.dwith_bias[:, -1]

    def _factor(self, basis: list[Tensor], gates: int) -> Tensor:
        ones = basis[0].new_ones(1).expand(*basis[0].shape[:-1], 1)
        return _at_each_gate(torch.cat([*basis, ones], dim=-1), gates)


def _at_each_gate(signal: Tensor, gates: int) -> Tensor:
    rows = signal.flatten(0, 1)
    return rows.expand(gates, *rows.shape)
