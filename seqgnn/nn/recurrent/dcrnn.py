"""DCRNN (Li et al. 2018): a GRU with diffusion convolutions in its gates, and its encoder-decoder."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import (
    check_dense,
    check_input,
    check_like,
    check_sizes,
    check_steps,
    describe,
    one_of,
    shown,
)
from seqgnn.nn.graph.filters import Diffusion, Filter
from seqgnn.nn.graph.prepare import GraphPreparer
from seqgnn.nn.layer_call import Layer, layer_call, layer_options
from seqgnn.nn.recurrent._published import Options, Published
from seqgnn.nn.scan.graph_inputs import Edges


class DCRNN(Published):
    r"""A GRU with diffusion convolutions :math:`\star_G` in its gates and the reset gate before the convolution.

    `Diffusion convolutional recurrent neural network <https://arxiv.org/abs/1707.01926>`_ (Li et al. 2018), section
    2.3.

    .. math::
        r &= \sigma(\Theta_r \star_G [x_t, h_{t-1}] + b_r), \qquad u = \sigma(\Theta_u \star_G [x_t, h_{t-1}] + b_u) \\
        C &= \tanh(\Theta_C \star_G [x_t, r \, h_{t-1}] + b_C), \qquad h_t = u \, h_{t-1} + (1 - u) \, C

    Args:
        K: number of terms of each random walk, see :class:`seqgnn.nn.Diffusion`; `max_diffusion_step` in the authors'
            code is K - 1.
        variant: ``"paper"``, or ``"authors"`` for the random walks of their code.
        options: see :class:`Options`; for shapes and errors, see :class:`GraphRecurrent`.

    Example:
        >>> layer = DCRNN(2, 8, K=3)
        >>> output, h = layer(torch.randn(5, 3, 2), torch.tensor([[0, 1], [1, 2]]))
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "gru"

    @layer_options
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        *,
        K: int,
        variant: str = "paper",
        **options: Unpack[Options],
    ) -> None:
        one_of(type(self).__name__, "variant", variant, ("paper", "authors"))
        check_sizes(type(self).__name__, K=K)
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            options,
            conv=Diffusion(K, variant),
            reset="before",
        )

    def _conv_repr(self) -> list[str]:
        return [f"conv={self.input_filter}"]


