"""Forecasters: an encoder of the input steps and a linear head on its last step."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn._utils.validation import check_count, check_like, describe
from seqgnn.models.forecast_encoders import Encoder, GraphEncoder, NodewiseEncoder, disjoint, lags_as_features
from seqgnn.nn import DCRNNForecaster, scheduled_sampling
from seqgnn.nn.graph.filters import GCN, Filter
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph
from seqgnn.nn.recurrent.plain import PLAIN_LAYERS

if TYPE_CHECKING:
    from seqgnn.data.windows import WindowBatch

NEIGHBORS = GCN("rw", add_self_loops=False)


class Forecaster(GraphPreparer, nn.Module):
    r"""A forecaster of the next steps at every node of a graph.

    .. math::
        \hat{y} = W h_T + b \;(+\; x_T \;+\; V [x_1, \dots, x_T] + d)

    where h_T is the layer's output at the last step. With `residual` the last observed value is added, so that the
    model learns a correction to persistence. With `skip` a linear map of the node's own lags is added: a graph
    convolution averages a node with its neighbors and loses them. With `neighbors` the weighted mean of the
    in-neighbors (zero for nodes without any) is appended to the features of each node, for layer and skip.

    Args:
        layer: a graph-recurrent layer such as :class:`seqgnn.nn.GCNLSTM`, a layer for each node such as
            :class:`seqgnn.nn.LSTM`, any :class:`seqgnn.models.Encoder`, or None for the skip connection only. It has
            `in_channels` input channels, twice as many with `neighbors`.
        in_channels, out_channels: F and C.
        lags: number of input steps.
        horizon: number of steps ahead.
        residual: add the last value of the first C features, which must be the targets' own past.
        skip, neighbors: as above.
        dropout: dropout on the head's input.

    Shapes:
        ``model(batch) -> forecast, None``, x ``[lags, B, N, F]`` to ``[horizon, B, N, C]``. The batch's graph may also
        be a prepared one, from ``model.prepare``.

    Raises:
        ValueError: if an option is out of range, options contradict each other, or a batch has the wrong shape.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> from seqgnn.nn import GCNLSTM
        >>> graph = TemporalGraph(torch.randn(30, 3, 1), torch.tensor([[0, 1], [1, 2]]))
        >>> model = Forecaster(GCNLSTM(1, 8), in_channels=1, lags=4, horizon=3, residual=True, skip=True)
        >>> forecast, _ = model(graph.windows(lags=4, horizon=3).batch(range(16)))
        >>> forecast.shape
        torch.Size([3, 16, 3, 1])
    """

    def __init__(
        self,
        layer: nn.Module | None,
        *,
        in_channels: int,
        out_channels: int = 1,
        lags: int,
        horizon: int = 1,
        residual: bool = False,
        skip: bool = False,
        neighbors: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        caller = type(self).__name__
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "lags": lags, "horizon": horizon}
        for name, size in sizes.items():
            check_count(caller, name, size, 1)
        if not 0 <= dropout < 1:
            raise ValueError(f"{caller}: expected dropout in [0, 1), got {dropout!r}")
        if residual and in_channels < out_channels:
            got = f"in_channels={in_channels} for {out_channels} targets"
            raise ValueError(f"{caller}: residual=True needs the targets among the features, got {got}")
        if layer is None and not skip:
            raise ValueError(f"{caller}: expected a layer or skip=True, got neither")
        self.in_channels, self.out_channels, self.lags, self.horizon = in_channels, out_channels, lags, horizon
        self.residual, self.neighbors, self.dropout = residual, neighbors, dropout
        channels, outputs = in_channels * (2 if neighbors else 1), horizon * out_channels
        self.encoder = self._encoder(layer)
        layer_channels = getattr(self.encoder, "in_channels", channels)
        if layer_channels != channels:
            raise ValueError(f"{caller}: expected a layer with {channels} input channels, got {layer_channels}")
        self.head = None if self.encoder is None else self._head(outputs)
        self.skip = nn.Linear(lags * channels, outputs) if skip else None

    def _encoder(self, layer: nn.Module | None) -> Any:
        if layer is None or isinstance(layer, Encoder):
            return layer
        return NodewiseEncoder(layer) if isinstance(layer, PLAIN_LAYERS) else GraphEncoder(layer)

    def _head(self, outputs: int) -> nn.Module | None:
        return nn.Linear(self.encoder.hidden_channels, outputs)

    @property
    def filters(self) -> tuple[Filter, ...]:
        filters = () if self.encoder is None else self.encoder.filters
        return (*filters, NEIGHBORS) if self.neighbors else filters

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: "WindowBatch", state: None = None) -> tuple[Tensor, None]:
        """Return the forecast ``[horizon, B, N, C]`` and no state."""
        x = self._checked(batch.x)
        base = x[-1:, ..., : self.out_channels] if self.residual else x.new_zeros(())
        if self.neighbors:
            x = torch.cat([x, neighbor_mean(x, batch.edge_index, batch.edge_weight)], dim=-1)
        if self.skip is not None:
            base = base + self._steps(self.skip(lags_as_features(x)))
        return base if self.encoder is None else base + self._correction(x, batch, base), None

    def _correction(self, x: Tensor, batch: "WindowBatch", base: Tensor) -> Tensor:
        """Return the layer's contribution, which is added to `base`."""
        assert self.head is not None
        h = self.encoder(x, batch.edge_index, batch.edge_weight)
        return self._steps(self.head(F.dropout(h, self.dropout, self.training)))

    def _steps(self, outputs: Tensor) -> Tensor:
        """Return ``[B, N, horizon * C]`` as ``[horizon, B, N, C]``."""
        return outputs.unflatten(-1, (self.horizon, self.out_channels)).permute(2, 0, 1, 3)

    def _checked(self, x: Tensor) -> Tensor:
        caller = type(self).__name__
        if x.dim() != 4 or (x.size(0), x.size(-1)) != (self.lags, self.in_channels):
            expected = f"[{self.lags}, B, N, {self.in_channels}]"
            raise ValueError(f"{caller}: expected x of shape {expected}, got {describe(x)}")
        check_like(caller, "x", x, next(self.parameters()))
        return x

    def extra_repr(self) -> str:
        options = [name for name in ("residual", "neighbors") if getattr(self, name)]
        shown = [f"lags={self.lags}", f"horizon={self.horizon}", *(f"{name}=True" for name in options)]
        return ", ".join(shown + ([f"dropout={self.dropout}"] if self.dropout else []))


