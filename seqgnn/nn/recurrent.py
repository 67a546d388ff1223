"""RNN, LSTM and GRU: torch's layers, with the equations under autograd beside torch's kernels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqgnn.errors import one_of
from seqgnn.nn import cells, fused, recurrence
from seqgnn.nn.cells import Cell, State
from seqgnn.nn.checks import check_input, check_sizes, check_state
from seqgnn.nn.filters import Identity
from seqgnn.nn.gate_maps import FilterMap
from seqgnn.nn.init import Init, Recipe, apply_recipes, resolve_recipes
from seqgnn.nn.step_graphs import Steps

# From so many channels and steps on the fused engine trains RNNs and GRUs faster than torch's kernels do, on the CPU.
WIDE, LONG = 512, 20


class _Written(nn.Module):
    """What the layers and cells below add to torch's: recipes, one bias instead of two, and a choice of engine."""

    kind: str
    mode: str
    input_size: int
    hidden_size: int
    engines: tuple[str, ...] = ("auto", "native", "reference")
    checkpoint_every: int | None = None
    recipes: tuple[Recipe, ...] = ()

    def _write(
        self,
        engine: str,
        init: Init,
        forget_bias: float | None,
        recurrent_bias: bool,
        checkpoint_every: int | None = None,
    ) -> None:
        who = type(self).__name__
        if checkpoint_every is not None:
            check_sizes(who, checkpoint_every=checkpoint_every)
            if engine == "native":
                raise ValueError(f"{who}: expected another engine with checkpoint_every, got 'native'")
        self.checkpoint_every = checkpoint_every
        check_sizes(who, input_size=self.input_size, hidden_size=self.hidden_size)
        self.engine = one_of(who, "engine", engine, self.engines)
        self.recurrent_bias = recurrent_bias
        if not recurrent_bias:
            self._drop_recurrent_bias(who)
        self.recipes = resolve_recipes(who, self.kind, init, forget_bias, bool(self.bias))
        apply_recipes(self.recipes, self, self.kind)

    def _drop_recurrent_bias(self, who: str) -> None:
        if self.kind == "gru":
            raise ValueError(f"{who}: expected recurrent_bias=True, got False; b_hn is inside the reset gate's product")
        for name, parameter in list(self.named_parameters(recurse=False)):
            if name.startswith("bias_hh"):
                delattr(self, name)
                self.register_buffer(name, torch.zeros_like(parameter))

    def reset_parameters(self) -> None:
        """Draws the weights anew: torch's default, then the recipes of ``init=`` and ``forget_bias=``."""
        super().reset_parameters()  # type: ignore[misc]
        apply_recipes(self.recipes, self, self.kind)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in [name for name in self._buffers if name.startswith("bias_hh")]:
            kept, folded = prefix + name, prefix + name.replace("bias_hh", "bias_ih")
            if kept in state_dict:
                bias_ih = state_dict.get(folded, getattr(self, folded.removeprefix(prefix)).detach())
                if bias_ih.shape == state_dict[kept].shape:
                    state_dict[folded] = bias_ih + state_dict[kept]
                state_dict[kept] = torch.zeros_like(state_dict[kept])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if self.engine != "auto":
            parts.append(f"engine={self.engine!r}")
        if self.checkpoint_every is not None:
            parts.append(f"checkpoint_every={self.checkpoint_every}")
        if not self.recurrent_bias:
            parts.append("recurrent_bias=False")
        if self.recipes:
            parts.append(f"init={list(self.recipes)}")
        return ", ".join(parts)

    @property
    def _cell(self) -> Cell:
        if self.kind == "rnn":
            relu = "RELU" in self.mode
            return cells.rnn_relu if relu else cells.rnn_tanh
        return cells.lstm if self.kind == "lstm" else cells.gru


def _transformed() -> bool:
    """Whether functorch or forward-mode derivatives are at work, for which torch's kernels have no rule."""
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