class DCRNNForecaster(Layer, GraphPreparer):
    r"""An encoder-decoder forecaster of all nodes, which predicts each step from its previous prediction.

    `Diffusion convolutional recurrent neural network <https://arxiv.org/abs/1707.01926>`_ (Li et al. 2018), section
    2.3: a :class:`DCRNN` encodes the past. A second one, the decoder, starts from the encoder's states and a zero input
    (GO). Its next inputs are its own predictions or, in training and with some probability, the targets (scheduled
    sampling, Bengio et al. 2015).

    Args:
        in_channels, hidden_channels: F and H.
        out_channels: C, number of forecast channels per node.
        horizon: number of steps to forecast.
        num_layers, bias, batch_first, dropout: of encoder and decoder.
        K, variant: of their diffusion convolutions.

    Shapes:
        ``x [T, N, F]`` or ``[T, B, N, F]`` -> ``[horizon, (B,) N, C]`` (``batch_first``: ``[B, horizon, N, C]``).

    Raises:
        ValueError: for options out of range, and for inputs or targets that do not match.

    Example:
        >>> model = DCRNNForecaster(2, 8, out_channels=1, horizon=3, K=2)
        >>> model(torch.randn(5, 16, 4, 2), torch.tensor([[0, 1, 2], [1, 2, 3]])).shape
        torch.Size([3, 16, 4, 1])
    """

    @layer_options
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int = 1,
        horizon: int = 12,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        K: int,
        variant: str = "paper",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes(
            type(self).__name__, in_channels=in_channels, hidden_channels=hidden_channels, out_channels=out_channels,
            horizon=horizon, num_layers=num_layers, K=K,
        )  # fmt: skip
        self.in_channels, self.hidden_channels = in_channels, hidden_channels
        self.horizon, self.out_channels, self.batch_first = horizon, out_channels, batch_first
        shared: dict[str, Any] = {"num_layers": num_layers, "bias": bias, "dropout": dropout, "K": K}
        shared |= {"variant": variant, "device": device, "dtype": dtype}
        self.encoder = DCRNN(in_channels, hidden_channels, **shared)
        self.decoder = DCRNN(out_channels, hidden_channels, **shared)
        self.projection = nn.Linear(hidden_channels, out_channels, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Reset the weights of encoder, decoder and projection."""
        for part in (self.encoder, self.decoder, self.projection):
            part.reset_parameters()

    @property
    def filters(self) -> tuple[Filter, ...]:
        return self.encoder.filters

    @layer_call
    def forward(
        self,
        x: Tensor,
        edge_index: Edges,
        edge_weight: Tensor | Sequence[Tensor] | None = None,
        *,
        future: Edges | None = None,
        future_weight: Tensor | Sequence[Tensor] | None = None,
        targets: Tensor | None = None,
        truth: float = 0.0,
        generator: torch.Generator | None = None,
        lengths: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Return forecasts of `horizon` steps.

        Args:
            x: the past.
            edge_index, edge_weight, lengths, batch: those of the past, as in :class:`DCRNN`.
            future, future_weight: edge_index and edge_weight of the forecast steps, or lists with one per step; None:
                those of the past, if the past has a single graph.
            targets: the targets, in the shape of the forecasts, for scheduled sampling.
            truth: the teacher-forcing probability: in training, the probability that the decoder gets the target
                instead of its last prediction as input, drawn at each step for the whole batch; see
                `scheduled_sampling`. Ignored in evaluation mode.
            generator: random generator for these draws.
        """
        caller, like = type(self).__name__, self.projection.weight
        check_input(caller, x, (3, 4), self.in_channels, like)
        swap = self.batch_first and x.dim() == 4
        x = x.transpose(0, 1) if swap else x
        check_steps(caller, x)
        shape = (self.horizon, *x.shape[1:-1], self.out_channels)
        targets = self._checked_targets(targets, truth, shape, swap)
        if future is None:
            if isinstance(edge_index, (list, tuple)) or future_weight is not None:
                changing = "one graph per step" if future_weight is None else "future_weight"
                raise ValueError(f"{caller}: expected future, the graphs of the steps ahead, with {changing}, got None")
            future, future_weight = edge_index, edge_weight
        edges_ahead = self._at_every_step("future", future)
        weights_ahead = self._at_every_step("future_weight", future_weight)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise ValueError(f"{caller}: expected generator to be a torch.Generator, got {type(generator).__name__}")
        teacher_forced = [False] * self.horizon
        if self.training and truth > 0:
            device = "cpu" if generator is None else generator.device
            teacher_forced = (torch.rand(self.horizon, generator=generator, device=device) < truth).tolist()

        _, state = self.encoder(x, edge_index, edge_weight, lengths=lengths, batch=batch)
        predictions: list[Tensor] = []
        decoder_input = x.new_zeros(shape[1:])
        for step, (edges, weight) in enumerate(zip(edges_ahead, weights_ahead)):
            h, state = self.decoder(decoder_input[None], edges, weight, state, batch=batch)
            predictions.append(self.projection(h[0]))
            forced = targets is not None and teacher_forced[step]
            decoder_input = targets[step] if forced else predictions[-1].to(x.dtype)  # type: ignore[index]
        forecast = torch.stack(predictions)
        return forecast.transpose(0, 1) if swap else forecast

    def _checked_targets(
        self, targets: Tensor | None, truth: float, shape: tuple[int, ...], swap: bool
    ) -> Tensor | None:
        """Return the targets, time first."""
        caller = type(self).__name__
        if not isinstance(truth, (int, float)) or not 0 <= truth <= 1 or (truth > 0 and targets is None):
            raise ValueError(f"{caller}: expected truth in [0, 1], and targets if it is above 0, got {shown(truth)}")
        if targets is None:
            return None
        expected = (shape[1], shape[0], *shape[2:]) if swap else shape
        if isinstance(targets, Tensor):
            check_dense(caller, "targets", targets)
        if not isinstance(targets, Tensor) or targets.shape != expected:
            raise ValueError(f"{caller}: expected targets of shape {expected}, got {describe(targets)}")
        check_like(caller, "targets", targets, self.projection.weight)
        return targets.transpose(0, 1) if swap else targets

    def _at_every_step(self, name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            return [value] * self.horizon
        if len(value) != self.horizon:
            caller = type(self).__name__
            raise ValueError(f"{caller}: expected {name} to have {self.horizon} items, one per step, got {len(value)}")
        return list(value)

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.hidden_channels}, {self.out_channels}, horizon={self.horizon}"
        return shown + (", batch_first=True" if self.batch_first else "")


def scheduled_sampling(step: int, decay: float = 2000.0) -> float:
    r"""Return the teacher-forcing probability at a training step: :math:`k / (k + \exp(i / k))`, inverse sigmoid decay.

    Args:
        step: i, from 0.
        decay: k, above 0; by default 2000, as in the authors' code.

    Example:
        >>> round(scheduled_sampling(0), 4), round(scheduled_sampling(30_000), 4)
        (0.9995, 0.0006)
    """
    if decay <= 0 or step < 0:
        raise ValueError(f"scheduled_sampling: expected step >= 0 and decay > 0, got {step} and {decay}")
    return decay / (decay + math.exp(min(step / decay, 700.0)))
