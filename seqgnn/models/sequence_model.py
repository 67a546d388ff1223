"""Sequence models by name, which consist of inputs, an encoder of any family, a readout and a linear head.

All of them are called as ``model(batch, state=None) -> logits, state`` on batches of
:class:`seqgnn.data.SequenceGraph`, so that RNNs, GNNs and hybrids process the same samples and share readouts and head.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout as drop
from torch_geometric.data import Batch

from seqgnn._utils.validation import one_of
from seqgnn.data import exponential_hops, sequence_lengths
from seqgnn.models.encoders import GCNEncoder, GCNInGates, GCNThenLSTM, Inputs, Readout, RecurrentEncoder, TreeEncoder
from seqgnn.models.options import ModelOptions, read_options
from seqgnn.models.parameter_matching import hidden_size_for
from seqgnn.nn import GCNLSTM, GRU, LSTM, RNN, GCNMinGRU, GCNMinLSTM, MinGRU, MinLSTM, TreeLSTM

GNNS = ("gcn", "gcn-residual")  # depth limits their receptive field; that of others is the whole sequence
OF_TASK = ("num_classes", "num_tokens", "num_features", "per_element", "directed")


class SequenceModel(nn.Module):
    """Inputs, encoder, readout, and a linear head with dropout on its input.

    Attributes:
        hops: hops of the path graphs that the model expects, as in `seqgnn.data.path_graph`.
        context_length: number of tokens that a model without a state reads at a time; None if the model has a state.
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
        """Return logits ``[B, C]``, or ``[sum(lengths), C]`` with one target per position, and the state, or None.

        To continue the sequences, pass the state of one call to the next. This requires the "last" readout and no
        position features, which would restart.
        """
        if not isinstance(batch, Batch):
            batch = Batch.from_data_list([batch])
        sequence_lengths(batch)
        if batch.x.device != self.head.weight.device:
            expected, got = self.head.weight.device, batch.x.device
            raise ValueError(f"SequenceModel: expected a batch on the model's device {expected}, got {got}")
        if state is not None and (self.readout.kind != "last" or self.inputs.length is not None):
            raise ValueError("SequenceModel: state is not supported with positions or readout 'mean' or 'max'")
        h, state = self.encoder(self.inputs(batch), batch, state)
        return self.head(drop(self.readout(h, batch), self.dropout, self.training)), state

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def _recurrent(layer: Any, options: ModelOptions, channels: int) -> RecurrentEncoder:
    return RecurrentEncoder(layer(channels, options.hidden, **_recurrent_options(options)), options.weight_dropout)


def _gcn(options: ModelOptions, channels: int, *, residual: bool = False) -> GCNEncoder:
    depth, directed = options.num_layers or 1, options.per_element
    return GCNEncoder(channels, options.hidden, depth, options.dropout, directed, residual, options.hops)


def _gcn_then_lstm(options: ModelOptions, channels: int) -> GCNThenLSTM:
    gcn = _gcn(replace(options, num_layers=1), channels)
    return GCNThenLSTM(gcn, _recurrent(LSTM, options, options.hidden))


def _gcn_in_gates(layer: Any, options: ModelOptions, channels: int) -> GCNInGates:
    return GCNInGates(
        layer(channels, options.hidden, **_recurrent_options(options)), options.window, options.hops or (1,)
    )


def _tree_lstm(options: ModelOptions, channels: int) -> TreeEncoder:
    return TreeEncoder(TreeLSTM(channels, options.hidden))


