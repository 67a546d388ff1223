"""The configuration of a training run on a text: its data, model and training, and what is logged."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from seqgnn._utils.validation import check_count, one_of
from seqgnn.models import sequence_model as models
from seqgnn.models.options import ModelOptions
from seqgnn.tasks import CharText
from seqgnn.training.config import TrainConfig

OPTIONS = frozenset(item.name for item in fields(ModelOptions)) - {"num_classes", "num_tokens", "num_features"}
TEXT_TRAINING = TrainConfig(
    steps=15_000,
    batch_size=64,
    optimizer="adam",
    lr=2e-3,
    schedule="cosine",
    eval_every=500,
    eval_batch_size=16,
    monitor="loss",
    stateful=True,
)


@dataclass(frozen=True)
class TextModelConfig:
    """The usual options of a character-level model; `seqgnn.models.build` has more.

    Args:
        hidden: hidden units.
        num_layers: number of layers; None: 2, or one per hop for GCNs.
        hops: hops of the GCNs, e.g. 1,2,4; None: powers of two below the sequence length, 1 in gcn-in-lstm
            and its like.
        window: number of last characters that gcn-in-lstm, gcn-in-mingru or gcn-in-minlstm sees at a time.
        dropout: dropout probability of all non-recurrent connections.
        weight_dropout: dropout probability of the hidden-to-hidden weights of rnn, lstm, gru and gcn+lstm.
        tie_weights: use one matrix for the embedding and the output layer.
        encoding: encoding of the input characters: embedding or one-hot.
        positions: add position features to the input; requires windows (stateful=False, --no-stateful).
    """

    hidden: int = 128
    num_layers: int | None = None
    hops: tuple[int, ...] | None = None
    window: int = 4
    dropout: float = 0.0
    weight_dropout: float = 0.0
    tie_weights: bool = False
    encoding: str = "embedding"
    positions: bool = False

    def build_options(self, model: str) -> dict[str, Any]:
        """Return the options of `seqgnn.models.build` that have an effect on a model of this name.

        Example:
            >>> TextModelConfig(hidden=8).build_options("lstm")["num_layers"]
            2
        """
        options: dict[str, Any] = {name: getattr(self, name) for name in ("hidden", "dropout", "tie_weights")}
        options |= {"positions": self.positions, "encoding": self.encoding}
        if self.num_layers is not None or model not in models.GNNS:
            options["num_layers"] = 2 if self.num_layers is None else self.num_layers
        if self.hops is not None:
            options["hops"] = self.hops
        if self.weight_dropout:
            options["weight_dropout"] = self.weight_dropout
        if model in models.WINDOWED:
            options["window"] = self.window
        return options


@dataclass(frozen=True)
class LoggingConfig:
    """The log, the samples and the checkpoints of a run; no result depends on them.

    Args:
        log_every: number of steps per line of the log.
        sample_every: number of steps between samples; 0 disables samples.
        save_every: number of steps between checkpoints.
        prompt: text that the samples continue.
        tensorboard: also log for TensorBoard, which must be installed.

    Raises:
        ValueError: if a number of steps is out of range.
    """

    log_every: int = 100
    sample_every: int = 1000
    save_every: int = 500
    prompt: str = ""
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, least in (("log_every", 1), ("sample_every", 0), ("save_every", 1)):
            check_count("LoggingConfig", name, getattr(self, name), least)


@dataclass(frozen=True)
class TextRun:
    """The settings that determine a training run on a text.

    Args:
        files: text files and folders; none: the help topics that come with Python.
        text_encoding: encoding of the text files.
        split: fractions of the training, validation and test parts.
        length: number of characters per sequence and training step.
        model: name of the model: rnn, lstm, gru, mingru, minlstm, gcn, gcn-residual, gcn+lstm, gcn-in-lstm,
            gcn-in-mingru or gcn-in-minlstm.
        options: further options of `seqgnn.models.build`, see `TextModelConfig`; characters are embedded unless
            `encoding` is among them.
        train: configuration of training; `stateful` reads the text as streams.
        seed: seed of initial weights, batches, dropout and samples, at least 0.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    files: tuple[str, ...] = ()
    text_encoding: str = "utf-8-sig"
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    length: int = 30
    model: str = "lstm"
    options: dict[str, Any] = field(default_factory=lambda: {"hidden": 128, "num_layers": 2})
    train: TrainConfig = TEXT_TRAINING
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("TextRun", "model", self.model, models.NAMES)
        for name in self.options:
            one_of("TextRun", "option", name, sorted(OPTIONS))
        check_count("TextRun", "seed", self.seed, 0)
        check_count("TextRun", "length", self.length, 1)
        check_count("TextRun", "steps", self.train.steps, 1)
        if self.train.stateful and (self.options.get("positions") or self.options.get("readout", "last") != "last"):
            option = "positions" if self.options.get("positions") else f"readout {self.options['readout']!r}"
            raise ValueError(
                f"TextRun: expected independent windows with {option} (stateful=False, --no-stateful), got streams"
            )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TextRun":
        """Return the run of a dict made by `dataclasses.asdict`, which may have been stored as JSON."""
        options = {name: tuple(value) if name == "hops" else value for name, value in content["options"].items()}
        files, split = tuple(content["files"]), tuple(content["split"])
        train = TrainConfig(**content["train"])
        return cls(**{**content, "files": files, "split": split, "options": options, "train": train})

    def make_task(self) -> CharText:
        """Return the text, on paths whose hops put the first character into the last one's receptive field."""
        path = [Path(file) for file in self.files] or None
        hops = self.options.get("hops") or models.exponential_hops(self.length)
        return CharText(path, length=self.length, encoding=self.text_encoding, split=self.split, hops=tuple(hops))

    def build_options(self, task: CharText) -> dict[str, Any]:
        """Return the arguments of `seqgnn.models.build` for the model."""
        graph = {"hops": task.hops} if self.model in (*models.GNNS, "gcn+lstm") else {}
        sizes = {"num_classes": task.num_classes, "num_tokens": task.num_tokens, "length": self.length}
        return {"name": self.model, "per_element": True, "encoding": "embedding", **sizes, **graph, **self.options}
