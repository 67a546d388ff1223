"""Recurrent layers with graph convolutions in their gates."""

from __future__ import annotations  # torch.compile cannot evaluate annotations of nested functions

from collections.abc import Sequence
from typing import Any, Never

import torch
from torch import Tensor, nn

from seqgnn._utils.torch_internals import in_explain_mode
from seqgnn._utils.validation import check_input, check_sizes, check_state, check_steps, first_parameter, one_of
from seqgnn.nn.conv.message_passing import Propagation, repr_without
from seqgnn.nn.graph.filters import Filter
from seqgnn.nn.graph.prepare import GraphPreparer
from seqgnn.nn.init import NUM_GATES, Init, Recipe, apply_recipes, resolve_recipes, uniform
from seqgnn.nn.layer_call import Layer, layer_call, layer_options
from seqgnn.nn.receptive_field import RecurrentReceptiveField
from seqgnn.nn.scan import RecurrentUnit, scan
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.functional import Cell
from seqgnn.nn.scan.gates import (
    ConvFactory,
    ConvProjection,
    FilterProjection,
    Projection,
    build_conv,
    check_cell_options,
    check_edge_arguments,
    filter_or_factory,
    reset_weights,
)
from seqgnn.nn.scan.graph_inputs import Edges, StepGraph, StepInputs, active_steps, step_graphs

ENGINES = ("auto", "cpp", "fused", "triton", "reference")


