"""Recurrent cells whose gates see the graph: GCNRNN, GCNLSTM, GCNGRU. A cell plus two gate maps."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn.errors import one_of
from seqgnn.nn import cells, recurrence
from seqgnn.nn.cells import Cell, State
from seqgnn.nn.checks import check_input, check_sizes, check_state
from seqgnn.nn.filters import GCN, Filter, as_graph, prepare_graph
from seqgnn.nn.init import NUM_GATES, Init, Recipe, apply_recipes, resolve_recipes, uniform
from seqgnn.nn.operator import PreparedGraph

ENGINES = ("auto", "reference")
Edges = Tensor | PreparedGraph | Sequence[Tensor] | Sequence[PreparedGraph]


class GraphRecurrent(nn.Module):
    r"""A recurrent cell on every node of a graph, with a graph filter in its gates.

    .. math::
        g(x) = [P_0 x, \dots, P_{m-1} x] W_{ih}^T + b_{ih}, \qquad u(h) = [P_0 h, \dots, P_{m-1} h] W_{hh}^T + b_{hh}

    The base of the layers below, which say which cell g and u feed. Weights are named, shaped and drawn as in torch.nn
    (``weight_ih_l0 [gates * H, m F]``), so a layer on a graph without edges, or with the filter ``Identity()``, is
    torch's layer on each node.
    """

    kind: str
    weight_ih_l0: Tensor

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        filter: Filter | None = None,
        input_filter: Filter | None = None,
        hidden_filter: Filter | None = None,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        check_sizes(who, in_channels=in_channels, hidden_channels=hidden_channels, num_layers=num_layers)
        if not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise ValueError(f"{who}: expected dropout in [0, 1], got {dropout!r}")
        for name, given in (("filter", filter), ("input_filter", input_filter), ("hidden_filter", hidden_filter)):
            if given is not None and not isinstance(given, Filter):
                raise ValueError(f"{who}: expected {name} to be a filter, such as GCN(), got {given!r}")
        if filter is not None and not (input_filter is None and hidden_filter is None):
            raise ValueError(f"{who}: expected filter, or input_filter and hidden_filter, got both")
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.input_filter = input_filter or filter or GCN()
        self.hidden_filter = hidden_filter or filter or GCN()
        self.engine = one_of(who, "engine", engine, ENGINES)
        rows = NUM_GATES[self.kind] * hidden_channels
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            channels = in_channels if layer == 0 else hidden_channels * directions
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[:directions]:
                shapes = {
                    "weight_ih": (rows, self.input_filter.num_terms * channels),
                    "weight_hh": (rows, self.hidden_filter.num_terms * hidden_channels),
                    "bias_ih": (rows,),
                    "bias_hh": (rows,),
                }
                for name, shape in shapes.items():
                    if bias or name.startswith("weight"):
                        parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                        self.register_parameter(name + suffix, parameter)
        self.recipes: tuple[Recipe, ...] = (uniform(), *resolve_recipes(who, self.kind, init, forget_bias, bias))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew: torch's default, then the recipes of ``init=`` and ``forget_bias=``."""
        apply_recipes(self.recipes, self, self.kind)

    def prepare(
        self,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        num_nodes: int | None = None,
        batch: Tensor | None = None,
    ) -> PreparedGraph:
        """Builds the operators of this layer's filters once, to be passed in the place of `edge_index`."""
        return prepare_graph(type(self).__name__, self._filters, edge_index, edge_weight, num_nodes, batch)

    def forward(
        self,
        x: Tensor,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Walks the graph signal `x` over time.

        Args:
            x: ``[T, N, F]``, or ``[T, B, N, F]`` for signals that share the graph (``batch_first``: ``[B, T, N, F]``).
            edge_index: ``[2, E]`` or a prepared graph; a list of T of them where the graph changes from step to step.
            edge_weight: ``[E]``, or a list of T where the graph changes.
            state: the state before the first step as the layer returns it; zero if None.
            lengths: how many steps each sequence has, ``[B]``, or ``[N]`` per node where `x` is ``[T, N, F]``. After
                its end a sequence's outputs are zero and its state stays; backward directions start at its own end.
            batch: ``[N]``, which node belongs to which of several disjoint graphs.

        Returns:
            The last layer's output ``[T, (B,) N, H * directions]`` and the states
            ``[num_layers * directions, (B,) N, H]``.
        """
        who = type(self).__name__
        check_input(who, x, (3, 4), self.in_channels, self.weight_ih_l0)
        swap = self.batch_first and x.dim() == 4
        x = x.transpose(0, 1) if swap else x
        num_steps, *batch_shape, num_nodes, _ = x.shape
        shape = (self.num_layers * (2 if self.bidirectional else 1), *batch_shape, num_nodes, self.hidden_channels)
        shapes = (shape,) * (2 if self.kind == "lstm" else 1)
        if state is None:
            state = tuple(x.new_zeros(s) for s in shapes)
        else:
            check_state(who, state, shapes, self.weight_ih_l0)
            state = tuple(state) if self.kind == "lstm" else (state,)
        graphs = self._graphs(edge_index, edge_weight, num_steps, num_nodes, batch, x.device)
        active = None
        if lengths is not None:
            active = self._active(lengths, x)
            x = torch.where(active, x, 0)  # what stands behind a node's end must not reach its neighbours

        def run(x: Tensor, state: State, layer: int, reverse: bool) -> tuple[Tensor, State]:
            suffix = f"_l{layer}" + ("_reverse" if reverse else "")
            gx = self._input_map(x, graphs, suffix)
            return recurrence.walk(self._cell, gx, self._hidden_maps(graphs, suffix), state, active, reverse)

        dropout = self.dropout if self.training else 0.0
        output, state = recurrence.stack(run, x, state, self.num_layers, self.bidirectional, dropout)
        return output.transpose(0, 1) if swap else output, state if self.kind == "lstm" else state[0]

    @property
    def _cell(self) -> Cell:
        return cells.lstm

    @property
    def _filters(self) -> tuple[Filter, ...]:
        return (self.input_filter, self.hidden_filter)

    def _input_map(self, x: Tensor, graphs: Sequence[PreparedGraph], suffix: str) -> Tensor:
        """g(x) at every step; a graph that does not change takes all steps at once."""
        if all(graph is graphs[0] for graph in graphs):
            basis = self._basis(self.input_filter, x, graphs[0])
        else:
            basis = torch.stack([self._basis(self.input_filter, x[t], graph) for t, graph in enumerate(graphs)])
        return F.linear(basis, getattr(self, "weight_ih" + suffix), getattr(self, "bias_ih" + suffix, None))

    def _hidden_maps(self, graphs: Sequence[PreparedGraph], suffix: str) -> list[Any]:
        """u(h) at every step."""
        weight, bias = getattr(self, "weight_hh" + suffix), getattr(self, "bias_hh" + suffix, None)
        return [self._hidden_map(graph, weight, bias) for graph in graphs]

    def _hidden_map(self, graph: PreparedGraph, weight: Tensor, bias: Tensor | None) -> Any:
        return lambda h: F.linear(self._basis(self.hidden_filter, h, graph), weight, bias)

    @staticmethod
    def _basis(filter: Filter, x: Tensor, graph: PreparedGraph) -> Tensor:
        blocks = filter.basis(x, graph)
        basis = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
        return basis.to(x.dtype)  # edge weights may be of a wider one

    def _graphs(
        self,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None,
        num_steps: int,
        num_nodes: int,
        batch: Tensor | None,
        device: torch.device,
    ) -> list[PreparedGraph]:
        """The prepared graph of every step, one and the same where the graph does not change."""
        who = type(self).__name__

        def prepared(edges: Any, weight: Any) -> PreparedGraph:
            tensor = edges.edge_index if isinstance(edges, PreparedGraph) else edges
            if isinstance(tensor, Tensor) and tensor.device != device:
                raise ValueError(f"{who}: expected the graph on {device}, where the input is, got {tensor.device}")
            return as_graph(who, self._filters, edges, weight, num_nodes, batch)

        if not isinstance(edge_index, list | tuple):
            if isinstance(edge_weight, list | tuple):
                raise ValueError(f"{who}: expected one edge_weight beside one edge_index, got {len(edge_weight)}")
            return [prepared(edge_index, edge_weight)] * num_steps
        if edge_weight is None:
            edge_weight = [None] * num_steps  # type: ignore[list-item]
        if not isinstance(edge_weight, list | tuple):
            raise ValueError(f"{who}: expected a list of {num_steps} edge_weights, one a step, got one for all steps")
        for name, given in (("edge_index", edge_index), ("edge_weight", edge_weight)):
            if len(given) != num_steps:
                raise ValueError(f"{who}: expected {num_steps} of {name}, one a step, got {len(given)}")
        return [prepared(edges, weight) for edges, weight in zip(edge_index, edge_weight)]

    def _active(self, lengths: Tensor, x: Tensor) -> Tensor:
        who = type(self).__name__
        expected = x.shape[1]
        integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
        if not isinstance(lengths, Tensor) or lengths.shape != (expected,) or lengths.dtype not in integers:
            found = f"{lengths.dtype} {tuple(lengths.shape)}" if isinstance(lengths, Tensor) else type(lengths).__name__
            raise ValueError(f"{who}: expected integer lengths of shape ({expected},), got {found}")
        if lengths.device.type == "cpu" and not bool(((lengths >= 1) & (lengths <= len(x))).all()):
            raise ValueError(f"{who}: expected lengths between 1 and {len(x)}, got {lengths.tolist()}")
        return recurrence.active_steps(lengths, len(x), x.dim(), x.device)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.hidden_channels}"]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        values = {name: getattr(self, name) for name in defaults}
        parts += [f"{name}={value}" for name, value in values.items() if value != defaults[name]]
        if self.input_filter == self.hidden_filter:
            parts.append(f"filter={self.input_filter}")
        else:
            parts.append(f"input_filter={self.input_filter}, hidden_filter={self.hidden_filter}")
        if len(self.recipes) > 1:
            parts.append(f"init={list(self.recipes[1:])}")
        if self.engine != "auto":
            parts.append(f"engine={self.engine!r}")
        return ", ".join(parts)


class GCNRNN(GraphRecurrent):
    r"""A plain recurrent net on every node, with a graph convolution in its one gate.

    .. math::
        h_t = \tanh(\hat{A} x_t W_{ih}^T + b_{ih} + \hat{A} h_{t-1} W_{hh}^T + b_{hh})

    Args:
        in_channels, hidden_channels: F and H.
        num_layers, bias, batch_first, dropout, bidirectional: as in torch.nn.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        filter: the filter of input and hidden state, ``GCN()`` if None; `input_filter`, `hidden_filter`: one of them.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        engine: ``"reference"`` walks the equations under autograd; ``"auto"`` takes the fastest that supports the call.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; output ``[T, (B,) N, H * directions]``; state
        ``[num_layers * directions, (B,) N, H]``.

    Raises:
        ValueError: for options out of range, and for inputs, graphs or states of a wrong rank, size, dtype or device.

    Example:
        >>> layer = GCNRNN(2, 8)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "rnn"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        nonlinearity: str = "tanh",
        filter: Filter | None = None,
        input_filter: Filter | None = None,
        hidden_filter: Filter | None = None,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            filter=filter,
            input_filter=input_filter,
            hidden_filter=hidden_filter,
            init=init,
            forget_bias=forget_bias,
            engine=engine,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = one_of(type(self).__name__, "nonlinearity", nonlinearity, ("tanh", "relu"))

    def extra_repr(self) -> str:
        return super().extra_repr() + (", nonlinearity='relu'" if self.nonlinearity == "relu" else "")

    @property
    def _cell(self) -> Cell:
        return cells.rnn_relu if self.nonlinearity == "relu" else cells.rnn_tanh


class GCNLSTM(GraphRecurrent):
    r"""An LSTM on every node, with a graph convolution in every gate (Seo et al. 2016, model 2, with a GCN filter).

    .. math::
        (i, f, g, o) &= \hat{A} x_t W_{ih}^T + b_{ih} + \hat{A} h_{t-1} W_{hh}^T + b_{hh} \\
        c_t &= \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    Deviation from the paper: no peepholes, and the filter of `Kipf and Welling <https://arxiv.org/abs/1609.02907>`_ in
    the place of Chebyshev polynomials.

    Args:
        in_channels, hidden_channels: F and H.
        num_layers, bias, batch_first, dropout, bidirectional: as in torch.nn.
        filter: the filter of input and hidden state, ``GCN()`` if None; `input_filter`, `hidden_filter`: one of them.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        forget_bias: the sum of both biases of the forget gate.
        engine: ``"reference"`` walks the equations under autograd; ``"auto"`` takes the fastest that supports the call.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; output ``[T, (B,) N, H * directions]``; states h and c
        ``[num_layers * directions, (B,) N, H]``.

    Raises:
        ValueError: for options out of range, and for inputs, graphs or states of a wrong rank, size, dtype or device.

    Example:
        >>> layer = GCNLSTM(2, 8, forget_bias=1.0)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, (h, c) = layer(torch.randn(5, 16, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 16, 3, 8]), torch.Size([1, 16, 3, 8]))
    """

    kind = "lstm"


class GCNGRU(GraphRecurrent):
    r"""A GRU on every node, with a graph convolution in every gate.

    .. math::
        r &= \sigma(g_r(x_t) + u_r(h_{t-1})), \qquad z = \sigma(g_z(x_t) + u_z(h_{t-1})) \\
        n &= \tanh(g_n(x_t) + r \, u_n(h_{t-1})) \quad \text{or} \quad \tanh(g_n(x_t) + u_n(r \, h_{t-1})) \\
        h_t &= (1 - z) \, n + z \, h_{t-1}

    with :math:`g(x) = \hat{A} x W_{ih}^T + b_{ih}` and :math:`u(h) = \hat{A} h W_{hh}^T + b_{hh}`.

    Args:
        in_channels, hidden_channels: F and H.
        num_layers, bias, batch_first, dropout, bidirectional: as in torch.nn.
        filter: the filter of input and hidden state, ``GCN()`` if None; `input_filter`, `hidden_filter`: one of them.
        reset: ``"after"`` multiplies u_n(h) by r (torch), ``"before"`` multiplies h (Cho et al. 2014; T-GCN, DCRNN), at
            the price of a second propagation.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        engine: ``"reference"`` walks the equations under autograd; ``"auto"`` takes the fastest that supports the call.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; output ``[T, (B,) N, H * directions]``; state
        ``[num_layers * directions, (B,) N, H]``.

    Raises:
        ValueError: for options out of range, and for inputs, graphs or states of a wrong rank, size, dtype or device.

    Example:
        >>> layer = GCNGRU(2, 8, reset="before", bidirectional=True)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 16]), torch.Size([2, 3, 8]))
    """

    kind = "gru"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset: str = "after",
        filter: Filter | None = None,
        input_filter: Filter | None = None,
        hidden_filter: Filter | None = None,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            filter=filter,
            input_filter=input_filter,
            hidden_filter=hidden_filter,
            init=init,
            forget_bias=forget_bias,
            engine=engine,
            device=device,
            dtype=dtype,
        )
        self.reset = one_of(type(self).__name__, "reset", reset, ("after", "before"))

    def extra_repr(self) -> str:
        return super().extra_repr() + (", reset='before'" if self.reset == "before" else "")

    @property
    def _cell(self) -> Cell:
        return cells.gru_reset_before if self.reset == "before" else cells.gru

    def _hidden_map(self, graph: PreparedGraph, weight: Tensor, bias: Tensor | None) -> Any:
        if self.reset == "after":
            return super()._hidden_map(graph, weight, bias)
        rows = [2 * self.hidden_channels, self.hidden_channels]
        biases = (None, None) if bias is None else bias.split(rows)
        return tuple(super(GCNGRU, self)._hidden_map(graph, w, b) for w, b in zip(weight.split(rows), biases))
