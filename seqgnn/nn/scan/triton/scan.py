r"""All steps of a walk in one kernel, there and back, where a graph and its state fit on chip.

A program walks one window of a static graph, or, with a filter that hears no neighbor, a block of rows, and holds
their state in registers from step to step. Operators are dense, and a filter's recursion is followed once a call: with
:math:`M_k = P_k` of the unit matrix its signals are :math:`z_k = M_k h`. Operators and weights are read in every step,
from the caches. What is kept lies where :mod:`seqgnn.nn.scan.fused.passes` keeps it, and the derivatives by weights are
left to the products there. The kernels have run in Triton's interpreter alone, on no device.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.fused.cells import FusedCell
from seqgnn.nn.scan.fused.passes import Parts, Walk
from seqgnn.nn.scan.triton import cells as triton_cells
from seqgnn.nn.scan.triton.gru_kernels import reset_back, reset_there
from seqgnn.nn.scan.triton.scan_kernels import walk_back, walk_there

STATE = 64 * 64  # numbers of a program's state
SIDE = 128  # of a factor; one of 256 by 256 is more than the shared memory of a chip
ROWS = 16  # of a program, where no row hears another
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
    """Whether :class:`Loop` takes a walk: any cell of up to 128 hidden units, with the same filter in each of its
    hidden maps, on a graph that does not change, of up to 128 nodes, or as many as there are where none hears another.
    Nodes (else 16) times hidden units, each rounded up to a power of two from 16 on, are at most 64 * 64; on a device
    in single precision. There nobody waits to see whether all is finite: its zeros carry the inf or nan of one node to
    all nodes of the window."""
    filter, *others = filters
    first = operators[filter][0]
    nodes = first[0].pattern.num_nodes if filter.recursion else ROWS
    hidden = state.size(-1)
    small = max(nodes, hidden) <= SIDE and _side(nodes) * _side(hidden) <= STATE and state.numel() < 2**31
    single = state.dtype == torch.float32 or state.device.type == "cpu"
    same = all(other == filter for other in others) and all(step == first for step in operators[filter])
    return kind in KINDS and small and single and same


class Loop:
    """The steps of a walk in one launch."""

    def __init__(self, walk: Walk, given: Parts) -> None:
        filter, weight, resets = walk.filters[1], given.weights[1], KINDS[walk.kind] == "reset"
        assert filter is not None
        hops, first = len(filter.recursion), int(filter.keeps_own)
        self.matrices, self.programs, nodes, between = weight, triton.cdiv(given.rows, ROWS), ROWS, 1
        if hops:
            values = {id(operator): part for operator, part in zip(walk.distinct, given.values)}
            dense = [op.matrix(values[id(op)], False, True) for op in walk.operators[filter][0]]
            eye = torch.eye(walk.shape[-1], dtype=weight.dtype, device=weight.device)
            self.matrices = torch.stack(filter.follow(eye, lambda k, z: dense[k] @ z)[first:])
            self.programs, nodes = given.rows // walk.shape[-1], walk.shape[-1]
            between = self.programs
        active = weight if walk.active is None else walk.active.to(torch.int8).contiguous()
        weights = _filled([part.contiguous() for part in given.weights[1:]], 2)
        own = [] if resets else _filled([part.contiguous() for part in given.own] or [weight], 3)
        self.constant = self.matrices, *weights, *own, active
        self.there, self.back = (reset_there, reset_back) if resets else (walk_there, walk_back)
        self.states = 1 if resets else 2  # a kernel takes, h and c
        exact = torch.get_float32_matmul_precision() == "highest"
        self.options: dict[str, Any] = {
            "rows": given.rows,
            "nodes": nodes,
            "apart": 1 if hops else ROWS,
            "between": between,
            "hidden": given.hidden,
            "OWN": first,
            "HOPS": hops,
            "REVERSE": int(walk.reverse),
            "ACTIVE": walk.active is not None,
            "PRECISION": "tf32x3" if exact else "tf32",
            "ROWS": _side(nodes),
            "UNITS": _side(given.hidden),
            "num_warps": 8,
            "num_stages": 1,  # more would keep copies of the weights of steps to come, beyond what a chip has
        }
        if not resets:
            maps = len(given.weights) - 1
            self.options |= {"KIND": KINDS[walk.kind], "PEEPHOLES": len(given.own) > 0, "MEMORY_MAP": maps == 2}

    def forward(self, a: Tensor, states: Sequence[Tensor], signals: Sequence[Tensor]) -> None:
        """Walks all steps. a `[gates, T, rows, H]` holds what they are given, and gets their gates; signals
        `[hops, T, rows, H]` get those of each hidden map; states are `[T + 1, rows, H]`."""
        tensors = a, *_filled(states, self.states), *_filled(signals, 2), *self.constant
        with torch.cuda.device_of(a):
            self.there[(self.programs,)](*tensors, steps=a.size(1), **self.options)

    def backward(self, a: Tensor, states: Sequence[Tensor], d: Sequence[Tensor], doutput: Tensor | None) -> Tensor:
        """Their way back: returns the derivatives by what the steps were given; d, those by the last state, become
        those by the first."""
        up, da = d[0] if doutput is None else doutput.contiguous(), torch.empty_like(a)
        tensors = a, da, *_filled(states, self.states), *_filled(d, self.states), up, *self.constant
        with torch.cuda.device_of(a):
            self.back[(self.programs,)](*tensors, steps=a.size(1), OUTPUT=doutput is not None, **self.options)
        return da


def _filled(parts: Sequence[Tensor], places: int) -> list[Tensor]:
    """As many tensors as a kernel takes, of which it does not look at the others."""
    return [*parts, *[parts[0]] * (places - len(parts))]


def _side(size: int) -> int:
    """Of the blocks in a product."""
    return max(16, triton.next_power_of_2(size))
