r"""All steps of a scan in one kernel, forward and backward, for graphs and states that fit on chip.

A program scans one window of a static graph, or, with a filter without neighbors, a block of rows, and holds their
state in registers from step to step. Operators are dense, and a filter's recursion is applied once per call: with
:math:`M_k = P_k` of the unit matrix its signals are :math:`z_k = M_k h`. Operators and weights are read in every step,
from the caches. The buffers are those of :mod:`seqgnn.nn.scan.fused.passes`, which also computes the gradients of the
weights. The kernels have only been run in Triton's interpreter, not on a GPU.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.fused.cells import FusedCell
from seqgnn.nn.scan.fused.passes import ScanSpec, ScanTensors
from seqgnn.nn.scan.triton import cells as triton_cells
from seqgnn.nn.scan.triton.gru_kernels import scan_reset_backward, scan_reset_forward
from seqgnn.nn.scan.triton.scan_kernels import scan_backward, scan_forward

STATE = 64 * 64  # numbers of a program's state
SIDE = 128  # of a factor; one of 256 by 256 is more than the shared memory of a chip
ROWS = 16  # of a program, without neighbors
KINDS = {
    triton_cells.RNN: "rnn",
    triton_cells.ReLURNN: "relu",
    triton_cells.LSTM: "lstm",
    triton_cells.ConvCellStateLSTM: "lstm",
    triton_cells.GRU: "gru",
    triton_cells.GRUResetBefore: "reset",
}


def fits(
    kind: type[FusedCell],
    filters: Sequence[Filter],
    operators: Mapping[Filter, Sequence[tuple[Operator, ...]]],
    state: Tensor,
) -> bool:
    """True if :class:`ScanKernel` supports a scan.

    It does for any cell of up to 128 hidden units, with the same filter in all hidden projections, on a static graph of
    up to 128 nodes, or of any number with a filter without neighbors. Nodes (or 16 rows) times hidden units, each
    rounded up to a power of two of at least 16, are at most 64 * 64; on a device in single precision. There no check
    for inf and nan synchronizes: the zeros of dense operators spread those of one node to all nodes of the window.
    """
    filter, *rest = filters
    first = operators[filter][0]
    nodes = first[0].pattern.num_nodes if filter.recursion else ROWS
    hidden = state.size(-1)
    small = max(nodes, hidden) <= SIDE and _side(nodes) * _side(hidden) <= STATE and state.numel() < 2**31
    single = state.dtype == torch.float32 or state.device.type == "cpu"
    same = all(other == filter for other in rest) and all(step == first for step in operators[filter])
    return kind in KINDS and small and single and same


class ScanKernel:
    """All steps of a scan in one launch."""

    def __init__(self, spec: ScanSpec, tensors: ScanTensors) -> None:
        filter, weight, resets = spec.filters[1], tensors.weights[1], KINDS[spec.kind] == "reset"
        assert filter is not None
        hops, first = len(filter.recursion), int(filter.keeps_input)
        self.matrices, self.programs, nodes, between = weight, triton.cdiv(tensors.rows, ROWS), ROWS, 1
        if hops:
            values = {id(operator): part for operator, part in zip(spec.distinct, tensors.values)}
            dense = [op.matrix(values[id(op)], False, True) for op in spec.operators[filter][0]]
            eye = torch.eye(spec.shape[-1], dtype=weight.dtype, device=weight.device)
            self.matrices = torch.stack(filter.follow(eye, lambda k, z: dense[k] @ z)[first:])
            self.programs, nodes = tensors.rows // spec.shape[-1], spec.shape[-1]
            between = self.programs
        active = weight if spec.active is None else spec.active.to(torch.int8).contiguous()
        weights = _filled([part.contiguous() for part in tensors.weights[1:]], 2)
        peepholes = [] if resets else _filled([part.contiguous() for part in tensors.peepholes] or [weight], 3)
        self.constant = self.matrices, *weights, *peepholes, active
        self.forward_kernel = scan_reset_forward if resets else scan_forward
        self.backward_kernel = scan_reset_backward if resets else scan_backward
        self.states = 1 if resets else 2  # a kernel takes, h and c
        exact = torch.get_float32_matmul_precision() == "highest"
        self.options: dict[str, Any] = {
            "rows": tensors.rows,
            "nodes": nodes,
            "apart": 1 if hops else ROWS,
            "between": between,
            "hidden": tensors.hidden,
            "OWN": first,
            "HOPS": hops,
            "REVERSE": int(spec.reverse),
            "ACTIVE": spec.active is not None,
            "PRECISION": "tf32x3" if exact else "tf32",
            "ROWS": _side(nodes),
            "UNITS": _side(tensors.hidden),
            "num_warps": 8,
            "num_stages": 1,  # more would prefetch the weights of later steps, beyond a chip's shared memory
        }
        if not resets:
            project_c = len(tensors.weights) == 3  # of the input, h and c
            self.options |= {"KIND": KINDS[spec.kind], "PEEPHOLES": len(tensors.peepholes) > 0, "PROJECT_C": project_c}

    def forward(self, a: Tensor, states: Sequence[Tensor], signals: Sequence[Tensor]) -> None:
        """Runs all steps. a `[gates, T, rows, H]` holds the input's pre-activations and receives the gates; signals
        `[hops, T, rows, H]` receive those of each hidden projection; states are `[T + 1, rows, H]`."""
        tensors = a, *_filled(states, self.states), *_filled(signals, 2), *self.constant
        with torch.cuda.device_of(a):
            self.forward_kernel[(self.programs,)](*tensors, steps=a.size(1), **self.options)

    def backward(self, a: Tensor, states: Sequence[Tensor], d: Sequence[Tensor], doutput: Tensor | None) -> Tensor:
        """Return the gradient with respect to the pre-activations; d, the gradient with respect to the last state,
        becomes that with respect to the first."""
        up, da = d[0] if doutput is None else doutput.contiguous(), torch.empty_like(a)
        tensors = a, da, *_filled(states, self.states), *_filled(d, self.states), up, *self.constant
        with torch.cuda.device_of(a):
            self.backward_kernel[(self.programs,)](
                *tensors, steps=a.size(1), OUTPUT=doutput is not None, **self.options
            )
        return da


def _filled(parts: Sequence[Tensor], places: int) -> list[Tensor]:
    """Return as many tensors as a kernel has arguments; it reads none of those filled in."""
    return [*parts, *[parts[0]] * (places - len(parts))]


def _side(size: int) -> int:
    """Return the side of the blocks in a product."""
    return max(16, triton.next_power_of_2(size))
