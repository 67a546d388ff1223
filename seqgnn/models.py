"""Whole models for sequences: inputs, an encoder of any family, a readout and a linear head; by name.

All of them are called as ``model(batch, state=None) -> logits, state`` on batches of
:class:`seqgnn.data.SequenceGraph`, so that an RNN, a GNN and a hybrid answer for the same samples through the same
readouts and head.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.utils import segment

from seqgnn.data import from_padded, path_graph, powers_of_two, sequence_lengths, to_padded
from seqgnn.errors import one_of
from seqgnn.nn import GCNLSTM, GRU, LSTM, RNN, GCNConv
from seqgnn.nn.checks import describe
from seqgnn.nn.init import Init
from seqgnn.nn.operator import last_seen

NAMES = ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")
GNNS = ("gcn", "gcn-residual")  # they hear as far as their rounds carry; all others the whole sequence
READOUTS = ("last", "mean", "max")
LAYERS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class Inputs(nn.Module):
    """What each element looks like to an encoder: ids one-hot or embedded, features as they are; its position if asked.

    Shapes: ids ``[sum L]`` or features ``[sum L, F]`` to ``[sum L, channels]``.
    """

    one_hot: Tensor
    position: Tensor

    def __init__(
        self, num_tokens: int | None, num_features: int | None, encoding: str, embedding_dim: int, length: int | None
    ) -> None:
        super().__init__()
        self.num_tokens, self.num_features, self.length = num_tokens, num_features, length
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
            x = self.table(x) if hasattr(self, "table") else F.embedding(x, self.one_hot)
        if self.length is None:
            return x
        longest = int(sequence_lengths(batch).max())
        if longest > self.length:
            raise ValueError(f"Inputs: expected at most {self.length} elements, the positions known, got {longest}")
        steps = torch.arange(len(batch.batch), device=batch.ptr.device) - batch.ptr[batch.batch]
        return torch.cat([x, F.embedding(steps, self.position)], dim=-1)


class RecurrentEncoder(nn.Module):
    """An RNN, LSTM or GRU over each sequence, one of ragged length included."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        padded, lengths = to_padded(batch, x)
        if int(lengths.min()) == len(padded):
            output, state = self.layer(padded, state)
        else:
            packed = nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
            output, state = self.layer(packed, state)
            output, _ = nn.utils.rnn.pad_packed_sequence(output)
        return from_padded(output, lengths), state


