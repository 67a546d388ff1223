"""The one loop that walks the cells: over time, layers, directions and ragged lengths, on static or changing graphs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seqgnn._utils.torch_internals import is_eager
from seqgnn.nn.scan.exported import is_dynamic, scan
from seqgnn.nn.scan.functional import Cell, State

Value = TypeVar("Value")
Watch = list[dict[int, State]]
_watches: list[Watch] = []  # a plain list, since torch.compile cannot look into a ContextVar


@contextmanager
def watch() -> Iterator[Watch]:
    """Keeps the states that cells return inside the block: for every walk, in order, those of each step.

    They are nodes of the autograd graph, through which all goes that later steps, layers and the answer hear of them;
    that holds with frozen weights too. Layers leave torch's kernels, which show no state but the last, for the loop.
    """
    walks: Watch = []
    _watches.append(walks)
    try:
        yield walks
    finally:
        _watches.pop()


def watched() -> bool:
    """Whether somebody watches."""
    return bool(_watches)


def walk(
    cell: Cell,
    gx: Tensor,
    hidden_maps: Sequence[Any],
    state: State,
    active: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Walks a cell over time.

    Args:
        cell: one of :mod:`seqgnn.nn.scan.functional`.
        gx: the input's pre-activations at every step, ``[T, ..., gates * H]``.
        hidden_maps: the hidden map of every step.
        state: the state before the first step, each tensor ``[..., H]``.
        active: ``[T, ..., 1]``, true where a sequence has an element. Elsewhere the output is zero and the state stays,
            so a sequence walked in reverse starts at its own end.
        reverse: from the last step to the first. Steps keep their place on the calendar.

    Returns:
        The outputs ``[T, ..., H]`` and the state after the last step walked.
    """
    if is_dynamic(gx):
        return _scan(cell, gx, hidden_maps[0], state, active, reverse)
    steps = range(len(gx))
    states: dict[int, State] = {}
    for walks in _watches:
        walks.append(states)
        gx = gx if gx.requires_grad else gx.detach().requires_grad_()
    inputs = gx.unbind()  # one node of the autograd graph; gx[t] would be T, each with a gradient of the whole
    outputs: dict[int, Tensor] = {}
    for t in reversed(steps) if reverse else steps:
        output, new = cell(inputs[t], hidden_maps[t], state)
        if _watches:
            states[t] = new
        if active is not None:
            output = torch.where(active[t], output, 0)
            new = tuple(torch.where(active[t], after, before) for after, before in zip(new, state))
        outputs[t], state = output, new
    return torch.stack([outputs[t] for t in steps]), state


def _scan(
    cell: Cell, gx: Tensor, hidden_map: Any, state: State, active: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """The loop of :func:`walk` as one operator, for any number of steps that share a hidden map."""

    def step(state: State, inputs: tuple[Tensor, ...]) -> tuple[State, Tensor]:
        output, new = cell(inputs[0], hidden_map, state)
        for mask in inputs[1:]:
            output = torch.where(mask, output, 0)
            new = tuple(torch.where(mask, after, before) for after, before in zip(new, state))
        return new, output

    state, outputs = scan(step, state, (gx,) if active is None else (gx, active), reverse)
    return outputs, state


def at_each_step(value: Value, x: Tensor) -> list[Value]:
    """The same value for each step of x `[T, ...]`; once where there may be any number of them."""
    return [value] if is_dynamic(x) else [value] * x.size(0)


def in_segments(
    walk: Callable[[slice, bool, Tensor, State], tuple[Tensor, State]],
    every: int | None,
    x: Tensor,
    state: State,
    reverse: bool,
    draws: bool = False,
) -> tuple[Tensor, State]:
    """Walks `every` steps at a time and keeps of them no more than inputs and states; the way back walks them again.

    With about the square root of T steps in each the memory grows as that root (Chen et al. 2016). All steps are one
    segment where there is no way back, under functorch, torch.compile and :func:`watch`.

    Args:
        walk: ``walk(steps, begins, x[steps], state) -> output, state``; the first segment that is walked `begins`.
        every: steps of a segment; None: all.
        x, state, reverse: as in :func:`walk`.
        draws: the walk may draw random numbers, which then are the same the second time; not in a CUDA graph.
    """
    if every is None or not torch.is_grad_enabled() or not is_eager() or watched():
        return walk(slice(None), True, x, state)
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=draws)
    starts = range(0, len(x), every)
    outputs: dict[int, Tensor] = {}
    for start in reversed(starts) if reverse else starts:
        steps = slice(start, start + every)
        outputs[start], state = again(walk, steps, not outputs, x[steps], state)
    return torch.cat([outputs[start] for start in starts]), state


def stack(
    run: Callable[[Tensor, State, int, bool], tuple[Tensor, State]],
    x: Tensor,
    state: State,
    num_layers: int,
    bidirectional: bool = False,
    dropout: float = 0.0,
) -> tuple[Tensor, State]:
    """Stacks layers, each in one or two directions, with dropout between them.

    Args:
        run: ``run(x, state, layer, reverse) -> output, state`` walks one layer in one direction.
        x: ``[T, ..., F]``.
        state: each tensor ``[num_layers * directions, ..., H]``.
        dropout: the probability of zeroing an element between two layers; zero when not training.

    Returns:
        The last layer's output ``[T, ..., H * directions]`` and the states in the shape of `state`.
    """
    directions = (False, True) if bidirectional else (False,)
    finals = []
    for layer in range(num_layers):
        outputs = []
        for reverse in directions:
            index = layer * len(directions) + reverse
            output, final = run(x, tuple(s[index] for s in state), layer, reverse)
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, dim=-1) if bidirectional else outputs[0]
        if dropout and layer < num_layers - 1:
            x = F.dropout(x, dropout)
    return x, tuple(torch.stack(s) for s in zip(*finals))


def active_steps(lengths: Tensor, num_steps: int, dims: int, device: torch.device) -> Tensor:
    """A mask ``[T, lengths, 1, ...]`` of `dims` dimensions, true before each sequence's end."""
    steps = torch.arange(num_steps, device=device)
    mask = steps[:, None] < lengths.to(device)
    return mask.reshape(mask.shape + (1,) * (dims - 2))
