"""RNN, LSTM and GRU: torch.nn's layers, with the explicit equations as an alternative to torch's kernels."""

from typing import Any

from torch import Tensor, nn

from seqgnn._utils.validation import one_of
from seqgnn.nn.init import Init
from seqgnn.nn.layer_call import layer_options
from seqgnn.nn.recurrent._engine_mixin import EngineMixin
from seqgnn.nn.recurrent._sequence_layer import SequenceLayer
from seqgnn.nn.scan import RecurrentUnit
from seqgnn.nn.scan import functional as cells
from seqgnn.nn.scan.dispatch import choose_plain_engine


class _Layer(EngineMixin, SequenceLayer):
    """The base class of the layers, which runs torch's forward pass or a scan of the cell over time."""

    engines = ("auto", "native", "cpp", "fused", "triton", "reference")

    def _choose_engine(self, x: Tensor, hx: Any, time_dim: int, packed: bool) -> str:
        return choose_plain_engine(self, x, hx, time_dim, packed)

    def _unit(self, suffix: str) -> RecurrentUnit:
        cell = cells.projected(self._cell, getattr(self, "weight_hr" + suffix)) if self.proj_size else self._cell
        return RecurrentUnit(cell, self._projection("ih" + suffix), (self._projection("hh" + suffix),))


class RNN(_Layer, nn.RNN):
    r"""The plain RNN (Elman 1990), a drop-in replacement for :class:`torch.nn.RNN`.

    .. math::
        h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Arguments, outputs and state_dict are exactly those of torch's layer; additional arguments are keyword-only.

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.RNN`.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default.
        engine: ``"native"`` runs torch's own forward pass; ``"reference"`` runs the equation of
            :mod:`seqgnn.nn.scan.functional` under autograd; ``"fused"`` has a hand-written backward pass; ``"cpp"``
            runs all steps in one call of a compiled library on the CPU, where it was built; ``"triton"`` does what
            ``"fused"`` does with Triton kernels, which have only been run in Triton's interpreter, not on a GPU.
            ``"auto"`` is ``"cpp"`` with at least 10 steps (T); where the library was not built, ``"fused"`` if
            gradients are recorded and there are at least 512 channels, 20 steps and 100 elements (T * B); both on the
            CPU and not for packed input, since padding would cost more than they save. Otherwise it is ``"native"`` if
            that supports the call.
        recurrent_bias: if False, b_hh is a buffer of zeros, and a nonzero b_hh of a loaded state_dict is added to b_ih.
        forget_bias: not supported; for LSTMs only.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; not with ``engine="native"``; None saves everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that contradict each other, for input or states with a wrong rank, size, dtype or
            device, and for ``"triton"`` if it is not installed or the input is not on a GPU.

    Example:
        >>> import torch
        >>> layer = RNN(10, 32, init="identity")
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 32]), torch.Size([1, 8, 32]))
    """

    kind = "rnn"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
        checkpoint_every: int | None = None,
    ) -> None:
        one_of("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self._write(engine, init, forget_bias, recurrent_bias, checkpoint_every)


class LSTM(_Layer, nn.LSTM):
    r"""The LSTM with forget gates (Gers et al. 2000), a drop-in replacement for :class:`torch.nn.LSTM`.

    .. math::
        (i, f, g, o) &= W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \\
        c_t &= \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    Arguments (including ``proj_size``), outputs and state_dict are exactly those of torch's layer; additional arguments
    are keyword-only.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype:
            as in :class:`torch.nn.LSTM`.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default.
        forget_bias: initial sum of both biases of the forget gate.
        engine: ``"native"`` runs torch's own forward pass; ``"reference"`` runs the equations of
            :mod:`seqgnn.nn.scan.functional` under autograd; ``"fused"`` has a hand-written backward pass; ``"cpp"``
            runs all steps in one call of a compiled library on the CPU, where it was built; ``"triton"`` does what
            ``"fused"`` does with Triton kernels, which have only been run in Triton's interpreter, not on a GPU.
            ``"auto"`` is ``"cpp"`` on the CPU with at least 16 sequences (B), 600 elements (T * B) and at most 256
            channels, unless the input is packed, since padding would cost more than it saves. Otherwise it is
            ``"native"``, but for half precision on CPUs without instructions for it, which torch does not support.
        recurrent_bias: if False, b_hh is a buffer of zeros, which leaves the 4(FH + H² + H) parameters of the usual
            equations; a nonzero b_hh of a loaded state_dict is added to b_ih.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; not with ``engine="native"``; None saves everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; states h and c
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that contradict each other, for input or states with a wrong rank, size, dtype or
            device, and for ``"triton"`` if it is not installed or the input is not on a GPU.

    Example:
        >>> import torch
        >>> from seqgnn.nn import init
        >>> layer = LSTM(10, 32, init=["orthogonal", init.chrono(t_max=100)], recurrent_bias=False)
        >>> output, (h, c) = layer(torch.randn(5, 8, 10))
        >>> sum(p.numel() for p in layer.parameters()) == 4 * (10 * 32 + 32 * 32 + 32)
        True
    """

    kind = "lstm"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
        checkpoint_every: int | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        )
        self._write(engine, init, forget_bias, recurrent_bias, checkpoint_every)


class GRU(_Layer, nn.GRU):
    r"""The GRU (Cho et al. 2014), a drop-in replacement for :class:`torch.nn.GRU`.

    The reset gate is applied after the hidden projection.

    .. math::
        r &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n &= \tanh(W_{in} x_t + b_{in} + r \, (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z) \, n + z \, h_{t-1}

    In the paper, r multiplies h before the matrix product, and z and 1 - z are swapped.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.GRU`.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default.
        engine: ``"native"`` runs torch's own forward pass; ``"reference"`` runs the equations of
            :mod:`seqgnn.nn.scan.functional` under autograd; ``"fused"`` has a hand-written backward pass; ``"cpp"``
            runs all steps in one call of a compiled library on the CPU, where it was built; ``"triton"`` does what
            ``"fused"`` does with Triton kernels, which have only been run in Triton's interpreter, not on a GPU.
            ``"auto"`` is ``"cpp"`` with at least 10 steps (T); where the library was not built, ``"fused"`` if
            gradients are recorded and there are at least 64 channels, 40 steps and 800 elements (T * B), or at least
            320 channels and 20 steps; both on the CPU and not for packed input, since padding would cost more than they
            save. Otherwise it is ``"native"`` if that supports the call.
        forget_bias, recurrent_bias: not supported; for other layers only.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; not with ``engine="native"``; None saves everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that contradict each other, for input or states with a wrong rank, size, dtype or
            device, and for ``"triton"`` if it is not installed or the input is not on a GPU.

    Example:
        >>> import torch
        >>> layer = GRU(10, 32, num_layers=2, bidirectional=True, engine="reference")
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 64]), torch.Size([4, 8, 32]))
    """

    kind = "gru"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
        checkpoint_every: int | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )
        self._write(engine, init, forget_bias, recurrent_bias, checkpoint_every)
