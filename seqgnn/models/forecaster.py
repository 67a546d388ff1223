"""Forecasters: any layer over the past, read at the last step through one head."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn._utils.validation import check_count, check_like, describe
from seqgnn.models.forecast_encoders import Encoder, GraphEncoder, NodewiseEncoder, disjoint, lags_as_features
from seqgnn.nn import DCRNNForecaster, scheduled_sampling
from seqgnn.nn.graph.filters import GCN, Filter
from seqgnn.nn.graph.prepare import GraphPreparer, as_graph

if TYPE_CHECKING:
    from seqgnn.data.windows import WindowBatch

NEIGHBOURS = GCN("rw", add_self_loops=False)


class Forecaster(GraphPreparer, nn.Module):
    r"""The next steps of every node of a graph, from what a layer makes of the last ones.

    .. math::
        \hat{y} = W h_T + b \;(+\; x_T \;+\; V [x_1, \dots, x_T] + d)

    with h_T of the layer's last step. With `residual` the last value is added, so that the layer corrects persistence;
    with `skip` a linear map of the node's own past, which a graph convolution loses, since it averages a node with its
    neighbors. With `neighbors` layer and skip read, beside each node's features, the mean of those from which edges
    run to it, weighted (zero where there are none).

    Args:
        layer: over time and graph as :class:`seqgnn.nn.GCNLSTM`, on each node alone as :class:`seqgnn.nn.LSTM`, any
            :class:`seqgnn.models.Encoder`, or None for the skip alone. It reads `in_channels`, twice as many with
            `neighbors`.
        in_channels, out_channels: F and C.
        lags: steps that it is given.
        horizon: steps ahead.
        residual: whether the last value of the first C features, the targets' own past, is added.
        skip, neighbors: as above.
        dropout: on what the head reads.

    Shapes:
        ``model(batch) -> forecast, None``, x ``[lags, B, N, F]`` to ``[horizon, B, N, C]``. The batch's graph may also
        be one from ``model.prepare``, made once by a loop that owns it.

    Raises:
        ValueError: for options out of range or such as contradict each other, and for batches that do not fit.

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
        who = type(self).__name__
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "lags": lags, "horizon": horizon}
        for name, size in sizes.items():
            check_count(who, name, size, 1)
        if not 0 <= dropout < 1:
            raise ValueError(f"{who}: expected dropout in [0, 1), got {dropout!r}")
        if residual and in_channels < out_channels:
            found = f"{in_channels} for {out_channels} targets"
            raise ValueError(
                f"{who}: expected features that hold the targets' own past with residual=True, got {found}"
            )
        if layer is None and not skip:
            raise ValueError(f"{who}: expected a layer or skip=True, got neither")
        self.in_channels, self.out_channels, self.lags, self.horizon = in_channels, out_channels, lags, horizon
        self.residual, self.neighbors, self.dropout = residual, neighbors, dropout
        channels, answers = in_channels * (2 if neighbors else 1), horizon * out_channels
        self.encoder = self._encoder(layer)
        read = getattr(self.encoder, "in_channels", channels)
        if read != channels:
            raise ValueError(f"{who}: expected a layer that reads {channels} channels, got one that reads {read}")
        self.head = None if self.encoder is None else self._head(answers)
        self.skip = nn.Linear(lags * channels, answers) if skip else None

    def _encoder(self, layer: nn.Module | None) -> Any:
        if layer is None or isinstance(layer, Encoder):
            return layer
        return NodewiseEncoder(layer) if isinstance(layer, nn.RNNBase) else GraphEncoder(layer)

    def _head(self, answers: int) -> nn.Module | None:
        return nn.Linear(self.encoder.hidden_channels, answers)

    @property
    def filters(self) -> tuple[Filter, ...]:
        own = () if self.encoder is None else self.encoder.filters
        return (*own, NEIGHBOURS) if self.neighbors else own

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: "WindowBatch", state: None = None) -> tuple[Tensor, None]:
        """The forecast ``[horizon, B, N, C]``; there is no state to carry on."""
        x = self._checked(batch.x)
        base = x[-1:, ..., : self.out_channels] if self.residual else x.new_zeros(())
        if self.neighbors:
            x = torch.cat([x, heard(x, batch.edge_index, batch.edge_weight)], dim=-1)
        if self.skip is not None:
            base = base + self._steps(self.skip(lags_as_features(x)))
        return base if self.encoder is None else base + self._answer(x, batch, base), None

    def _answer(self, x: Tensor, batch: "WindowBatch", base: Tensor) -> Tensor:
        """What the layer adds to `base`."""
        assert self.head is not None
        h = self.encoder(x, batch.edge_index, batch.edge_weight)
        return self._steps(self.head(F.dropout(h, self.dropout, self.training)))

    def _steps(self, answers: Tensor) -> Tensor:
        """``[B, N, horizon * C]`` to ``[horizon, B, N, C]``."""
        return answers.unflatten(-1, (self.horizon, self.out_channels)).permute(2, 0, 1, 3)

    def _checked(self, x: Tensor) -> Tensor:
        who = type(self).__name__
        if x.dim() != 4 or (x.size(0), x.size(-1)) != (self.lags, self.in_channels):
            expected = f"[{self.lags}, B, N, {self.in_channels}]"
            raise ValueError(f"{who}: expected x of shape {expected}, got {describe(x)}")
        check_like(who, "x", x, next(self.parameters()))
        return x

    def extra_repr(self) -> str:
        options = [name for name in ("residual", "neighbors") if getattr(self, name)]
        shown = [f"lags={self.lags}", f"horizon={self.horizon}", *(f"{name}=True" for name in options)]
        return ", ".join(shown + ([f"dropout={self.dropout}"] if self.dropout else []))