class GraphRecurrent(Layer, GraphPreparer, RecurrentReceptiveField):
    r"""A recurrent layer on every node of a graph, with a graph filter or a convolution in its gates.

    .. math::
        g(x) = [P_0 x, \dots, P_{m-1} x] W_{ih}^T + b_{ih}, \qquad u(h) = [P_0 h, \dots, P_{m-1} h] W_{hh}^T + b_{hh}

    This is the base class of all graph-recurrent layers; subclasses choose the cell, a function of g and u. P_0 to
    P_{m-1} are the terms of the filter. Weights have the names, shapes and initialization of torch.nn
    (``weight_ih_l0 [gates * H, m F]``), so a layer on a graph without edges, or with the filter ``Identity()``, is
    equivalent to torch's layer on each node. A convolution, the submodule ``input_conv_l0`` or ``hidden_conv_l0``,
    replaces the weights and biases of its projection.

    Args:
        in_channels, hidden_channels: F and H.
        num_layers, bias, batch_first, dropout, bidirectional: as in torch.nn.
        conv: the convolution of input and hidden state: a filter, such as ``Chebyshev(3)``, or a factory of
            convolutions, ``(in_channels, out_channels) -> module``; ``GCN()`` if None. A module is called as
            ``module(x, edge_index)``, with `edge_weight`, `edge_attr` or `batch` if its forward has these arguments.
            Windows, and all steps of the input projection, are passed as disjoint copies of the graph. With
            ``reset="before"``, a hidden projection has two modules, with 2 H and H output channels.
        input_conv, hidden_conv: the convolution of input or hidden state only, instead of `conv`.
        peephole: whether an LSTM's gates depend on its cell state, with weights ``weight_ci_l0, weight_cf_l0,
            weight_co_l0 [H]`` shared by all nodes.
        reset: position of a GRU's reset gate: ``"after"`` multiplies u_n(h) by r (torch), ``"before"`` multiplies h
            (Cho et al. 2014), at the cost of a second propagation.
        nonlinearity: nonlinearity of the plain RNN, ``"tanh"`` or ``"relu"``.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default.
        forget_bias: initial sum of both biases of an LSTM's forget gate.
        engine: ``"reference"`` runs the equations under autograd. ``"fused"`` has a hand-written backward pass for
            filters of the hidden state; it is the reference under torch.compile, torch.func transforms and forward-mode
            AD, for double backward, for filters that override `basis` and in half precision on a GPU; on the CPU, half
            precision is computed in float32. ``"cpp"`` runs all steps in one call of a compiled library on the CPU,
            where it was built, and is ``"fused"`` elsewhere. ``"triton"`` is ``"fused"`` with Triton kernels, one for
            the gates of a step or, if :func:`seqgnn.nn.scan.triton.scan.fits`, one for all steps; these have only been
            run in Triton's interpreter, not on a GPU. ``"auto"`` is ``"cpp"``, except for one step with fewer than 200
            elements (T * B * N) if gradients are recorded; where that does not run, ``"fused"`` on the CPU with at
            least 1,000 elements or, in training, 8 steps; otherwise ``"reference"``; never ``"triton"``.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; None saves everything.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; output ``[T, (B,) N, H * directions]``; states h (and c)
        ``[num_layers * directions, (B,) N, H]``.

    Raises:
        ValueError: for options that are out of range or contradict each other, for inputs, graphs or states with a
            wrong rank, size, dtype or device, and for ``"triton"`` if it is not installed or x is not on a GPU.
    """

    kind: str
    engines: tuple[str, ...] = ENGINES
    _fixed_options: tuple[str, ...] = ()  # options that the paper fixes, not shown in the repr

    @layer_options
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
        conv: Filter | ConvFactory | None = None,
        input_conv: Filter | ConvFactory | None = None,
        hidden_conv: Filter | ConvFactory | None = None,
        peephole: bool = False,
        reset: str = "after",
        nonlinearity: str = "tanh",
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        checkpoint_every: int | None = None,
        device: Any = None,
        dtype: Any = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            hint = "; pass it to a filter, such as conv=Chebyshev(K=3)" if "K" in unknown else ""
            raise TypeError(f"{type(self).__name__}: got an unexpected keyword argument {next(iter(unknown))!r}{hint}")
        super().__init__()
        self.propagation = Propagation()
        check_sizes(caller := type(self).__name__, in_channels=in_channels)
        self.in_channels, self.hidden_channels, self.num_layers = in_channels, hidden_channels, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.peephole, self.checkpoint_every = peephole, checkpoint_every
        self.reset = one_of(caller, "reset", reset, ("after", "before"))
        self.nonlinearity = one_of(caller, "nonlinearity", nonlinearity, ("tanh", "relu"))
        check_cell_options(caller, self.kind, peephole, reset, nonlinearity)
        self.engine = one_of(caller, "engine", engine, self.engines)
        self.input_filter, input_factory = filter_or_factory(caller, "input", conv, input_conv)
        self.hidden_filter, hidden_factory = self._hidden_conv(conv, hidden_conv)
        if (input_factory or hidden_factory) and not (init is None and forget_bias is None):
            raise ValueError(f"{caller}: expected init and forget_bias with filters only, got a convolution")
        if input_factory and (hidden_factory or not self._hidden_rows) and not bias:
            raise ValueError(f"{caller}: expected bias=False in the convolutions, got it in the layer")

        for layer, suffixes in enumerate(self._suffixes):
            channels = self._first_channels if layer == 0 else hidden_channels * len(suffixes)
            for suffix in suffixes:
                if input_factory is not None:
                    self.add_module("input_conv" + suffix, build_conv(caller, input_factory, channels, self._rows))
                if hidden_factory is not None:
                    parts = [build_conv(caller, hidden_factory, hidden_channels, rows) for rows in self._hidden_rows]
                    self.add_module("hidden_conv" + suffix, parts[0] if len(parts) == 1 else nn.ModuleList(parts))
                for name, shape in self._shapes(channels).items():
                    parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(name + suffix, parameter)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)
        self.recipes: tuple[Recipe, ...] = (
            uniform(),
            *self._default_recipes,
            *resolve_recipes(caller, self.kind, init, forget_bias, bias),
        )
        apply_recipes(self.recipes, self, self.kind)

    def reset_parameters(self) -> None:
        """Reset the weights to torch's default, then apply `init` and `forget_bias`; convolutions reset their own
        weights."""
        apply_recipes(self.recipes, self, self.kind)
        for conv in self.convs:
            reset_weights(conv)

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        state: Any = None,
        *,
        edge_attr: Tensor | Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Return the output of the layer over time, and its last states.

        Args:
            x: ``[T, N, F]`` or, for a batch of windows on a shared graph, ``[T, B, N, F]`` (``batch_first``:
                ``[B, T, N, F]``).
            edge_index: ``[2, E]`` or a prepared graph; a list of T of them if the graph changes from step to step.
            edge_weight: ``[E]``; a list of T of them if the graph changes.
            state: initial state, in the form that the layer returns; zero if None.
            edge_attr: edge features ``[E, D]`` for convolutions that use them; a list of T of them if the graph
                changes.
            lengths: number of steps of each sequence, ``[B]``, or of each node, ``[N]``, if `x` is ``[T, N, F]``. After
                the end of a sequence, its outputs are zero and its state does not change; the reverse direction starts
                at this end.
            batch: ``[N]``, the index of the graph of each node in a batch of disjoint graphs.

        Returns:
            The last layer's output ``[T, (B,) N, H * directions]`` and the states
            ``[num_layers * directions, (B,) N, H]``.
        """
        caller, like = type(self).__name__, first_parameter(self, x)
        check_input(caller, x, (3, 4), self.in_channels, like)
        swap = self.batch_first and x.dim() == 4
        x = x.transpose(0, 1) if swap else x
        check_steps(caller, x)
        _, *batch_shape, num_nodes, _ = x.shape
        shape = (self.num_layers * (2 if self.bidirectional else 1), *batch_shape, num_nodes, self.hidden_channels)
        shapes = (shape,) * (2 if self.kind == "lstm" else 1)
        zero_state = state is None
        if zero_state:
            state = tuple(x.new_zeros(()).expand(s) for s in shapes)
        else:
            check_state(caller, state, shapes, like)
            state = tuple(state) if self.kind == "lstm" else (state,)
        filters, convs = self.filters, self.convs
        graphs = step_graphs(caller, filters, x, edge_index, edge_weight, edge_attr, batch)
        check_edge_arguments(caller, convs, any(filter.hops for filter in filters), graphs[0])
        active = None
        if lengths is not None:
            active = active_steps(caller, lengths, x)
            x = torch.where(active, x, 0)  # inputs after a node's end must not reach its neighbors
        x = self._features(x, graphs)

        output, state = scan(
            x,
            state,
            [[self._unit(suffix) for suffix in suffixes] for suffixes in self._suffixes],
            StepInputs(graphs, active, zero_state),
            engine="reference" if self.propagation.passes_messages else self.engine,
            caller=caller,
            dropout=self.dropout if self.training else 0.0,
            # An explainer may have removed its masks before the backward pass.
            checkpoint_every=None if in_explain_mode(self.propagation) else self.checkpoint_every,
            draws=len(convs) > 0,  # such as dropout of attention coefficients
        )
        self.propagation(output[-1])
        return output.transpose(0, 1) if swap else output, state if self.kind == "lstm" else state[0]

    @property
    def _suffixes(self) -> list[list[str]]:
        """The suffixes of the parameters of each layer and direction."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [[f"_l{layer}{direction}" for direction in directions] for layer in range(self.num_layers)]

    def _hidden_conv(self, conv: Any, hidden_conv: Any) -> tuple[Filter | None, ConvFactory | None]:
        """Return the filter or the factory of the hidden projection; both are None if there is none."""
        return filter_or_factory(type(self).__name__, "hidden", conv, hidden_conv)

    def _unit(self, suffix: str) -> RecurrentUnit:
        return RecurrentUnit(self._cell(suffix), self._input_projection(suffix), self._hidden_projections(suffix))

    def _filter_projection(self, filter: Filter, weight: Tensor, bias: Tensor | None) -> FilterProjection:
        multiply = self.propagation.multiply if self.propagation.passes_messages else None
        return FilterProjection(filter, weight, bias, multiply)

    @property
    def _first_channels(self) -> int:
        """The input channels of the first layer."""
        return self.in_channels

    @property
    def _default_recipes(self) -> tuple[Recipe, ...]:
        """The initialization of the paper, applied before `init`."""
        return ()

    def _features(self, x: Tensor, graphs: Sequence[StepGraph]) -> Tensor:
        """Return the input of the first layer."""
        return x

    def _cell(self, suffix: str) -> Cell:
        if self.kind == "rnn":
            return cells.rnn_relu if self.nonlinearity == "relu" else cells.rnn_tanh
        if self.kind == "gru":
            return cells.gru_reset_before if self.reset == "before" else cells.gru
        if self.peephole:
            return cells.PeepholeLSTM(*(getattr(self, f"weight_c{gate}{suffix}") for gate in "ifo"))
        return cells.lstm

    @property
    def _rows(self) -> int:
        """The number of pre-activations of a node, for all gates."""
        return NUM_GATES[self.kind] * self.hidden_channels

    @property
    def _hidden_rows(self) -> tuple[int, ...]:
        """The number of pre-activations of each hidden projection; with ``reset="before"``, there are two: r and z, and
        n."""
        return (2 * self.hidden_channels, self.hidden_channels) if self.reset == "before" else (self._rows,)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return tuple(filter for filter in (self.input_filter, self.hidden_filter) if filter is not None)

    @property
    def convs(self) -> list[nn.Module]:
        """The convolutions in the gates, of all layers and directions."""
        return [*self.convs_of("input"), *self.convs_of("hidden")]

    def convs_of(self, side: str) -> list[nn.Module]:
        children = [child for name, child in self.named_children() if name.startswith(f"{side}_conv_l")]
        return [conv for child in children for conv in (child if type(child) is nn.ModuleList else [child])]

    def _shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters of one layer and direction."""
        shapes: dict[str, tuple[int, ...]] = {}
        projections = (("ih", self.input_filter, channels), ("hh", self.hidden_filter, self.hidden_channels))
        for name, filter, size in projections:
            if filter is not None:
                shapes[f"weight_{name}"] = (self._rows, filter.num_terms * size)
        for name, filter, _ in projections:
            if filter is not None and self.bias:
                shapes[f"bias_{name}"] = (self._rows,)
        if self.peephole:
            shapes |= {f"weight_c{gate}": (self.hidden_channels,) for gate in "ifo"}
        return shapes

    def _input_projection(self, suffix: str) -> Projection:
        """Return the input projection g of all gates."""
        if self.input_filter is None:
            return ConvProjection(type(self).__name__, getattr(self, "input_conv" + suffix), self._rows)
        weight, bias = getattr(self, "weight_ih" + suffix), getattr(self, "bias_ih" + suffix, None)
        return self._filter_projection(self.input_filter, weight, bias)

    def _hidden_projections(self, suffix: str) -> tuple[Projection, ...]:
        """Return the hidden projections u: one for all gates, or those that the cell expects."""
        rows = self._hidden_rows
        if self.hidden_filter is None:
            conv = getattr(self, "hidden_conv" + suffix)
            parts = [conv] if len(rows) == 1 else conv
            return tuple(ConvProjection(type(self).__name__, part, size) for part, size in zip(parts, rows))
        weight, bias = getattr(self, "weight_hh" + suffix), getattr(self, "bias_hh" + suffix, None)
        if len(rows) == 1:
            return (self._filter_projection(self.hidden_filter, weight, bias),)
        biases = (None,) * len(rows) if bias is None else bias.split(rows)
        return tuple(self._filter_projection(self.hidden_filter, w, b) for w, b in zip(weight.split(rows), biases))

    def __repr__(self) -> str:
        return repr_without(self, self.propagation)

    def extra_repr(self) -> str:
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
            "peephole": False, "reset": "after", "nonlinearity": "tanh", "engine": "auto", "checkpoint_every": None,
        }  # fmt: skip
        values = {name: getattr(self, name) for name in defaults if name not in self._fixed_options}
        options = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        parts = [f"{self.in_channels}, {self.hidden_channels}", *options, *self._conv_repr()]
        recipes = self.recipes[1 + len(self._default_recipes) :]
        if recipes:
            parts.append(f"init={list(recipes)}")
        return ", ".join(parts)

    def _conv_repr(self) -> list[str]:
        if self.input_filter is not None and self.input_filter == self.hidden_filter:
            return [f"conv={self.input_filter}"]
        filters = {"input_conv": self.input_filter, "hidden_conv": self.hidden_filter}
        return [f"{name}={filter}" for name, filter in filters.items() if filter is not None]
