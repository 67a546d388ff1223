"""The options of models that are built by name."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from seqgnn._utils.text import listed
from seqgnn._utils.validation import check_count, one_of
from seqgnn.data.paths import path_graph
from seqgnn.nn.init import Init

READOUTS = ("last", "mean", "max")
Options = TypeVar("Options")


@dataclass(frozen=True)
class ModelOptions:
    """The options of :func:`seqgnn.models.build`. A task determines the first six, see `options_of_task`.

    Args:
        num_classes: C; 1 for a real-valued target.
        num_tokens, num_features: size of the vocabulary, or number of features per position; exactly one of them.
        per_element: one target per position instead of one per sequence. Undirected graphs are then rejected, and
            readouts run over the prefix.
        directed: True if the batches' edges point forwards only; checked for a GCN with one target per position.
        length: maximum sequence length; needed for `positions`, for a GCN without `num_layers` or `hops`, and for text
            generation with readouts other than "last".
        hops: hops of the batches' edges, which the data set creates (GCNs; None: the powers of two below `length`, with
            which the receptive field is the whole sequence), or of the window's (``"gcn-in-lstm"``,
            ``"gcn-in-mingru"``, ``"gcn-in-minlstm"``; None: 1).
        hidden: H, the hidden size and the size of embeddings.
        num_layers: number of recurrent layers (None: 1) or of GCN layers (None: one per hop).
        readout: ``"last"``, ``"mean"`` or ``"max"``.
        encoding: encoding of token ids, ``"one-hot"`` or ``"embedding"``.
        positions: append the one-hot position to each token.
        window: k of ``"gcn-in-lstm"``, ``"gcn-in-mingru"`` and ``"gcn-in-minlstm"``.
        dropout: dropout on non-recurrent connections: embeddings, outputs between layers, and the head's input
            (Zaremba et al. 2014).
        weight_dropout: dropout on hidden-to-hidden weights, for models with a plain recurrent layer.
        tie_weights: share the embedding's weight with the head (Press and Wolf 2017); needs `encoding` "embedding" and
            as many classes as tokens.
        init, forget_bias: as in :mod:`seqgnn.nn`, for models with a recurrent layer.
        parameters: number of parameters to match as closely as possible by the choice of `hidden`, which is then
            ignored; see `hidden_size_for`.

    Raises:
        ValueError: if an option is out of range, or options contradict each other.
    """

    num_classes: int
    num_tokens: int | None = None
    num_features: int | None = None
    per_element: bool = False
    directed: bool = True
    length: int | None = None
    hops: tuple[int, ...] | None = None
    hidden: int = 64
    num_layers: int | None = None
    readout: str = "last"
    encoding: str = "one-hot"
    positions: bool = False
    window: int = 4
    dropout: float = 0.0
    weight_dropout: float = 0.0
    tie_weights: bool = False
    init: Init = None
    forget_bias: float | None = None
    parameters: int | None = None

    def __post_init__(self) -> None:
        one_of("build", "readout", self.readout, READOUTS)
        one_of("build", "encoding", self.encoding, ("one-hot", "embedding"))
        if (self.num_tokens is None) == (self.num_features is None):
            got = f"{self.num_tokens} and {self.num_features}"
            raise ValueError(f"build: expected num_tokens or num_features, got {got}")
        for name in ("num_classes", "hidden", "window"):
            check_count("build", name, getattr(self, name), 1)
        for name in ("num_tokens", "num_features", "num_layers", "length", "parameters"):
            if getattr(self, name) is not None:
                check_count("build", name, getattr(self, name), 1)
        for name in ("dropout", "weight_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"build: expected {name} in [0, 1), got {getattr(self, name)!r}")
        if self.per_element and not self.directed:
            raise ValueError("build: expected a directed graph with one target per position, got directed=False")
        if self.positions and self.length is None:
            raise ValueError("build: expected length with positions=True, got None")
        if self.num_features is not None and self.encoding != "one-hot":
            raise ValueError(f"build: encoding={self.encoding!r} is not supported for features")
        if self.tie_weights and (self.encoding != "embedding" or self.num_tokens != self.num_classes):
            got = f"encoding={self.encoding!r}, num_tokens={self.num_tokens} and num_classes={self.num_classes}"
            raise ValueError(f"build: tie_weights needs encoding='embedding' and num_tokens == num_classes, got {got}")
        path_graph(1, hops=(1,) if self.hops is None else self.hops)  # validates hops
        if self.hops is not None:
            object.__setattr__(self, "hops", tuple(self.hops))


@dataclass(frozen=True)
class ForecasterOptions:
    """The options of :func:`seqgnn.models.build_forecaster`. A task determines the first four.

    Args:
        in_channels, out_channels, lags, horizon: see :class:`seqgnn.models.Forecaster`.
        hidden: H.
        num_layers: number of recurrent layers, or of GCN layers for ``"gcn"``.
        K: number of terms of the filters of ``"gcrn"``, ``"gcrn-gru"``, ``"dcrnn"`` and ``"dcrnn-forecaster"``; from 2
            on, a node's own features and those of its neighbors have separate weights.
        residual, skip, neighbors: see :class:`seqgnn.models.Forecaster`.
        dropout: dropout between layers, where supported, and on the head's input.
        sampling_decay: decay of scheduled sampling for ``"dcrnn-forecaster"``, see
            :class:`seqgnn.models.EncoderDecoder`.
        parameters: number of parameters to match as closely as possible by the choice of `hidden`, which is then
            ignored; not for ``"linear"``, which has no hidden size.

    Raises:
        ValueError: if an option is out of range.
    """

    in_channels: int
    lags: int
    out_channels: int = 1
    horizon: int = 1
    hidden: int = 32
    num_layers: int = 1
    K: int = 2
    residual: bool = False
    skip: bool = False
    neighbors: bool = False
    dropout: float = 0.0
    sampling_decay: float | None = 2000.0
    parameters: int | None = None

    def __post_init__(self) -> None:
        for name in ("in_channels", "hidden", "lags", "horizon", "num_layers", "out_channels", "K"):
            check_count("build_forecaster", name, getattr(self, name), 1)
        if self.parameters is not None:
            check_count("build_forecaster", "parameters", self.parameters, 1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"build_forecaster: expected dropout in [0, 1), got {self.dropout!r}")


def read_options(caller: str, table: type[Options], of_task: Mapping[str, Any], options: Mapping[str, Any]) -> Options:
    """Return the options of a model.

    Args:
        caller: calling function, for error messages.
        table: dataclass of the options.
        of_task: options that a task determines, empty without a task.
        options: other options, which take precedence.

    Raises:
        ValueError: if an option is unknown, missing or out of range.

    Example:
        >>> read_options("build", ModelOptions, {"num_classes": 2}, {"hiden": 8})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: build: expected option to be one of ..., got 'hiden'; did you mean 'hidden'?
    """
    declared = fields(table)  # type: ignore[arg-type]
    for name in options:
        one_of(caller, "option", name, [item.name for item in declared])
    values = {**of_task, **options}
    required = [item.name for item in declared if item.default is MISSING]
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"{caller}: expected a task, or {listed(missing)}, got neither")
    return table(**values)
