"""The settings that all models of a comparison share."""

from collections.abc import Mapping
from dataclasses import dataclass

from seqgnn.tasks.forecasting import Protocol


@dataclass(frozen=True)
class GridConfig:
    """The settings that all models of a comparison share, except for training.

    Args:
        lr_per_size: learning rate for each size; None: that of the training configuration, for all sizes.
        window: number of last tokens that "gcn-in-lstm", "gcn-in-mingru" or "gcn-in-minlstm" sees at a time, at least
            1; sequence tasks only.
        match_parameters: choose hidden sizes so that all models have about the number of parameters of the LSTM with
            `hidden` units; sequence tasks only.
        parameters: choose hidden sizes so that all models have about this number of parameters; forecasts only.
        protocol: split, scaling and scores; its horizon is the only size unless sizes are given; forecasts only.
        refit: train each model again on the training and validation data, for the number of steps chosen on the
            validation data; forecasts only.
        residual: models given by name add their output to the last value of the input; forecasts only; None: no.
        skip: models given by name add a linear map of each node's past values; forecasts only; None: yes.
        neighbors: models given by name also receive the mean over each node's neighbors as input; forecasts only; None:
            no.
        K: number of terms of the graph filters of models given by name, see `seqgnn.models.build_forecaster`; forecasts
            only; None: 2.
    """

    lr_per_size: Mapping[int, float] | None = None
    window: int = 4
    match_parameters: bool = False
    parameters: int | None = None
    protocol: Protocol | None = None
    refit: bool = False
    residual: bool | None = None
    skip: bool | None = None
    neighbors: bool | None = None
    K: int | None = None


SEQUENCE_SETTINGS = ("window", "match_parameters")
FORECAST_SETTINGS = ("parameters", "protocol", "refit", "residual", "skip", "neighbors", "K")


def check_unused(grid: GridConfig, names: tuple[str, ...], task: str) -> None:
    """Raise a ValueError if a setting that the task does not use is set."""
    for name in names:
        value = getattr(grid, name)
        if value != getattr(GridConfig, name):
            raise ValueError(f"compare: expected no {name} for task {task!r}, got {value!r}")
