"""Forecasters by name."""

from dataclasses import replace
from functools import partial
from typing import Any

from seqgnn._utils.validation import one_of
from seqgnn.models.forecast_encoders import LagGCN
from seqgnn.models.forecaster import EncoderDecoder, Forecaster
from seqgnn.models.options import ForecasterOptions, read_options
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
NODEWISE = ("linear", "lstm", "gru")  # these use no neighbors, except with neighbors=True
OF_TASK = ("in_channels", "out_channels", "lags", "horizon")
STATIC = ("gcn",)  # these need the same graph at all steps


def uses_neighbors(name: str, *, K: int = 2, neighbors: bool = False) -> bool:
    """Return True if the forecast of a node depends on other nodes; with K = 1, a filter uses only the node itself.

    Example:
        >>> uses_neighbors("lstm"), uses_neighbors("lstm", neighbors=True), uses_neighbors("gcrn", K=1)
        (False, True, False)
    """
    return neighbors or (name not in NODEWISE and ("K" not in LAYERS[name][1] or K > 1))


def build_forecaster(name: str, task: Any = None, **options: Any) -> Forecaster:
    """Return a forecaster by name.

    Args:
        name: ``"gcn-lstm"``, ``"gcn-gru"``, ``"gcrn"`` (an LSTM), ``"gcrn-gru"``, ``"dcrnn"`` (its encoder only),
            ``"tgcn"``, ``"a3tgcn"``, ``"evolve-gcn"``: graph-recurrent layers; ``"lstm"``, ``"gru"``: recurrent layers
            on each node separately; ``"gcn"``: GCN layers with the lags as features; ``"linear"``: the skip connection
            only; ``"dcrnn-forecaster"``: an encoder-decoder, see :class:`EncoderDecoder`.
        task: a :class:`seqgnn.tasks.Forecasting`, which determines the options `in_channels`, `out_channels`, `lags`
            and `horizon`; None: pass these as options.
        options: fields of :class:`seqgnn.models.ForecasterOptions`, such as `hidden`, `num_layers`, `K`,
            `residual`, `skip`, `dropout` or `parameters`; they take precedence over those of the task.

    Raises:
        ValueError: if a name or an option is unknown, an option is out of range or not supported by the model, or no
            hidden size gives about `parameters` parameters.

    Example:
        >>> model = build_forecaster("dcrnn", in_channels=2, hidden=16, lags=12, horizon=12, residual=True, skip=True)
        >>> model.num_parameters
        3192
    """
    one_of("build_forecaster", "model", name, NAMES)
    chosen = read_options("build_forecaster", ForecasterOptions, {} if task is None else _options_of(task), options)
    if name == "linear" and chosen.num_layers != 1:
        raise ValueError(f"build_forecaster: 'linear' has one layer, got num_layers={chosen.num_layers}")
    if name == "linear" and chosen.parameters is not None:
        got = f"parameters={chosen.parameters}"
        raise ValueError(f"build_forecaster: {got} is not supported by 'linear' (no hidden size)")
    if chosen.parameters is not None:
        sized = partial(replace, chosen)
        size = hidden_size_for(
            "build_forecaster", name, chosen.parameters, lambda hidden: _forecaster(name, sized(hidden=hidden))
        )
        chosen = sized(hidden=size)
    return _forecaster(name, chosen)


def _forecaster(name: str, options: ForecasterOptions) -> Forecaster:
    common = {option: getattr(options, option) for option in (*OF_TASK, "residual", "skip", "neighbors")}
    if name == "linear":
        return Forecaster(None, **common | {"skip": True})
    layer, accepted = LAYERS[name]
    of_layer = {option: getattr(options, option) for option in accepted}
    if "dropout" in of_layer and options.num_layers == 1:
        of_layer["dropout"] = 0.0
    encoder = layer(options.in_channels * (2 if options.neighbors else 1), options.hidden, **of_layer)
    if name == "dcrnn-forecaster":
        return EncoderDecoder(encoder, decay=options.sampling_decay, **common)
    return Forecaster(encoder, dropout=options.dropout, **common)


def _options_of(task: Any) -> dict[str, Any]:
    """Return the options that a task determines."""
    try:
        sizes = {"in_channels": task.in_channels, "out_channels": task.out_channels}
        return sizes | {"lags": task.protocol.lags, "horizon": task.protocol.horizon}
    except AttributeError as error:
        got = f"{type(task).__name__} ({error})"
        raise ValueError(f"build_forecaster: expected a task such as seqgnn.tasks.Forecasting, got {got}") from error
