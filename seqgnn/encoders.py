"""The parts of a model for sequences: what an element looks like, encoders of every family, and readouts.

An encoder is called as ``encoder(x, batch, state=None) -> h, state`` with one row per element, ``x [sum L, F]`` to
``h [sum L, H]``. Where it can go on from call to call, the state is made of tensors whose dimension 1 is the batch.
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

from seqgnn.data import from_padded, path_graph, sequence_lengths, to_padded
from seqgnn.nn import GCNLSTM, GCNConv
from seqgnn.nn.checks import describe
from seqgnn.nn.operator import last_seen


class Inputs(nn.Module):
    """What each element looks like to an encoder: ids one-hot or embedded (with dropout), features as they are; its
    position if asked.

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
        """Gives `head` the embedding as its weight: small enough for logits, and scaled up again as an input.

        As `Vaswani et al. 2017 <https://arxiv.org/abs/1706.03762>`_, section 3.4, do.
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
                found = f"{int(x.min())} to {int(x.max())}"
                raise ValueError(f"Inputs: expected ids x between 0 and {self.num_tokens - 1}, got {found}")
            if hasattr(self, "table"):
                x = F.dropout(self.scale * self.table(x), self.dropout, self.training)
            else:
                x = F.embedding(x, self.one_hot)
        if self.length is None:
            return x
        longest = int(sequence_lengths(batch).max())
        if longest > self.length:
            raise ValueError(f"Inputs: expected at most {self.length} elements, the positions known, got {longest}")
        steps = torch.arange(len(batch.batch), device=batch.ptr.device) - batch.ptr[batch.batch]
        return torch.cat([x, F.embedding(steps, self.position)], dim=-1)


class RecurrentEncoder(nn.Module):
    """An RNN, LSTM or GRU over each sequence, one of ragged length included.

    With `weight_dropout`, each call in training leaves out hidden-to-hidden weights, the same ones at every step
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
    """Rounds of message passing over the edges of the batch, with a ReLU after each.

    With `directed`, edges that run backwards are an error: an element would hear of its future. With `residual`, a
    linear map comes first and each round adds to what is there, x + relu(GCN(x)), so that a node stays apart from its
    neighbours, with which a GCN averages it (Kipf and Welling 2017, appendix B).

    On directed paths whose `hops` are known, the state is the last elements ``[m, B, F]`` of each sequence and how many
    of them there are ``[1, B]``: as many as an answer depends on. The next call puts them before its own elements.
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
        # One hop beyond those whose features arrive: their degrees count as well.
        self.memory = 0 if self.hops is None else (num_layers + 1) * max(self.hops)
        self.first = nn.Linear(in_channels, hidden_channels) if residual else None
        channels = [hidden_channels if residual else in_channels, *[hidden_channels] * num_layers]
        self.layers = nn.ModuleList(GCNConv(i, o) for i, o in pairwise(channels))
        self.dropout = dropout

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        if self.directed:
            last_seen.get((batch.edge_index,), ("forwards",), partial(_check_forwards, batch.edge_index))
        if self.hops is None:
            if state is not None:
                raise ValueError(f"GCNEncoder: expected no state, since none is kept, got {describe(state)}")
            return self._rounds(x, batch.edge_index), None
        padded, lengths = to_padded(batch, x)
        if state is None:
            state = padded[:0], torch.zeros(1, len(lengths), dtype=torch.long)
            h = self._rounds(x, batch.edge_index)
        else:
            h = self._go_on(padded, lengths, *self._unpack(state, padded))
        return h, self._last(padded, lengths, *state)

    def _rounds(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.first is not None:
            x = self.first(x)
        for index, layer in enumerate(self.layers):
            if index:
                x = F.dropout(x, self.dropout, self.training)
            heard = torch.relu(layer(x, edge_index))
            x = heard if self.first is None else x + heard
        return x

    def _go_on(self, padded: Tensor, lengths: Tensor, older: Tensor, count: Tensor) -> Tensor:
        """The rounds over each sequence with its older elements before it; the rows of the new ones."""
        assert self.hops is not None
        stream = torch.cat([older, padded])
        step = torch.arange(len(stream), device="cpu")[:, None]
        there = (len(older) - count.cpu() <= step) & (step < len(older) + lengths)
        new = there & (step >= len(older))
        lengths_of_all = tuple(there.sum(0).tolist())
        rows = stream.transpose(0, 1)[there.T.to(stream.device)]
        h = self._rounds(rows, _paths(lengths_of_all, self.hops, stream.device))
        return h[new.T[there.T].to(stream.device)]

    def _last(self, padded: Tensor, lengths: Tensor, older: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """The last elements of each sequence, at the end of ``[m, B, F]``, and how many they are."""
        stream = torch.cat([older, padded])
        kept = min(self.memory, len(stream))
        count = (count.cpu() + lengths).clamp(max=kept)
        if int(lengths.min()) == len(padded):
            return stream[len(stream) - kept :], count
        step = torch.arange(-kept, 0, device="cpu")[:, None]
        position = (step + len(older) + lengths).clamp(min=0).to(stream.device)
        last = stream[position, torch.arange(len(lengths), device=stream.device)]
        return last.masked_fill((step < -count).to(stream.device)[:, :, None], 0), count

    def _unpack(self, state: Any, padded: Tensor) -> tuple[Tensor, Tensor]:
        older, count = state if isinstance(state, tuple) and len(state) == 2 else (None, None)
        if not isinstance(older, Tensor) or not isinstance(count, Tensor) or older.shape[1:] != padded.shape[1:]:
            expected = f"older of shape [m, {padded.shape[1]}, {padded.shape[2]}]"
            raise ValueError(f"GCNEncoder: expected a state (older, count) with {expected}, got {describe(state)}")
        return older, count


def _check_forwards(edge_index: Tensor) -> None:
    backwards = int((edge_index[0] > edge_index[1]).sum())
    if backwards:
        raise ValueError(f"GCNEncoder: expected edges that run forwards, as each element answers, got {backwards} back")


# Kept, so that layers find the graphs that they have prepared; never as inference tensors, whoever asks first.
@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _paths(lengths: tuple[int, ...], hops: tuple[int, ...], device: torch.device) -> Tensor:
    """The edges of disjoint paths."""
    starts = [0, *accumulate(lengths)]
    return torch.cat([path_graph(n, hops=hops) + start for n, start in zip(lengths, starts)], dim=1).to(device)


class GCNThenLSTM(nn.Module):
    """Graph convolution, then the plain cell (GCRN's model 1): a GCN embeds the nodes, an LSTM reads them in order.

    The state is that of both.
    """

    def __init__(self, gcn: GCNEncoder, lstm: RecurrentEncoder) -> None:
        super().__init__()
        self.gcn = gcn
        self.lstm = lstm

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        before, memory = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        x, before = self.gcn(x, batch, before)
        x, memory = self.lstm(F.dropout(x, self.gcn.dropout, self.training), batch, memory)
        return x, None if before is None else (before, memory)


class GCNInLSTM(nn.Module):
    """Graph convolution inside the gates, over the window of the last k elements as it slides along the sequence.

    Node j of the window holds x_(t-k+1+j), zero before the start; edges run from j to j + hop; each node keeps its own
    state from step to step; the answer at time t is read at the newest node. The state that goes from call to call is
    the window's older elements ``[k - 1, B, F]`` beside h and c.
    """

    def __init__(self, layer: GCNLSTM, window: int, hops: tuple[int, ...]) -> None:
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
                f"GCNInLSTM: expected a state (older, (h, c)) with older of shape {shape}, got {describe(state)}"
            )
        return state


class Readout(nn.Module):
    """From node states ``[sum L, H]`` to one row per sequence ``[B, H]``, or, per element, to one per prefix.

    Over whole sequences mean and max are PyG's `segment`, which uses torch-scatter where it is installed and cannot be
    differentiated twice.

    Args:
        kind: ``"last"``, ``"mean"`` or ``"max"`` over the sequence, or over the prefix that ends at each element.
        per_element: whether every element has an answer.
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
