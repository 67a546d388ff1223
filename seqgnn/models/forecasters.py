"""Forecasters by name."""

from functools import partial
from typing import Any

from seqgnn._utils.validation import check_count, one_of
from seqgnn.models.forecast_encoders import LagGCN
from seqgnn.models.forecaster import EncoderDecoder, Forecaster
from seqgnn.models.parameter_matching import hidden_size_for
from seqgnn.nn import A3TGCN, DCRNN, GCNGRU, GCNLSTM, GCRN, GRU, LSTM, TGCN, DCRNNForecaster, EvolveGCN

# Each layer, and the options that it accepts.
LAYERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "lstm": (LSTM, ("num_layers", "dropout")),
    "gru": (GRU, ("num_layers", "dropout")),
    "gcn": (LagGCN, ("num_layers", "dropout", "lags")),
    "gcn-lstm": (GCNLSTM, ("num_layers", "dropout")),
    "gcn-gru": (GCNGRU, ("num_layers", "dropout")),
    "gcrn": (GCRN, ("num_layers", "dropout", "K")),
    "gcrn-gru": (partial(GCRN, cell="gru"), ("num_layers", "dropout", "K")),
    "dcrnn": (DCRNN, ("num_layers", "dropout", "K")),
    "tgcn": (TGCN, ("num_layers", "dropout")),
    "a3tgcn": (A3TGCN, ("num_layers", "dropout")),
    "evolve-gcn": (EvolveGCN, ("num_layers",)),
    "dcrnn-forecaster": (DCRNNForecaster, ("num_layers", "dropout", "K", "out_channels", "horizon")),
}
NAMES = ("linear", *LAYERS)
NODEWISE = ("linear", "lstm", "gru")  # they use no neighbors, except with neighbors=True
STATIC = ("gcn",)  # they need the same graph at all steps


def uses_neighbors(name: str, *, K: int = 2, neighbors: bool = False) -> bool:
    """Return True if the forecast of a node depends on other nodes; with K = 1 a filter uses the node alone.

    Example:
        >>> uses_neighbors("lstm"), uses_neighbors("lstm", neighbors=True), uses_neighbors("gcrn", K=1)
        (False, True, False)
    """
    return neighbors or (name not in NODEWISE and ("K" not in LAYERS[name][1] or K > 1))


def build_forecaster(
    name: str,
    *,
    in_channels: int,
    out_channels: int = 1,
    hidden: int = 32,
    lags: int,
    horizon: int = 1,
    num_layers: int = 1,
    K: int = 2,
    residual: bool = False,
    skip: bool = False,
    neighbors: bool = False,
    dropout: float = 0.0,
    sampling_decay: float | None = 2000.0,
    parameters: int | None = None,
) -> Forecaster:
    """Return a forecaster by name.

    Args:
        name: ``"gcn-lstm"``, ``"gcn-gru"``, ``"gcrn"`` (an LSTM), ``"gcrn-gru"``, ``"dcrnn"`` (its encoder only),
            ``"tgcn"``, ``"a3tgcn"``, ``"evolve-gcn"``: recurrent layers on the graph; ``"lstm"``, ``"gru"``: recurrent
            layers on each node independently; ``"gcn"``: GCN layers with the lags as features; ``"linear"``: the skip
            connection only; ``"dcrnn-forecaster"``: an encoder and a decoder, see :class:`EncoderDecoder`.
        in_channels, out_channels, lags, horizon, residual, skip, neighbors: see :class:`Forecaster`.
        hidden: H.
        num_layers: number of recurrent layers, or of GCN layers for ``"gcn"``.
        K: number of terms of the filters of ``"gcrn"``, ``"gcrn-gru"``, ``"dcrnn"`` and ``"dcrnn-forecaster"``; from 2
            on, a node's own features and those of its neighbors have separate weights.
        dropout: dropout between layers, where supported, and on the head's input.
        sampling_decay: decay of scheduled sampling for ``"dcrnn-forecaster"``, see :class:`EncoderDecoder`.
        parameters: number of parameters to match as closely as possible by the choice of `hidden`, which is then
            ignored; not for ``"linear"``, which has no hidden size.

    Raises:
        ValueError: if a name is unknown, an option is out of range, or no hidden size matches `parameters`.

    Example:
        >>> model = build_forecaster("dcrnn", in_channels=2, hidden=16, lags=12, horizon=12, residual=True, skip=True)
        >>> model.num_parameters
        3192
    """
    one_of("build_forecaster", "model", name, NAMES)
    sizes = {"in_channels": in_channels, "hidden": hidden, "lags": lags, "horizon": horizon, "num_layers": num_layers}
    for option, size in (sizes | {"out_channels": out_channels, "K": K}).items():
        check_count("build_forecaster", option, size, 1)
    if not 0 <= dropout < 1:
        raise ValueError(f"build_forecaster: expected dropout in [0, 1), got {dropout!r}")
    if name == "linear" and num_layers != 1:
        raise ValueError(f"build_forecaster: 'linear' has one layer, got num_layers={num_layers}")
    channels = in_channels * (2 if neighbors else 1)
    options: dict[str, Any] = {"in_channels": in_channels, "out_channels": out_channels, "lags": lags}
    options |= {"horizon": horizon, "residual": residual, "skip": skip, "neighbors": neighbors}
    if name == "linear":
        if parameters is not None:
            raise ValueError(f"build_forecaster: parameters={parameters} is not supported by 'linear' (no hidden size)")
        return Forecaster(None, **options | {"skip": True})
    options_of_layer = {"num_layers": num_layers, "dropout": dropout if num_layers > 1 else 0.0, "K": K} | options
    layer, accepted = LAYERS[name]

    def make(hidden: int) -> Forecaster:
        encoder = layer(channels, hidden, **{option: options_of_layer[option] for option in accepted})
        if name == "dcrnn-forecaster":
            return EncoderDecoder(encoder, decay=sampling_decay, **options)
        return Forecaster(encoder, dropout=dropout, **options)

    if parameters is not None:
        check_count("build_forecaster", "parameters", parameters, 1)
        hidden = hidden_size_for("build_forecaster", name, parameters, make)
    return make(hidden)
