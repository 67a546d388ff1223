"""The floor of a layer's time: the products that no implementation avoids."""

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
    """P x of so many columns, and its transpose on the way back."""

    def __init__(self, filter: Filter, graph: PreparedGraph, columns: int, like: Tensor) -> None:
        self.signal = like.new_empty(graph.num_nodes, columns).normal_()
        self.heard = torch.empty_like(self.signal)
        self.matrices = []
        if filter.hops:
            (operator,) = graph.operators[filter]
            values = operator.values_as(like.dtype)
            self.matrices = [operator.csr(values, transposed) for transposed in (False, True)]
        self.times = filter.hops

    def run(self, transposed: bool = False) -> None:
        for _ in range(self.times):
            torch.mm(self.matrices[transposed], self.signal, out=self.heard)


class Product:
    """A linear map of all rows of each step, its gradients step by step, and the weights' of all steps in one."""

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


class Floor:
    """The products that no implementation of a layer avoids, each into memory of its own that is there already.

    The input is propagated once for all steps, the state step by step; one product a step then makes all gates of both
    (two, and two propagations, where a GRU resets before), of the input alone in the first step, whose state is zero.
    A linear map behind the input's convolution counts as one with it. Plain layers propagate nothing, and their input,
    of which a step has few rows, is one product for all steps.

    Args:
        first: products without a state: of the first step alone, or of the input at all steps.
        later: those of all steps but the first.
        of_x, of_h: propagations of the input and of the state.
    """

    def __init__(
        self,
        first: Sequence[Product],
        later: Sequence[Product],
        of_x: Propagation | None = None,
        of_h: Propagation | None = None,
    ) -> None:
        self.first, self.later, self.of_x, self.of_h = first, later, of_x, of_h
        self.steps = range(len(later[0].basis))

    @torch.no_grad()
    def infer(self) -> None:
        _run(self.of_x)
        for product in self.first:
            product.forward(0)
        for step in self.steps:
            for product in self.later:
                _run(self.of_h)
                product.forward(step)

    @torch.no_grad()
    def train(self) -> None:
        self.infer()
        for step in self.steps:
            for product in self.later:
                product.backward(step)
                _run(self.of_h, transposed=True)
        for product in self.first:
            product.backward(0)
        _run(self.of_x, transposed=True)
        for product in (*self.first, *self.later):
            product.backward_weight()


def _run(propagation: Propagation | None, transposed: bool = False) -> None:
    if propagation is not None:
        propagation.run(transposed)


def graph_floor(layer: GraphRecurrent, graph: PreparedGraph, size: Size) -> Floor:
    """That of a graph-recurrent layer by filters."""
    steps, nodes, batch, in_channels, hidden = size
    like = next(layer.parameters()).detach()
    input_filter = layer.gcn if isinstance(layer, TGCN) else layer.input_filter
    hidden_filter = layer.hidden_filter
    assert input_filter is not None and hidden_filter is not None
    parts = (2 * hidden, hidden) if layer.reset == "before" else (NUM_GATES[layer.kind] * hidden,)
    of_x, of_h = input_filter.num_terms * in_channels, hidden_filter.num_terms * hidden
    return Floor(
        [Product(1, nodes * batch, of_x, gates, like) for gates in parts],
        [Product(steps - 1, nodes * batch, of_x + of_h, gates, like) for gates in parts],
        Propagation(input_filter, graph, steps * batch * in_channels, like),
        Propagation(hidden_filter, graph, batch * hidden, like),
    )


def plain_floor(kind: str, size: PlainSize, like: Tensor) -> Floor:
    """That of a plain recurrent layer of a kind "RNN", "LSTM" or "GRU"."""
    steps, batch, in_channels, hidden = size
    gates = NUM_GATES[kind.lower()] * hidden
    return Floor(
        [Product(1, steps * batch, in_channels, gates, like)], [Product(steps - 1, batch, hidden, gates, like)]
    )
