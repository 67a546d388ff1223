"""The graph of every step and the length of every sequence, as passed to graph-recurrent layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.typing import SparseTensor

from seqgnn._utils.torch_internals import is_dynamic, is_eager
from seqgnn._utils.validation import check_dense, describe, shown
from seqgnn.nn.graph.adjacency import unwrap
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import as_graph, check_place, is_state
from seqgnn.nn.graph.prepared_graph import PreparedGraph

Value = TypeVar("Value")
Edges = Tensor | PreparedGraph | Sequence[Tensor] | Sequence[PreparedGraph]


@dataclass(frozen=True, eq=False)
class StepGraph:
    """The graph of one step: its edges, operators and edge attributes."""

    prepared: PreparedGraph
    edge_attr: Tensor | None = None


@dataclass(frozen=True, eq=False)
class StepInputs:
    """The graph and the active sequences of each step of a scan.

    Args:
        graphs: the :class:`StepGraph` of each step; None for plain layers, which have no graph.
        active: `[T, ..., 1]`, true where a sequence has a time step; None: everywhere.
        zero_state: whether the state before the first step is zero, and no gradient with respect to it is needed.
    """

    graphs: Sequence[Any]
    active: Tensor | None = None
    zero_state: bool = False

    def segment(self, steps: slice, is_first: bool) -> "StepInputs":
        """Return those of a segment of steps, the first in the order of the scan if `is_first`."""
        active = None if self.active is None else self.active[steps]
        return StepInputs(self.graphs[steps], active, self.zero_state and is_first)


def step_graphs(
    caller: str,
    filters: Sequence[Filter],
    x: Tensor,
    edge_index: Edges,
    edge_weight: Tensor | Sequence[Tensor] | None = None,
    edge_attr: Tensor | Sequence[Tensor] | None = None,
    batch: Tensor | None = None,
) -> list[StepGraph]:
    """Return the graph of every step of x `[T, ..., N, F]`, the same object for all if it does not change.

    Args:
        caller: the class to name in errors.
        filters: the filters whose operators are needed.
        x: node features over time.
        edge_index, edge_weight, edge_attr: one for all steps, or a list with one for each.
        batch: `[N]` or None.

    Raises:
        ValueError: for graphs of another number of steps or nodes, on another device, or that a filter refuses.
    """
    num_steps, num_nodes, batch = x.size(0), x.size(-2), unwrap(batch)

    def step(edges: Any, weight: Any, attr: Any) -> StepGraph:
        check_place(caller, x, edges)
        prepared = as_graph(caller, filters, edges, weight, num_nodes, batch)
        if isinstance(attr, Tensor):
            check_dense(caller, "edge_attr", attr)
        if attr is not None and (not isinstance(attr, Tensor) or attr.shape[:1] != (prepared.num_edges,)):
            expected = f"edge_attr of shape [{prepared.num_edges}, D]"
            raise ValueError(f"{caller}: expected {expected}, got {describe(attr)}")
        if attr is not None and attr.device != x.device:
            raise ValueError(f"{caller}: expected edge_attr on {x.device}, where the input is, got {attr.device}")
        return StepGraph(prepared, attr)

    of_edges: dict[str, Any] = {"edge_weight": edge_weight, "edge_attr": edge_attr}
    if not isinstance(edge_index, (list, tuple)):
        for name, value in of_edges.items():
            if isinstance(value, (list, tuple)):
                hint = "; pass a state as state=..." if name == "edge_weight" and is_state(value) else ""
                raise ValueError(f"{caller}: expected one {name} with one edge_index, got {len(value)}{hint}")
        return at_each_step(step(edge_index, edge_weight, edge_attr), x)
    if not all(isinstance(edges, (PreparedGraph, Tensor, SparseTensor)) for edges in edge_index):
        kind = next(type(e) for e in edge_index if not isinstance(e, (PreparedGraph, Tensor, SparseTensor))).__name__
        kinds = f"a list of {kind}; torch.tensor(edge_index) makes a tensor of numbers"
        raise ValueError(f"{caller}: expected edge_index as a tensor, or a list of {num_steps} of them, got {kinds}")
    for name, value in of_edges.items():
        if value is None:
            of_edges[name] = [None] * num_steps
        elif not isinstance(value, (list, tuple)):
            raise ValueError(f"{caller}: expected a list of {num_steps} of {name}, one per step, got one for all steps")
    for name, value in {"edge_index": edge_index, **of_edges}.items():
        if len(value) != num_steps:
            raise ValueError(f"{caller}: expected {num_steps} of {name}, one per step, got {len(value)}")
    return [step(*parts) for parts in zip(edge_index, *of_edges.values())]


def active_steps(caller: str, lengths: Tensor, x: Tensor) -> Tensor:
    """Return a mask `[T, B, 1, 1]` of x `[T, B, N, F]`, or `[T, N, 1]` of x `[T, N, F]`, true before each one's end.

    Raises:
        ValueError: for lengths of another shape, no integers, or out of range.
    """
    expected = x.size(1)
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    if isinstance(lengths, Tensor):
        check_dense(caller, "lengths", lengths)
    if not isinstance(lengths, Tensor) or lengths.shape != (expected,) or lengths.dtype not in integers:
        actual = f"{lengths.dtype} {tuple(lengths.shape)}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise ValueError(f"{caller}: expected integer lengths of shape ({expected},), got {actual}")
    if lengths.device.type not in ("cpu", x.device.type):
        raise ValueError(f"{caller}: expected lengths on the CPU or on {x.device}, got {lengths.device}")
    if is_eager() and lengths.device.type == "cpu" and not bool(((lengths >= 1) & (lengths <= len(x))).all()):
        raise ValueError(f"{caller}: expected lengths between 1 and {len(x)}, got {shown(lengths.tolist())}")
    return length_mask(lengths, x)


def length_mask(lengths: Tensor, x: Tensor) -> Tensor:
    """Return a mask `[T, lengths, 1, ...]` with as many dimensions as x `[T, ...]`, true before each sequence's end."""
    steps = torch.arange(x.size(0), device=x.device)  # torch.export would make a constant of `len(x)`
    mask = steps[:, None] < lengths.to(x.device)
    return mask.reshape(mask.shape + (1,) * (x.dim() - 2))


def at_each_step(value: Value, x: Tensor) -> list[Value]:
    """Return the same value for each step of x `[T, ...]`; once where their number is dynamic."""
    return [value] if is_dynamic(x) else [value] * x.size(0)
