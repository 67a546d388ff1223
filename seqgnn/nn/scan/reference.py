"""The reference engine: the equations of a cell at every step, under autograd."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from seqgnn.nn.scan.functional import Cell, State
from seqgnn.nn.scan.gates import RecurrentUnit, at_every_step, on_graph
from seqgnn.nn.scan.graph_inputs import StepInputs

Record = list[dict[int, State]]
_active: list[Record] = []  # those of all threads; torch.compile can look into a plain list, not into a ContextVar
_thread = threading.local()  # its attribute `records`, those of this thread, is only read while some thread records


@contextmanager
def record_states() -> Iterator[Record]:
    """Records the states that cells return inside the block: for every scan, in order, those of each step.

    They are nodes of the autograd graph, through which all passes that later steps, layers and outputs receive from
    them, with frozen weights too. Layers use this engine inside the block, since torch's kernels return the last state
    alone. Scans of other threads are not recorded, and keep their engine.
    """
    scans: Record = []
    _thread.records = [*_records(), scans]
    _active.append(scans)
    try:
        yield scans
    finally:
        _thread.records = _thread.records[:-1]
        del _active[next(index for index, record in enumerate(_active) if record is scans)]


def is_recording() -> bool:
    """True inside :func:`record_states`, in the thread that entered it."""
    return bool(_records())


def _records() -> list[Record]:
    """Return the records of this thread."""
    return getattr(_thread, "records", []) if _active else []


def reference_scan(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool = False
) -> tuple[Tensor, State]:
    """Return the outputs ``[T, ..., H]`` of a unit over x ``[T, ..., F]`` and the state after the last step."""
    graphs = inputs.graphs
    gx = at_every_step(unit.input_projection, x, graphs)
    if graphs[0] is None or all(graph is graphs[0] for graph in graphs):
        hidden_projections = [on_graph(unit.hidden_projections, graphs[0])] * len(graphs)
    else:
        hidden_projections = [on_graph(unit.hidden_projections, graph) for graph in graphs]
    return unroll(unit.cell, gx, hidden_projections, state, inputs.active, reverse)


def unroll(
    cell: Cell,
    gx: Tensor,
    hidden_projections: Sequence[Any],
    state: State,
    active: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Return the outputs ``[T, ..., H]`` of a cell over time and the state after the last step.

    Args:
        cell: one of :mod:`seqgnn.nn.scan.functional`.
        gx: the input's pre-activations at every step, ``[T, ..., gates * H]``.
        hidden_projections: that of every step.
        state: the initial state; each tensor has shape ``[..., H]``.
        active: ``[T, ..., 1]``, true where a sequence has a time step. Elsewhere the output is zero and the state
            stays, so a reversed sequence starts at its own end.
        reverse: from the last step to the first; outputs keep the order of `gx`.
    """
    steps = range(len(gx))
    states: dict[int, State] = {}
    records = _records()
    for scans in records:
        scans.append(states)
        gx = gx if gx.requires_grad else gx.detach().requires_grad_()
    inputs = gx.unbind()  # one node of the autograd graph; gx[t] would be T, each with a gradient of the whole
    outputs: dict[int, Tensor] = {}
    for t in reversed(steps) if reverse else steps:
        output, new = cell(inputs[t], hidden_projections[t], state)
        if records:
            states[t] = new
        if active is not None:
            output = torch.where(active[t], output, 0)
            new = tuple(torch.where(active[t], after, before) for after, before in zip(new, state))
        outputs[t], state = output, new
    return torch.stack([outputs[t] for t in steps]), state
