"""One walk of the fused engine, there and back, over rows: its loop, its buffers and its order of steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.functional import Cell, PeepholeLSTM
from seqgnn.nn.scan.fused.cells import FusedCell, OutputGated
from seqgnn.nn.scan.fused.linear import InputMap, LinearMap, NarrowInputMap, StepOperator

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
        loop: what takes many steps at once, :class:`seqgnn.nn.scan.triton.scan.Loop`, or None.
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
    loop: Any = None

    def at(self, state: Sequence[Any], step: int) -> tuple[list[Tensor], list[Tensor]]:
        """The state before and after a step, of tensors at T + 1 times."""
        before, after = (step + 1, step) if self.reverse else (step, step + 1)
        return [part[before] for part in state], [part[after] for part in state]

    @property
    def recalls(self) -> bool:
        """Whether the way back makes the outputs again; where sequences end they are those of steps before."""
        return issubclass(self.kind, OutputGated) and self.active is None and self.loop is None

    def chunk(self, given: "Parts") -> int:
        """Of how many steps derivatives, signals and outputs made again are held: all, where these are one launch."""
        return given.steps if self.loop is not None else min(given.steps, max(1, ROWS // given.rows))

    def order(self, steps: Any) -> Any:
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
    """Outputs, the state at the end and, to `keep` for the way back, gates, states and, if those of all steps are held
    anyway, signals."""
    size, like, kind = walk.chunk(given), given.bias, walk.kind
    keep_gates = keep and kind.looks_back
    a = like.new_empty(given.gates, given.steps if keep_gates else size, given.rows, given.hidden)
    loop = walk.loop and walk.loop(walk, given)
    lasting = [bool(loop) or (keep and not (walk.recalls and part == 0)) for part in range(len(given.state))]
    states = [like.new_empty(given.steps + 1 if lasts else 2, given.rows, given.hidden) for lasts in lasting]
    times = [part.unbind() * (1 if lasts else given.steps // 2 + 1) for part, lasts in zip(states, lasting)]
    signals = _rooms(walk, given)
    cell, (input_projection, *hidden_projections), _ = _bind(walk, given, signals)
    for part, start in zip(times, given.state):
        part[given.steps if walk.reverse else 0].copy_(start)
    gates, output = a.unbind(1), like.new_empty(given.steps, *walk.shape, given.hidden)
    for chunk in walk.chunks(given.steps, size):
        first = chunk.start if keep_gates else 0
        pre, bias = a[:, first : first + len(chunk)], given.bias[:, None, None]
        if kind.inputs.stop < given.gates:
            pre[kind.inputs.stop :] = bias[kind.inputs.stop :]
        if input_projection is None:
            torch.add(given.signal[:, chunk.start : chunk.stop], bias[kind.inputs], out=pre[kind.inputs])
        else:
            z = given.signal[chunk.start : chunk.stop]
            input_projection.write(chunk.start, z, pre[kind.inputs].flatten(1, 2))
        if loop is not None:
            loop.forward(a, states, signals[1:])
            h = states[0][:-1] if walk.reverse else states[0][1:]
            output.copy_(_apart(h if walk.active is None else torch.where(walk.active, h, 0), walk.shape))
            break
        for t in walk.order(chunk):
            place, (before, after) = t - chunk.start, walk.at(times, t)
            if walk.begins(t, given.steps):
                maps = [partial(map.forward_zero, place) for map in hidden_projections]
            else:
                maps = [partial(map.forward, t, place) for map in hidden_projections]
            cell.forward(gates[first + place], maps, before, after)
            h = after[0]
            if walk.active is not None:
                h = torch.where(walk.active[t], h, 0)
                for new, old in zip(after, before):
                    torch.where(walk.active[t], new, old, out=new)
            output[t] = _apart(h, walk.shape)
    last = [windows(part[0 if walk.reverse else given.steps], walk.shape) for part in times]
    kept = [part for part, lasts in zip(states, lasting) if lasts]
    return output, last, [*([a] if keep_gates else []), *kept, *(signals if size == given.steps else ())]


class WayBack:
    """The derivatives by the tensors of a walk, from those by what it returned.

    Args:
        walk, given: of the way there.
        kept: what that kept.
        derivatives: by outputs and last states; None stands for zero.
        wanted: which of the tensors' derivatives are asked for.
        again: whether this way may be gone again, so that what was kept must stay; else derivatives take the places of
            gates.
    """

    def __init__(
        self,
        walk: Walk,
        given: Parts,
        kept: Sequence[Tensor],
        derivatives: Sequence[Tensor | None],
        wanted: Sequence[bool],
        again: bool,
    ) -> None:
        self.walk, self.given, self.again = walk, given, again
        if walk.kind.looks_back:
            self.a, *kept = kept
        else:
            self.a = given.bias.new_empty(given.gates, walk.chunk(given), given.rows, given.hidden)
        states = len(given.state) - walk.recalls
        self.states, signals = kept[:states], kept[states:]
        self.times = [part.unbind() for part in self.states]
        self.outputs = given.bias.new_empty(walk.chunk(given), given.rows, given.hidden) if walk.recalls else None
        self.batched = len(walk.shape) == 2
        self.doutput, *last = derivatives
        self.d = [
            start.new_zeros(start.shape)
            if part is None
            else rows(part, self.batched).clone(memory_format=torch.contiguous_format)
            for part, start in zip(last, given.state)
        ]
        self.learned = wanted[len(wanted) - len(given.values) :]
        self.cell, (self.input_projection, *self.hidden_projections), self.operators = _bind(
            walk, given, signals or _rooms(walk, given), self.learned
        )
        self.cell.scratch = given.bias.new_empty(2, given.rows, given.hidden).unbind()
        self.dbias = torch.zeros_like(given.bias)
        self.dsignal = torch.empty_like(given.signal) if wanted[0] else None

    def run(self) -> list[Tensor | None]:
        """In the order of the tensors."""
        gates = self.a.unbind(1)
        loop = None if any(self.learned) else self.walk.loop and self.walk.loop(self.walk, self.given)
        for chunk in reversed(list(self.walk.chunks(self.given.steps, self.walk.chunk(self.given)))):
            steps = slice(chunk.start, chunk.stop)
            if loop is not None:
                da = loop.backward(self.a, self.states, self.d, self._heard(slice(None)))
            else:
                da = self._place_of_derivatives(steps)
                for t, dgates in reversed(list(zip(self.walk.order(chunk), self.walk.order(da.unbind(1))))):
                    self._step(t, t - chunk.start, gates, dgates)
            self._learn(steps, da, None if loop is None else self.a)
        if self.input_projection is not None:
            self.dbias[self.walk.kind.inputs] = self.input_projection.dbias
        dweights = [None if map is None else map.dweight for map in (self.input_projection, *self.hidden_projections)]
        dvalues = [operator.dvalues for operator in self.operators]
        return [self.dsignal, self.dbias, *dweights, *self.cell.dweights, *self.d, *dvalues]

    def _place_of_derivatives(self, steps: slice) -> Tensor:
        """Where the derivatives by the gates of some steps go; it holds these gates, if the cell looks at them."""
        if not self.walk.kind.looks_back:
            return self.a[:, : steps.stop - steps.start]
        return self.a[:, steps].clone() if self.again else self.a[:, steps]

    def _step(self, t: int, place: int, gates: Sequence[Tensor], a: Tensor) -> None:
        """The way back through one step, a its gates; where a sequence has no element, its state is that of before."""
        heard = self._heard(t)
        if heard is not None:
            self.d[0].add_(heard)
        before, after = self.walk.at(self.times, t)
        if self.outputs is not None:
            h = self._recalled(t, self.outputs[place], gates, before)
            before, after = [h, *before], [h, *after]
        if self.walk.begins(t, self.given.steps):
            maps = [partial(map.backward_zero, place) for map in self.hidden_projections]
        else:
            maps = [partial(map.backward, t, place) for map in self.hidden_projections]
        passed: list[Any] = []
        if self.walk.active is not None:
            passed = [torch.where(self.walk.active[t], 0, part) for part in self.d]
            self.d = [torch.where(self.walk.active[t], part, 0) for part in self.d]
        self.d = self.cell.backward(a, maps, before, after, self.d)
        for part, by in zip(self.d, passed):
            part.add_(by)

    def _heard(self, steps: Any) -> Tensor | None:
        """The derivatives by outputs, where there are some."""
        if self.doutput is None:
            return None
        found = rows(self.doutput[steps], self.batched)
        return found if self.walk.active is None else torch.where(self.walk.active[steps], found, 0)

    def _recalled(self, t: int, h: Tensor, gates: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
        """The output before a step, written to h."""
        if t == self.walk.order(range(self.given.steps))[0]:
            return h.copy_(self.given.state[0])
        assert isinstance(self.cell, OutputGated)
        self.cell.recall(gates[t + 1 if self.walk.reverse else t - 1], before[0], h)
        return h

    def _learn(self, steps: slice, da: Tensor, a: Tensor | None) -> None:
        """Adds what some steps contribute to the derivatives by weights and biases; writes those by their signal. a:
        their gates, where the steps were walked back in one launch."""
        kind, first = self.walk.kind, steps.start
        early, late = [part[steps] for part in self.states], [part[1:][steps] for part in self.states]
        before, after = (late, early) if self.walk.reverse else (early, late)
        if self.outputs is not None:
            h = self.outputs[: da.size(1)]
            before, after = [h, *before], [h, *after]
        self.cell.learn(da, before, after)
        for map, gates, z in zip(self.hidden_projections, kind.hidden, self.cell.sources(before, a)):
            map.learn(da[gates].flatten(1, 2), z)
        if kind.inputs.stop < self.given.gates:
            self.dbias[kind.inputs.stop :] += da[kind.inputs.stop :].sum((1, 2))
        dinputs = da[kind.inputs]
        if self.input_projection is None:
            self.dbias[kind.inputs] += dinputs.sum((1, 2))
            if self.dsignal is not None:
                self.dsignal[:, steps] = dinputs
            return
        z = self.given.signal[steps]
        if self.input_projection.again:
            self.input_projection.spread(first, z)
        self.input_projection.learn(dinputs.flatten(1, 2), z)
        if self.dsignal is not None or any(self.learned):
            dz = torch.empty_like(z) if self.dsignal is None else self.dsignal[steps]
            self.input_projection.derivative(first, dinputs.flatten(1, 2), z, dz)


def _bind(
    walk: Walk, given: Parts, signals: Sequence[Any], learned: Sequence[bool] = ()
) -> tuple[FusedCell, list[Any], list[StepOperator]]:
    """The cell, the maps and the operators with their tensors."""
    learned = learned or [False] * len(given.values)
    operators = [StepOperator(*parts, walk.dense) for parts in zip(walk.distinct, given.values, learned)]
    by_id = {id(operator): bound for operator, bound in zip(walk.distinct, operators)}
    maps: list[Any] = []
    for filter, weight, room in zip(walk.filters, given.weights, signals):
        if filter is None:
            maps.append(None)
            continue
        steps = [[by_id[id(op)] for op in step] for step in walk.operators[filter]]
        args = filter, steps, weight, given.hidden, room, walk.chunk(given) < given.steps
        if maps:
            maps.append(LinearMap(*args))
        else:
            kind = NarrowInputMap if weight.size(1) < given.hidden else InputMap
            maps.append(kind(given.bias[walk.kind.inputs], *args))
    return walk.kind(*given.own), maps, operators


def _rooms(walk: Walk, given: Parts) -> list[Any]:
    """For what the filters' recursions make of as many steps."""
    return [
        None
        if filter is None
        else weight.new_empty(len(filter.recursion), walk.chunk(given), given.rows, weight.size(1) // filter.num_terms)
        for filter, weight in zip(walk.filters, given.weights)
    ]


def rows(x: Tensor, batched: bool) -> Tensor:
    """`[..., B, N, F]` as rows `[..., N * B, F]`, nodes first."""
    return x.transpose(-3, -2).flatten(-3, -2) if batched else x


def windows(signal: Tensor, shape: Sequence[int]) -> Tensor:
    """A copy of rows `[..., N * B, F]` as `[..., (B,) N, F]`."""
    return _apart(signal, shape).clone(memory_format=torch.contiguous_format)


def _apart(signal: Tensor, shape: Sequence[int]) -> Tensor:
    return signal if len(shape) == 1 else signal.unflatten(-2, (shape[1], shape[0])).transpose(-3, -2)