class EncoderDecoder(Forecaster):
    r"""A :class:`Forecaster` whose layer writes its answers step by step: :class:`seqgnn.nn.DCRNNForecaster`.

    In training the decoder is fed the truth (less what residual and skip say, as its own answers are) with the
    probability of :func:`seqgnn.nn.scheduled_sampling`; the training steps are counted in the buffer `steps`, and so
    saved. Values that were not observed are fed as zero. With a graph a step, the last one is taken for those ahead.

    Args:
        layer: the encoder and decoder, with `horizon` and `out_channels` as here.
        decay: of the scheduled sampling; None: the decoder is never fed the truth.
        options: those of :class:`Forecaster`, but for dropout, which is the layer's.

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
            scheduled_sampling(0, decay)  # says what is wrong with it
        super().__init__(layer, **options)
        if (layer.horizon, layer.out_channels) != (self.horizon, self.out_channels):
            expected = f"a layer with horizon={self.horizon} and out_channels={self.out_channels}"
            raise ValueError(f"EncoderDecoder: expected {expected}, got {layer.horizon} and {layer.out_channels}")
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def _encoder(self, layer: nn.Module | None) -> Any:
        return layer

    def _head(self, answers: int) -> None:
        return None

    def _answer(self, x: Tensor, batch: "WindowBatch", base: Tensor) -> Tensor:
        edges, weights = batch.edge_index, batch.edge_weight
        told: dict[str, Any] = {}
        if self.training and self.decay is not None:
            truth = batch.y - base.detach()
            truth = truth if batch.mask is None else torch.where(batch.mask, truth, 0)
            told = {"targets": disjoint(truth, edges), "truth": scheduled_sampling(int(self.steps), self.decay)}
            self.steps += 1
        if isinstance(edges, list | tuple):
            told |= {"future": edges[-1], "future_weight": None if weights is None else weights[-1]}
        answers = self.encoder(disjoint(x, edges), edges, weights, **told)
        return answers.view(self.horizon, *x.shape[1:3], self.out_channels)


def heard(x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
    """The weighted mean of what each node's neighbors have, those from which edges run to it: one step on the graph.

    Args:
        x: ``[T, B, N, F]``.
        edge_index, edge_weight: as in a batch of windows; lists for a graph a step.
    """
    if isinstance(edge_index, list | tuple):
        weights = [None] * len(edge_index) if edge_weight is None else edge_weight
        flat = x.flatten(1, 2)
        if not len(flat) == len(edge_index) == len(weights):
            found = f"{len(edge_index)} graphs and {len(weights)} weights"
            raise ValueError(f"Forecaster: expected {len(flat)} graphs, one a step, got {found}")
        steps = [heard(step, edges, weight) for step, edges, weight in zip(flat, edge_index, weights)]
        return torch.stack(steps).view_as(x)
    graph = as_graph("Forecaster", [NEIGHBOURS], edge_index, edge_weight, x.size(-2))
    return NEIGHBOURS.basis(x, graph)[0].to(x.dtype)
