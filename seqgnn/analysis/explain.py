"""Importance of each edge at each time step for a prediction."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.utils import is_sparse

from seqgnn._utils.validation import check_sizes, describe
from seqgnn.analysis._utils import evaluation_mode
from seqgnn.nn.graph.adjacency import edges_of_adjacency
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.recurrent.dcrnn import DCRNNForecaster
from seqgnn.nn.recurrent.evolve_gcn import EvolveGCN
from seqgnn.nn.recurrent.graph_cells import EvolveGCNCell, GraphRNNCellMixin
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.scan.graph_inputs import Edges, step_graphs

Target = Callable[[Tensor], Tensor] | int | tuple[Any, ...] | None


class EdgeImportance(NamedTuple):
    """The importance of one edge at one time step."""

    step: int
    source: int
    target: int
    importance: float


@dataclass(frozen=True, eq=False)
class EdgeExplanation:
    """Importance of each edge at each time step.

    Attributes:
        importance: ``[T, E]``, signed, float64.
        edge_index: ``[2, E]``, or ``[T, 2, E]`` where the graph changes.
        output: the explained value, with all messages.
        baseline: the same value without any message.
    """

    importance: Tensor
    edge_index: Tensor
    output: float
    baseline: float

    @property
    def per_edge(self) -> Tensor:
        """Sums over time steps, ``[E]``."""
        return self.importance.sum(0)

    @property
    def per_step(self) -> Tensor:
        """Sums over edges, ``[T]``."""
        return self.importance.sum(1)

    @property
    def convergence_delta(self) -> float:
        """The sum of all importances minus ``output - baseline``: the error of the numerical integral."""
        return float(self.importance.sum()) - (self.output - self.baseline)

    def top(self, k: int = 10) -> list[EdgeImportance]:
        """Return the k edges and steps with the largest absolute importance, in descending order."""
        num_steps, num_edges = self.importance.shape
        indices = self.importance.abs().flatten().argsort(descending=True, stable=True)[:k]
        edges = self.edge_index.expand(num_steps, 2, num_edges)
        result = []
        for index in indices.tolist():
            step, edge = divmod(index, num_edges)
            source, target = edges[step, :, edge].tolist()
            result.append(EdgeImportance(step, source, target, self.importance[step, edge].item()))
        return result


def explain(
    model: nn.Module,
    x: Tensor,
    edge_index: Edges,
    edge_weight: Any = None,
    *,
    target: Target = None,
    steps: int = 16,
    **arguments: Any,
) -> EdgeExplanation:
    r"""Return the importance of each edge at each time step for a scalar output of a model, by integrated gradients.

    `Axiomatic attribution for deep networks <https://arxiv.org/abs/1703.01365>`_ (Sundararajan et al. 2017), equation
    1. The gradients are those of an edge mask :math:`m_{t,e}` that multiplies the messages along edge e at step t in
    all graph-recurrent layers, after normalization, as the masks of PyG's explainers do. The integral runs from no
    messages (m = 0) to the unchanged model (m = 1).

    .. math::
        I_{t,e} = \int_0^1 \frac{\partial y}{\partial m_{t,e}} \Big|_{m = \alpha} d\alpha, \qquad
        \sum_{t,e} I_{t,e} = y(m = 1) - y(m = 0)

    The importances attribute the difference in y between the model and the same model without messages to edges and
    steps. A product of messages, as over two hops, is attributed to its factors in equal shares. The result is exact if
    y is a polynomial of the messages of degree at most ``2 steps``; otherwise `convergence_delta` shows the error.

    The importances do not show:

    - causal relations in the data, if the model has learned something else;
    - the value of y on a graph without an edge, where degrees and thus all normalized weights would differ;
    - self-loops and a node's own state, which are not masked;
    - messages of layers that are not graph-recurrent, such as a preceding `GCNConv`;
    - edges whose contributions to y cancel; if signs differ, explain a loss or single windows.

    Layers, directions, input and hidden state share the mask of a step: a message in layer 2 at step t counts for step
    t. The model runs in evaluation mode, and its training mode is restored afterwards. The result is deterministic.

    Args:
        model: a graph-recurrent layer of :mod:`seqgnn.nn`, or a module that contains such layers, called as
            ``model(x, edge_index)`` or ``model(x, edge_index, edge_weight)``; if it returns a tuple, its first item is
            the output. The steps of a layer that is called several times, such as a cell in a loop, are numbered
            consecutively; those of the decoder of a `DCRNNForecaster` follow those of the encoder.
        x, edge_index, edge_weight, arguments: arguments of the call; in a list of graphs, all must have the same number
            of edges.
        target: y as a function of the output, or its index in the output, such as ``(-1, node, 0)``; the mean of
            several values, such as all windows, is explained. None: the output itself.
        steps: number of points of the Gauss-Legendre quadrature; each needs one forward and one backward pass.

    Raises:
        ValueError: if the model has no graph-recurrent layer, its layers take different numbers of steps, a layer has
            edges other than `edge_index`, or y has no gradient.

    Example:
        >>> import torch
        >>> from seqgnn.nn import GCNLSTM
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> explanation = explain(GCNLSTM(2, 8), torch.randn(5, 4, 2), edge_index, target=(-1, 2))
        >>> explanation.importance.shape, (explanation.importance[:, 2] == 0).all()
        (torch.Size([5, 3]), tensor(True))
    """
    check_sizes("explain", steps=steps)
    call = (x, edge_index) if edge_weight is None else (x, edge_index, edge_weight)
    edges = _edges(edge_index)
    masking = _Masking(model)

    def value(mask: Tensor | None) -> Tensor:
        with masking.of(mask):
            return _target(model(*call, **arguments), target)

    with evaluation_mode(model):
        output = value(None).detach()
        num_steps = masking.num_steps()
        baseline = value(x.new_zeros(num_steps, edges.size(-1))).detach()
        importance = torch.zeros(num_steps, edges.size(-1), dtype=torch.float64, device=x.device)
        points, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
        for point, weight in zip((points + 1) / 2, weights / 2):
            mask = x.new_full(importance.shape, point, requires_grad=True)
            importance += weight * _gradient(value(mask), mask)
    return EdgeExplanation(importance, edges, output.item(), baseline.item())


class _Masking:
    """Hooks on the graph-recurrent layers of a model that mask the edges at each step."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = [part for part in model.modules() if isinstance(part, GraphRecurrent | EvolveGCN)]
        if not self.layers:
            raise ValueError(f"explain: expected a model with a graph-recurrent layer, got {type(model).__name__}")
        forecasters = [part for part in model.modules() if isinstance(part, DCRNNForecaster)]
        self.encoders: dict[nn.Module, nn.Module] = {part.decoder: part.encoder for part in forecasters}
        self.taken: dict[nn.Module, int] = {}

    @contextmanager
    def of(self, mask: Tensor | None) -> Iterator[None]:
        """Apply a mask `[T, E]` to the calls inside the block; None: only count their steps."""
        self.taken = dict.fromkeys(self.layers, 0)
        hook = partial(self._call, mask)
        handles = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def num_steps(self) -> int:
        """Return the number of steps that the layers took in the last block.

        Raises:
            ValueError: if the layers took different numbers of steps.
        """
        taken = {layer: self._begin(layer) + steps for layer, steps in self.taken.items() if steps > 0}
        numbers = {steps for layer, steps in taken.items() if layer not in self.encoders.values()}
        if len(numbers) != 1:
            steps = " and ".join(map(str, sorted(numbers))) or "none"
            raise ValueError(f"explain: expected graph-recurrent layers with the same number of steps, got {steps}")
        return numbers.pop()

    def _begin(self, layer: nn.Module) -> int:
        return self.taken.get(self.encoders[layer], 0) if layer in self.encoders else 0

    def _call(self, mask: Tensor | None, layer: Any, args: Any, kwargs: Any) -> tuple[tuple[()], dict[str, Any]]:
        """Return the arguments of a layer's call, with its graphs masked."""
        call = dict(inspect.signature(layer.forward).bind(*args, **kwargs).arguments)
        call |= call.pop("others", {})
        x, one_step = call["x"], isinstance(layer, GraphRNNCellMixin | EvolveGCNCell)
        steps = x[None] if one_step else x.transpose(0, 1) if layer.batch_first and x.dim() == 4 else x
        begin = self._begin(layer) + self.taken[layer]
        self.taken[layer] += len(steps)
        if mask is None:
            return (), call
        parts = (call.pop(name, None) for name in ("edge_weight", "edge_attr", "batch"))
        graphs = step_graphs(type(layer).__name__, layer.filters, steps, call["edge_index"], *parts)
        masked = [graph.prepared.masked(mask[begin + t]) for t, graph in enumerate(graphs)]
        attributes = [graph.edge_attr for graph in graphs]
        call["edge_index"] = masked[0] if one_step else masked
        if attributes[0] is not None:
            call["edge_attr"] = attributes[0] if one_step else attributes
        return (), call


