"""One walk of the fused engine, there and back, over rows: its loop, its buffers and its order of steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.cells import Cell, PeepholeLSTM
from seqgnn.nn.filters import Filter
from seqgnn.nn.fused_cells import FusedCell
from seqgnn.nn.fused_maps import InputMap, LinearMap, NarrowInputMap, StepOperator
from seqgnn.nn.operator import Operator

ROWS = 4096  # a product of more rows is no faster


@dataclass(frozen=True)
class Walk:
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


class Parts:
    """The tensors of a walk, by name."""

    def __init__(self, walk: Walk, tensors: Sequence[Any]) -> None:
        maps, own = len(walk.filters), 3 if isinstance(walk.cell, PeepholeLSTM) else 0
        self.signal, self.bias = tensors[:2]
        self.weights, rest = tensors[2 : 2 + maps], tensors[2 + maps :]
        self.own, rest = rest[:own], rest[own:]
        states = len(rest) - len(walk.distinct)
        self.state, self.values = rest[:states], rest[states:]
        self.steps, self.rows, _ = self.signal.shape[-3:]
        self.gates, self.hidden = self.bias.shape


def there(walk: Walk, given: Parts, keep: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
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
    return windows(output, walk.shape), [windows(part, walk.shape) for part in last], [a, *states, *signals]


class WayBack:
    """The derivatives by the tensors of a walk, from those by what it returned.

    Args:
        walk, given: of the way there.
        kept: what that kept.
        derivatives: by outputs and last states; None stands for zero.
        wanted: which of the tensors' derivatives are asked for.
    """

    def __init__(
        self,
        walk: Walk,
        given: Parts,
        kept: Sequence[Tensor],
        derivatives: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> None:
        self.walk, self.given = walk, given
        self.a, self.states, signals = kept[0], kept[1 : 1 + len(given.state)], kept[1 + len(given.state) :]
        batched = len(walk.shape) == 2
        output, *last = (None if part is None else rows(part, batched) for part in derivatives)
        self.doutput = output if output is None or walk.active is None else torch.where(walk.active, output, 0)
        self.d = [torch.zeros_like(s) if part is None else part.clone() for part, s in zip(last, given.state)]
        self.learnt = wanted[len(wanted) - len(given.values) :]
        self.cell, (self.input_map, *self.hidden_maps), self.operators = _bind(walk, given, signals, self.learnt)
        self.da = given.bias.new_empty(given.gates, _chunk(given), given.rows, given.hidden)
        self.dbias = torch.zeros_like(given.bias)
        self.dsignal = torch.empty_like(given.signal) if wanted[0] else None

    def run(self) -> list[Tensor | None]:
        """In the order of the tensors."""
        gates, dgates, times = self.a.unbind(1), self.da.unbind(1), [part.unbind() for part in self.states]
        for chunk in reversed(list(self.walk.chunks(self.given.steps, self.da.size(1)))):
            for t in reversed(self.walk.order(chunk)):
                self._step(t, gates[t], dgates[t - chunk.start], *self.walk.at(times, t))
            self._learn(slice(chunk.start, chunk.stop), self.da[:, : len(chunk)])
        if self.input_map is not None:
            self.dbias[self.walk.kind.inputs] = self.input_map.dbias
        dweights = [None if map is None else map.dweight for map in (self.input_map, *self.hidden_maps)]
        dvalues = [operator.dvalues for operator in self.operators]
        return [self.dsignal, self.dbias, *dweights, *self.cell.dweights, *self.d, *dvalues]

    def _step(self, t: int, gates: Tensor, dgates: Tensor, before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
        """The way back through one step; where a sequence has no element, its state is that of before."""
        if self.doutput is not None:
            self.d[0].add_(self.doutput[t])
        begins = self.walk.begins(t, self.given.steps)
        maps = [_no_way_back if begins else partial(map.backward, t, t) for map in self.hidden_maps]
        passed: list[Any] = []
        if self.walk.active is not None:
            passed = [torch.where(self.walk.active[t], 0, part) for part in self.d]
            self.d = [torch.where(self.walk.active[t], part, 0) for part in self.d]
        self.d = self.cell.backward(gates, dgates, maps, before, after, self.d)
        for part, by in zip(self.d, passed):
            part.add_(by)

    def _learn(self, steps: slice, da: Tensor) -> None:
        """Adds what some steps contribute to the derivatives by weights and biases; writes those by their signal."""
        kind, first = self.walk.kind, steps.start
        early, late = [part[steps] for part in self.states], [part[1:][steps] for part in self.states]
        before, after = (late, early) if self.walk.reverse else (early, late)
        self.cell.learn(da, before, after)
        for map, gates, z in zip(self.hidden_maps, kind.hidden, self.cell.sources(self.a[:, steps], before)):
            map.learn(first, da[gates].flatten(1, 2), z)
        self.dbias[kind.inputs.stop :] += da[kind.inputs.stop :].sum((1, 2))
        dinputs = da[kind.inputs]
        if self.input_map is None:
            self.dbias[kind.inputs] += dinputs.sum((1, 2))
            if self.dsignal is not None:
                self.dsignal[:, steps] = dinputs
            return
        z = self.given.signal[steps]
        self.input_map.learn(first, dinputs.flatten(1, 2), z)
        if self.dsignal is not None or any(self.learnt):
            dz = self.input_map.derivative(first, dinputs.flatten(1, 2), z)
            if self.dsignal is not None:
                self.dsignal[steps] = dz


def _no_way_back(da: Tensor, z: Tensor) -> Tensor:
    return torch.zeros_like(z)


def _bind(
    walk: Walk, given: Parts, signals: Sequence[Any], learnt: Sequence[bool] = ()
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
        if maps:
            maps.append(LinearMap(*args))
        else:
            kind = NarrowInputMap if weight.size(1) < given.hidden else InputMap
            maps.append(kind(given.bias[walk.kind.inputs], *args))
    return walk.kind(*given.own), maps, operators


def _chunk(given: Parts) -> int:
    """Of how many steps the derivatives are held."""
    return min(given.steps, max(1, ROWS // given.rows))


def _room(filter: Filter | None, weight: Any, steps: int, rows: int) -> Any:
    """For what a filter's recursion makes of so many steps."""
    if filter is None:
        return None
    return weight.new_empty(len(filter.recursion), steps, rows, weight.size(1) // filter.num_terms)


def rows(x: Tensor, batched: bool) -> Tensor:
    """`[..., B, N, F]` as rows `[..., N * B, F]`, nodes first."""
    return x.transpose(-3, -2).flatten(-3, -2) if batched else x


def windows(signal: Tensor, shape: Sequence[int]) -> Tensor:
    """A copy of rows `[..., N * B, F]` as `[..., (B,) N, F]`."""
    apart = signal if len(shape) == 1 else signal.unflatten(-2, (shape[1], shape[0])).transpose(-3, -2)
    return apart.clone(memory_format=torch.contiguous_format)
