"""A lower bound on a layer's time: the matrix products that no implementation can avoid."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import PreparedGraph
from seqgnn.nn.init import NUM_GATES
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.tgcn import TGCN
from seqgnn.profile.plain_layers import PlainSize
from seqgnn.profile.reference_layers import Size


class Propagation:
    """Products P x with the given number of columns, and with the transpose of P in the backward pass."""

    def __init__(self, filter: Filter, graph: PreparedGraph, columns: int, like: Tensor) -> None:
        self.x = like.new_empty(graph.num_nodes, columns).normal_()
        self.propagated = torch.empty_like(self.x)
        self.matrices = []
        if filter.hops:
            (operator,) = graph.operators[filter]
            values = operator.values_as(like.dtype)
            self.matrices = [operator.csr(values, transposed) for transposed in (False, True)]
        self.num_propagations = filter.hops

    def run(self, transposed: bool = False) -> None:
        for _ in range(self.num_propagations):
            torch.mm(self.matrices[transposed], self.x, out=self.propagated)


class Product:
    """A linear map applied to all rows of each step; its input gradients step by step, its weight gradient at once."""

    def __init__(self, steps: int, rows: int, width: int, gates: int, like: Tensor) -> None:
        self.basis = like.new_empty(steps, rows, width).normal_()
        self.weight = like.new_empty(gates, width).normal_()
        self.gates = like.new_empty(steps, rows, gates)
        self.grad_basis = torch.empty_like(self.basis[0])
        self.grad_weight = torch.empty_like(self.weight)

    def forward(self, step: int) -> None:
        torch.mm(self.basis[step], self.weight.t(), out=self.gates[step])

    def backward(self, step: int) -> None:
        torch.mm(self.gates[step], self.weight, out=self.grad_basis)

    def backward_weight(self) -> None:
        torch.mm(self.gates.flatten(0, 1).t(), self.basis.flatten(0, 1), out=self.grad_weight)


class LowerBound:
    """The matrix products that no implementation of a layer can avoid, each into a preallocated buffer.

    The input is propagated once for all steps, the state step by step. Then one product per step computes all gates
    from both (two products and two propagations for a GRU with reset before); the first step, whose state is zero,
    needs the input only. A linear map after the input's convolution counts as part of it. Plain layers propagate
    nothing, and their input, with only a few rows per step, is one product for all steps.

    Args:
        first: products without a state: those of the first step, or of the input at all steps.
        later: products of all steps but the first.
        input_propagation, state_propagation: propagation of the input and of the state.
    """

    def __init__(
        self,
        first: Sequence[Product],
        later: Sequence[Product],
        input_propagation: Propagation | None = None,
        state_propagation: Propagation | None = None,
    ) -> None:
        self.first, self.later = first, later
        self.input_propagation, self.state_propagation = input_propagation, state_propagation
        self.steps = range(len(later[0].basis))

    @torch.no_grad()
    def infer(self) -> None:
        _run(self.input_propagation)
        for product in self.first:
            product.forward(0)
        for step in self.steps:
            for product in self.later:
                _run(self.state_propagation)
                product.forward(step)

    @torch.no_grad()
    def train(self) -> None:
        self.infer()
        for step in self.steps:
            for product in self.later:
                product.backward(step)
                _run(self.state_propagation, transposed=True)
        for product in self.first:
            product.backward(0)
        _run(self.input_propagation, transposed=True)
        for product in (*self.first, *self.later):
            product.backward_weight()


def _run(propagation: Propagation | None, transposed: bool = False) -> None:
    if propagation is not None:
        propagation.run(transposed)


def graph_lower_bound(layer: GraphRecurrent, graph: PreparedGraph, size: Size) -> LowerBound:
    """Return the lower bound of a graph-recurrent layer with linear filters."""
    steps, nodes, batch, in_channels, hidden = size
    like = next(layer.parameters()).detach()
    input_filter = layer.gcn if isinstance(layer, TGCN) else layer.input_filter
    hidden_filter = layer.hidden_filter
    assert input_filter is not None and hidden_filter is not None
    parts = (2 * hidden, hidden) if layer.reset == "before" else (NUM_GATES[layer.kind] * hidden,)
    input_width, state_width = input_filter.num_terms * in_channels, hidden_filter.num_terms * hidden
    return LowerBound(
        [Product(1, nodes * batch, input_width, gates, like) for gates in parts],
        [Product(steps - 1, nodes * batch, input_width + state_width, gates, like) for gates in parts],
        Propagation(input_filter, graph, steps * batch * in_channels, like),
        Propagation(hidden_filter, graph, batch * hidden, like),
    )


def plain_lower_bound(kind: str, size: PlainSize, like: Tensor) -> LowerBound:
    """Return the lower bound of a plain recurrent layer: "RNN", "LSTM" or "GRU"."""
    steps, batch, in_channels, hidden = size
    gates = NUM_GATES[kind.lower()] * hidden
    return LowerBound(
        [Product(1, steps * batch, in_channels, gates, like)], [Product(steps - 1, batch, hidden, gates, like)]
    )
