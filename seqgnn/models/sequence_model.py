"""Models for sequences by name: inputs, an encoder of any family, a readout and a linear head.

All of them are called as ``model(batch, state=None) -> logits, state`` on batches of
:class:`seqgnn.data.SequenceGraph`, so that RNNs, GNNs and hybrids process the same samples and share readouts and head.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data import exponential_hops, path_graph, sequence_lengths
from seqgnn.models.encoders import GCNEncoder, GCNInLSTM, GCNThenLSTM, Inputs, Readout, RecurrentEncoder, TreeEncoder
from seqgnn.models.parameter_matching import hidden_size_for
from seqgnn.nn import GCNLSTM, GRU, LSTM, RNN, TreeLSTM
from seqgnn.nn.init import Init

NAMES = ("rnn", "lstm", "gru", "gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")
TREES = ("tree-lstm",)  # they traverse the batch's edges in topological order
GNNS = ("gcn", "gcn-residual")  # their depth limits the receptive field; that of all others is the whole sequence
READOUTS = ("last", "mean", "max")
LAYERS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class SequenceModel(nn.Module):
    """Inputs, encoder, readout, and a linear head with dropout on its input.

    Attributes:
        hops: hops of the path graphs that it expects, as in `seqgnn.data.path_graph`.
        context_length: number of tokens that it reads at a time, without a state; None if it has a state.
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
        """Return logits ``[B, C]``, or ``[sum L, C]`` with one target per position, and the state (None if there is
        none).

        Passing the state of one call to the next continues the sequences. This works with the "last" readout and
        without positions, which would restart.
        """
        if not isinstance(batch, Batch):
            batch = Batch.from_data_list([batch])
        sequence_lengths(batch)
        if batch.x.device != self.head.weight.device:
            expected, got = self.head.weight.device, batch.x.device
            raise ValueError(f"SequenceModel: expected a batch on {expected}, as the model, got {got}")
        if state is not None and (self.readout.kind != "last" or self.inputs.length is not None):
            raise ValueError("SequenceModel: state is not supported with positions or readout 'mean' or 'max'")
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
    """Return a model by name.

    Args:
        name: ``"rnn"``, ``"lstm"``, ``"gru"``; ``"gcn"``, GCN layers over the batch's edges; ``"gcn-residual"``, the
            same with residual connections; ``"gcn+lstm"``, a GCN layer followed by an LSTM over the nodes in order;
            ``"gcn-in-lstm"``, an LSTM with a GCN in its gates over a sliding window; ``"tree-lstm"``, an LSTM along the
            batch's edges, which must not have cycles.
        num_classes: C.
        num_tokens, num_features: size of the vocabulary, or number of features per position; exactly one of them.
        per_element: one target per position instead of one per sequence. Undirected graphs are then rejected, and
            readouts run over the prefix.
        directed: True if the batches' edges point forwards only; checked for a GCN with one target per position.
        hidden: H, the hidden size and the size of embeddings.
        num_layers: number of recurrent layers (None: 1) or of GCN layers (None: one per hop).
        readout: ``"last"``, ``"mean"`` or ``"max"``.
        encoding: encoding of token ids, ``"one-hot"`` or ``"embedding"``.
        positions: append the one-hot position to each token.
        length: maximum sequence length; needed for `positions`, for a GCN without `num_layers` or `hops`, and for text
            generation with readouts other than "last".
        window: k of ``"gcn-in-lstm"``.
        hops: hops of the batches' edges, which the data set creates (GCNs; None: the powers of two below `length`, with
            which the receptive field is the whole sequence), or of the window's (``"gcn-in-lstm"``; None: 1).
        dropout: dropout on non-recurrent connections: embeddings, outputs between layers, and the head's input
            (Zaremba et al. 2014).
        weight_dropout: dropout on hidden-to-hidden weights, for models with a plain recurrent layer.
        tie_weights: share the embedding's weight with the head (Press and Wolf 2017); needs `encoding` "embedding" and
            as many classes as tokens.
        init, forget_bias: as in :mod:`seqgnn.nn`, for models with a recurrent layer.
        parameters: number of parameters to match as closely as possible by the choice of `hidden`, which is then
            ignored; see `hidden_size_for`.

    Raises:
        ValueError: if a name is unknown, options contradict each other, or no hidden size matches `parameters`.

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
    for option, value in numbers.items():
        if value is not None:
            check_count("build", option, value, 1)
    for option, probability in (("dropout", dropout), ("weight_dropout", weight_dropout)):
        if not 0 <= probability < 1:
            raise ValueError(f"build: expected {option} in [0, 1), got {probability!r}")
    if per_element and not directed:
        raise ValueError("build: expected a directed graph with one target per position, got directed=False")
    if positions and length is None:
        raise ValueError("build: expected length with positions=True, got None")
    if num_features is not None and encoding != "one-hot":
        raise ValueError(f"build: encoding={encoding!r} is not supported for features")
    if tie_weights and (encoding != "embedding" or num_tokens != num_classes):
        got = f"encoding={encoding!r}, num_tokens={num_tokens} and num_classes={num_classes}"
        raise ValueError(f"build: tie_weights needs encoding='embedding' and num_tokens == num_classes, got {got}")
    path_graph(1, hops=(1,) if hops is None else hops)  # validates hops
    hops = None if hops is None else tuple(hops)
    if name in GNNS and num_layers is None:
        if hops is None:
            if length is None:
                raise ValueError(f"build: expected num_layers, hops or length for {name!r}, got none of them")
            hops = exponential_hops(length)
        num_layers = len(hops)
    if name == "gcn-in-lstm" and window > 1 and min(hops or (1,)) >= window:
        raise ValueError(f"build: expected a hop below the window of {window}, got hops={hops}")
    if weight_dropout and name not in (*LAYERS, "gcn+lstm"):
        supported = ", ".join((*LAYERS, "gcn+lstm"))
        raise ValueError(f"build: weight_dropout is not supported by {name!r} (only {supported})")
    if name in TREES and (num_layers or 1) != 1:
        raise ValueError(f"build: {name!r} has one layer, got num_layers={num_layers}")
    if name in (*GNNS, *TREES) and not (init is None and forget_bias is None):
        raise ValueError(f"build: init and forget_bias are not supported by {name!r} (only recurrent models)")

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
        # Only GCNs use the batch's edges.
        batch_hops = hops or (1,) if name in (*GNNS, "gcn+lstm") else (1,)
        context_length = length if positions or readout != "last" else None
        return SequenceModel(inputs, encoder, Readout(readout, per_element), head, batch_hops, dropout, context_length)

    if parameters is not None:
        hidden = hidden_size_for("build", name, parameters, lambda size: make(size, None))
    return make(hidden)
