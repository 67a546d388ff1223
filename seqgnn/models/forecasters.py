"""Forecasters by name."""

from functools import partial
from typing import Any

from seqgnn._utils.validation import check_count, one_of
from seqgnn.models.forecast_encoders import LagGCN
from seqgnn.models.forecaster import EncoderDecoder, Forecaster
from seqgnn.models.parameter_matching import width_for
from seqgnn.nn import A3TGCN, DCRNN, GCNGRU, GCNLSTM, GCRN, GRU, LSTM, TGCN, DCRNNForecaster, EvolveGCN

# Each layer, and which of the options it takes.
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
ALONE = ("linear", "lstm", "gru")  # they see no neighbor, unless they are told of them
STATIC = ("gcn",)  # they take one graph for all steps


def uses_neighbors(name: str, *, K: int = 2, neighbors: bool = False) -> bool:
    """Whether a node's forecast depends on other nodes: a filter with K = 1 sees none.

    Example:
        >>> uses_neighbors("lstm"), uses_neighbors("lstm", neighbors=True), uses_neighbors("gcrn", K=1)
        (False, True, False)
    """
    return neighbors or (name not in ALONE and ("K" not in LAYERS[name][1] or K > 1))


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
    """Builds a forecaster by name.

    Args:
        name: ``"gcn-lstm"``, ``"gcn-gru"``, ``"gcrn"`` (an LSTM), ``"gcrn-gru"``, ``"dcrnn"`` (its encoder alone),
            ``"tgcn"``, ``"a3tgcn"``, ``"evolve-gcn"``, in whose layers nodes hear each other; ``"lstm"``, ``"gru"``, on
            each node alone; ``"gcn"``, whose features are the lags; ``"linear"``, the skip alone;
            ``"dcrnn-forecaster"``, an encoder and a decoder, see :class:`EncoderDecoder`.
        in_channels, out_channels, lags, horizon, residual, skip, neighbors: see :class:`Forecaster`.
        hidden: H.
        num_layers: recurrent layers; rounds of ``"gcn"``.
        K: terms of the filters of ``"gcrn"``, ``"gcrn-gru"``, ``"dcrnn"`` and ``"dcrnn-forecaster"``; with 2 or more a
            node stays apart from its neighbors.
        dropout: between layers, where the layer has it, and on what the head reads.
        sampling_decay: of ``"dcrnn-forecaster"``, see :class:`EncoderDecoder`.
        parameters: a number of parameters to come as near to as any `hidden` can, which then is not used; any two
            models so built are within 10% of each other. Not of ``"linear"``, which has no hidden size.

    Raises:
        ValueError: for an unknown name, options out of range, or a parameter count that no width comes near enough to.

    Example:
        >>> model = build_forecaster("dcrnn", in_channels=2, hidden=16, lags=12, horizon=12, residual=True, skip=True)
        >>> model.num_parameters
        3192
    """
    one_of("build_forecaster", "model", name, NAMES)
    sizes = {"in_channels": in_channels, "hidden": hidden, "lags": lags, "horizon": horizon, "num_layers": num_layers}
    for what, size in (sizes | {"out_channels": out_channels, "K": K}).items():
        check_count("build_forecaster", what, size, 1)
    if not 0 <= dropout < 1:
        raise ValueError(f"build_forecaster: expected dropout in [0, 1), got {dropout!r}")
    if name == "linear" and num_layers != 1:
        raise ValueError(f"build_forecaster: expected one layer for 'linear', got num_layers={num_layers}")
    channels = in_channels * (2 if neighbors else 1)
    options: dict[str, Any] = {"in_channels": in_channels, "out_channels": out_channels, "lags": lags}
    options |= {"horizon": horizon, "residual": residual, "skip": skip, "neighbors": neighbors}
    if name == "linear":
        if parameters is not None:
            found = f"'linear', which has one size, got {parameters}"
            raise ValueError(f"build_forecaster: expected no parameters for {found}")
        return Forecaster(None, **options | {"skip": True})
    given = {"num_layers": num_layers, "dropout": dropout if num_layers > 1 else 0.0, "K": K} | options
    layer, taken = LAYERS[name]

    def make(hidden: int) -> Forecaster:
        encoder = layer(channels, hidden, **{option: given[option] for option in taken})
        if name == "dcrnn-forecaster":
            return EncoderDecoder(encoder, decay=sampling_decay, **options)
        return Forecaster(encoder, dropout=dropout, **options)

    if parameters is not None:
        check_count("build_forecaster", "parameters", parameters, 1)
        hidden = width_for("build_forecaster", name, parameters, make)
    return make(hidden)
