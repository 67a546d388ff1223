"""What describes a scan, and its tensors by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.cpp import library
from seqgnn.nn.scan.cpp.buffers import BufferPool
from seqgnn.nn.scan.functional import PeepholeLSTM, cell_key
from seqgnn.nn.scan.gates import FilterProjection, LinearProjection, RecurrentUnit
from seqgnn.nn.scan.graph_inputs import StepInputs


@dataclass(frozen=True)
class CellKind:
    """A cell of the library: its number in `call.h`, the number of gates to which the input's projection and the hidden
    ones contribute, and whether its output is o * tanh(c)."""

    number: int
    gates: tuple[int, ...]
    is_output_gated: bool = False


CELLS: dict[Any, CellKind] = {
    cells.rnn_tanh: CellKind(0, (1, 1)),
    cells.rnn_relu: CellKind(1, (1, 1)),
    cells.lstm: CellKind(2, (4, 4), True),
    PeepholeLSTM: CellKind(3, (4, 4), True),
    cells.conv_cell_state_lstm: CellKind(4, (4, 4, 1), True),
    cells.gru: CellKind(5, (3, 3)),
    cells.gru_reset_before: CellKind(6, (3, 2, 1)),
}


@dataclass(frozen=True, eq=False)
class ScanSpec:
    """The description of a scan without its tensors.

    Args:
        unit: cell and projections.
        inputs: graphs and active sequences of each step.
        projections: that of the input, None if it is computed outside of the scan, and the hidden ones.
        operators: operators of each filter at every step, or once if the graph does not change.
        distinct: each of these operators once.
        shape: `[(B,) N]`, or `[B]` of a layer without a graph.
        reverse: whether the scan runs from the last step to the first.
        threads: at most so many; the backward pass needs as many as the forward pass.
        pool: buffers of this layer and direction.
    """

    unit: RecurrentUnit
    inputs: StepInputs
    projections: Sequence[FilterProjection | LinearProjection | None]
    operators: dict[Filter, list[tuple[Operator, ...]]]
    distinct: Sequence[Operator]
    shape: torch.Size
    reverse: bool
    threads: int
    pool: BufferPool

    @property
    def kind(self) -> CellKind:
        return CELLS[cell_key(self.unit.cell)]

    def operators_at(self, filter: Filter, step: int) -> tuple[Operator, ...]:
        """Return the operators of a filter at one step."""
        every = self.operators[filter]
        return every[step if len(every) > 1 else 0]

    def fits(self, tensors: "ScanTensors", x: Tensor) -> bool:
        """Return True if the library can read the tensors of a scan over x: no subclasses, on the CPU, of one dtype and
        of the shapes that cell and filters imply."""
        hidden = tensors.state[0].size(-1)
        for place, (projection, weight, bias) in enumerate(zip(self.projections, tensors.weights, tensors.biases)):
            if projection is None:
                continue
            rows, channels = self.kind.gates[place] * hidden, hidden if place else x.size(-1)
            if weight.shape != (rows, projection.filter.num_terms * channels):
                return False
            if bias is not None and bias.shape != (rows,):
                return False
        if any(part.shape != (hidden,) for part in tensors.peepholes):
            return False
        return library.can_read(tensors.all(), x)

    @property
    def recomputes_output(self) -> bool:
        """True if the backward pass recomputes the outputs; not with lengths, as ended sequences keep their state."""
        return self.kind.is_output_gated and self.inputs.active is None


class ScanTensors:
    """The tensors of a scan, by name."""

    def __init__(self, spec: ScanSpec, tensors: Sequence[Any]) -> None:
        self.signal, rest = tensors[0], list(tensors[1:])

        def take(count: int) -> list[Any]:
            taken, rest[:] = rest[:count], rest[count:]
            return taken

        self.weights, self.biases = take(len(spec.projections)), take(len(spec.projections))
        self.peepholes = take(3 if isinstance(spec.unit.cell, PeepholeLSTM) else 0)
        self.state, self.values = take(len(rest) - len(spec.distinct)), rest

    def all(self) -> list[Any]:
        return [self.signal, *self.weights, *self.biases, *self.peepholes, *self.state, *self.values]
