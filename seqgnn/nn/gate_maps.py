"""The maps from a graph signal to the pre-activations of gates: a linear filter, or any convolution of PyG's."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn.nn.checks import describe
from seqgnn.nn.filters import Filter
from seqgnn.nn.operator import last_seen
from seqgnn.nn.step_graphs import StepGraph

ConvFactory = Callable[[int, int], nn.Module]


@dataclass(frozen=True)
class FilterMap:
    r"""x `[..., N, F]` to :math:`[P_0 x, \dots, P_{m-1} x] W^\top + b`: one product for all gates."""

    filter: Filter
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor, graph: StepGraph) -> Tensor:
        blocks = self.filter.basis(x, graph.prepared)
        basis = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
        return F.linear(basis.to(x.dtype), self.weight, self.bias)  # edge weights may be of a wider dtype


@dataclass(frozen=True)
class ConvMap:
    """A convolution of x `[..., N, F]`, all leading dimensions as disjoint copies of the graph, to `[..., N, rows]`.

    Where its forward names `batch`, it is told which node is of which copy, and of which graph of each.

    Raises:
        ValueError: if the convolution returns anything else.
    """

    who: str
    conv: nn.Module
    rows: int

    def __call__(self, x: Tensor, graph: StepGraph) -> Tensor:
        nodes, copies = x.size(-2), x.shape[:-2].numel()
        edges = graph.prepared.edge_index
        batch, taken = graph.prepared.batch, arguments(self.conv)
        if "batch" in taken and (copies > 1 or batch is None):
            graphs = partial(graphs_of_copies, batch, edges, nodes, copies)
            batch = last_seen.get((edges, batch), ("graphs", nodes, copies), graphs)
        if copies > 1:
            edges = last_seen.get((edges,), ("copies", nodes, copies), partial(disjoint_copies, edges, nodes, copies))
        given = {"edge_weight": graph.prepared.edge_weight, "edge_attr": graph.edge_attr}
        known = {name: value for name, value in given.items() if name in taken and value is not None}
        told: dict[str, Any] = {
            name: torch.cat([value] * copies).to(x.dtype if value.is_floating_point() else value.dtype)
            for name, value in known.items()
        }
        if "batch" in taken:
            told["batch"] = batch
        rows = x.reshape(-1, x.size(-1))
        try:
            out = self.conv(rows, edges, **told)
        except RuntimeError as error:
            if "mat1 and mat2" not in str(error):
                raise
            found = f"{self.conv}, which does not ({error})"
            raise ValueError(
                f"{self.who}: expected a convolution that takes x {tuple(rows.shape)}, got {found}"
            ) from error
        expected = (copies * nodes, self.rows)
        if not isinstance(out, Tensor) or out.shape != expected:
            raise ValueError(f"{self.who}: expected {self.conv} to return shape {expected}, got {describe(out)}")
        return out.view(*x.shape[:-1], self.rows)


GateMap = Callable[[Tensor, StepGraph], Tensor]


def at_every_step(map: GateMap, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
    """A map of x `[T, ..., N, F]`; a graph that does not change takes all steps at once."""
    if all(graph is graphs[0] for graph in graphs):
        return map(x, graphs[0])
    return torch.stack([map(x[t], graph) for t, graph in enumerate(graphs)])


def disjoint_copies(edge_index: Tensor, nodes: int, copies: int) -> Tensor:
    """The edges of so many copies of a graph, `[2, copies * E]`."""
    shift = nodes * torch.arange(copies, device=edge_index.device, dtype=edge_index.dtype)
    return (edge_index[:, None] + shift[None, :, None]).flatten(1)


def graphs_of_copies(batch: Tensor | None, edge_index: Tensor, nodes: int, copies: int) -> Tensor:
    """The graph that each node belongs to, `[copies * N]`, where each of so many copies is graphs of its own."""
    if batch is None:
        batch = edge_index.new_zeros(nodes)
    shift = (batch.max() + 1) * torch.arange(copies, device=batch.device, dtype=batch.dtype)
    return (batch + shift[:, None]).flatten()


def arguments(conv: nn.Module) -> tuple[str, ...]:
    """Which of edge_weight, edge_attr and batch the forward of a convolution names."""
    names = inspect.signature(conv.forward).parameters
    return tuple(name for name in ("edge_weight", "edge_attr", "batch") if name in names)


def check_edge_arguments(who: str, convs: Sequence[nn.Module], filtered: bool, graph: StepGraph) -> None:
    """Whether somebody listens to what is said of the edges.

    Args:
        who: the class to name in errors.
        convs: the convolutions in the gates.
        filtered: whether there are filters that see neighbours; they take weights.
        graph: that of the first step.

    Raises:
        ValueError: if nobody does. Plain layers, whose filters see no neighbour, have no use for edges at all.
    """
    takers = {name for conv in convs for name in arguments(conv)} | ({"edge_weight"} if filtered else set())
    for name, given in (("edge_weight", graph.prepared.edge_weight), ("edge_attr", graph.edge_attr)):
        if given is not None and name not in takers and (convs or name == "edge_attr"):
            kinds = ", ".join(dict.fromkeys(type(conv).__name__ for conv in convs)) or "filters"
            raise ValueError(f"{who}: expected no {name}, which {kinds} would not take, got one")
