"""The scan of the fused engine under autograd, for double backward."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.functional import HiddenProjection, PeepholeLSTM, State
from seqgnn.nn.scan.fused.passes import ScanSpec, ScanTensors, windows
from seqgnn.nn.scan.reference import unroll


def equations(spec: ScanSpec, all_tensors: Sequence[Any]) -> tuple[Tensor, State]:
    """Return the output and the last state of a scan by the equations of its cell."""
    tensors = ScanTensors(spec, all_tensors)
    kind, nodes = spec.kind, spec.shape[-1]
    values = {id(operator): part for operator, part in zip(spec.distinct, tensors.values)}

    def times(operator: Operator, z: Tensor) -> Tensor:
        x, pattern = z.reshape(nodes, -1), operator.pattern
        terms = x.index_select(0, pattern.col) * values[id(operator)][:, None]
        return torch.index_add(torch.zeros_like(x), 0, pattern.row, terms).view(z.shape)

    def linear(number: int, step: int, z: Tensor, bias: Tensor) -> Tensor:
        filter = spec.filters[number]
        assert filter is not None
        operators = spec.operators[filter][step]
        basis = torch.cat(filter.follow(z, lambda k, z: times(operators[k], z)), dim=-1)
        return F.linear(basis, tensors.weights[number], bias.flatten())

    def hidden_projection(number: int, step: int) -> HiddenProjection:
        return lambda h: linear(number, step, h, hidden_bias[kind.hidden[number - 1]])

    if spec.filters[0] is None:
        gx = tensors.signal.movedim(0, -2) + tensors.bias[kind.inputs]
    else:
        inputs = [linear(0, t, z, tensors.bias[kind.inputs]) for t, z in enumerate(tensors.signal)]
        gx = torch.stack(inputs).unflatten(-1, (-1, tensors.hidden))
    gx = torch.stack([gx[..., kind.order.index(gate), :] for gate in range(len(kind.order))], dim=-2).flatten(-2)
    hidden_bias = torch.cat([torch.zeros_like(tensors.bias[kind.inputs]), tensors.bias[kind.inputs.stop :]])
    hidden_projections: list[Any] = []
    for step in range(tensors.steps):
        first, *rest = [hidden_projection(number, step) for number in range(1, len(spec.filters))]
        hidden_projections.append((first, *rest) if rest else first)
    cell = PeepholeLSTM(*tensors.peepholes) if tensors.peepholes else spec.cell
    output, last = unroll(cell, gx, hidden_projections, tuple(tensors.state), spec.active, spec.reverse)
    return windows(output, spec.shape), tuple(windows(part, spec.shape) for part in last)
