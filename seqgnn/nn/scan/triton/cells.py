"""The cells of :mod:`seqgnn.nn.scan.fused.cells` with one kernel of Triton's for several elementwise operations of
torch."""

from typing import Any

import torch
import triton
from torch import Tensor

from seqgnn.nn.scan.fused import cells as fused_cells
from seqgnn.nn.scan.fused.cells import FusedCell, Projections, State, VJPs
from seqgnn.nn.scan.triton import pointwise as kernels

BLOCK = 1024  # numbers of a program


def _launch(kernel: Any, *tensors: Tensor, **options: Any) -> None:
    """Runs a kernel over the rows `[rows, H]` of tensors laid out alike."""
    size = tensors[0].numel()
    with torch.cuda.device_of(tensors[0]):
        kernel[(triton.cdiv(size, BLOCK),)](*tensors, size=size, BLOCK=BLOCK, **options)


class RNN(fused_cells.RNN):
    relu = False

    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h,), (h_new,) = projections, before, after
        u(h, a)
        _launch(kernels.rnn_forward, a[0], h_new, RELU=self.relu)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h,), (h_new,), (dh,) = projections, before, after, d
        _launch(kernels.rnn_backward, dh, h_new, a[0], RELU=self.relu)
        return [du(a, h)]


class ReLURNN(RNN):
    relu = True


class LSTM(fused_cells.LSTM):
    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h, c) = projections, before
        u(h, a)
        _launch(kernels.lstm_forward, *a.unbind(), c, *after, *self._peepholes(c), **self._options(c))

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h, c), (_, c_new), (dh, dc) = projections, before, after, d
        tensors = dh, dc, *a.unbind(), c, c_new, *self._peepholes(c)
        _launch(kernels.lstm_backward, *tensors, **self._options(c))
        return [du(a, h), dc]

    def _peepholes(self, c: Tensor) -> Any:
        return self.weights or (c, c, c)

    def _options(self, c: Tensor) -> dict[str, Any]:
        return {"HIDDEN": c.size(-1), "PEEPHOLES": bool(self.weights)}


class ConvCellStateLSTM(fused_cells.ConvCellStateLSTM):
    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u, m), (h, c) = projections, before
        u(h, a[:4])
        m(c, a[4:])
        _launch(kernels.lstm_forward, *a.unbind(), *after, c, c, c, HIDDEN=c.size(-1), PEEPHOLES=False)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du, dm), (h, c), (_, c_new), (dh, dc) = projections, before, after, d
        _launch(kernels.lstm_backward, dh, dc, *a.unbind(), c_new, c, c, c, HIDDEN=c.size(-1), PEEPHOLES=False)
        a[4].copy_(dc)  # overwritten by the gradient of the projected cell state
        return [du(a[:4], h), dm(a[4:], c)]


class GRU(fused_cells.GRU):
    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u,), (h,), (h_new,) = projections, before, after
        u(h, a[1:])
        _launch(kernels.gru_forward, *a.unbind(), h, h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du,), (h,), (dh,) = projections, before, d
        _launch(kernels.gru_backward, dh, *a.unbind(), h)
        return [dh.add_(du(a[1:], h))]


class GRUResetBefore(fused_cells.GRUResetBefore):
    def forward(self, a: Tensor, projections: Projections, before: State, after: State) -> None:
        (u, u_n), (h,), (h_new,), (r, z, n) = projections, before, after, a.unbind()
        u(h, a[:2])
        _launch(kernels.reset_forward, r, z, h, h_new)
        u_n(h_new, a[2:])  # a buffer for r h until it holds h_new
        _launch(kernels.mixture_forward, n, z, h, h_new)

    def backward(self, a: Tensor, projections: VJPs, before: State, after: State, d: State) -> list[Tensor]:
        (du, du_n), (h,), (dh,), (r, z, n) = projections, before, d, a.unbind()
        rh = torch.empty_like(h)  # which the projection reads for the gradient of its weights
        _launch(kernels.mixture_backward, dh, n, z, h, rh, r)
        _launch(kernels.reset_backward, du_n(a[2:], rh), r, h, dh)
        return [dh.add_(du(a[:2], h))]


KERNELS: dict[type[FusedCell], type[FusedCell]] = {
    fused_cells.RNN: RNN,
    fused_cells.ReLURNN: ReLURNN,
    fused_cells.LSTM: LSTM,
    fused_cells.ConvCellStateLSTM: ConvCellStateLSTM,
    fused_cells.GRU: GRU,
    fused_cells.GRUResetBefore: GRUResetBefore,
}
