"""A walk of the fused engine by way of the equations, where autograd is to take derivatives of derivatives."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.functional import HiddenProjection, PeepholeLSTM, State
from seqgnn.nn.scan.fused.passes import Parts, Walk, windows
from seqgnn.nn.scan.reference import reference_scan


def differentiable(
    walk: Walk, tensors: Sequence[Any], wanted: Sequence[bool], derivatives: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same derivatives by way of the equations, of which autograd can take derivatives again.

    They are taken by views of the tensors, since one tensor may come from another, such as a state from the input.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        tensors = [None if tensor is None else tensor.view_as(tensor) for tensor in tensors]
        output, last = _equations(walk, Parts(walk, tensors))
    parts, ds = zip(*((part, d) for part, d in zip((output, *last), derivatives) if d is not None))
    inputs = [tensor for tensor, want in zip(tensors, wanted) if want]
    found = iter(torch.autograd.grad(parts, inputs, ds, create_graph=again, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def _equations(walk: Walk, given: Parts) -> tuple[Tensor, State]:
    """The same walk under autograd."""
    kind, nodes = walk.kind, walk.shape[-1]
    values = {id(operator): part for operator, part in zip(walk.distinct, given.values)}

    def times(operator: Operator, z: Tensor) -> Tensor:
        x, pattern = z.reshape(nodes, -1), operator.pattern
        terms = x.index_select(0, pattern.col) * values[id(operator)][:, None]
        return torch.index_add(torch.zeros_like(x), 0, pattern.row, terms).view(z.shape)

    def linear(number: int, step: int, z: Tensor, bias: Tensor) -> Tensor:
        filter = walk.filters[number]
        assert filter is not None
        operators = walk.operators[filter][step]
        basis = torch.cat(filter.follow(z, lambda k, z: times(operators[k], z)), dim=-1)
        return F.linear(basis, given.weights[number], bias.flatten())

    def hidden_projection(number: int, step: int) -> HiddenProjection:
        return lambda h: linear(number, step, h, own[kind.hidden[number - 1]])

    if walk.filters[0] is None:
        gx = given.signal.movedim(0, -2) + given.bias[kind.inputs]
    else:
        inputs = [linear(0, t, z, given.bias[kind.inputs]) for t, z in enumerate(given.signal)]
        gx = torch.stack(inputs).unflatten(-1, (-1, given.hidden))
    gx = torch.stack([gx[..., kind.order.index(gate), :] for gate in range(len(kind.order))], dim=-2).flatten(-2)
    own = torch.cat([torch.zeros_like(given.bias[kind.inputs]), given.bias[kind.inputs.stop :]])
    maps: list[Any] = []
    for step in range(given.steps):
        first, *others = [hidden_projection(number, step) for number in range(1, len(walk.filters))]
        maps.append((first, *others) if others else first)
    cell = PeepholeLSTM(*given.own) if given.own else walk.cell
    output, last = reference_scan(cell, gx, maps, tuple(given.state), walk.active, walk.reverse)
    return windows(output, walk.shape), tuple(windows(part, walk.shape) for part in last)
