"""The specifications of models: one line of the table each."""

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class ModelSpec:
    """A model of a sequence task and its settings.

    Args:
        label: name in tables and figures.
        model: a name of `seqgnn.models.build`.
        readout: "last", "mean" or "max"; None: the task's default.
        hops: edges of a GCN on a path; None: the powers of two below the length.
        init: names of initialization recipes, in order; "chrono" gets the length as its t_max.
        forget_bias: forget bias of an LSTM or MinLSTM; None: the one of `init`.
        num_layers: number of layers; None: one recurrent layer, or for a GCN as many as reach all positions.
        positions: whether inputs include their position.
        encoding: encoding of ids, "one-hot" or "embedding".
        lr: learning rate of this model; None: that of the comparison.
        longest: the largest size at which this model is run; None: all sizes.
    """

    label: str
    model: str
    readout: str | None = None
    hops: tuple[int, ...] | None = None
    init: tuple[str, ...] = ()
    forget_bias: float | None = None
    positions: bool = False
    encoding: str = "one-hot"
    lr: float | None = None
    longest: int | None = None
    num_layers: int | None = None


@dataclass(frozen=True)
class ForecasterSpec:
    """A forecaster and its settings.

    Args:
        label: name in tables and figures.
        model: a name of `build_forecaster`.
        residual, skip, neighbors, K, num_layers, dropout: see `build_forecaster`.
        hidden: hidden units of this model; None: those of the comparison. Not used where hidden sizes are chosen for a
            number of parameters.
        lr: learning rate of this model; None: that of the comparison.
    """

    label: str
    model: str
    residual: bool = False
    skip: bool = True
    neighbors: bool = False
    K: int = 2
    num_layers: int = 1
    dropout: float = 0.0
    hidden: int | None = None
    lr: float | None = None


Spec: TypeAlias = ModelSpec | ForecasterSpec


def spec_from_dict(content: dict[str, Any]) -> Spec:
    """Return the specification that `dataclasses.asdict` gave, also after a round trip through JSON.

    Raises:
        ValueError: if it is none.
    """
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in content.items()}
    try:
        return ForecasterSpec(**values) if "residual" in values else ModelSpec(**values)
    except TypeError as error:
        raise ValueError(f"compare: expected the specification of a model, got another ({error})") from error
