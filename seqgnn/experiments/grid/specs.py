"""The lines of a table: a model and how it is set up, by name or of one's own, and the runs that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqgnn._utils.validation import one_of
from seqgnn.data import exponential_hops
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.models.baselines import classification as baselines
from seqgnn.models.sequence_model import GNNS, NAMES, TREES
from seqgnn.training.config import TrainConfig


@dataclass(frozen=True)
class Row:
    """A line of the table: a model and how it is set up.

    Args:
        label: its name in tables and figures.
        model: a name of `seqgnn.models.build`.
        readout: "last", "mean" or "max"; None: the task's headline readout.
        hops: of a GCN on a path; None: the powers of two below the length.
        init: names of recipes, in order; "chrono" gets the length as its t_max.
        forget_bias: of an LSTM.
        positions: whether elements carry their position.
        encoding: of ids, "one-hot" or "embedding".
        lr: learning rate of this row; None: that of the comparison.
        longest: the greatest length that this row is run at, where longer ones cost too much; None: no limit.
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


ROWS = {
    "rnn": Row("RNN", "rnn"),
    "lstm": Row("LSTM", "lstm"),
    "gru": Row("GRU", "gru"),
    "gcn": Row("GCN", "gcn"),
    "gcn-residual": Row("GCN, residual", "gcn-residual"),
    "gcn-1hop": Row("GCN, one hop", "gcn", hops=(1,)),
    "gcn+lstm": Row("GCN, then LSTM", "gcn+lstm"),
    "gcn-in-lstm": Row("GCN in LSTM", "gcn-in-lstm"),
    "tree-lstm": Row("TreeLSTM", "tree-lstm"),
    "lstm-mean": Row("LSTM, mean readout", "lstm", readout="mean"),
    "gcn-mean": Row("GCN, mean readout", "gcn", readout="mean"),
}
HEADLINE = ("rnn", "lstm", "gru", "gcn", "gcn+lstm", "gcn-in-lstm")
DEFAULT_ROWS = {
    "palindromes": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "recall": (*HEADLINE, "gcn-1hop", "gcn-mean"),
    "text": (*HEADLINE[:4], "gcn-residual", *HEADLINE[4:]),
    "expressions": (*HEADLINE[:4], "gcn-residual", "gcn+lstm", "tree-lstm"),
    "trees": HEADLINE,
}


@dataclass(frozen=True)
class RunTemplate:
    """What all runs at one length share."""

    sample: Any
    on_path: bool
    text: str | None
    hidden: int
    window: int
    device: str
    parameters: int | None = None

    def run_config(self, row: Row, seed: int, train: TrainConfig) -> RunConfig:
        """Returns the run of a row. What a model does not use is left out of its key."""
        task = self.sample
        hops: tuple[int, ...] = (1,)
        num_layers = 1
        if row.model in GNNS:
            powers = exponential_hops(task.length) if self.on_path else (1,)
            hops = powers if row.hops is None else row.hops
            num_layers = len(powers) if self.on_path else task.depth
        return RunConfig(
            task=task.name,
            length=task.length,
            text=self.text,
            model=row.model,
            readout=row.readout or task.readout,
            hops=hops,
            num_layers=num_layers,
            hidden=self.hidden,
            encoding=row.encoding,
            window=self.window if row.model == "gcn-in-lstm" else None,
            init=row.init,
            forget_bias=row.forget_bias,
            positions=row.positions,
            parameters=self.parameters,
            seed=seed,
            device=self.device,
            train=train,
        )


def choose_rows(task: str, chosen: Sequence[str | Row] | None) -> tuple[Row, ...]:
    """The rows of a comparison: those chosen, by name or of one's own, or the task's default.

    Raises:
        ValueError: for an unknown name or model, labels empty, twice or taken, and hops where there are none.
    """
    rows = tuple(
        item if isinstance(item, Row) else ROWS[one_of("compare", "model", item, ROWS)]
        for item in (DEFAULT_ROWS[task] if chosen is None else chosen)
    )
    check_labels([row.label for row in rows], baselines.NAMES)
    for row in rows:
        one_of("compare", f"the model of row {row.label!r}", row.model, (*NAMES, *TREES))
        if row.hops is not None and not (row.model in GNNS and TASKS[task].on_path):
            raise ValueError(f"compare: expected hops for a GCN on a path alone, got row {row.label!r} on {task}")
    return rows


def check_labels(labels: Sequence[str], taken: Sequence[str]) -> None:
    """Whether rows can be told apart by their labels.

    Raises:
        ValueError: without a row, and for labels that are empty, of several lines, twice there, or a baseline's.
    """
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"compare: expected one or more models, each once, got {list(labels)}")
    for label in labels:
        if not (isinstance(label, str) and label.strip() and label.isprintable()):
            raise ValueError(f"compare: expected labels of one line that can be read, got {label!r}")
        if label in taken:
            raise ValueError(f"compare: expected labels other than those of baselines, got {label!r}")
