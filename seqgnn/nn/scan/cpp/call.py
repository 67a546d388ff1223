"""The structure of a call of the compiled library."""

import functools
from ctypes import byref
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.library import CallStruct, HopStruct, OperatorStruct, ProjectionStruct
from seqgnn.nn.scan.cpp.spec import ScanSpec, ScanTensors

# With fewer multiplications, waking the other threads takes longer than they save.
PARALLEL = 2_000_000
ROWS = 48  # of a window of sequences without a graph
DENSITY, MAX_DENSE = 0.4, 2**24  # entries per element and elements of a matrix that is multiplied as a dense one


class Call:
    """The structure of one call, with all that it points to.

    Args:
        spec, tensors: description and tensors of the scan.
    """

    def __init__(self, spec: ScanSpec, tensors: ScanTensors) -> None:
        self.kept: list[Any] = []
        self.pool = spec.pool
        self.struct = struct = CallStruct()
        steps, rows, hidden = tensors.signal.size(0), spec.shape.numel(), tensors.state[0].size(-1)
        work = steps * rows * sum(weight.numel() for weight in tensors.weights if weight is not None)
        struct.threads = spec.threads if work >= PARALLEL else 1
        nodes = spec.shape[-1] if spec.distinct else min(ROWS, -(-rows // struct.threads))
        struct.steps, struct.nodes, struct.rows, struct.hidden = steps, nodes, rows, hidden
        struct.windows = -(-rows // nodes)
        struct.cell, struct.reverse, struct.zero_state = spec.kind.number, spec.reverse, spec.inputs.zero_state
        self.is_double = tensors.signal.dtype == torch.float64
        if spec.projections[0] is not None:
            struct.x = self.pointer(tensors.signal)
        else:
            struct.pre = self.pointer(tensors.signal)
        if spec.inputs.active is not None:
            active = spec.inputs.active.expand(*tensors.signal.shape[:-1], 1)
            struct.active = self.pointer(active.to(torch.uint8))
        for place, part in enumerate(tensors.peepholes):
            struct.peepholes[place] = self.pointer(part)
        for place, part in enumerate(tensors.state):
            struct.first[place] = self.pointer(part)
        self._set_operators(spec, tensors)
        self._set_projections(spec, tensors)

    def pointer(self, tensor: Tensor | None) -> int | None:
        """Return the address of a tensor's values, contiguous, which stay there as long as this object."""
        if tensor is None:
            return None
        if not tensor.is_contiguous():
            tensor = library.empty(tensor.shape, tensor.dtype).copy_(tensor)
        self.kept.append(tensor)
        return tensor.data_ptr()

    def _set_operators(self, spec: ScanSpec, tensors: ScanTensors) -> None:
        self.operators = (OperatorStruct * len(spec.distinct))()
        for place, (operator, values) in enumerate(zip(spec.distinct, tensors.values)):
            struct, matrices = _operator_struct(operator, values)
            self.operators[place] = struct
            self.kept.append(matrices)
        self.struct.num_operators = len(self.operators)
        self.struct.operators = self._address(self.operators)

    def _set_projections(self, spec: ScanSpec, tensors: ScanTensors) -> None:
        indices = {id(operator): index for index, operator in enumerate(spec.distinct)}
        self.projections = (ProjectionStruct * len(spec.projections))()
        for struct, projection, weight, bias in zip(
            self.projections, spec.projections, tensors.weights, tensors.biases
        ):
            if projection is None:
                continue
            filter = projection.filter
            struct.weight, struct.bias = self.pointer(weight), self.pointer(bias)
            hops = _hop_structs(filter)
            struct.num_hops, struct.hops = len(hops), self._address(hops)
            every = spec.operators[filter]
            struct.per_step = len(every) > 1
            places = [indices[id(op)] for step in every for op in step]
            struct.operators = self._address((library.int32 * len(places))(*places))
            struct.num_operators, struct.keeps_input = len(every[0]), filter.keeps_input
            struct.channels = weight.size(1) // filter.num_terms
        self.struct.num_projections = len(self.projections)
        self.struct.projections = self._address(self.projections)

    def _address(self, structs: Any) -> Any:
        self.kept.append(structs)
        return library.address(structs)

    def run(self, backward: bool) -> None:
        """Run the forward or the backward pass."""
        compiled = library.load()[0]
        workspace = self.pool.take(compiled.seqgnn_workspace_bytes(byref(self.struct), self.is_double, backward))
        self.struct.workspace = workspace.data_ptr()
        compiled.seqgnn_run(byref(self.struct), self.is_double, backward)
        self.pool.give(workspace)


_operator_structs: WeakKeyDictionary[Operator, dict[torch.dtype, tuple[OperatorStruct, list[Tensor]]]]
_operator_structs = WeakKeyDictionary()


def _operator_struct(operator: Operator, values: Tensor) -> tuple[OperatorStruct, list[Tensor]]:
    """Return the structure of an operator and the matrices that it points to; cached unless gradients flow through its
    values."""
    by_dtype = _operator_structs.setdefault(operator, {})
    if values.dtype in by_dtype:
        return by_dtype[values.dtype]
    struct, matrices = OperatorStruct(), []
    nodes = operator.pattern.num_nodes
    is_dense = operator.pattern.row.numel() >= DENSITY * nodes**2 and nodes**2 <= MAX_DENSE
    for prefix, transposed in (("", False), ("back_", True)):
        sparse = operator.csr(values, transposed)
        parts = {"pointers": sparse.crow_indices(), "columns": sparse.col_indices(), "values": sparse.values()}
        if is_dense:
            parts["dense"] = operator.matrix(values, transposed, dense=True)
        for name, part in parts.items():
            setattr(struct, prefix + name, part.data_ptr())
            matrices.append(part)
    if not operator.values.requires_grad:
        by_dtype[values.dtype] = struct, matrices
    return struct, matrices


@functools.lru_cache(maxsize=64)
def _hop_structs(filter: Filter) -> Any:
    """Return the structures of a filter's recursion."""
    hops = (HopStruct * len(filter.recursion))()
    for hop, step in zip(hops, filter.recursion):
        hop.operator, hop.source, hop.scale = step.operator, step.source, step.scale
        hop.minus = -1 if step.minus is None else step.minus
    return hops