def _target(output: Any, target: Target) -> Tensor:
    output = output[0] if isinstance(output, tuple) else output
    value = target(output) if callable(target) else output if target is None else output[target]
    if not isinstance(value, Tensor) or (target is None and value.numel() != 1):
        raise ValueError(f"explain: expected a target that selects a tensor in the output, got {describe(value)}")
    return value.mean()


def _gradient(value: Tensor, mask: Tensor) -> Tensor:
    if not value.requires_grad:
        raise ValueError("explain: expected a target with a gradient, got one that depends on no message or parameter")
    (gradient,) = torch.autograd.grad(value, mask, allow_unused=True, materialize_grads=True)
    return gradient


def _edges(edge_index: Any) -> Tensor:
    """Return `[2, E]`, or `[T, 2, E]` for a list."""
    graphs = edge_index if isinstance(edge_index, list | tuple) else [edge_index]
    each = [graph.edge_index if isinstance(graph, PreparedGraph) else graph for graph in graphs]
    each = [edges_of_adjacency("explain", edges, None, None)[0] if is_sparse(edges) else edges for edges in each]
    sizes = {edges.size(-1) for edges in each}
    if len(sizes) > 1:
        numbers = " and ".join(map(str, sorted(sizes)))
        raise ValueError(f"explain: expected the same number of edges at all steps, got {numbers}")
    return torch.stack(each) if isinstance(edge_index, list | tuple) else each[0]
