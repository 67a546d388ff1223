"""MinGRU and MinLSTM (Feng et al. 2024): recurrent layers whose gates depend on the input alone."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqgnn._utils.validation import check_input, check_state, describe, one_of
from seqgnn.nn.init import NUM_GATES, Init, Recipe, apply_recipes, resolve_recipes, uniform
from seqgnn.nn.layer_call import Layer, layer_call, layer_options, refuse_script
from seqgnn.nn.recurrent._sequence_layer import SequenceLayer
from seqgnn.nn.scan import RecurrentUnit
from seqgnn.nn.scan.functional import MINIMAL_CELLS

ENGINES = ("auto", "cpp", "fused", "reference")


class _Minimal(Layer):
    """What layers and cells have in common: parameters, initialization and representation."""

    kind: str
    input_size: int
    hidden_size: int
    bias: bool
    recipes: tuple[Recipe, ...]
    __prepare_scriptable__ = refuse_script

    def _add_parameters(self, suffix: str, channels: int, device: Any, dtype: Any) -> None:
        rows = NUM_GATES[self.kind] * self.hidden_size
        self.register_parameter(
            "weight_ih" + suffix, nn.Parameter(torch.empty(rows, channels, device=device, dtype=dtype))
        )
        if self.bias:
            self.register_parameter("bias_ih" + suffix, nn.Parameter(torch.empty(rows, device=device, dtype=dtype)))

    def _initialize(self, init: Init, forget_bias: float | None) -> None:
        self.recipes = (uniform(), *resolve_recipes(type(self).__name__, self.kind, init, forget_bias, self.bias))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the weights to torch's default for recurrent layers, then apply `init` and `forget_bias`."""
        apply_recipes(self.recipes, self, self.kind)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
            "engine": "auto", "checkpoint_every": None,
        }  # fmt: skip
        values = {name: getattr(self, name, default) for name, default in defaults.items()}
        parts += [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        if self.recipes[1:]:
            parts.append(f"init={list(self.recipes[1:])}")
        return ", ".join(parts)


class _MinimalLayer(_Minimal, SequenceLayer):
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
        checkpoint_every: int | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.engine = one_of(type(self).__name__, "engine", engine, ENGINES)
        self.checkpoint_every = checkpoint_every
        if dropout and num_layers == 1:
            caller = type(self).__name__
            warnings.warn(f"{caller}: dropout={dropout} is between layers, and num_layers is 1", stacklevel=3)
        directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            for direction in directions:
                channels = input_size if layer == 0 else hidden_size * len(directions)
                self._add_parameters(f"_l{layer}{direction}", channels, device, dtype)
        self._initialize(init, forget_bias)

    @layer_call
    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None, lengths: Tensor | None = None) -> Any:
        if lengths is not None and not (isinstance(input, Tensor) and input.dim() == 3):
            got = describe(input) if isinstance(input, Tensor) else type(input).__name__
            raise ValueError(f"{type(self).__name__}: expected lengths with a batch of padded sequences, got {got}")
        return self._forward(input, hx, lengths)

    def _unit(self, suffix: str) -> RecurrentUnit:
        return RecurrentUnit(MINIMAL_CELLS[self.kind], self._projection("ih" + suffix), ())


class MinGRU(_MinimalLayer):
    r"""The minGRU, a GRU without hidden-to-hidden weights: its gate and candidate depend on the input alone.

    `Were RNNs all we needed? <https://arxiv.org/abs/2410.01201>`_ (Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024,
    section 3.1 and appendix A), in the form without logarithms.

    .. math::
        z_t &= \sigma(W_z x_t + b_z), \qquad c_t = W_h x_t + b_h \\
        h_t &= (1 - z_t) \, h_{t-1} + z_t \, c_t

    So one matrix product serves all steps, and what remains of the recurrence is elementwise. Unlike in a GRU, z_t is
    the fraction of the new state. Over 100,000 steps with gates between 1e-6 and 1 - 1e-5, outputs in float32 are
    within 2e-5 of those in float64, and gradients within 5e-5, relative to the largest. Deviation from the paper: the
    initialization is that of torch.nn's recurrent layers, U(-1/sqrt(H), 1/sqrt(H)).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.GRU`.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default;
            ``init.chrono(t_max)`` for long memory.
        forget_bias: not supported; for LSTMs only.
        engine: ``"reference"`` runs the equations of :mod:`seqgnn.nn.scan.functional` under autograd. ``"cpp"`` has a
            hand-written backward pass, and computes gates and recurrence at once in a compiled library on the CPU;
            where that was not built, and on a GPU, it is ``"fused"``, which has one call of torch per step or, on a
            GPU, a scan in logarithmic depth, which has not been run on one. ``"auto"`` is ``"cpp"`` with at least 3
            steps where that can be used, else ``"fused"`` on the CPU with at least 1,000 elements (T * B) or, if
            gradients are recorded, at least 8 steps, else ``"reference"``. Under torch.compile, torch.func transforms
            and forward-mode AD, for double backward, and in half precision on a GPU, all are ``"reference"``; on the
            CPU, half precision is computed in float32.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; None saves everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state hx
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``. With `lengths` ``[B]``, the outputs
        after the end of a sequence are zero and its state does not change. The weights of a layer and direction are
        ``weight_ih_l0 [2 H, F]`` and ``bias_ih_l0 [2 H]``, z before c.

    Raises:
        ValueError: for options that contradict each other, and for input, lengths or states with a wrong rank, size,
            dtype or device.

    Example:
        >>> import torch
        >>> layer = MinGRU(10, 32, num_layers=2)
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 32]), torch.Size([2, 8, 32]))
    """

    kind = "mingru"


