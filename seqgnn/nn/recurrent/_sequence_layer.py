"""The base class of plain recurrent layers, with the arguments, shapes and forms of input of torch.nn's."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqgnn._utils.validation import check_input, check_state, check_steps
from seqgnn.nn.layer_call import Layer, layer_call
from seqgnn.nn.scan import RecurrentUnit, scan
from seqgnn.nn.scan.functional import State
from seqgnn.nn.scan.gates import LinearProjection
from seqgnn.nn.scan.graph_inputs import StepInputs, active_steps, at_each_step, length_mask


class SequenceLayer(Layer):
    """The base class of the layers, which checks the input, runs a scan of a unit over time and returns its results in
    the form of the input. A subclass that also inherits from a layer of torch.nn may run that one's forward pass."""

    kind: str
    engine: str
    checkpoint_every: int | None
    input_size: int
    hidden_size: int
    proj_size: int = 0
    num_layers: int
    bidirectional: bool
    batch_first: bool
    dropout: float
    weight_ih_l0: Tensor

    @layer_call
    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:
        return self._forward(input, hx)

    def _forward(self, input: Tensor | PackedSequence, hx: Any, lengths: Tensor | None = None) -> Any:
        packed = isinstance(input, PackedSequence)
        data = input.data if isinstance(input, PackedSequence) else input
        check_input(type(self).__name__, data, (2,) if packed else (2, 3), self.input_size, self.weight_ih_l0)
        check_steps(type(self).__name__, data, 1 if self.batch_first and data.dim() == 3 else 0)
        if hx is not None:
            batch: tuple[int, ...] = ()
            if isinstance(input, PackedSequence):
                batch = (int(input.batch_sizes[0]),)
            elif data.dim() == 3:
                batch = (data.size(0 if self.batch_first else 1),)
            check_state(type(self).__name__, hx, self._state_shapes(batch), self.weight_ih_l0)
        time_dim = 1 if self.batch_first and data.dim() == 3 else 0
        engine = self._choose_engine(data, hx, time_dim, packed)
        if engine == "native":
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            return self._scan_packed(input, hx, engine)
        if data.dim() == 2:
            output, state = self._scan(data.unsqueeze(1), self._unpack(hx, data, 1), hx is None, engine)
            return output.squeeze(1), self._pack(tuple(s.squeeze(1) for s in state))
        x = data.transpose(0, 1) if self.batch_first else data
        active = None
        if lengths is not None:
            active = active_steps(type(self).__name__, lengths, x)
            x = torch.where(active, x, 0)  # no gradient is nan because of an input after a sequence's end
        output, state = self._scan(x, self._unpack(hx, x, x.size(1)), hx is None, engine, active)
        return output.transpose(0, 1) if self.batch_first else output, self._pack(state)

    def _choose_engine(self, x: Tensor, hx: Any, time_dim: int, packed: bool) -> str:
        """Return the engine of a call, ``"native"`` for torch's forward pass."""
        return self.engine

    def _scan_packed(self, x: PackedSequence, hx: Any, engine: str) -> Any:
        padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes))
        state = self._unpack(hx, padded, padded.size(1))
        if hx is not None and x.sorted_indices is not None:
            state = tuple(s.index_select(1, x.sorted_indices) for s in state)
        output, state = self._scan(padded, state, hx is None, engine, length_mask(lengths, padded))
        if x.unsorted_indices is not None:
            state = tuple(s.index_select(1, x.unsorted_indices) for s in state)
        data = pack_padded_sequence(output, lengths).data
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), self._pack(state)

    def _scan(
        self, x: Tensor, state: State, zero_state: bool, engine: str, active: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return the outputs and last states of a scan over ``x [T, B, F]``, where `active` masks the steps of each
        sequence."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return scan(
            x,
            state,
            [[self._unit(f"_l{layer}{direction}") for direction in directions] for layer in range(self.num_layers)],
            StepInputs(at_each_step(None, x), active, zero_state),
            engine=engine,
            caller=type(self).__name__,
            dropout=self.dropout if self.training else 0.0,
            checkpoint_every=self.checkpoint_every,
        )

    def _unit(self, suffix: str) -> RecurrentUnit:
        """Return the unit of a layer and direction, by the suffix of its parameters."""
        raise NotImplementedError

    def _projection(self, name: str) -> LinearProjection:
        return LinearProjection(getattr(self, "weight_" + name), getattr(self, "bias_" + name, None))

    def _state_shapes(self, batch: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        rows = self.num_layers * (2 if self.bidirectional else 1)
        h = (rows, *batch, self.proj_size or self.hidden_size)
        return (h, (rows, *batch, self.hidden_size)) if self.kind == "lstm" else (h,)

    def _unpack(self, hx: Any, x: Tensor, batch_size: int) -> State:
        """Return the state as a tuple of tensors ``[rows, B, H]``, which are zero if `hx` is None."""
        if hx is None:
            return tuple(x.new_zeros(shape) for shape in self._state_shapes((batch_size,)))
        parts = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(s if s.dim() == 3 else s.unsqueeze(1) for s in parts)

    def _pack(self, state: State) -> Any:
        return state if self.kind == "lstm" else state[0]
