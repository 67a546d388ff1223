"""Backpropagation through time written by hand: the loop of :mod:`seqgnn.nn.recurrence` for cells with linear maps.

What is kept of a step are its gates, its state and its filters' signals, in buffers allocated once a call. The input's
part of the gates is one product for all steps; within a step each filter propagates once and one product serves all
gates; the derivatives by the weights are one product for many steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

from seqgnn.nn import cells, fused_cells, recurrence
from seqgnn.nn.cells import Cell, PeepholeLSTM, State
from seqgnn.nn.filters import Filter
from seqgnn.nn.fused_cells import FusedCell
from seqgnn.nn.fused_maps import InputMap, LinearMap, StepOperator
from seqgnn.nn.gate_maps import FilterMap, GateMap, at_every_step
from seqgnn.nn.operator import Operator, plain_tensors
from seqgnn.nn.step_graphs import StepGraph

CELLS: dict[Any, type[FusedCell]] = {
    cells.rnn_tanh: fused_cells.RNN,
    cells.rnn_relu: fused_cells.ReLURNN,
    cells.lstm: fused_cells.LSTM,
    PeepholeLSTM: fused_cells.LSTM,
    cells.memory_map_lstm: fused_cells.MemoryMapLSTM,
    cells.gru: fused_cells.GRU,
    cells.gru_reset_before: fused_cells.GRUResetBefore,
}
ROWS = 4096  # a product of more rows is no faster
DENSE = 32  # up to so many nodes a dense matrix multiplies faster than a sparse one, on the CPU


def ready(x: Tensor) -> bool:
    """Whether :func:`walk` takes such a call: in float32 or float64, outside of autocast, torch.compile, functorch,
    forward-mode derivatives and :func:`seqgnn.nn.recurrence.watch`."""
    return (
        x.dtype in (torch.float32, torch.float64)
        and x.numel() > 0
        and not _transformed()
        and not torch.is_autocast_enabled(x.device.type)
        and not recurrence.watched()
    )


def supports(cell: Cell, hidden_maps: Sequence[GateMap]) -> bool:
    """Whether :func:`walk` takes them: cells of :mod:`seqgnn.nn.cells`, and maps by a filter's recursion."""
    return _key(cell) in CELLS and all(_recursive(map) for map in hidden_maps)


def walk(
    cell: Cell,
    input_map: GateMap,
    hidden_maps: Sequence[Any],
    graphs: Sequence[StepGraph],
    x: Tensor,
    state: State,
    active: Tensor | None = None,
    reverse: bool = False,
    fresh: bool = False,
) -> tuple[Tensor, State]:
    """Walks a cell over x `[T, (B,) N, F]`.

    Args:
        cell, hidden_maps: such as are supported.
        input_map: one by a filter's recursion is part of the walk; any other is called, and autograd goes its way back.
        graphs: those of every step.
        state: before the first step, each tensor `[(B,) N, H]`.
        active, reverse: as in :func:`seqgnn.nn.recurrence.walk`.
        fresh: the state is zero and nobody asks for derivatives by it, so the first step need not look at it.

    Returns:
        The outputs `[T, (B,) N, H]` and the state after the last step walked.
    """
    kind, batched = CELLS[_key(cell)], x.dim() == 4
    hidden = state[0].size(-1)
    inside = input_map if _recursive(input_map) else None
    if inside is not None:
        signal = _rows(x, batched).contiguous()
        weight = _in_order(inside.weight.unflatten(0, (-1, hidden)), kind).flatten(0, 1)
        bias = None if inside.bias is None else _in_order(inside.bias.view(-1, hidden), kind)
    else:
        gx = _rows(at_every_step(input_map, x, graphs), batched)
        signal, weight, bias = _in_order(gx.unflatten(-1, (-1, hidden)).movedim(-2, 0), kind), None, None
    maps: list[Any] = [inside, *hidden_maps]
    operators = {map.filter: _operators(map.filter, x, graphs) for map in maps if map is not None}
    distinct = list({id(op): op for steps in operators.values() for step in steps for op in step}.values())
    if active is not None:
        active = _rows(active.expand(*x.shape[:-1], 1), batched)
    what = _Walk(
        cell,
        kind,
        [None if map is None else map.filter for map in maps],
        operators,
        distinct,
        _dense(distinct, signal, *(() if fresh else state)),
        x.shape[1:-1],
        active,
        reverse,
        fresh,
    )
    tensors = (
        signal,
        _bias(kind, bias, [map.bias for map in hidden_maps], state[0]),
        weight,
        *(map.weight for map in hidden_maps),
        *((cell.weight_ci, cell.weight_cf, cell.weight_co) if isinstance(cell, PeepholeLSTM) else ()),
        *(_rows(part, batched) for part in state),
        *(operator.values_as(x.dtype) for operator in distinct),
    )
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        output, *last = _Fused.apply(what, *tensors)
    else:
        output, last, _ = _there(what, _Parts(what, tensors), keep=False)
    return output, tuple(last)


