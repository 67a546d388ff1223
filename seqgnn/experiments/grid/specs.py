"""The models of a comparison, by name or user-defined, and the runs that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqgnn._utils.validation import check_count, one_of
from seqgnn.data import exponential_hops
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.specs import ModelSpec
from seqgnn.models.baselines import sequences as baselines
from seqgnn.models.sequence_model import GNNS, NAMES, TREES, WINDOWED
from seqgnn.training.config import TrainConfig

# Weights and gates of the course reports: Xavier-normal weights and, for every LSTM and MinLSTM, a forget bias of 1
# (Gers et al. 2000). With torch's initialization, LSTM and GRU do not solve 20 digits in 800 steps; with this one, they
# do.
_INIT: dict[str, Any] = {"init": ("xavier",)}
_LSTM: dict[str, Any] = _INIT | {"forget_bias": 1.0}
MODEL_SPECS = {
    "rnn": ModelSpec("RNN", "rnn", **_INIT),
    "lstm": ModelSpec("LSTM", "lstm", **_LSTM),
    "gru": ModelSpec("GRU", "gru", **_INIT),
    "mingru": ModelSpec("MinGRU", "mingru", **_INIT),
    "minlstm": ModelSpec("MinLSTM", "minlstm", **_LSTM),
    "gcn": ModelSpec("GCN", "gcn"),
    "gcn-residual": ModelSpec("GCN, residual", "gcn-residual"),
    "gcn-1hop": ModelSpec("GCN, one hop", "gcn", hops=(1,)),
    "gcn+lstm": ModelSpec("GCN, then LSTM", "gcn+lstm", **_LSTM),
    "gcn-in-lstm": ModelSpec("GCN in LSTM", "gcn-in-lstm", **_LSTM),
    "gcn-in-mingru": ModelSpec("GCN in MinGRU", "gcn-in-mingru", **_INIT),
    "gcn-in-minlstm": ModelSpec("GCN in MinLSTM", "gcn-in-minlstm", **_LSTM),
    "tree-lstm": ModelSpec("TreeLSTM", "tree-lstm"),
    "lstm-mean": ModelSpec("LSTM, mean readout", "lstm", readout="mean", **_LSTM),
    "gcn-mean": ModelSpec("GCN, mean readout", "gcn", readout="mean"),
}
HEADLINE = ("rnn", "lstm", "gru", "gcn", "gcn+lstm", "gcn-in-lstm")
MINIMAL = ("mingru", "minlstm")
DEFAULT_SPECS = {
    "palindromes": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "recall": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "adding": (*HEADLINE[:3], *MINIMAL, *HEADLINE[3:], "gcn-1hop", "gcn-mean"),
    "copying": (*HEADLINE[:3], *MINIMAL, *HEADLINE[3:], "gcn-1hop"),
    "text": (*HEADLINE[:4], "gcn-residual", *HEADLINE[4:]),
    "expressions": (*HEADLINE[:4], "gcn-residual", "gcn+lstm", "tree-lstm"),
    "trees": HEADLINE,
}


@dataclass(frozen=True)
class RunTemplate:
    """The settings that all runs at one size share."""

    sample: Any
    on_path: bool
    data_id: str | None
    hidden: int
    window: int
    device: str
    parameters: int | None = None

    def run_config(self, row: ModelSpec, seed: int, train: TrainConfig) -> RunConfig:
        """Return the run of a model. Settings that the model does not use are not part of its key."""
        task = self.sample
        hops: tuple[int, ...] = (1,)
        num_layers = 1
        if row.model in GNNS:
            powers = exponential_hops(task.max_positions) if self.on_path else (1,)
            hops = powers if row.hops is None else row.hops
            num_layers = len(powers) if self.on_path else task.depth
        return RunConfig(
            task=task.name,
            size=task.length,
            data_id=self.data_id,
            model=row.model,
            readout=row.readout or task.readout,
            hops=hops,
            num_layers=row.num_layers or num_layers,
            hidden=self.hidden,
            encoding=row.encoding,
            window=self.window if row.model in WINDOWED else None,
            init=row.init,
            forget_bias=row.forget_bias,
            positions=row.positions,
            parameters=self.parameters,
            seed=seed,
            device=self.device,
            train=train,
        )


def choose_specs(task: str, chosen: Sequence[Any] | None) -> tuple[ModelSpec, ...]:
    """Return the models of a comparison: those chosen, by name or user-defined, or the default ones of the task.

    Raises:
        ValueError: for an unknown name or model, for labels that are empty, repeated or names of baselines, and for
            hops of a model without hops.
    """
    rows = tuple(
        item if isinstance(item, ModelSpec) else MODEL_SPECS[one_of("compare", "model", item, MODEL_SPECS)]
        for item in (DEFAULT_SPECS[task] if chosen is None else chosen)
    )
    check_labels([row.label for row in rows], baselines.NAMES)
    for row in rows:
        one_of("compare", f"the model of row {row.label!r}", row.model, (*NAMES, *TREES))
        if row.num_layers is not None:
            check_count("compare", f"num_layers of row {row.label!r}", row.num_layers, 1)
        if row.hops is not None and not (row.model in GNNS and PROBLEMS[task].sequential):
            raise ValueError(f"compare: expected hops for a GCN on a path alone, got row {row.label!r} on {task}")
    return rows


def check_labels(labels: Sequence[str], reserved: Sequence[str]) -> None:
    """Check that models have distinct labels.

    Raises:
        ValueError: without a label, and for labels that are empty, of several lines, repeated or names of baselines.
    """
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"compare: expected one or more models, each once, got {list(labels)}")
    for label in labels:
        if not (isinstance(label, str) and label.strip() and label.isprintable()):
            raise ValueError(f"compare: expected printable labels of one line, got {label!r}")
        if label in reserved:
            raise ValueError(f"compare: expected labels other than those of baselines, got {label!r}")
