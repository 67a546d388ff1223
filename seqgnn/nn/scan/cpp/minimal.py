"""The steps of minGRU and minLSTM by the compiled library: gates and recurrence at once."""

import ctypes
from ctypes import byref

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.buffers import BufferPool, pool_of
from seqgnn.nn.scan.cpp.library import Pointer, int32, int64
from seqgnn.nn.scan.minimal.steps import Chunk, Steps

# With fewer values of the state, waking the other threads takes longer than they save.
PARALLEL = 50_000


class CallStruct(ctypes.Structure):
    _fields_ = [
        *((name, int64) for name in ("steps", "rows", "hidden")),
        *((name, int32) for name in ("is_lstm", "reverse", "threads")),
        *((name, Pointer) for name in ("active", "pre", "bias", "state", "output", "output_gradient")),
        *((name, Pointer) for name in ("state_gradient", "pre_gradient", "bias_gradient", "states", "slopes")),
        ("bias_gradients", Pointer),
    ]


def is_supported(x: Tensor) -> bool:
    """Return True on the CPU, if the library can be used."""
    return x.device.type == "cpu" and library.load()[0] is not None


class CompiledSteps(Steps):
    """The steps by the library; a thread has some of the rows, or some of the channels."""

    cached = 2**20

    def pool(self, weight: Tensor) -> BufferPool:
        return pool_of(torch_internals.viewed(weight))

    def forward(self, chunk: Chunk, state: Tensor, output: Tensor) -> None:
        self._run(chunk, state, None, output=output)

    def backward(
        self, chunk: Chunk, before: Tensor, output_grad: Tensor | None, d: Tensor, dpre: Tensor, dbias: Tensor | None
    ) -> None:
        is_lstm = self.cell is cells.min_lstm
        states = dpre.new_empty(2 if is_lstm else 1, *dpre.shape[:2], before.size(-1))
        self._run(
            chunk,
            before,
            dbias,
            output_gradient=None if output_grad is None else output_grad.contiguous(),
            state_gradient=d,
            pre_gradient=dpre,
            states=states[0],
            slopes=states[1] if is_lstm else None,
            bias_gradients=dpre.new_empty(torch.get_num_threads(), dpre.size(-1)),
        )

    def _run(self, chunk: Chunk, state: Tensor, bias_gradient: Tensor | None, **tensors: Tensor | None) -> None:
        steps, (rows, hidden) = len(chunk.pre), state.shape
        active = None if chunk.active is None else chunk.active.contiguous().view(torch.uint8)
        pre, bias = chunk.pre.contiguous(), None if chunk.bias is None else chunk.bias.contiguous()
        tensors |= {"active": active, "pre": pre, "bias": bias, "state": state, "bias_gradient": bias_gradient}
        call = CallStruct(
            steps, rows, hidden, self.cell is cells.min_lstm, chunk.reverse,
            torch.get_num_threads() if steps * rows * hidden >= PARALLEL else 1,
            **{name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None},
        )  # fmt: skip
        library.load()[0].seqgnn_minimal(byref(call), state.dtype == torch.float64, "pre_gradient" in tensors)
