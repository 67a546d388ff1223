r"""The cells of :mod:`seqgnn.nn.scan.functional` with a forward and a hand-written backward pass.

The forward pass receives the input's pre-activations in ``a [gates, rows, H]``, adds those of the hidden projections,
replaces them by the gates and writes the state after the step. The backward pass replaces the gates by the gradients
with respect to the pre-activations. It receives the gradients with respect to the state after the step, ``dh`` (and
``dc``), may overwrite them, and returns those with respect to the state before.

A hidden projection is ``u(z, a)``, which adds :math:`u(z)` to a; its backward pass ``du(da, z)`` returns the gradient
with respect to z.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Projections = Sequence[Callable[[Tensor, Tensor], None]]
VJPs = Sequence[Callable[[Tensor, Tensor], Tensor]]
State = Sequence[Tensor]

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # dy s (1 - s), of s = sigmoid(x)
tanh_backward = torch.ops.aten.tanh_backward.grad_input  # dy (1 - y²), of y = tanh(x)
relu_backward = torch.ops.aten.threshold_backward.grad_input  # dy where y > threshold


class FusedCell(ABC):
    """One cell.

    Attributes:
        gates: rows of `a`.
        inputs: the rows to which the input contributes, and `order`, the indices of the input's gates in them.
        hidden: the rows to which each hidden projection contributes.
        needs_gates: whether the backward pass needs the gates; False if the states are sufficient.
        weights: those of the cell itself, such as peepholes, with their gradients.
        scratch: two tensors of the shape of a gate, for the backward pass.
    """

    gates: int
    inputs: slice
    order: tuple[int, ...]
    hidden: tuple[slice, ...]
    needs_gates = True
    scratch: tuple[Tensor, Tensor]

    def __init__(self, *weights: Tensor) -> None:
        self.weights = weights
        self.dweights = [torch.zeros_like(weight) for weight in weights]

    @abstractmethod
    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        """One step."""

    @abstractmethod
    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        """The backward pass of one step."""

    def accumulate(self, da: Tensor, before: State, after: State) -> None:
        """Accumulates the gradients of the cell's own weights over some steps; most cells have none."""
        return

    def sources(self, before: State, a: Tensor | None) -> Sequence[Tensor | None]:
        """Return the input of each hidden projection over some steps, from their gates a, or None if gradients have
        overwritten these; None for a projection that has to record its own inputs."""
        return before


class RNN(FusedCell):
    r""":math:`h_t = \tanh(g + u(h_{t-1}))`."""

    gates, inputs, order, hidden = 1, slice(0, 1), (0,), (slice(0, 1),)
    needs_gates = False

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h,), (h_new,) = projections, before, after
        u(h, a)
        self._activate(a[0], h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h,), (h_new,), (dh,) = projections, before, after, d
        self._activation_backward(dh, h_new, a[0])
        return [du(a, h)]

    def _activate(self, a: Tensor, h: Tensor) -> None:
        torch.tanh(a, out=h)

    def _activation_backward(self, dh: Tensor, h: Tensor, da: Tensor) -> None:
        tanh_backward(dh, h, grad_input=da)


class ReLURNN(RNN):
    r""":math:`h_t = \max(0, g + u(h_{t-1}))`."""

    def _activate(self, a: Tensor, h: Tensor) -> None:
        torch.clamp(a, min=0, out=h)

    def _activation_backward(self, dh: Tensor, h: Tensor, da: Tensor) -> None:
        relu_backward(dh, h, 0, grad_input=da)


class OutputGated(FusedCell):
    r"""A cell whose output is :math:`h_t = \sigma(o) \tanh(c_t)`, with o as the fourth gate.

    The output is cheap to recompute from gates and cell state, so it need not be saved. The backward pass needs no
    output after the step.
    """

    def recompute_output(self, a: Tensor, c: Tensor, h: Tensor) -> None:
        """Writes the output of a step."""
        torch.tanh(c, out=h).mul_(a[3])


class LSTM(OutputGated):
    r""":math:`c_t = \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g), \; h_t = \sigma(o) \tanh(c_t)`; where there are
    peepholes, :math:`c_{t-1}` enters i and f, and :math:`c_t` enters o."""

    gates, inputs, order, hidden = 4, slice(0, 4), (0, 1, 2, 3), (slice(0, 4),)

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h, c), (h_new, c_new) = projections, before, after
        u(h, a)
        i, f, g, o = a.unbind()
        if self.weights:
            w_ci, w_cf, w_co = self.weights
            i.addcmul_(w_ci, c)
            f.addcmul_(w_cf, c)
        a[:2].sigmoid_()
        g.tanh_()
        torch.mul(f, c, out=c_new).addcmul_(i, g)
        if self.weights:
            o.addcmul_(w_co, c_new)
        o.sigmoid_()
        self.recompute_output(a, c_new, h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h, c), (_, c_new), (dh, dc) = projections, before, after, d
        i, f, g, o = di, df, dg, do = a.unbind()
        dc = _through_output(o, c_new, dh, dc, do, *self.scratch)
        if self.weights:
            w_ci, w_cf, w_co = self.weights
            dc.addcmul_(w_co, do)
        _through_input(i, g, dc, di, dg, *self.scratch)
        through_f = torch.mul(dc, c, out=self.scratch[0])
        dc.mul_(f)
        sigmoid_backward(through_f, f, grad_input=df)
        if self.weights:
            dc.addcmul_(w_ci, di).addcmul_(w_cf, df)
        return [du(a, h), dc]

    def accumulate(self, da: Tensor, before: State, after: State) -> None:
        if not self.weights:
            return
        (_, c), (_, c_new), product = before, after, torch.empty_like(da[0])
        for dweight, dgate, cell_state in zip(self.dweights, (da[0], da[1], da[3]), (c, c, c_new)):
            dweight.add_(torch.mul(dgate, cell_state, out=product).sum((0, 1)))

    def sources(self, before: State, a: Tensor | None) -> Sequence[Tensor | None]:
        return before[:1]