def _recurrent_options(options: ModelOptions) -> dict[str, Any]:
    depth = options.num_layers or 1
    between = options.dropout if depth > 1 else 0.0
    return {"num_layers": depth, "dropout": between, "init": options.init, "forget_bias": options.forget_bias}


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        encoder: returns the encoder for given options and a number of input channels.
        supports: options that not all families support.
        uses_batch_edges: True for layers that use the edges of the batch, a path graph with `hops`.
        uses_window: True for layers over a sliding window.
    """

    encoder: Callable[[ModelOptions, int], nn.Module]
    supports: tuple[str, ...] = ()
    uses_batch_edges: bool = False
    uses_window: bool = False


RECURRENT = ("init", "forget_bias")
FAMILIES = {
    "rnn": Family(partial(_recurrent, RNN), (*RECURRENT, "weight_dropout")),
    "lstm": Family(partial(_recurrent, LSTM), (*RECURRENT, "weight_dropout")),
    "gru": Family(partial(_recurrent, GRU), (*RECURRENT, "weight_dropout")),
    "mingru": Family(partial(_recurrent, MinGRU), RECURRENT),
    "minlstm": Family(partial(_recurrent, MinLSTM), RECURRENT),
    "gcn": Family(_gcn, uses_batch_edges=True),
    "gcn-residual": Family(partial(_gcn, residual=True), uses_batch_edges=True),
    "gcn+lstm": Family(_gcn_then_lstm, (*RECURRENT, "weight_dropout"), uses_batch_edges=True),
    "gcn-in-lstm": Family(partial(_gcn_in_gates, GCNLSTM), RECURRENT, uses_window=True),
    "gcn-in-mingru": Family(partial(_gcn_in_gates, GCNMinGRU), RECURRENT, uses_window=True),
    "gcn-in-minlstm": Family(partial(_gcn_in_gates, GCNMinLSTM), RECURRENT, uses_window=True),
    "tree-lstm": Family(_tree_lstm),
}
TREES = ("tree-lstm",)  # they traverse the batch's edges in topological order
NAMES = tuple(name for name in FAMILIES if name not in TREES)
WINDOWED = tuple(name for name, family in FAMILIES.items() if family.uses_window)


def build(name: str, task: Any = None, **options: Any) -> SequenceModel:
    """Return a model by name.

    Args:
        name: ``"rnn"``, ``"lstm"``, ``"gru"``, ``"mingru"``, ``"minlstm"``; ``"gcn"``, GCN layers over the batch's
            edges; ``"gcn-residual"``, the same with residual connections; ``"gcn+lstm"``, a GCN layer followed by an
            LSTM over the nodes in order; ``"gcn-in-lstm"``, ``"gcn-in-mingru"`` and ``"gcn-in-minlstm"``, these with a
            GCN in their gates over a sliding window; ``"tree-lstm"``, an LSTM along the batch's edges, which must not
            have cycles.
        task: a task of :mod:`seqgnn.tasks`, which determines the options `num_classes`, `num_tokens`, `num_features`,
            `per_element`, `directed`, `length` and, for GCNs over the batch's edges, `hops`; None: pass these as
            `options`.
        options: fields of :class:`seqgnn.models.ModelOptions`, such as `hidden`, `num_layers`, `readout`,
            `encoding`, `dropout` or `parameters`; they take precedence over those of the task.

    Raises:
        ValueError: if a name or an option is unknown or not supported by the model, options contradict each other, or
            no hidden size matches `parameters`.

    Example:
        >>> import torch
        >>> from seqgnn.data import Palindromes
        >>> task = Palindromes(10)
        >>> model = build("lstm", task, parameters=20000)
        >>> model(task.draw(32, torch.Generator().manual_seed(0)))[0].shape, model.num_parameters
        (torch.Size([32, 10]), 20106)
        >>> build("gru", num_classes=2, num_features=3, hidden=8).num_parameters
        330
    """
    one_of("build", "model", name, FAMILIES)
    chosen = read_options("build", ModelOptions, {} if task is None else _options_of(task, name), options)
    chosen = _with_depth(name, chosen)
    _check_supported(name, chosen)
    if chosen.parameters is not None:
        untrained = replace(chosen, init=None)
        size = hidden_size_for(
            "build", name, chosen.parameters, lambda hidden: _model(name, replace(untrained, hidden=hidden))
        )
        chosen = replace(chosen, hidden=size)
    return _model(name, chosen)


def _model(name: str, options: ModelOptions) -> SequenceModel:
    family, positions = FAMILIES[name], options.length if options.positions else None
    inputs = Inputs(
        options.num_tokens, options.num_features, options.encoding, options.hidden, positions, options.dropout
    )
    encoder = family.encoder(options, inputs.channels)
    head = nn.Linear(options.hidden, options.num_classes)
    if options.tie_weights:
        inputs.tie(head)
    return SequenceModel(
        inputs,
        encoder,
        Readout(options.readout, options.per_element),
        head,
        hops=(options.hops or (1,)) if family.uses_batch_edges else (1,),
        dropout=options.dropout,
        context_length=options.length if options.positions or options.readout != "last" else None,
    )


def _options_of(task: Any, name: str) -> dict[str, Any]:
    """Return the options that a task determines."""
    names = (*OF_TASK, "hops") if FAMILIES[name].uses_batch_edges else OF_TASK
    try:
        return {option: getattr(task, option) for option in names} | {"length": task.max_positions}
    except AttributeError as error:
        expected = "a sequence task, such as those of seqgnn.tasks (for forecasts: build_forecaster)"
        raise ValueError(f"build: expected {expected}, got {type(task).__name__} ({error})") from error


def _with_depth(name: str, options: ModelOptions) -> ModelOptions:
    """Return the options with the default number of layers and hops of a GCN."""
    if name not in GNNS or options.num_layers is not None:
        return options
    if options.hops is None and options.length is None:
        raise ValueError(f"build: expected num_layers, hops or length for {name!r}, got none of them")
    hops = exponential_hops(options.length or 1) if options.hops is None else options.hops
    return replace(options, hops=hops, num_layers=len(hops))


def _check_supported(name: str, options: ModelOptions) -> None:
    """Raise a ValueError if an option is not supported by the model."""
    if name in WINDOWED and options.window > 1 and min(options.hops or (1,)) >= options.window:
        raise ValueError(f"build: expected a hop below the window of {options.window}, got hops={options.hops}")
    if name in TREES and (options.num_layers or 1) != 1:
        raise ValueError(f"build: {name!r} has one layer, got num_layers={options.num_layers}")
    for option in ("weight_dropout", "init", "forget_bias"):
        if getattr(options, option) != getattr(ModelOptions, option) and option not in FAMILIES[name].supports:
            supported = ", ".join(other for other, family in FAMILIES.items() if option in family.supports)
            raise ValueError(f"build: {option} is not supported by {name!r} (only {supported})")