@dataclass(frozen=True)
class _Walk:
    """A walk but for its tensors.

    Args:
        cell: its equations, and `kind`, the same with the way back.
        filters: of the input map, None where the signal is what the input contributes, and of the hidden maps.
        operators: of each filter at every step; `distinct`: each of them once.
        dense: whether these are dense matrices in products.
        shape: `[(B,) N]`.
        active: `[T, rows, 1]` or None.
        reverse: from the last step to the first.
        fresh: the first step has no state to look at.
    """

    cell: Cell
    kind: type[FusedCell]
    filters: Sequence[Filter | None]
    operators: dict[Filter, list[tuple[Operator, ...]]]
    distinct: Sequence[Operator]
    dense: bool
    shape: Sequence[int]
    active: Tensor | None
    reverse: bool
    fresh: bool

    def at(self, state: Sequence[Any], step: int) -> tuple[list[Tensor], list[Tensor]]:
        """The state before and after a step, of tensors at T + 1 times."""
        before, after = (step + 1, step) if self.reverse else (step, step + 1)
        return [part[before] for part in state], [part[after] for part in state]

    def order(self, steps: range) -> range:
        return steps[::-1] if self.reverse else steps

    def begins(self, step: int, steps: int) -> bool:
        """Whether there is nothing before a step."""
        return self.fresh and step == self.order(range(steps))[0]

    def chunks(self, steps: int, size: int) -> Iterator[range]:
        """The steps as they are walked, some at a time, each chunk in the order of the calendar."""
        for first in self.order(range(0, steps, size)):
            yield range(first, min(first + size, steps))


class _Parts:
    """The tensors of a walk, by name."""

    def __init__(self, walk: _Walk, tensors: Sequence[Any]) -> None:
        maps, own = len(walk.filters), 3 if isinstance(walk.cell, PeepholeLSTM) else 0
        self.signal, self.bias = tensors[:2]
        self.weights, rest = tensors[2 : 2 + maps], tensors[2 + maps :]
        self.own, rest = rest[:own], rest[own:]
        states = len(rest) - len(walk.distinct)
        self.state, self.values = rest[:states], rest[states:]
        self.steps, self.rows, _ = self.signal.shape[-3:]
        self.gates, self.hidden = self.bias.shape


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, walk: _Walk, *tensors: Tensor | None) -> Any:
        output, last, kept = _there(walk, _Parts(walk, tensors), keep=True)
        ctx.walk, ctx.inputs = walk, len(tensors)
        ctx.save_for_backward(*tensors, *kept)
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, *derivatives: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        tensors, kept = saved[: ctx.inputs], saved[ctx.inputs :]
        wanted = ctx.needs_input_grad[1:]
        if all(part is None for part in derivatives):
            return None, *(None for _ in wanted)
        if torch.is_grad_enabled() or _transformed(*derivatives):
            return None, *_differentiable(ctx.walk, tensors, wanted, derivatives)
        found = _back(ctx.walk, _Parts(ctx.walk, tensors), kept, derivatives, wanted)
        return None, *(part if want else None for part, want in zip(found, wanted))