class ConvCellStateLSTM(OutputGated):
    r""":math:`c_t = \sigma(f) \, m(c_{t-1}) + \sigma(i) \tanh(g), \; h_t = \sigma(o) \tanh(c_t)`."""

    gates, inputs, order, hidden = 5, slice(0, 4), (0, 1, 2, 3), (slice(0, 4), slice(4, 5))

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u, m), (h, c), (h_new, c_new) = projections, before, after
        u(h, a[:4])
        m(c, a[4:])
        i, f, g, o, projected = a.unbind()
        a[:2].sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, projected, out=c_new).addcmul_(i, g)
        self.recompute_output(a, c_new, h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du, dm), (h, c), (_, c_new), (dh, dc) = projections, before, after, d
        i, f, g, o, projected = di, df, dg, do, dprojected = a.unbind()
        dc = _through_output(o, c_new, dh, dc, do, *self.scratch)
        _through_input(i, g, dc, di, dg, *self.scratch)
        through_f = torch.mul(dc, projected, out=self.scratch[0])
        torch.mul(dc, f, out=dprojected)
        sigmoid_backward(through_f, f, grad_input=df)
        return [du(a[:4], h), dm(a[4:], c)]


def _through_output(
    o: Tensor, c: Tensor, dh: Tensor, dc: Tensor, do: Tensor, tanh_c: Tensor, through_o: Tensor
) -> Tensor:
    r"""The backward pass of :math:`h = \sigma(o) \tanh(c)`: writes do, adds to dc and overwrites dh."""
    torch.tanh(c, out=tanh_c)
    torch.mul(dh, tanh_c, out=through_o)
    dh.mul_(o)
    sigmoid_backward(through_o, o, grad_input=do)
    return dc.add_(tanh_backward(dh, tanh_c, grad_input=dh))


def _through_input(
    i: Tensor, g: Tensor, dc: Tensor, di: Tensor, dg: Tensor, through_i: Tensor, through_g: Tensor
) -> None:
    r"""The backward pass of :math:`\sigma(i) \tanh(g)`: writes di and dg."""
    torch.mul(dc, g, out=through_i)
    torch.mul(dc, i, out=through_g)
    sigmoid_backward(through_i, i, grad_input=di)
    tanh_backward(through_g, g, grad_input=dg)


class GRU(FusedCell):
    r""":math:`n = \tanh(g_n + \sigma(r) \, u_n(h_{t-1})), \; h_t = (1 - \sigma(z)) \, n + \sigma(z) \, h_{t-1}`.

    ``a`` holds n, r, z and :math:`u_n` in this order, so that those of the input, and those of the hidden state,
    are contiguous.
    """

    gates, inputs, order, hidden = 4, slice(0, 3), (2, 0, 1), (slice(1, 4),)

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h,), (h_new,) = projections, before, after
        u(h, a[1:])
        n, r, z, u_n = a.unbind()
        a[1:3].sigmoid_()
        n.addcmul_(r, u_n).tanh_()
        torch.lerp(n, h, z, out=h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h,), (dh,) = projections, before, d
        n, r, z, u_n = dn, dr, dz, du_n = a.unbind()
        _through_mixture(n, z, h, dh, dn, dz, *self.scratch)
        through_r = torch.mul(dn, u_n, out=self.scratch[0])
        torch.mul(dn, r, out=du_n)
        sigmoid_backward(through_r, r, grad_input=dr)
        return [dh.add_(du(a[1:], h))]


class GRUResetBefore(FusedCell):
    r""":math:`n = \tanh(g_n + u_n(\sigma(r) \, h_{t-1})), \; h_t = (1 - \sigma(z)) \, n + \sigma(z) \, h_{t-1}`."""

    gates, inputs, order, hidden = 3, slice(0, 3), (0, 1, 2), (slice(0, 2), slice(2, 3))

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u, u_n), (h,), (h_new,) = projections, before, after
        r, z, n = a.unbind()
        u(h, a[:2])
        a[:2].sigmoid_()
        u_n(r * h, a[2:])
        n.tanh_()
        torch.lerp(n, h, z, out=h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du, du_n), (h,), (dh,) = projections, before, d
        r, z, n = dr, dz, dn = a.unbind()
        _through_mixture(n, z, h, dh, dn, dz, *self.scratch)
        drh = du_n(a[2:], r * h)
        dh.addcmul_(drh, r)
        through_r = torch.mul(drh, h, out=self.scratch[0])
        sigmoid_backward(through_r, r, grad_input=dr)
        return [dh.add_(du(a[:2], h))]

    def sources(self, before: State, a: Tensor | None) -> Sequence[Tensor | None]:
        (h,) = before
        return h, None if a is None else a[0] * h


def _through_mixture(
    n: Tensor, z: Tensor, h: Tensor, dh: Tensor, dn: Tensor, dz: Tensor, through_n: Tensor, through_z: Tensor
) -> None:
    r"""The backward pass of :math:`h_t = (1 - \sigma(z)) \tanh(n) + \sigma(z) \, h`: writes dn, dz and dh."""
    torch.addcmul(dh, dh, z, value=-1, out=through_n)
    torch.sub(h, n, out=through_z).mul_(dh)
    dh.mul_(z)
    tanh_backward(through_n, n, grad_input=dn)
    sigmoid_backward(through_z, z, grad_input=dz)
