"""The graph of every step and the steps of every sequence, as the callers of graph-recurrent layers pass them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.typing import SparseTensor

from seqgnn._utils.torch_internals import is_eager
from seqgnn._utils.validation import describe
from seqgnn.nn.graph.adjacency import unwrap
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import as_graph, check_place, is_state
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.scan import reference

Edges = Tensor | PreparedGraph | Sequence[Tensor] | Sequence[PreparedGraph]


@dataclass(frozen=True, eq=False)
class StepGraph:
    """The graph of one step: its edges and operators, and what else its edges carry."""

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
    who: str,
    filters: Sequence[Filter],
    x: Tensor,
    edge_index: Edges,
    edge_weight: Tensor | Sequence[Tensor] | None = None,
    edge_attr: Tensor | Sequence[Tensor] | None = None,
    batch: Tensor | None = None,
) -> list[StepGraph]:
    """The graph of every step of x `[T, ..., N, F]`, one and the same where it does not change.

    Args:
        who: the class to name in errors.
        filters: whose operators are needed.
        x: the signal.
        edge_index, edge_weight, edge_attr: one for all steps, or a list with one for each.
        batch: `[N]` or None.

    Raises:
        ValueError: for graphs of another number of steps or nodes or on another device, and such as filters refuse.
    """
    num_steps, num_nodes, batch = x.size(0), x.size(-2), unwrap(batch)

    def step(edges: Any, weight: Any, attr: Any) -> StepGraph:
        check_place(who, x, edges)
        prepared = as_graph(who, filters, edges, weight, num_nodes, batch)
        if attr is not None and (not isinstance(attr, Tensor) or attr.shape[:1] != (prepared.num_edges,)):
            expected = f"edge_attr of shape [{prepared.num_edges}, D]"
            raise ValueError(f"{who}: expected {expected}, got {describe(attr)}")
        if attr is not None and attr.device != x.device:
            raise ValueError(f"{who}: expected edge_attr on {x.device}, where the input is, got {attr.device}")
        return StepGraph(prepared, attr)

    beside: dict[str, Any] = {"edge_weight": edge_weight, "edge_attr": edge_attr}
    if not isinstance(edge_index, (list, tuple)):
        for name, given in beside.items():
            if isinstance(given, (list, tuple)):
                hint = "; pass a state by name, state=..." if name == "edge_weight" and is_state(given) else ""
                raise ValueError(f"{who}: expected one {name} beside one edge_index, got {len(given)}{hint}")
        return reference.at_each_step(step(edge_index, edge_weight, edge_attr), x)
    if not all(isinstance(edges, (PreparedGraph, Tensor, SparseTensor)) for edges in edge_index):
        found = f"a list of {type(edge_index[0]).__name__}; torch.tensor(edge_index) makes a tensor of numbers"
        raise ValueError(f"{who}: expected edge_index as a tensor, or a list of {num_steps} of them, got {found}")
    for name, given in beside.items():
        if given is None:
            beside[name] = [None] * num_steps
        elif not isinstance(given, (list, tuple)):
            raise ValueError(f"{who}: expected a list of {num_steps} of {name}, one a step, got one for all steps")
    for name, given in {"edge_index": edge_index, **beside}.items():
        if len(given) != num_steps:
            raise ValueError(f"{who}: expected {num_steps} of {name}, one a step, got {len(given)}")
    return [step(*parts) for parts in zip(edge_index, *beside.values())]


def active_steps(who: str, lengths: Tensor, x: Tensor) -> Tensor:
    """A mask `[T, B, 1, 1]` of x `[T, B, N, F]`, or `[T, N, 1]` of x `[T, N, F]`, true before each one's end.

    Raises:
        ValueError: for lengths of another shape, no integers, or out of range.
    """
    expected = x.size(1)
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    if not isinstance(lengths, Tensor) or lengths.shape != (expected,) or lengths.dtype not in integers:
        found = f"{lengths.dtype} {tuple(lengths.shape)}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise ValueError(f"{who}: expected integer lengths of shape ({expected},), got {found}")
    if lengths.device.type not in ("cpu", x.device.type):
        raise ValueError(f"{who}: expected lengths on the CPU or on {x.device}, got {lengths.device}")
    if is_eager() and lengths.device.type == "cpu" and not bool(((lengths >= 1) & (lengths <= len(x))).all()):
        raise ValueError(f"{who}: expected lengths between 1 and {len(x)}, got {lengths.tolist()}")
    return reference.active_steps(lengths, x.size(0), x.dim(), x.device)
