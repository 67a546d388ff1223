"""The parts of a sequence model: inputs, encoders of every family, and readouts.

An encoder is called as ``encoder(x, batch, state=None) -> h, state`` with one row per position, ``x [sum L, F]`` to
``h [sum L, H]``. If a sequence can be continued in the next call, dimension 1 of all tensors of the state is the batch.
"""

from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric.data import Batch
from torch_geometric.utils import segment

from seqgnn._utils.validation import describe
from seqgnn.data import from_padded, path_graph, sequence_lengths, to_padded
from seqgnn.nn import GCNConv
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent


class Inputs(nn.Module):
    """The input of an encoder: token ids one-hot or embedded (with dropout), or features unchanged; optionally with the
    one-hot position.

    Shapes: ids ``[sum L]`` or features ``[sum L, F]`` to ``[sum L, channels]``.
    """

    one_hot: Tensor
    position: Tensor

    def __init__(
        self,
        num_tokens: int | None,
        num_features: int | None,
        encoding: str,
        embedding_dim: int,
        length: int | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_features, self.length = num_tokens, num_features, length
        self.dropout, self.scale = dropout, 1.0
        if num_tokens is None:
            assert num_features is not None
            self.channels = num_features
        elif encoding == "embedding":
            self.table = nn.Embedding(num_tokens, embedding_dim)
            self.channels = embedding_dim
        else:
            self.register_buffer("one_hot", torch.eye(num_tokens), persistent=False)
            self.channels = num_tokens
        if length is not None:
            self.register_buffer("position", torch.eye(length), persistent=False)
            self.channels += length

    def tie(self, head: nn.Linear) -> None:
        """Share the embedding's weight with `head`. It is small, as logits require, and scaled up as an input.

        See `Vaswani et al. 2017 <https://arxiv.org/abs/1706.03762>`_, section 3.4.
        """
        self.scale = head.in_features**0.5
        nn.init.normal_(self.table.weight, std=1 / self.scale)
        head.weight = self.table.weight

    def forward(self, batch: Batch) -> Tensor:
        x = batch.x
        if self.num_tokens is None and (x.dim() != 2 or x.size(1) != self.num_features):
            raise ValueError(f"Inputs: expected x of shape [sum L, {self.num_features}], got {tuple(x.shape)}")
        if self.num_tokens is not None:
            if x.dim() != 1 or x.is_floating_point():
                raise ValueError(f"Inputs: expected integer ids x of shape [sum L], got {x.dtype} {tuple(x.shape)}")
            if x.device.type == "cpu" and not 0 <= int(x.min()) <= int(x.max()) < self.num_tokens:
                got = f"{int(x.min())} to {int(x.max())}"
                raise ValueError(f"Inputs: expected ids x between 0 and {self.num_tokens - 1}, got {got}")
            if hasattr(self, "table"):
                x = self.table(x) if self.scale == 1 else self.scale * self.table(x)
                x = F.dropout(x, self.dropout, self.training)
            else:
                x = F.embedding(x, self.one_hot)
        if self.length is None:
            return x
        longest = int(sequence_lengths(batch).max())
        if longest > self.length:
            raise ValueError(f"Inputs: expected at most {self.length} positions, as in `length`, got {longest}")
        steps = torch.arange(len(batch.batch), device=batch.ptr.device) - batch.ptr[batch.batch]
        return torch.cat([x, F.embedding(steps, self.position)], dim=-1)


class RecurrentEncoder(nn.Module):
    """A recurrent layer over sequences of equal or different lengths.

    With `weight_dropout`, each call in training drops hidden-to-hidden weights, the same ones at every step
    (DropConnect, as in Merity et al. 2018, https://arxiv.org/abs/1708.02182, section 2).
    """

    def __init__(self, layer: nn.Module, weight_dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = layer
        self.weight_dropout = weight_dropout

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        padded, lengths = to_padded(batch, x)
        if int(lengths.min()) == len(padded):
            output, state = self._layer(padded, state)
        else:
            packed = nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
            output, state = self._layer(packed, state)
            output, _ = nn.utils.rnn.pad_packed_sequence(output)
        return from_padded(output, lengths), state

    def _layer(self, sequence: Any, state: Any) -> Any:
        if not (self.training and self.weight_dropout):
            return self.layer(sequence, state)
        hidden = {name: weight for name, weight in self.layer.named_parameters() if name.startswith("weight_hh")}
        dropped = {name: F.dropout(weight, self.weight_dropout) for name, weight in hidden.items()}
        return functional_call(self.layer, dropped, (sequence, state))


class GCNEncoder(nn.Module):
    """GCN layers over the edges of the batch, with a ReLU after each.

    With `directed`, edges that point backwards are an error, since a position would see its future. With `residual`, a
    linear layer comes first and each layer computes x + relu(GCN(x)), so that a node keeps its own features instead of
    being averaged with its neighbors (Kipf and Welling 2017, appendix B).

    On directed paths with known `hops` there is a state: the last inputs of each layer, a tuple of ``[m, B, F]``, and
    their number for each sequence, ``[1, B]``. They cover the receptive field of the next positions and are prepended
    to the input of the next call.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        dropout: float,
        directed: bool,
        residual: bool = False,
        hops: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.directed = directed
        self.hops = hops if directed else None
        # Twice the longest hop: a position aggregates from one hop back, and the degrees of these neighbors depend on
        # positions one hop further back.
        self.context = 0 if self.hops is None else 2 * max(self.hops)
        self.first = nn.Linear(in_channels, hidden_channels) if residual else None
        channels = [hidden_channels if residual else in_channels, *[hidden_channels] * num_layers]
        self.layers = nn.ModuleList(GCNConv(i, o) for i, o in pairwise(channels))
        self.dropout = dropout

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        if self.directed:
            tensor_cache.get((batch.edge_index,), ("forwards",), partial(_check_forwards, batch.edge_index))
        if self.first is not None:
            x = self.first(x)
        context = None if state is None else _Context(self, state, batch, x)
        inputs = []
        for index, layer in enumerate(self.layers):
            if index:
                x = F.dropout(x, self.dropout, self.training)
            inputs.append(x)
            output = torch.relu(layer(x, batch.edge_index) if context is None else context.apply(index, x))
            x = output if self.first is None else x + output
        return x, None if self.hops is None else self._last(inputs, batch, state)

    def _last(self, inputs: list[Tensor], batch: Batch, state: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the last inputs of each layer, at the end of ``[m, B, F]``, and their number for each sequence."""
        padded = [to_padded(batch, x)[0] for x in inputs]
        lengths = sequence_lengths(batch)
        older, count = ([x[:0] for x in padded], torch.zeros(1, 1, dtype=torch.long)) if state is None else state
        streams = [torch.cat(parts) for parts in zip(older, padded)]
        size = min(self.context, len(streams[0]))
        count = (count.cpu() + lengths).clamp(max=size)
        if int(lengths.min()) == len(padded[0]):
            return tuple(stream[len(stream) - size :] for stream in streams), count
        step = torch.arange(-size, 0, device="cpu")[:, None]
        index = (step + len(older[0]) + lengths).clamp(min=0).to(inputs[0].device)
        empty = (step < -count).to(inputs[0].device)[:, :, None]
        sequence = torch.arange(len(lengths), device=inputs[0].device)
        return tuple(stream[index, sequence].masked_fill(empty, 0) for stream in streams), count


class _Context:
    """The state of a GCNEncoder, prepended to the positions of a batch.

    Args:
        encoder: the encoder.
        state: its state after the previous call.
        batch: the batch of this call.
        x: the input of the first layer.
    """

    def __init__(self, encoder: GCNEncoder, state: Any, batch: Batch, x: Tensor) -> None:
        if encoder.hops is None:
            raise ValueError(f"GCNEncoder: expected no state without known hops, got {describe(state)}")
        padded, lengths = to_padded(batch, x)
        shapes = [(len(lengths), layer.in_channels) for layer in encoder.layers]
        older, count = state if isinstance(state, tuple) and len(state) == 2 else (None, None)
        parts = older if isinstance(older, tuple) else ()
        if [part.shape[1:] for part in parts if isinstance(part, Tensor)] != shapes or not isinstance(count, Tensor):
            expected = f"{len(shapes)} older of shape [m, {shapes[0][0]}, F], one per layer"
            raise ValueError(f"GCNEncoder: expected a state (older, count) with {expected}, got {describe(state)}")
        self.layers, self.older, self.batch = encoder.layers, parts, batch
        start = len(parts[0])
        step = torch.arange(start + len(padded), device="cpu")[:, None]
        valid = ((start - count.cpu() <= step) & (step < start + lengths)).T
        self.edge_index = _paths(tuple(valid.sum(1).tolist()), encoder.hops, x.device)
        self.valid = valid.to(x.device)
        self.new = (valid & (start <= step.T))[valid].to(x.device)

    def apply(self, index: int, x: Tensor) -> Tensor:
        """Apply a layer to each sequence with its context prepended; return the rows of the new positions."""
        stream = torch.cat([self.older[index], to_padded(self.batch, x)[0]])
        return self.layers[index](stream.transpose(0, 1)[self.valid], self.edge_index)[self.new]


def _check_forwards(edge_index: Tensor) -> None:
    backwards = int((edge_index[0] > edge_index[1]).sum())
    if backwards:
        raise ValueError(f"GCNEncoder: expected forward edges with one target per position, got {backwards} others")


# Cached, so that layers can reuse prepared graphs; never inference tensors, so that they also work in training.
@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _paths(lengths: tuple[int, ...], hops: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the edges of disjoint paths."""
    starts = [0, *accumulate(lengths)]
    return torch.cat([path_graph(n, hops=hops) + start for n, start in zip(lengths, starts)], dim=1).to(device)


class GCNThenLSTM(nn.Module):
    """A GCN followed by an LSTM over the nodes in order (model 1 of GCRN). The state is the pair of their states."""

    def __init__(self, gcn: GCNEncoder, lstm: RecurrentEncoder) -> None:
        super().__init__()
        self.gcn = gcn
        self.lstm = lstm

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        gcn_state, lstm_state = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        x, gcn_state = self.gcn(x, batch, gcn_state)
        x, lstm_state = self.lstm(F.dropout(x, self.gcn.dropout, self.training), batch, lstm_state)
        return x, None if gcn_state is None else (gcn_state, lstm_state)


class GCNInGates(nn.Module):
    """A recurrent layer with graph convolutions in its gates, over a sliding window of the last k positions.

    Node j of the window has the input x_(t-k+1+j), zero before the start. Edges point from j to j + hop. Each node has
    its own state from step to step, and the output at time t is that of the newest node. The state between calls is
    ``(older, state of the layer)`` with the window's older inputs ``[k - 1, B, F]``.
    """

    def __init__(self, layer: GraphRecurrent, window: int, hops: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.window = window
        self.register_buffer("edge_index", path_graph(window, hops=hops), persistent=False)

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        padded, lengths = to_padded(batch, x)
        older, state = self._unpack(state, padded)
        stream = torch.cat([older, padded])
        windows = stream.unfold(0, self.window, 1).movedim(-1, 2)
        ragged = None if int(lengths.min()) == len(padded) else lengths
        output, state = self.layer(windows, self.edge_index, state=state, lengths=ragged)
        tail = lengths + torch.arange(self.window - 1, device=lengths.device)[:, None]
        older = stream[tail.to(x.device), torch.arange(len(lengths), device=x.device)]
        return from_padded(output[:, :, -1], lengths), (older, state)

    def _unpack(self, state: Any, padded: Tensor) -> tuple[Tensor, Any]:
        shape = (self.window - 1, *padded.shape[1:])
        if state is None:
            return padded.new_zeros(shape), None
        older = state[0] if isinstance(state, tuple) and len(state) == 2 else None
        if not isinstance(older, Tensor) or older.shape != shape:
            raise ValueError(
                f"GCNInGates: expected a state (older, layer's) with older of shape {shape}, got {describe(state)}"
            )
        return state


class TreeEncoder(nn.Module):
    """A recurrent layer along the edges of the batch, which must not have cycles."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        if state is not None:
            raise ValueError(f"TreeEncoder: state is not supported, got {describe(state)}")
        return self.layer(x, batch.edge_index)[0], None


class Readout(nn.Module):
    """Readout of node states ``[sum L, H]``: one row per sequence ``[B, H]``, or one row per prefix with `per_element`.

    Over whole sequences, mean and max use PyG's `segment`, which uses torch-scatter if it is installed and does not
    support double backward.

    Args:
        kind: ``"last"``, ``"mean"`` or ``"max"`` over the sequence, or over the prefix that ends at each position.
        per_element: one output per position.
    """

    def __init__(self, kind: str, per_element: bool) -> None:
        super().__init__()
        self.kind = kind
        self.per_element = per_element

    def forward(self, h: Tensor, batch: Batch) -> Tensor:
        if not self.per_element:
            return h[batch.ptr[1:] - 1] if self.kind == "last" else segment(h, batch.ptr, self.kind)
        if self.kind == "last":
            return h
        padded, lengths = to_padded(batch, h)
        if self.kind == "max":
            return from_padded(padded.cummax(0).values, lengths)
        count = torch.arange(1, len(padded) + 1, device=h.device).view(-1, 1, 1)
        return from_padded(padded.cumsum(0) / count, lengths)

    def extra_repr(self) -> str:
        return f"{self.kind!r}, per_element={self.per_element}"
