"""RNNCell, LSTMCell and GRUCell: torch's cells, with the written equations as an alternative to torch's kernels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn._utils.validation import check_input, check_state, one_of
from seqgnn.nn.init import Init
from seqgnn.nn.layer_call import layer_call, layer_options
from seqgnn.nn.recurrent._engine_mixin import EngineMixin
from seqgnn.nn.scan.dispatch import is_transformed


class _Cell(EngineMixin):
    """One step: torch's forward, or the written equations."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Any
    bias_hh: Any

    @layer_call
    def forward(self, input: Tensor, hx: Any = None) -> Any:
        check_input(type(self).__name__, input, (1, 2), self.input_size, self.weight_ih, sparse=True)
        shape = (*input.shape[:-1], self.hidden_size)
        shapes = (shape, shape) if self.kind == "lstm" else (shape,)
        if hx is not None:
            check_state(type(self).__name__, hx, shapes, self.weight_ih)
        if self.engine == "native" or (self.engine == "auto" and not is_transformed()):
            return super().forward(input, hx)
        if input.layout != torch.strided:  # sums of a sparse and a dense tensor depend on layout and order
            input = input.to_dense()
        if hx is None:
            hx = tuple(input.new_zeros(shape) for shape in shapes)
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        gx = F.linear(input, self.weight_ih, self.bias_ih)
        _, state = self._cell(gx, lambda h: F.linear(h, self.weight_hh, self.bias_hh), state)
        return state if self.kind == "lstm" else state[0]


class RNNCell(_Cell, nn.RNNCell):
    r"""One step of :class:`seqgnn.nn.RNN`, a drop-in replacement for :class:`torch.nn.RNNCell`; see the layer for
    options.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> import torch
        >>> RNNCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "rnn"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
    ) -> None:
        one_of("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias, nonlinearity, device, dtype)
        self.mode = f"RNN_{nonlinearity.upper()}"
        self._write(engine, init, forget_bias, recurrent_bias)


class LSTMCell(_Cell, nn.LSTMCell):
    r"""One step of :class:`seqgnn.nn.LSTM`, a drop-in replacement for :class:`torch.nn.LSTMCell`; see the layer for
    options.

    Shapes: input ``[B, F]`` or ``[F]``, states h and c ``[B, H]`` or ``[H]``; returns ``(h, c)``.

    Example:
        >>> import torch
        >>> h, c = LSTMCell(4, 3, forget_bias=1.0)(torch.randn(2, 4))
        >>> h.shape
        torch.Size([2, 3])
    """

    kind = "lstm"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self._write(engine, init, forget_bias, recurrent_bias)


class GRUCell(_Cell, nn.GRUCell):
    r"""One step of :class:`seqgnn.nn.GRU`, a drop-in replacement for :class:`torch.nn.GRUCell`; see the layer for
    options.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> import torch
        >>> GRUCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "gru"

    @layer_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        init: Init = None,
        forget_bias: float | None = None,
        engine: str = "auto",
        recurrent_bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self._write(engine, init, forget_bias, recurrent_bias)