class GCNEncoder(nn.Module):
    """Rounds of message passing over the edges of the batch, with a ReLU after each; no state.

    With `directed`, edges that run backwards are an error: an element would hear of its future. With `residual`, a
    linear map comes first and each round adds to what is there, x + relu(GCN(x)), so that a node stays apart from its
    neighbours, with which a GCN averages it (Kipf and Welling 2017, appendix B).
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        dropout: float,
        directed: bool,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.directed = directed
        self.first = nn.Linear(in_channels, hidden_channels) if residual else None
        channels = [hidden_channels if residual else in_channels, *[hidden_channels] * num_layers]
        self.layers = nn.ModuleList(GCNConv(i, o) for i, o in pairwise(channels))
        self.dropout = dropout

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, None]:
        if state is not None:
            raise ValueError(f"GCNEncoder: expected no state, since none is kept, got {type(state).__name__}")
        if self.directed:
            last_seen.get((batch.edge_index,), ("forwards",), partial(_check_forwards, batch.edge_index))
        if self.first is not None:
            x = self.first(x)
        for index, layer in enumerate(self.layers):
            if index:
                x = F.dropout(x, self.dropout, self.training)
            heard = torch.relu(layer(x, batch.edge_index))
            x = heard if self.first is None else x + heard
        return x, None


def _check_forwards(edge_index: Tensor) -> None:
    backwards = int((edge_index[0] > edge_index[1]).sum())
    if backwards:
        raise ValueError(f"GCNEncoder: expected edges that run forwards, as each element answers, got {backwards} back")


class GCNThenLSTM(nn.Module):
    """Graph convolution, then the plain cell (GCRN's model 1): a GCN embeds the nodes, an LSTM reads them in order.

    No state: the first elements of a next call would miss neighbours in the one before.
    """

    def __init__(self, gcn: GCNEncoder, lstm: RecurrentEncoder) -> None:
        super().__init__()
        self.gcn = gcn
        self.lstm = lstm

    def forward(self, x: Tensor, batch: Batch, state: Any = None) -> tuple[Tensor, None]:
        x, _ = self.gcn(x, batch, state)
        x, _ = self.lstm(x, batch)
        return x, None


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


class SequenceModel(nn.Module):
    """Inputs, encoder, readout, head."""

    def __init__(self, inputs: Inputs, encoder: nn.Module, readout: Readout, head: nn.Linear) -> None:
        super().__init__()
        self.inputs = inputs
        self.encoder = encoder
        self.readout = readout
        self.head = head

    def forward(self, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        """Logits ``[B, C]``, or ``[sum L, C]`` per element, and the state (None where the encoder keeps none).

        The state of one call, passed to the next, carries streams over the cut: with the last readout and without
        positions, which would start anew.
        """
        if not isinstance(batch, Batch):
            batch = Batch.from_data_list([batch])
        sequence_lengths(batch)
        if batch.x.device != self.head.weight.device:
            expected, found = self.head.weight.device, batch.x.device
            raise ValueError(f"SequenceModel: expected a batch on {expected}, where the model is, got {found}")
        if state is not None and (self.readout.kind != "last" or self.inputs.length is not None):
            raise ValueError("SequenceModel: expected no state with positions or a mean or max readout, got one")
        h, state = self.encoder(self.inputs(batch), batch, state)
        return self.head(self.readout(h, batch)), state

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def build(
    name: str,
    *,
    num_classes: int,
    num_tokens: int | None = None,
    num_features: int | None = None,
    per_element: bool = False,
    directed: bool = True,
    hidden: int = 64,
    num_layers: int | None = None,
    readout: str = "last",
    encoding: str = "one-hot",
    positions: bool = False,
    length: int | None = None,
    window: int = 4,
    hops: tuple[int, ...] | None = None,
    dropout: float = 0.0,
    init: Init = None,
    forget_bias: float | None = None,
    parameters: int | None = None,
) -> SequenceModel:
    """Builds a model by name.

    Args:
        name: ``"rnn"``, ``"lstm"``, ``"gru"``; ``"gcn"``, rounds of message passing over the batch's edges;
            ``"gcn-residual"``, in which each round adds to what was there; ``"gcn+lstm"``, a GCN layer whose nodes an
            LSTM reads in order; ``"gcn-in-lstm"``, an LSTM with a GCN in its gates over a sliding window.
        num_classes: C.
        num_tokens, num_features: how many different ids, or how many features, an element has; one of the two.
        per_element: whether every element has a target; then undirected graphs are refused and readouts run over the
            prefix.
        directed: whether the batches' edges run forwards only; a GCN with one target per element checks it.
        hidden: H, the width of the encoder and of an embedding.
        num_layers: recurrent layers (1 if None); rounds of message passing for the GCNs (one per hop if None).
        readout: ``"last"``, ``"mean"`` or ``"max"``.
        encoding: of ids, ``"one-hot"`` or ``"embedding"``.
        positions: whether each element also gets its position, one-hot.
        length: the longest sequence; for `positions`, and for a GCN without `num_layers` or `hops`.
        window: k of ``"gcn-in-lstm"``.
        hops: of the batch's edges, which the data set makes (the GCNs; None: the powers of two below `length`, with
            which the last element hears the first), or of the window's (``"gcn-in-lstm"``; None: 1).
        dropout: between layers.
        init, forget_bias: as in :mod:`seqgnn.nn`; for the models with a recurrent layer.
        parameters: a number of parameters to come as near to as any `hidden` can, which then is not used; any two
            models so built are within 10% of each other.

    Raises:
        ValueError: for unknown names, options that make no sense together, or a parameter count that no width comes
            near enough to.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> batch = Palindromes(10).draw(32, torch.Generator().manual_seed(0))
        >>> model = build("lstm", num_classes=10, num_tokens=10, parameters=20000)
        >>> model(batch)[0].shape, model.num_parameters
        (torch.Size([32, 10]), 20106)
    """
    one_of("build", "model", name, NAMES)
    one_of("build", "readout", readout, READOUTS)
    one_of("build", "encoding", encoding, ("one-hot", "embedding"))
    if (num_tokens is None) == (num_features is None):
        raise ValueError(f"build: expected num_tokens or num_features, got {num_tokens} and {num_features}")
    numbers = {"num_classes": num_classes, "hidden": hidden, "window": window, "num_tokens": num_tokens}
    numbers |= {"num_features": num_features, "num_layers": num_layers, "length": length, "parameters": parameters}
    for what, value in numbers.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"build: expected {what} to be an integer of at least 1, got {value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"build: expected dropout in [0, 1), got {dropout!r}")
    if per_element and not directed:
        raise ValueError("build: expected a directed graph for one target per element, got directed=False")
    if positions and length is None:
        raise ValueError("build: expected length with positions=True, got None")
    if num_features is not None and encoding != "one-hot":
        raise ValueError(f"build: expected no encoding of features, got {encoding!r}")
    path_graph(1, hops=(1,) if hops is None else hops)  # says what is wrong with hops
    if name in GNNS and num_layers is None:
        if hops is None:
            if length is None:
                raise ValueError(f"build: expected num_layers, hops or length for {name!r}, got none of them")
            hops = powers_of_two(length)
        num_layers = len(hops)
    if name == "gcn-in-lstm" and window > 1 and min(hops or (1,)) >= window:
        raise ValueError(f"build: expected a hop that fits into the window of {window}, got hops={hops}")
    if name in GNNS and not (init is None and forget_bias is None):
        raise ValueError(f"build: expected init and forget_bias for a recurrent model, got them for {name!r}")

    def make(hidden: int, init: Init = init) -> SequenceModel:
        inputs = Inputs(num_tokens, num_features, encoding, hidden, length if positions else None)
        recurrent: dict[str, Any] = {"init": init, "forget_bias": forget_bias}
        recurrent |= {"num_layers": num_layers or 1, "dropout": dropout if (num_layers or 1) > 1 else 0.0}
        encoder: nn.Module
        if name in GNNS:
            residual = name == "gcn-residual"
            encoder = GCNEncoder(inputs.channels, hidden, num_layers or 1, dropout, per_element, residual)
        elif name == "gcn+lstm":
            gcn = GCNEncoder(inputs.channels, hidden, 1, dropout, directed=per_element)
            encoder = GCNThenLSTM(gcn, RecurrentEncoder(LSTM(hidden, hidden, **recurrent)))
        elif name == "gcn-in-lstm":
            encoder = GCNInLSTM(GCNLSTM(inputs.channels, hidden, **recurrent), window, hops or (1,))
        else:
            encoder = RecurrentEncoder(LAYERS[name](inputs.channels, hidden, **recurrent))
        return SequenceModel(inputs, encoder, Readout(readout, per_element), nn.Linear(hidden, num_classes))

    return make(hidden if parameters is None else _width_for(parameters, make, name))


def _width_for(parameters: int, make: Callable[..., SequenceModel], name: str) -> int:
    """The hidden size whose parameter count is nearest to `parameters`."""

    def count(hidden: int) -> int:
        with torch.device("meta"):
            return make(hidden, None).num_parameters

    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    width = min((low, high), key=lambda hidden: abs(count(hidden) - parameters))
    if abs(count(width) - parameters) > 0.047 * parameters:  # 1.047 / 0.953 < 1.1
        nearest = f"{count(width)} with hidden={width}"
        raise ValueError(f"build: expected parameters that {name!r} can have, such as {nearest}, got {parameters}")
    return width
