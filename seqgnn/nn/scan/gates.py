"""The projections to the pre-activations of gates: by a linear filter, or by any convolution of PyG."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import HeteroConv

from seqgnn._utils.torch_internals import is_eager
from seqgnn._utils.validation import describe, shown
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.edge_masks import edge_masks_of_copies, messages_hooked
from seqgnn.nn.graph.filters import GCN, Filter, Identity, Multiply
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan.functional import Cell, HiddenProjection
from seqgnn.nn.scan.graph_inputs import StepGraph

ConvFactory = Callable[[int, int], nn.Module]
FILTERS = {"cheb": "Chebyshev(K=3)", "diff": "Diffusion(K=3)", "iden": "Identity()"}  # suggestions for strings


@dataclass(frozen=True, eq=False)  # torch.compile of torch 2.9 hashes what is called before it has its fields
class FilterProjection:
    r"""x `[..., N, F]` to :math:`[P_0 x, \dots, P_{m-1} x] W^\top + b`: one product for all gates.

    `multiply` computes the products with the operators, see :meth:`Filter.basis`.
    """

    filter: Filter
    weight: Tensor
    bias: Tensor | None
    multiply: Multiply | None = None

    def __call__(self, x: Tensor, graph: StepGraph) -> Tensor:
        return F.linear(self.basis(x, graph), self.weight, self.bias)

    def basis(self, x: Tensor, graph: StepGraph) -> Tensor:
        r"""Return :math:`[P_0 x, \dots, P_{m-1} x]`."""
        multiply = () if self.multiply is None else (self.multiply,)
        blocks = self.filter.basis(x, graph.prepared, *multiply)
        basis = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
        return basis.to(x.dtype)  # edge weights may be of a wider dtype


class LinearProjection:
    r"""x `[..., F]` to :math:`x W^\top + b`, for layers without a graph."""

    filter = Identity()

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor, graph: Any = None) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class ConvProjection:
    """A convolution of x `[..., N, F]`, all leading dimensions as disjoint copies of the graph, to `[..., N, rows]`.

    If its forward has an argument `batch`, it receives the graph of each node, distinct for each copy. An edge mask on
    it is repeated for the copies; if its messages are hooked, it is called copy by copy.

    Raises:
        ValueError: if the convolution returns anything else.
    """

    caller: str
    conv: nn.Module
    rows: int

    def __call__(self, x: Tensor, graph: StepGraph) -> Tensor:
        nodes, copies = x.size(-2), math.prod(x.shape[:-2])
        if messages_hooked(self.conv) and copies > 1:  # hooks expect the messages of the graph itself
            each = [self(part, graph) for part in x.reshape(copies, nodes, -1)]
            return torch.stack(each).view(*x.shape[:-1], self.rows)
        several = not is_eager() or copies != 1  # a traced program serves any number
        edges = graph.prepared.edge_index
        masks = edge_masks_of_copies(self.caller, self.conv, edges, copies, graph.prepared.edge_mask)
        batch, names = graph.prepared.batch, edge_arguments(self.conv)
        if "batch" in names and (several or batch is None):
            graphs = partial(graphs_of_copies, batch, edges, nodes, copies)
            batch = tensor_cache.get((edges, batch), ("graphs", nodes, copies), graphs)
        if several:
            build = partial(disjoint_copies, edges, nodes, copies)
            edges = tensor_cache.get((edges,), ("copies", nodes, copies), build)
        of_edges = {"edge_weight": graph.prepared.edge_weight, "edge_attr": graph.edge_attr}
        options: dict[str, Any] = {
            name: repeat_edges(value.to(x.dtype) if value.is_floating_point() else value, copies)
            for name, value in of_edges.items()
            if name in names and value is not None
        }
        if "batch" in names:
            options["batch"] = batch
        rows = x.reshape(-1, x.size(-1))
        try:
            with masks:
                out = self.conv(rows, edges, **options)
        except RuntimeError as error:
            if "mat1 and mat2" not in str(error):
                raise
            reason = f"{self.conv}, which does not ({error})"
            raise ValueError(
                f"{self.caller}: expected a convolution that takes x {tuple(rows.shape)}, got {reason}"
            ) from error
        expected = (copies * nodes, self.rows)
        if not isinstance(out, Tensor) or out.shape != expected:
            raise ValueError(f"{self.caller}: expected {self.conv} to return shape {expected}, got {describe(out)}")
        return out.view(*x.shape[:-1], self.rows)


Projection = Callable[[Tensor, StepGraph], Tensor]


class RecurrentUnit(NamedTuple):
    """One layer in one direction: its cell and the projections to the pre-activations of its gates."""

    cell: Cell
    input_projection: Projection
    hidden_projections: Sequence[Projection]


def on_graph(projections: Sequence[Projection], graph: Any) -> HiddenProjection | tuple[HiddenProjection, ...]:
    """Return the hidden projections of a step as its cell takes them: functions of the hidden state alone."""
    if len(projections) == 1:
        return _bind(projections[0], graph)
    return tuple(_bind(projection, graph) for projection in projections)


def _bind(projection: Any, graph: Any) -> HiddenProjection:
    return projection if graph is None else lambda h: projection(h, graph)


def is_recursive(projection: Projection) -> TypeGuard[FilterProjection | LinearProjection]:
    """Return True if a projection is by a filter whose basis is its recursion."""
    if not isinstance(projection, FilterProjection | LinearProjection):
        return False
    filter = projection.filter
    return type(filter).basis is Filter.basis and len(filter.recursion) + filter.keeps_input == filter.num_terms


def step_operators(filter: Filter, x: Tensor, graphs: Sequence[StepGraph]) -> list[tuple[Operator, ...]]:
    """Return the operators of a filter at every step, built once per graph."""
    if not filter.recursion:
        return [()] * len(graphs)
    by_graph: dict[int, tuple[Operator, ...]] = {}
    for graph in graphs:
        if id(graph) not in by_graph:
            by_graph[id(graph)] = filter.operators(x, graph.prepared)
    return [by_graph[id(graph)] for graph in graphs]


def at_every_step(projection: Projection, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
    """Return the projection of x `[T, ..., N, F]`, of all steps at once if the graph does not change."""
    if graphs[0] is None or all(graph is graphs[0] for graph in graphs):
        return projection(x, graphs[0])
    return torch.stack([projection(x[t], graph) for t, graph in enumerate(graphs)])


def disjoint_copies(edge_index: Tensor, nodes: int, copies: int) -> Tensor:
    """Return the edges of several copies of a graph, `[2, copies * E]`."""
    shift = nodes * torch.arange(copies, device=edge_index.device, dtype=edge_index.dtype)
    return (edge_index[:, None] + shift[None, :, None]).flatten(1)


def repeat_edges(value: Tensor, copies: int) -> Tensor:
    """Return the weights or attributes of edges `[E, ...]` for several copies of the graph."""
    return value.expand(copies, *value.shape).flatten(0, 1)


def graphs_of_copies(batch: Tensor | None, edge_index: Tensor, nodes: int, copies: int) -> Tensor:
    """Return the graph of each node, `[copies * N]`, distinct for each copy."""
    if batch is None:
        batch = edge_index.new_zeros(nodes)
    if batch.numel() == 0:
        return batch
    shift = (batch.max() + 1) * torch.arange(copies, device=batch.device, dtype=batch.dtype)
    return (batch + shift[:, None]).flatten()


def edge_arguments(conv: nn.Module) -> tuple[str, ...]:
    """Return which of edge_weight, edge_attr and batch are arguments of a convolution's forward."""
    parameters = inspect.signature(conv.forward).parameters
    return tuple(name for name in ("edge_weight", "edge_attr", "batch") if name in parameters)