class MinLSTM(_MinimalLayer):
    r"""The minLSTM, an LSTM without hidden-to-hidden weights and output gate: its gates and candidate depend on the
    input alone, and its gates have the sum 1.

    `Were RNNs all we needed? <https://arxiv.org/abs/2410.01201>`_ (Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024,
    section 3.2 and appendix A), in the form without logarithms.

    .. math::
        f_t &= \sigma(W_f x_t + b_f), \qquad i_t = \sigma(W_i x_t + b_i), \qquad c_t = W_h x_t + b_h \\
        h_t &= \frac{f_t}{f_t + i_t} \, h_{t-1} + \frac{i_t}{f_t + i_t} \, c_t

    So one matrix product serves all steps, and what remains of the recurrence is elementwise. The ratio is computed as
    :math:`\sigma(\log i_t - \log f_t)`, which is finite where both gates underflow. There is no cell state: the state
    is h alone. Over 100,000 steps with gates between 1e-6 and 1 - 1e-5, outputs in float32 are within 2e-5 of those in
    float64, and gradients within 5e-5, relative to the largest. Deviation from the paper: the initialization is that of
    torch.nn's recurrent layers, U(-1/sqrt(H), 1/sqrt(H)).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.GRU`.
        init: an initialization of :mod:`seqgnn.nn.init` or a list of them, applied in order after torch's default;
            ``init.chrono(t_max)`` for long memory.
        forget_bias: initial bias of the forget gate.
        engine: ``"reference"`` runs the equations of :mod:`seqgnn.nn.scan.functional` under autograd. ``"cpp"`` has a
            hand-written backward pass, and computes gates and recurrence at once in a compiled library on the CPU;
            where that was not built, and on a GPU, it is ``"fused"``, which has one call of torch per step or, on a
            GPU, a scan in logarithmic depth, which has not been run on one. ``"auto"`` is ``"cpp"`` with at least 3
            steps where that can be used, else ``"fused"`` on the CPU with at least 1,000 elements (T * B) or, if
            gradients are recorded, at least 8 steps, else ``"reference"``. Under torch.compile, torch.func transforms
            and forward-mode AD, for double backward, and in half precision on a GPU, all are ``"reference"``; on the
            CPU, half precision is computed in float32.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the state before each segment is
            saved, and the backward pass recomputes its steps; None saves everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state hx
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``. With `lengths` ``[B]``, the outputs
        after the end of a sequence are zero and its state does not change. The weights of a layer and direction are
        ``weight_ih_l0 [3 H, F]`` and ``bias_ih_l0 [3 H]`` in the order f, i, c.

    Raises:
        ValueError: for options that contradict each other, and for input, lengths or states with a wrong rank, size,
            dtype or device.

    Example:
        >>> import torch
        >>> layer = MinLSTM(10, 32, bidirectional=True, forget_bias=1.0)
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 64]), torch.Size([2, 8, 32]))
    """

    kind = "minlstm"


class MinimalCell(_Minimal):
    """The base class of the cells, which are one step of a layer."""

    weight_ih: Tensor

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
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._add_parameters("", input_size, device, dtype)
        self._initialize(init, forget_bias)

    @layer_call
    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        check_input(type(self).__name__, input, (1, 2), self.input_size, self.weight_ih, sparse=True)
        input = input.to_dense()
        shape = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            hx = input.new_zeros(shape)
        check_state(type(self).__name__, hx, (shape,), self.weight_ih)
        gx = F.linear(input, self.weight_ih, getattr(self, "bias_ih", None))
        return MINIMAL_CELLS[self.kind](gx, (), (hx,))[0]


class MinGRUCell(MinimalCell):
    r"""One step of :class:`MinGRU`; see the layer for equations and options.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> import torch
        >>> MinGRUCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "mingru"


class MinLSTMCell(MinimalCell):
    r"""One step of :class:`MinLSTM`; see the layer for equations and options.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> import torch
        >>> MinLSTMCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "minlstm"