class EncoderDecoder(Forecaster):
    r"""A :class:`Forecaster` with an autoregressive decoder, :class:`seqgnn.nn.DCRNNForecaster`.

    In training, the decoder's input is the target (minus the outputs of residual and skip, like its own outputs) with
    the probability of :func:`seqgnn.nn.scheduled_sampling`, otherwise its own previous output. The buffer `steps`
    counts training steps and is saved. Targets that were not observed are replaced by zero. With a graph per step, the
    decoder uses the last graph.

    Args:
        layer: the encoder and decoder, with the same `horizon` and `out_channels`.
        decay: decay of scheduled sampling; None: the decoder always uses its own output.
        options: options of :class:`Forecaster` except dropout, which is an option of the layer.

    Example:
        >>> from seqgnn.data import TemporalGraph
        >>> graph = TemporalGraph(torch.randn(30, 3, 1), torch.tensor([[0, 1], [1, 2]]))
        >>> model = EncoderDecoder(DCRNNForecaster(1, 8, horizon=3, K=2), in_channels=1, lags=4, horizon=3)
        >>> model(graph.windows(lags=4, horizon=3).batch(range(16)))[0].shape
        torch.Size([3, 16, 3, 1])
    """

    steps: Tensor

    def __init__(self, layer: DCRNNForecaster, *, decay: float | None = 2000.0, **options: Any) -> None:
        if decay is not None:
            scheduled_sampling(0, decay)  # validates decay
        super().__init__(layer, **options)
        if (layer.horizon, layer.out_channels) != (self.horizon, self.out_channels):
            expected = f"a layer with horizon={self.horizon} and out_channels={self.out_channels}"
            raise ValueError(f"EncoderDecoder: expected {expected}, got {layer.horizon} and {layer.out_channels}")
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def _encoder(self, layer: nn.Module | None) -> Any:
        return layer

    def _head(self, outputs: int) -> None:
        return None

    def _correction(self, x: Tensor, batch: "WindowBatch", base: Tensor) -> Tensor:
        edges, weights = batch.edge_index, batch.edge_weight
        options: dict[str, Any] = {}
        if self.training and self.decay is not None:
            truth = batch.y - base.detach()
            truth = truth if batch.mask is None else torch.where(batch.mask, truth, 0)
            options = {"targets": disjoint(truth, edges), "truth": scheduled_sampling(int(self.steps), self.decay)}
            self.steps += 1
        if isinstance(edges, list | tuple):
            options |= {"future": edges[-1], "future_weight": None if weights is None else weights[-1]}
        outputs = self.encoder(disjoint(x, edges), edges, weights, **options)
        return outputs.view(self.horizon, *x.shape[1:3], self.out_channels)


def neighbor_mean(x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
    """Return the weighted mean of the features of each node's in-neighbors.

    Args:
        x: ``[T, B, N, F]``.
        edge_index, edge_weight: as in a batch of windows; lists for a graph per step.
    """
    if isinstance(edge_index, list | tuple):
        weights = [None] * len(edge_index) if edge_weight is None else edge_weight
        flat = x.flatten(1, 2)
        if not len(flat) == len(edge_index) == len(weights):
            got = f"{len(edge_index)} graphs and {len(weights)} weights"
            raise ValueError(f"Forecaster: expected {len(flat)} graphs, one per step, got {got}")
        steps = [neighbor_mean(step, edges, weight) for step, edges, weight in zip(flat, edge_index, weights)]
        return torch.stack(steps).view_as(x)
    graph = as_graph("Forecaster", [NEIGHBORS], edge_index, edge_weight, x.size(-2))
    return NEIGHBORS.basis(x, graph)[0].to(x.dtype)
