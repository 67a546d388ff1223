"""Whole models for sequences: inputs, an encoder of any family, a readout and a linear head; by name.

All of them are called as ``model(batch, state=None) -> logits, state`` on batches of
:class:`seqgnn.data.SequenceGraph`, so that an RNN, a GNN and a hybrid answer for the same samples through the same
readouts and head.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data import exponential_hops, path_graph, sequence_lengths
from seqgnn.models.encoders import GCNEncoder, GCNInLSTM, GCNThenLSTM, Inputs, Readout, RecurrentEncoder, TreeEncoder
from seqgnn.models.parameter_matching import width_for
from seqgnn.nn import GCNLSTM, GRU, LSTM, RNN, TreeLSTM
from seqgnn.nn.init import Init

NAMES = ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")
TREES = ("tree-lstm",)  # they walk the batch's edges, from the first nodes to the last
GNNS = ("gcn", "gcn-residual")  # they hear as far as their rounds carry; all others the whole sequence
READOUTS = ("last", "mean", "max")
LAYERS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class SequenceModel(nn.Module):
    """Inputs, encoder, readout, and a head with dropout on what it reads.

    Attributes:
        hops: of the paths that it expects its batches to be, as in `seqgnn.data.path_graph`.
        context_length: elements that it reads at a time, each time afresh; None where its state carries on.
    """

    def __init__(
        self,
        inputs: Inputs,
        encoder: nn.Module,
        readout: Readout,
        head: nn.Linear,
        hops: tuple[int, ...] = (1,),
        dropout: float = 0.0,
        context_length: int | None = None,
    ) -> None:
        super().__init__()
        self.hops = hops
        self.context_length = context_length
        self.dropout = dropout
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
        return self.head(drop(self.readout(h, batch), self.dropout, self.training)), state

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
    weight_dropout: float = 0.0,
    tie_weights: bool = False,
    init: Init = None,
    forget_bias: float | None = None,
    parameters: int | None = None,
) -> SequenceModel:
    """Builds a model by name.

    Args:
        name: ``"rnn"``, ``"lstm"``, ``"gru"``; ``"gcn"``, rounds of message passing over the batch's edges;
            ``"gcn-residual"``, in which each round adds to what was there; ``"gcn+lstm"``, a GCN layer whose nodes an
            LSTM reads in order; ``"gcn-in-lstm"``, an LSTM with a GCN in its gates over a sliding window;
            ``"tree-lstm"``, an LSTM along the batch's edges, which have no cycles.
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
        length: the longest sequence; for `positions`, for a GCN without `num_layers` or `hops`, and to write text
            with readouts other than the last.
        window: k of ``"gcn-in-lstm"``.
        hops: of the batch's edges, which the data set makes (the GCNs; None: the powers of two below `length`, with
            which the last element hears the first), or of the window's (``"gcn-in-lstm"``; None: 1).
        dropout: on all that is not recurrent: embedded ids, what goes from layer to layer, and what the head reads
            (Zaremba et al. 2014).
        weight_dropout: on what is recurrent, the hidden-to-hidden weights; for the models with a plain recurrent layer.
        tie_weights: whether the head's weight is the embedding's (Press and Wolf 2017), for `encoding` "embedding" and
            answers over the input's own ids.
        init, forget_bias: as in :mod:`seqgnn.nn`; for the models with a recurrent layer.
        parameters: a number of parameters to come as near to as any `hidden` can, which then is not used; any two
            models so built are within 10% of each other.

    Raises:
        ValueError: for unknown names, options that make no sense together, or a parameter count that no width comes
            near enough to.

    Example:
        >>> import torch
        >>> from seqgnn.data import Palindromes
        >>> batch = Palindromes(10).draw(32, torch.Generator().manual_seed(0))
        >>> model = build("lstm", num_classes=10, num_tokens=10, parameters=20000)
        >>> model(batch)[0].shape, model.num_parameters
        (torch.Size([32, 10]), 20106)
    """
    one_of("build", "model", name, (*NAMES, *TREES))
    one_of("build", "readout", readout, READOUTS)
    one_of("build", "encoding", encoding, ("one-hot", "embedding"))
    if (num_tokens is None) == (num_features is None):
        raise ValueError(f"build: expected num_tokens or num_features, got {num_tokens} and {num_features}")
    numbers = {"num_classes": num_classes, "hidden": hidden, "window": window, "num_tokens": num_tokens}
    numbers |= {"num_features": num_features, "num_layers": num_layers, "length": length, "parameters": parameters}
    for what, value in numbers.items():
        if value is not None:
            check_count("build", what, value, 1)
    for what, share in (("dropout", dropout), ("weight_dropout", weight_dropout)):
        if not 0 <= share < 1:
            raise ValueError(f"build: expected {what} in [0, 1), got {share!r}")
    if per_element and not directed:
        raise ValueError("build: expected a directed graph for one target per element, got directed=False")
    if positions and length is None:
        raise ValueError("build: expected length with positions=True, got None")
    if num_features is not None and encoding != "one-hot":
        raise ValueError(f"build: expected no encoding of features, got {encoding!r}")
    if tie_weights and (encoding != "embedding" or num_tokens != num_classes):
        found = f"encoding={encoding!r}, num_tokens={num_tokens} and num_classes={num_classes}"
        raise ValueError(f"build: expected an embedding of as many ids as classes with tie_weights=True, got {found}")
    path_graph(1, hops=(1,) if hops is None else hops)  # says what is wrong with hops
    hops = None if hops is None else tuple(hops)
    if name in GNNS and num_layers is None:
        if hops is None:
            if length is None:
                raise ValueError(f"build: expected num_layers, hops or length for {name!r}, got none of them")
            hops = exponential_hops(length)
        num_layers = len(hops)
    if name == "gcn-in-lstm" and window > 1 and min(hops or (1,)) >= window:
        raise ValueError(f"build: expected a hop that fits into the window of {window}, got hops={hops}")
    if weight_dropout and name not in (*LAYERS, "gcn+lstm"):
        raise ValueError(f"build: expected weight_dropout for a plain recurrent layer, got it for {name!r}")
    if name in TREES and (num_layers or 1) != 1:
        raise ValueError(f"build: expected one layer for {name!r}, got num_layers={num_layers}")
    if name in (*GNNS, *TREES) and not (init is None and forget_bias is None):
        raise ValueError(f"build: expected init and forget_bias for a recurrent model, got them for {name!r}")

    def make(hidden: int, init: Init = init) -> SequenceModel:
        inputs = Inputs(num_tokens, num_features, encoding, hidden, length if positions else None, dropout)
        recurrent: dict[str, Any] = {"init": init, "forget_bias": forget_bias}
        recurrent |= {"num_layers": num_layers or 1, "dropout": dropout if (num_layers or 1) > 1 else 0.0}
        encoder: nn.Module
        if name in GNNS:
            residual = name == "gcn-residual"
            encoder = GCNEncoder(inputs.channels, hidden, num_layers or 1, dropout, per_element, residual, hops)
        elif name in TREES:
            encoder = TreeEncoder(TreeLSTM(inputs.channels, hidden))
        elif name == "gcn+lstm":
            gcn = GCNEncoder(inputs.channels, hidden, 1, dropout, directed=per_element, hops=hops)
            encoder = GCNThenLSTM(gcn, RecurrentEncoder(LSTM(hidden, hidden, **recurrent), weight_dropout))
        elif name == "gcn-in-lstm":
            encoder = GCNInLSTM(GCNLSTM(inputs.channels, hidden, **recurrent), window, hops or (1,))
        else:
            encoder = RecurrentEncoder(LAYERS[name](inputs.channels, hidden, **recurrent), weight_dropout)
        head = nn.Linear(hidden, num_classes)
        if tie_weights:
            inputs.tie(head)
        # Only a GCN reads the batch's edges.
        of_batch = hops or (1,) if name in (*GNNS, "gcn+lstm") else (1,)
        context_length = length if positions or readout != "last" else None
        return SequenceModel(inputs, encoder, Readout(readout, per_element), head, of_batch, dropout, context_length)

    if parameters is not None:
        hidden = width_for("build", name, parameters, lambda width: make(width, None))
    return make(hidden)