def _there(walk: _Walk, given: _Parts, keep: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Outputs, the state at the end and, to `keep` for the way back, gates, states and signals."""
    size = given.steps if keep else _chunk(given)
    like, kind = given.bias, walk.kind
    a = like.new_empty(given.gates, size, given.rows, given.hidden)
    states = [like.new_empty(given.steps + 1, given.rows, given.hidden) for _ in given.state]
    signals = [_room(filter, weight, size, given.rows) for filter, weight in zip(walk.filters, given.weights)]
    cell, (input_map, *hidden_maps), _ = _bind(walk, given, signals)
    for part, start in zip(states, given.state):
        part[-1 if walk.reverse else 0] = start
    gates, times = a.unbind(1), [part.unbind() for part in states]
    for chunk in walk.chunks(given.steps, size):
        pre, bias = a[:, : len(chunk)], given.bias[:, None, None]
        pre[kind.inputs.stop :] = bias[kind.inputs.stop :]
        if input_map is None:
            torch.add(given.signal[:, chunk.start : chunk.stop], bias[kind.inputs], out=pre[kind.inputs])
        else:
            z = given.signal[chunk.start : chunk.stop]
            input_map.write(chunk.start, z, pre[kind.inputs].flatten(1, 2))
        for t in walk.order(chunk):
            place, (before, after) = t - chunk.start, walk.at(times, t)
            if walk.begins(t, given.steps):
                maps = [partial(map.forward_zero, place) for map in hidden_maps]
            else:
                maps = [partial(map.forward, t, place) for map in hidden_maps]
            cell.forward(gates[place], maps, before, after)
            if walk.active is not None:
                for new, old in zip(after, before):
                    torch.where(walk.active[t], new, old, out=new)
    h = states[0][:-1] if walk.reverse else states[0][1:]
    output = h if walk.active is None else torch.where(walk.active, h, 0)
    last = [part[0 if walk.reverse else -1] for part in states]
    return _windows(output, walk.shape), [_windows(part, walk.shape) for part in last], [a, *states, *signals]


def _back(
    walk: _Walk, given: _Parts, kept: Sequence[Tensor], derivatives: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The derivatives by the tensors of a walk, from those by what it returned."""
    a, *rest = kept
    states, signals = rest[: len(given.state)], rest[len(given.state) :]
    kind, like = walk.kind, given.bias
    doutput, *dlast = derivatives
    batched = len(walk.shape) == 2
    if doutput is not None:
        doutput = _rows(doutput, batched)
        doutput = doutput if walk.active is None else torch.where(walk.active, doutput, 0)
    d = [torch.zeros_like(s) if part is None else _rows(part, batched).clone() for part, s in zip(dlast, given.state)]
    learnt = wanted[len(wanted) - len(given.values) :]
    cell, (input_map, *hidden_maps), operators = _bind(walk, given, signals, learnt)
    size = _chunk(given)
    da = like.new_empty(given.gates, size, given.rows, given.hidden)
    dbias, dsignal = torch.zeros_like(like), torch.empty_like(given.signal) if wanted[0] else None
    gates, dgates, times = a.unbind(1), da.unbind(1), [part.unbind() for part in states]
    for chunk in reversed(list(walk.chunks(given.steps, size))):
        for t in reversed(walk.order(chunk)):
            if doutput is not None:
                d[0].add_(doutput[t])
            before, after = walk.at(times, t)
            begins = walk.begins(t, given.steps)
            maps = [_no_way_back if begins else partial(map.backward, t, t) for map in hidden_maps]
            passed: list[Any] = []
            if walk.active is not None:
                passed = [torch.where(walk.active[t], 0, part) for part in d]
                d = [torch.where(walk.active[t], part, 0) for part in d]
            d = cell.backward(gates[t], dgates[t - chunk.start], maps, before, after, d)
            for part, by in zip(d, passed):
                part.add_(by)
        steps, found = slice(chunk.start, chunk.stop), da[:, : len(chunk)]
        first, last = [part[steps] for part in states], [part[1:][steps] for part in states]
        before, after = (last, first) if walk.reverse else (first, last)
        cell.learn(found, before, after)
        for map, rows, z in zip(hidden_maps, kind.hidden, cell.sources(a[:, steps], before)):
            map.learn(chunk.start, found[rows].flatten(1, 2), z)
        dbias[kind.inputs.stop :] += found[kind.inputs.stop :].sum((1, 2))
        if input_map is None:
            dbias[kind.inputs] += found[kind.inputs].sum((1, 2))
            if dsignal is not None:
                dsignal[:, steps] = found[kind.inputs]
        else:
            z, dinputs = given.signal[steps], found[kind.inputs].flatten(1, 2)
            input_map.learn(chunk.start, dinputs, z)
            if dsignal is not None or any(learnt):
                dz = input_map.derivative(chunk.start, dinputs, z)
                if dsignal is not None:
                    dsignal[steps] = dz
    if input_map is not None:
        dbias[kind.inputs] = input_map.dbias
    dweights = [None if map is None else map.dweight for map in (input_map, *hidden_maps)]
    return [dsignal, dbias, *dweights, *cell.dweights, *d, *(operator.dvalues for operator in operators)]


def _no_way_back(da: Tensor, z: Tensor) -> Tensor:
    return torch.zeros_like(z)


def _bind(
    walk: _Walk, given: _Parts, signals: Sequence[Any], learnt: Sequence[bool] = ()
) -> tuple[FusedCell, list[Any], list[StepOperator]]:
    """The cell, the maps and the operators with their tensors."""
    learnt = learnt or [False] * len(given.values)
    operators = [StepOperator(*parts, walk.dense) for parts in zip(walk.distinct, given.values, learnt)]
    by_id = {id(operator): bound for operator, bound in zip(walk.distinct, operators)}
    maps: list[Any] = []
    for filter, weight, room in zip(walk.filters, given.weights, signals):
        if filter is None:
            maps.append(None)
            continue
        steps = [[by_id[id(op)] for op in step] for step in walk.operators[filter]]
        args = filter, steps, weight, given.hidden, room
        maps.append(LinearMap(*args) if maps else InputMap(given.bias[walk.kind.inputs], *args))
    return walk.kind(*given.own), maps, operators


def _differentiable(
    walk: _Walk, tensors: Sequence[Any], wanted: Sequence[bool], derivatives: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same derivatives by way of the equations, of which autograd can take derivatives again.

    They are taken by views of the tensors, since one tensor may come from another, such as a state from the input.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        tensors = [None if tensor is None else tensor.view_as(tensor) for tensor in tensors]
        output, last = _equations(walk, _Parts(walk, tensors))
    parts, ds = zip(*((part, d) for part, d in zip((output, *last), derivatives) if d is not None))
    inputs = [tensor for tensor, want in zip(tensors, wanted) if want]
    found = iter(torch.autograd.grad(parts, inputs, ds, create_graph=again, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def _equations(walk: _Walk, given: _Parts) -> tuple[Tensor, State]:
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
        signals, operators = [z], walk.operators[filter][step]
        for hop in filter.recursion:
            heard = hop.scale * times(operators[hop.operator], signals[hop.source])
            signals.append(heard if hop.minus is None else heard - signals[hop.minus])
        basis = torch.cat(signals if filter.keeps_own else signals[1:], dim=-1)
        return F.linear(basis, given.weights[number], bias.flatten())

    if walk.filters[0] is None:
        gx = given.signal.movedim(0, -2) + given.bias[kind.inputs]
    else:
        inputs = [linear(0, t, z, given.bias[kind.inputs]) for t, z in enumerate(given.signal)]
        gx = torch.stack(inputs).unflatten(-1, (-1, given.hidden))
    gx = torch.stack([gx[..., kind.order.index(gate), :] for gate in range(len(kind.order))], dim=-2).flatten(-2)
    own = torch.cat([torch.zeros_like(given.bias[kind.inputs]), given.bias[kind.inputs.stop :]])
    maps = []
    for t in range(given.steps):
        parts = tuple(
            partial(lambda number, t, h: linear(number, t, h, own[kind.hidden[number - 1]]), number, t)
            for number in range(1, len(walk.filters))
        )
        maps.append(parts[0] if len(parts) == 1 else parts)
    cell = PeepholeLSTM(*given.own) if given.own else walk.cell
    output, last = recurrence.walk(cell, gx, maps, tuple(given.state), walk.active, walk.reverse)
    return _windows(output, walk.shape), tuple(_windows(part, walk.shape) for part in last)


def _transformed(*derivatives: Tensor | None) -> bool:
    """Whether functorch, torch.compile or forward-mode derivatives are at work, or many `derivatives` go as one."""
    if not plain_tensors() or torch.autograd.forward_ad._current_level >= 0:
        return True
    return any(part is not None and torch._C._functorch.is_legacy_batchedtensor(part) for part in derivatives)


def _recursive(map: GateMap) -> TypeGuard[FilterMap]:
    """Whether a map is a filter's, and the filter its recursion."""
    if not isinstance(map, FilterMap) or type(map.filter).basis is not Filter.basis:
        return False
    return len(map.filter.recursion) + map.filter.keeps_own == map.filter.num_terms


def _key(cell: Cell) -> Any:
    return PeepholeLSTM if isinstance(cell, PeepholeLSTM) else cell


def _chunk(given: _Parts) -> int:
    """Of how many steps the derivatives are held."""
    return min(given.steps, max(1, ROWS // given.rows))


def _room(filter: Filter | None, weight: Any, steps: int, rows: int) -> Any:
    """For what a filter's recursion makes of so many steps."""
    if filter is None:
        return None
    return weight.new_empty(len(filter.recursion), steps, rows, weight.size(1) // filter.num_terms)


def _operators(filter: Filter, x: Tensor, graphs: Sequence[StepGraph]) -> list[tuple[Operator, ...]]:
    if not filter.recursion:
        return [()] * len(x)
    found = {id(graph): filter.operators(x, graph.prepared) for graph in {id(g): g for g in graphs}.values()}
    return [found[id(graph)] for graph in graphs]


def _dense(operators: Sequence[Operator], *signals: Tensor) -> bool:
    """Whether operators are better dense: few nodes, and no inf or nan, which zeros would carry to all of them."""
    small = len(operators) > 0 and operators[0].pattern.num_nodes <= DENSE and signals[0].device.type == "cpu"
    return small and all(math.isfinite(signal.detach().sum()) for signal in signals)


def _in_order(gates: Tensor, kind: type[FusedCell]) -> Tensor:
    """What the input contributes `[gates, ...]`, as the fused cell has its gates."""
    return gates if list(kind.order) == sorted(kind.order) else gates[list(kind.order)]


def _bias(kind: type[FusedCell], input_bias: Tensor | None, biases: Sequence[Tensor | None], state: Tensor) -> Tensor:
    """The sum of all biases, `[gates, H]`."""
    total = state.new_zeros(kind.gates, state.size(-1))
    for rows, bias in zip((kind.inputs, *kind.hidden), (input_bias, *biases)):
        if bias is not None:
            gates, others = bias.view(-1, state.size(-1)), (rows.start, kind.gates - rows.stop)
            total = total + (F.pad(gates, (0, 0, *others)) if any(others) else gates)
    return total


def _rows(x: Tensor, batched: bool) -> Tensor:
    """`[..., B, N, F]` as rows `[..., N * B, F]`, nodes first."""
    return x.transpose(-3, -2).flatten(-3, -2) if batched else x


def _windows(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """A copy of rows `[..., N * B, F]` as `[..., (B,) N, F]`."""
    windows = rows if len(shape) == 1 else rows.unflatten(-2, (shape[1], shape[0])).transpose(-3, -2)
    return windows.clone(memory_format=torch.contiguous_format)