class _Layer(_Written):
    """A layer over time: torch's forward, or the loop over the written cell."""

    engines = ("auto", "native", "fused", "triton", "reference")
    proj_size: int
    num_layers: int
    bidirectional: bool
    batch_first: bool
    dropout: float
    weight_ih_l0: Tensor

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        data = input.data if isinstance(input, PackedSequence) else input
        check_input(type(self).__name__, data, (2,) if packed else (2, 3), self.input_size, self.weight_ih_l0)
        if hx is not None:
            batch: tuple[int, ...] = ()
            if isinstance(input, PackedSequence):
                batch = (int(input.batch_sizes[0]),)
            elif data.dim() == 3:
                batch = (data.size(0 if self.batch_first else 1),)
            check_state(type(self).__name__, hx, self._state_shapes(batch), self.weight_ih_l0)
        native = self.engine == "native" or (self.engine == "auto" and not _transformed())
        walks = recurrence.watched() or (self.checkpoint_every is not None and self._learns(data, hx))
        if native and not walks and not (self.engine == "auto" and not packed and self._gains(data, hx)):
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            return self._walk_packed(input, hx)
        if data.dim() == 2:
            output, state = self._walk(data.unsqueeze(1), self._unpack(hx, data, 1), hx is None)
            return output.squeeze(1), self._pack(tuple(s.squeeze(1) for s in state))
        x = data.transpose(0, 1) if self.batch_first else data
        output, state = self._walk(x, self._unpack(hx, x, x.size(1)), hx is None)
        return output.transpose(0, 1) if self.batch_first else output, self._pack(state)

    def _gains(self, x: Tensor, hx: Any) -> bool:
        """Whether the hand-written way back beats torch's kernels. For the LSTM these have one too."""
        steps = x.size(1 if self.batch_first and x.dim() == 3 else 0)
        wide = self.kind != "lstm" and self.hidden_size >= WIDE and steps >= LONG and x.device.type == "cpu"
        return wide and fused.ready(x) and self._learns(x, hx)

    def _learns(self, x: Tensor, hx: Any) -> bool:
        """Whether there will be a way back."""
        states = hx if isinstance(hx, tuple | list) else (hx,)
        parts = (x, *states, *self.parameters())
        return torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in parts)

    def _walk_packed(self, x: PackedSequence, hx: Any) -> Any:
        padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes))
        state = self._unpack(hx, padded, padded.size(1))
        if hx is not None and x.sorted_indices is not None:
            state = tuple(s.index_select(1, x.sorted_indices) for s in state)
        output, state = self._walk(padded, state, hx is None, lengths)
        if x.unsorted_indices is not None:
            state = tuple(s.index_select(1, x.unsorted_indices) for s in state)
        data = pack_padded_sequence(output, lengths).data
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), self._pack(state)

    def _walk(self, x: Tensor, state: State, fresh: bool, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """The equations, over ``x [T, B, F]``."""
        active = None if lengths is None else recurrence.active_steps(lengths, len(x), 3, x.device)

        def run(x: Tensor, state: State, layer: int, reverse: bool) -> tuple[Tensor, State]:
            suffix = f"_l{layer}" + ("_reverse" if reverse else "")
            weight_ih, weight_hh = getattr(self, "weight_ih" + suffix), getattr(self, "weight_hh" + suffix)
            bias_ih, bias_hh = getattr(self, "bias_ih" + suffix, None), getattr(self, "bias_hh" + suffix, None)
            cell = cells.projected(self._cell, getattr(self, "weight_hr" + suffix)) if self.proj_size else self._cell
            hidden_map = lambda h: F.linear(h, weight_hh, bias_hh)  # noqa: E731

            def segment(part: slice, begins: bool, x: Tensor, state: State) -> tuple[Tensor, State]:
                steps = Steps([], active, fresh).part(part, begins)
                if self.engine in ("auto", "fused", "triton") and not self.proj_size and fused.ready(x):
                    if self.engine == "triton":
                        fused.check_triton(type(self).__name__, x)
                    maps = [FilterMap(Identity(), *both) for both in ((weight_ih, bias_ih), (weight_hh, bias_hh))]
                    return fused.walk(cell, maps[0], maps[1:], steps, x, state, reverse, self.engine)
                gx = F.linear(x, weight_ih, bias_ih)
                return recurrence.walk(cell, gx, [hidden_map] * len(x), state, steps.active, reverse)

            return recurrence.in_segments(segment, self.checkpoint_every, x, state, reverse)

        dropout = self.dropout if self.training else 0.0
        return recurrence.stack(run, x, state, self.num_layers, self.bidirectional, dropout)

    def _state_shapes(self, batch: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        rows = self.num_layers * (2 if self.bidirectional else 1)
        h = (rows, *batch, self.proj_size or self.hidden_size)
        return (h, (rows, *batch, self.hidden_size)) if self.kind == "lstm" else (h,)

    def _unpack(self, hx: Any, x: Tensor, batch_size: int) -> State:
        """The state as a tuple of ``[rows, B, H]``, zero where none is given."""
        if hx is None:
            return tuple(x.new_zeros(shape) for shape in self._state_shapes((batch_size,)))
        parts = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(s if s.dim() == 3 else s.unsqueeze(1) for s in parts)

    def _pack(self, state: State) -> Any:
        return state if self.kind == "lstm" else state[0]


class RNN(_Layer, nn.RNN):
    r"""The plain recurrent net (Elman 1990), a drop-in for :class:`torch.nn.RNN`.

    .. math::
        h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Takes, returns and saves exactly what torch's layer does; what is new is keyword-only.

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.RNN`.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        engine: ``"native"`` is torch's own forward, ``"reference"`` walks the equation of :mod:`seqgnn.nn.cells` under
            autograd, ``"fused"`` has a hand-written way back, ``"triton"`` the same by Triton's kernels, which have run
            in its interpreter alone, on no device; ``"auto"`` is ``"fused"`` on the CPU where gradients are asked for,
            `hidden_size` is at least 512 and the input has at least 20 steps and is not packed (padding would cost more
            than is won), else ``"native"`` wherever that supports the call.
        recurrent_bias: with False b_hh is a buffer of zeros; a non-zero b_hh that is loaded is added to b_ih.
        forget_bias: for LSTMs only.
        checkpoint_every: keep of so many steps no more than the state before them, and walk them again on the way back,
            with any engine but ``"native"``; None keeps everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that make no sense together, for input or states of a wrong rank, size, dtype or device,
            and for ``"triton"`` where it is not installed or the input is not on a GPU.

    Example:
        >>> layer = RNN(10, 32, init="identity")
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 32]), torch.Size([1, 8, 32]))
    """

    kind = "rnn"

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
    r"""The LSTM with forget gates (Gers et al. 2000), a drop-in for :class:`torch.nn.LSTM`.

    .. math::
        (i, f, g, o) &= W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \\
        c_t &= \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    Takes, returns and saves exactly what torch's layer does (``proj_size`` included); what is new is keyword-only.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype:
            as in :class:`torch.nn.LSTM`.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        forget_bias: the sum of both biases of the forget gate.
        engine: ``"native"`` is torch's own forward, ``"reference"`` walks the equations of :mod:`seqgnn.nn.cells` under
            autograd, ``"fused"`` has a hand-written way back, ``"triton"`` the same by Triton's kernels, which have run
            in its interpreter alone, on no device; ``"auto"`` is ``"native"`` wherever that supports the call.
        recurrent_bias: with False b_hh is a buffer of zeros, which leaves the 4(dn + n² + n) parameters of the usual
            equations; a non-zero b_hh that is loaded is added to b_ih.
        checkpoint_every: keep of so many steps no more than the state before them, and walk them again on the way back,
            with any engine but ``"native"``; None keeps everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; states h and c
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that make no sense together, for input or states of a wrong rank, size, dtype or device,
            and for ``"triton"`` where it is not installed or the input is not on a GPU.

    Example:
        >>> from seqgnn.nn import init
        >>> layer = LSTM(10, 32, init=["orthogonal", init.chrono(t_max=100)], recurrent_bias=False)
        >>> output, (h, c) = layer(torch.randn(5, 8, 10))
        >>> sum(p.numel() for p in layer.parameters()) == 4 * (10 * 32 + 32 * 32 + 32)
        True
    """

    kind = "lstm"

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
    r"""The GRU (Cho et al. 2014) with the reset gate after the hidden map, a drop-in for :class:`torch.nn.GRU`.

    .. math::
        r &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n &= \tanh(W_{in} x_t + b_{in} + r \, (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z) \, n + z \, h_{t-1}

    Deviation from the paper: there r multiplies h before the matrix product, and z stands for 1 - z.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype:
            as in :class:`torch.nn.GRU`.
        init: a recipe of :mod:`seqgnn.nn.init` or a list of them, applied in order on top of torch's default.
        engine: ``"native"`` is torch's own forward, ``"reference"`` walks the equations of :mod:`seqgnn.nn.cells` under
            autograd, ``"fused"`` has a hand-written way back, ``"triton"`` the same by Triton's kernels, which have run
            in its interpreter alone, on no device; ``"auto"`` is ``"fused"`` on the CPU where gradients are asked for,
            `hidden_size` is at least 512 and the input has at least 20 steps and is not packed (padding would cost more
            than is won), else ``"native"`` wherever that supports the call.
        forget_bias, recurrent_bias: for the other two layers; here both are refused.
        checkpoint_every: keep of so many steps no more than the state before them, and walk them again on the way back,
            with any engine but ``"native"``; None keeps everything.

    Shapes:
        input ``[T, B, F]`` (``batch_first``: ``[B, T, F]``), ``[T, F]`` or a PackedSequence; state
        ``[num_layers * directions, B, H]``; output ``[T, B, H * directions]``.

    Raises:
        ValueError: for options that make no sense together, for input or states of a wrong rank, size, dtype or device,
            and for ``"triton"`` where it is not installed or the input is not on a GPU.

    Example:
        >>> layer = GRU(10, 32, num_layers=2, bidirectional=True, engine="reference")
        >>> output, h = layer(torch.randn(5, 8, 10))
        >>> output.shape, h.shape
        (torch.Size([5, 8, 64]), torch.Size([4, 8, 32]))
    """

    kind = "gru"

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


class _Cell(_Written):
    """One step: torch's forward, or the written cell."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Any
    bias_hh: Any

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        check_input(type(self).__name__, input, (1, 2), self.input_size, self.weight_ih)
        shape = (*input.shape[:-1], self.hidden_size)
        shapes = (shape, shape) if self.kind == "lstm" else (shape,)
        if hx is not None:
            check_state(type(self).__name__, hx, shapes, self.weight_ih)
        if self.engine == "native" or (self.engine == "auto" and not _transformed()):
            return super().forward(input, hx)
        if hx is None:
            hx = tuple(input.new_zeros(shape) for shape in shapes)
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        gx = F.linear(input, self.weight_ih, self.bias_ih)
        _, state = self._cell(gx, lambda h: F.linear(h, self.weight_hh, self.bias_hh), state)
        return state if self.kind == "lstm" else state[0]


class RNNCell(_Cell, nn.RNNCell):
    r"""One step of :class:`RNN`, a drop-in for :class:`torch.nn.RNNCell`; new options as in :class:`RNN`.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> RNNCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "rnn"

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
    r"""One step of :class:`LSTM`, a drop-in for :class:`torch.nn.LSTMCell`; new options as in :class:`LSTM`.

    Shapes: input ``[B, F]`` or ``[F]``, states h and c ``[B, H]`` or ``[H]``; returns ``(h, c)``.

    Example:
        >>> h, c = LSTMCell(4, 3, forget_bias=1.0)(torch.randn(2, 4))
        >>> h.shape
        torch.Size([2, 3])
    """

    kind = "lstm"

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
    r"""One step of :class:`GRU`, a drop-in for :class:`torch.nn.GRUCell`; new options as in :class:`GRU`.

    Shapes: input ``[B, F]`` or ``[F]``, state and output ``[B, H]`` or ``[H]``.

    Example:
        >>> GRUCell(4, 3)(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    kind = "gru"

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
