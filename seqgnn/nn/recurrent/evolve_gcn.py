"""EvolveGCN: a graph convolution whose weights are the state of a recurrent cell."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch_geometric.utils import scatter

from seqgnn._utils.torch_internals import is_dynamic, is_eager, to_list
from seqgnn._utils.validation import check_input, check_sizes, check_state, check_steps, describe, one_of
from seqgnn.nn.conv.message_passing import Propagation, repr_without
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.filters import GCN, Filter
from seqgnn.nn.graph.prepare import GraphPreparer
from seqgnn.nn.layer_call import Layer, layer_call, layer_options
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.exported import scan_operator
from seqgnn.nn.scan.graph_inputs import Edges, StepGraph, active_steps, step_graphs


class EvolveGCN(Layer, GraphPreparer):
    r"""A GCN whose weight matrix is evolved by a recurrent cell from step to step, column by column.

    `EvolveGCN: evolving graph convolutional networks for dynamic graphs <https://arxiv.org/abs/1902.10191>`_ (Pareja et
    al. 2020).

    .. math::
        H_t &= \mathrm{relu}(\hat{A}_t X_t W_t) \\
        \text{O:}\quad W_t &= \mathrm{LSTM}(W_{t-1}), \quad \text{input and hidden state both } W_{t-1} \\
        \text{H:}\quad W_t &= \mathrm{GRU}(Z_t^\top, W_{t-1}), \quad
        Z_t = (X_t \, \tanh y)_{\text{top } k \text{ by } y}, \quad y = X_t p / |p|, \quad k = H

    The weights W are the state: they are passed in and returned, and the module stores only their initial value. The
    columns of W share the parameters of the cell. The GRU has ``reset="before"``, and z = 1 keeps the old state. The
    LSTM's cell state starts at zero. In O, all windows share W, which evolves until the last step; in H, each window or
    graph has its own W, which no longer changes after the end of that window or graph. Deviation from the paper: biases
    have the shape ``[F]`` and are shared by the columns.

    Args:
        in_channels, hidden_channels: F and H.
        num_layers: number of layers, each with its own weights.
        bias: whether the cells have biases.
        batch_first: ``[B, T, N, F]`` in, ``[B, T, N, H]`` out.
        variant: ``"O"`` or ``"H"``.
        normalization: of :math:`\hat{A}`, see :class:`seqgnn.nn.GCN`.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]``; output ``[T, (B,) N, H]``. The state has for each layer, in O, (W, cell
        state), both ``[F, H]``, and in H, W ``[(B,) F, H]``, or ``[graphs, F, H]`` with `batch`.

    Raises:
        ValueError: for options out of range, inputs, graphs or states that do not match, and, with ``variant="H"``,
            graphs with fewer nodes than W has columns.

    Example:
        >>> layer = EvolveGCN(2, 8)
        >>> output, ((weight, cell_state),) = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, weight.shape
        (torch.Size([5, 3, 8]), torch.Size([2, 8]))
    """

    @layer_options
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        *,
        variant: str = "O",
        normalization: str = "sym",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        caller = type(self).__name__
        check_sizes(caller, in_channels=in_channels, hidden_channels=hidden_channels, num_layers=num_layers)
        self.in_channels, self.hidden_channels, self.num_layers = in_channels, hidden_channels, num_layers
        self.bias, self.batch_first = bias, batch_first
        self.variant = one_of(caller, "variant", variant, ("O", "H"))
        self.filter = GCN(normalization)
        self.propagation = Propagation()
        gates = 4 if variant == "O" else 3
        for layer in range(num_layers):
            size = in_channels if layer == 0 else hidden_channels
            shapes: dict[str, tuple[int, ...]] = {"weight": (size, hidden_channels)}
            shapes |= {"weight_ih": (gates * size, size), "weight_hh": (gates * size, size)}
            shapes |= {"bias_ih": (gates * size,), "bias_hh": (gates * size,)} if bias else {}
            shapes |= {"score": (size,)} if variant == "H" else {}
            for name, shape in shapes.items():
                parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(f"{name}_l{layer}", parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the initial weights of the convolution (Glorot) and those of the cell (as in torch.nn)."""
        for name, parameter in self.named_parameters():
            if name.startswith("weight_l"):
                nn.init.xavier_uniform_(parameter)
            else:
                bound = 1 / math.sqrt(self.in_channels if name.endswith("_l0") else self.hidden_channels)
                nn.init.uniform_(parameter, -bound, bound)

    @property
    def filters(self) -> tuple[Filter, ...]:
        return (self.filter,)

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Return the output of all steps and the last state; for the arguments, see :class:`GraphRecurrent`."""
        caller, like = type(self).__name__, next(self.parameters())
        check_input(caller, x, (3, 4), self.in_channels, like)
        swap = self.batch_first and x.dim() == 4
        x = x.transpose(0, 1) if swap else x
        check_steps(caller, x)
        graphs = step_graphs(caller, self.filters, x, edge_index, edge_weight, None, batch)
        active = None if lengths is None else active_steps(caller, lengths, x)
        if active is not None:
            x = torch.where(active, x, 0)
        batch = graphs[0].prepared.batch if self.variant == "H" else None
        groups = list(x.shape[1:-2])
        if batch is not None:
            if groups:
                raise ValueError(f"{caller}: expected x of shape [T, N, F] with batch, got windows")
            if any(graph.prepared.batch is not batch for graph in graphs):
                raise ValueError(f"{caller}: expected all steps to have graphs with the same batch, got different ones")
            groups = [len(_sizes(batch))]
        states: list[Any] = [None] * self.num_layers if state is None else self._checked(state, groups)
        for layer in range(self.num_layers):
            x, states[layer] = self._run_layer(layer, x, states[layer], graphs, active)
            x = x if active is None else torch.where(active, x, 0)
        self.propagation(x[-1])
        return x.transpose(0, 1) if swap else x, tuple(states)

    def _run_layer(
        self, layer: int, x: Tensor, state: Any, graphs: Sequence[StepGraph], active: Tensor | None
    ) -> tuple[Tensor, Any]:
        """Return the outputs of one layer over all steps, and its last state.

        This does not use :func:`seqgnn.nn.scan.scan`, which computes the input's pre-activations before the first step:
        in O, the input of the LSTM is its last hidden state, and each step convolves x with the weights of that step.
        """

        def step(state: Any, inputs: tuple[Tensor, ...], graph: StepGraph = graphs[0]) -> tuple[Any, Tensor]:
            state = self._evolve(layer, inputs[0], state, graph, *inputs[1:])
            return state, self._convolve(inputs[0], state, graph)

        inputs = (x,) if active is None else (x, active)
        if is_dynamic(x):
            start = getattr(self, f"weight_l{layer}")
            initial = (start, torch.zeros_like(start)) if self.variant == "O" else start.expand(*x.shape[1:-2], -1, -1)
            state, output = scan_operator(step, initial if state is None else state, inputs)
            return output, state
        outputs = []
        for t, graph in enumerate(graphs):
            state, output = step(state, tuple(part[t] for part in inputs), graph)
            outputs.append(output)
        return torch.stack(outputs), state

    def _evolve(self, layer: int, x: Tensor, state: Any, graph: StepGraph, active: Tensor | None = None) -> Any:
        """Return the weights after the next step of the cell, which treats their columns as a batch."""
        start, weight_ih, weight_hh = (getattr(self, f"{n}_l{layer}") for n in ("weight", "weight_ih", "weight_hh"))
        bias_ih, bias_hh = (getattr(self, f"{name}_l{layer}", None) for name in ("bias_ih", "bias_hh"))
        if self.variant == "O":
            weight, cell_state = (start, torch.zeros_like(start)) if state is None else state
            columns = weight.mT
            gx = linear(columns, weight_ih, bias_ih)
            _, (h, c) = cells.lstm(gx, lambda h: linear(h, weight_hh, bias_hh), (columns, cell_state.mT))
            return h.mT, c.mT
        batch = graph.prepared.batch
        z, alive = self._summary(x, getattr(self, f"score_l{layer}"), batch, active)
        columns = start.mT.expand_as(z) if state is None else state.mT
        rows = 2 * len(start)
        gates_bias, candidate_bias = (None, None) if bias_hh is None else (bias_hh[:rows], bias_hh[rows:])
        projections = (
            lambda h: linear(h, weight_hh[:rows], gates_bias),
            lambda h: linear(h, weight_hh[rows:], candidate_bias),
        )
        h, _ = cells.gru_reset_before(linear(z, weight_ih, bias_ih), projections, (columns,))
        return (h if alive is None else torch.where(alive, h, columns)).mT

    def _summary(
        self, x: Tensor, score: Tensor, batch: Tensor | None, active: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the features Z `[..., k, F]` of the k nodes of x `[..., N, F]` with the highest scores, in descending
        order and multiplied by tanh of the score (`[graphs, k, F]` for the graphs of a batch), and a mask of the
        windows or graphs that have not ended (None without `active`).

        Nodes that have ended are excluded; their x is zero.
        """
        k, y = self.hidden_channels, x @ score / score.norm()
        sizes = [x.size(-2)] if batch is None else _sizes(batch)
        alive = None
        if active is not None:
            active_nodes = active[..., 0].expand(y.shape)
            y = y.masked_fill(~active_nodes, -torch.inf)
            count = active_nodes.sum(-1) if batch is None else scatter(active_nodes.long(), batch, dim_size=len(sizes))
            alive = (count > 0)[..., None, None]
            if is_eager() and x.device.type == "cpu":  # elsewhere this would synchronize with the device
                sizes = [*sizes, *(n for n in count.flatten().tolist() if n)]
        if min(sizes, default=k) < k:
            caller = type(self).__name__
            raise ValueError(f"{caller}: expected graphs of at least {k} nodes, one per column of W, got {min(sizes)}")
        best = y.argsort(dim=-1, descending=True, stable=True)
        if batch is not None:  # by graph, and within it by score
            best = best[batch[best].argsort(stable=True)]
            best = best[_first(batch)[:, None] + torch.arange(k, device=x.device)]
            return x[best] * torch.tanh(y[best])[..., None], alive
        best = best[..., :k]
        chosen = x.gather(-2, best[..., None].expand(*best.shape, x.size(-1)))
        return chosen * torch.tanh(y.gather(-1, best))[..., None], alive

    def _convolve(self, x: Tensor, state: Any, graph: StepGraph) -> Tensor:
        weight = state[0] if self.variant == "O" else state
        batch = graph.prepared.batch
        if weight.dim() == 3 and x.dim() == 2 and batch is not None:
            mapped = (x[:, None] @ weight[batch])[:, 0]
        else:
            mapped = x @ weight
        return torch.relu(self.propagation.multiply(graph.prepared.operators[self.filter][0], mapped)).to(x.dtype)

    def _checked(self, state: Any, groups: list[int]) -> list[Any]:
        """Return the state as a list over layers, after a check of its shapes for `groups` windows or graphs."""
        caller, like = type(self).__name__, next(self.parameters())
        what = "(W, cell state)" if self.variant == "O" else "W"
        if not isinstance(state, (tuple, list)) or len(state) != self.num_layers:
            raise ValueError(f"{caller}: expected {what} for each of {self.num_layers} layers, got {describe(state)}")
        for layer, part in enumerate(state):
            size = self.in_channels if layer == 0 else self.hidden_channels
            shape = (size, self.hidden_channels) if self.variant == "O" else (*groups, size, self.hidden_channels)
            check_state(caller, part, (shape,) * (2 if self.variant == "O" else 1), like)
        return list(state)

    def __repr__(self) -> str:
        return repr_without(self, self.propagation)

    def extra_repr(self) -> str:
        layers = "" if self.num_layers == 1 else f", num_layers={self.num_layers}"
        layers += ("" if self.bias else ", bias=False") + (", batch_first=True" if self.batch_first else "")
        return f"{self.in_channels}, {self.hidden_channels}{layers}, variant={self.variant!r}, conv={self.filter}"


def _sizes(batch: Tensor) -> list[int]:
    """Return the number of nodes of each graph; cached."""
    return tensor_cache.get((batch,), ("sizes",), lambda: to_list(batch.bincount()))


def _first(batch: Tensor) -> Tensor:
    """Return the index of the first node of each graph; cached."""
    sizes = _sizes(batch)
    before = [0, *sizes][: len(sizes)]
    first = partial(torch.tensor, before, dtype=torch.long, device=batch.device)
    return tensor_cache.get((batch,), ("first",), lambda: first().cumsum(0))