def check_edge_arguments(caller: str, convs: Sequence[nn.Module], filtered: bool, graph: StepGraph) -> None:
    """Checks that edge weights and attributes have an effect.

    Args:
        caller: the class to name in errors.
        convs: the convolutions in the gates.
        filtered: whether there are filters that see neighbors; these take weights.
        graph: the graph of the first step.

    Raises:
        ValueError: if no convolution or filter takes them. Weights are accepted if there are filters without neighbors
            alone, since these need no edges at all.
    """
    takers = {name for conv in convs for name in edge_arguments(conv)} | ({"edge_weight"} if filtered else set())
    for name, value in (("edge_weight", graph.prepared.edge_weight), ("edge_attr", graph.edge_attr)):
        if value is not None and name not in takers and (convs or name == "edge_attr"):
            kinds = ", ".join(dict.fromkeys(type(conv).__name__ for conv in convs)) or "filters"
            raise ValueError(f"{caller}: expected no {name}, since {kinds} would not take it, got one")


def reset_weights(module: Any) -> None:
    """Reset the weights of a module, or of its submodules."""
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
    else:
        for child in module.children():
            reset_weights(child)


def build_conv(caller: str, factory: ConvFactory, in_channels: int, out_channels: int) -> nn.Module:
    """Return the convolution that a factory builds, after checks of its type and input channels."""
    conv = factory(in_channels, out_channels)
    if not isinstance(conv, nn.Module):
        raise ValueError(f"{caller}: expected a convolution that is an nn.Module, got {shown(conv)}")
    if isinstance(conv, HeteroConv):
        hetero = "HeteroConv, which takes dictionaries of several; use one layer for each type of node"
        raise ValueError(f"{caller}: expected a convolution of one type of nodes and edges, got {hetero}")
    actual = getattr(conv, "in_channels", in_channels)
    actual = actual[0] if isinstance(actual, tuple) else actual  # of sources and targets
    if isinstance(actual, int) and actual not in (in_channels, -1):
        raise ValueError(f"{caller}: expected a convolution of {in_channels} channels in, got {shown(conv)}")
    return conv


