"""The steps of minGRU and minLSTM by the compiled library: gates and recurrence at once."""

import ctypes
from ctypes import byref

import torch
from torch import Tensor

from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.buffers import BufferPool, pool_of
from seqgnn.nn.scan.cpp.library import Pointer, int32, int64
from seqgnn.nn.scan.minimal.steps import Chunk, Steps

# With fewer values of the state, waking the other threads takes longer than they save.
PARALLEL = 50_000
BLOCK = 2**16  # bytes of the pre-activations of a block, which stay in a core's cache between both of its passes


class CallStruct(ctypes.Structure):
    _fields_ = [
        *((name, int64) for name in ("steps", "rows", "hidden", "block")),
        *((name, int32) for name in ("is_lstm", "reverse", "threads")),
        *((name, Pointer) for name in ("active", "pre", "bias", "state", "output", "saved_states")),
        *((name, Pointer) for name in ("output_gradient", "state_gradient", "pre_gradient", "bias_gradient")),
        *((name, Pointer) for name in ("states", "slopes", "bias_gradients")),
    ]


def is_supported(x: Tensor) -> bool:
    """Return True on the CPU, if the library can be used."""
    return x.device.type == "cpu" and library.load()[0] is not None


class CompiledSteps(Steps):
    """The steps by the library; a thread has some of the rows, or some of the channels."""

    cached = 2**21

    def pool(self, weight: Tensor) -> BufferPool:
        return pool_of(weight)

    def block(self, step_bytes: int) -> int:
        return max(1, BLOCK // step_bytes)

    def forward(self, chunk: Chunk, state: Tensor, output: Tensor, states: Tensor | None) -> None:
        self._run(chunk, state, output=output, saved_states=states)

    def backward(
        self, chunk: Chunk, states: Tensor, output_grad: Tensor | None, d: Tensor, dpre: Tensor, dbias: Tensor | None
    ) -> None:
        is_lstm = self.cell is cells.min_lstm
        workspace = dpre.new_empty(2 if is_lstm else 1, chunk.block, *d.shape)
        self._run(
            chunk,
            d,
            saved_states=states,
            output_gradient=None if output_grad is None else output_grad.contiguous(),
            pre_gradient=dpre,
            bias_gradient=dbias,
            states=workspace[0],
            slopes=workspace[1] if is_lstm else None,
            bias_gradients=dpre.new_empty(torch.get_num_threads(), dpre.size(-1)),
        )

    def _run(self, chunk: Chunk, state: Tensor, **tensors: Tensor | None) -> None:
        """Call the library; `state` is the gradient with respect to it in the backward pass."""
        backward, steps, (rows, hidden) = "pre_gradient" in tensors, chunk.pre.size(0), state.shape
        tensors["state_gradient" if backward else "state"] = state
        tensors["active"] = None if chunk.active is None else chunk.active.contiguous().view(torch.uint8)
        tensors["pre"] = chunk.pre.contiguous()
        tensors["bias"] = None if chunk.bias is None else chunk.bias.contiguous()
        threads = torch.get_num_threads() if steps * rows * hidden >= PARALLEL else 1
        addresses = {name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None}
        sizes = steps, rows, hidden, chunk.block, self.cell is cells.min_lstm, chunk.reverse, threads
        call = CallStruct(*sizes, **addresses)
        library.load()[0].seqgnn_minimal(byref(call), state.dtype == torch.float64, backward)