def check_cell_options(caller: str, kind: str, peephole: bool, reset: str, nonlinearity: str) -> None:
    """Check that options of one kind of cell are not given to another.

    Raises:
        ValueError: if one is.
    """
    for option, is_set, expected in (
        ("peephole=True", peephole, "lstm"),
        ("reset='before'", reset == "before", "gru"),
        ("nonlinearity='relu'", nonlinearity == "relu", "rnn"),
    ):
        if is_set and kind != expected:
            raise ValueError(f"{caller}: expected a cell of kind {expected} with {option}, got {kind}")


def filter_or_factory(
    caller: str, side: str, conv: Filter | ConvFactory | None, side_conv: Filter | ConvFactory | None
) -> tuple[Filter | None, ConvFactory | None]:
    """Return the filter or the factory of convolutions of one projection, and None for the other.

    Args:
        caller: the class to name in errors.
        side: ``"input"`` or ``"hidden"``.
        conv: the option for both projections, ``GCN()`` if both options are None.
        side_conv: the option for this projection alone.

    Raises:
        ValueError: if both options are set, or one is neither a filter nor a factory.
    """
    if conv is not None and side_conv is not None:
        raise ValueError(f"{caller}: expected conv or {side}_conv for the {side} projection, got both")
    name, value = ("conv", conv) if side_conv is None else (f"{side}_conv", side_conv)
    if value is None:
        return GCN(), None
    if isinstance(value, Filter):
        return value, None
    is_filter_class = isinstance(value, type) and issubclass(value, Filter)
    if is_filter_class or not callable(value) or isinstance(value, nn.Module):
        close = FILTERS.get((value.__name__ if is_filter_class else str(value)).lower()[:4], "GCN()")
        example = f"a filter, such as {close}, or a factory of convolutions, such as lambda i, o: GATConv(i, o)"
        raise ValueError(f"{caller}: expected {name} to be {example}, got {shown(value)}")
    return None, value
