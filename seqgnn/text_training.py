"""Training a character model on a text: what `seqgnn train text` does, for Python too."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from seqgnn import models
from seqgnn.checkpoint import BEST, LAST, Checkpoints, read_checkpoint
from seqgnn.data import CharText
from seqgnn.data.text_files import fingerprint
from seqgnn.errors import one_of
from seqgnn.generation import generate
from seqgnn.runs import identify_text, measurement
from seqgnn.store import write_atomically
from seqgnn.text_log import RunLog
from seqgnn.training import FitResult, TrainConfig, evaluate, fit

SAMPLE_LENGTHS = (15, 30, 50, 100)
TEMPERATURES = (0.5, 1.0, 2.0)


TEXT_TRAINING = TrainConfig(
    steps=15_000,
    batch_size=64,
    optimizer="adam",
    lr=2e-3,
    schedule="cosine",
    eval_every=500,
    eval_batch_size=16,
    select="loss",
    carry=True,
)


@dataclass(frozen=True)
class TextRun:
    """Everything that determines a training run on a text.

    Args:
        files: text files and folders; none: the help topics that come with Python.
        encoding, split, length: of `seqgnn.data.CharText`.
        model: a name of `seqgnn.models.build`.
        options: further options of `build`, such as hidden, num_layers, dropout, tie_weights; ids are embedded unless
            `encoding` says otherwise there.
        train: how to train; `carry` reads the text as streams.
        seed: of initial weights, batches, dropout and samples, at least 0.

    Raises:
        ValueError: if an option is unknown or out of range.
    """

    files: tuple[str, ...] = ()
    encoding: str = "utf-8-sig"
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)
    length: int = 30
    model: str = "lstm"
    options: dict[str, Any] = field(default_factory=lambda: {"hidden": 128, "num_layers": 2})
    train: TrainConfig = TEXT_TRAINING
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("TextRun", "model", self.model, models.NAMES)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"TextRun: expected seed to be an integer of at least 0, got {self.seed!r}")

        if self.train.carry and (self.options.get("positions") or self.options.get("readout", "last") != "last"):
            raise ValueError(
                "TextRun: expected no positions and the last readout where the state is carried (--stateful), "
                f"got options {self.options}"
            )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TextRun":
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        train = TrainConfig(**content["train"])
        files, split = tuple(content["files"]), tuple(content["split"])
        return cls(**{**content, "files": files, "split": split, "train": train})

    def make_task(self) -> CharText:
        """The text, on paths whose hops let the last element hear the first."""
        path = [Path(file) for file in self.files] or None
        hops = self.options.get("hops") or models.powers_of_two(self.length)
        return CharText(path, length=self.length, encoding=self.encoding, split=self.split, hops=tuple(hops))

    def build_options(self, task: CharText) -> dict[str, Any]:
        """What `seqgnn.models.build` takes to make the model."""
        graph = {"hops": task.hops} if self.model in (*models.GNNS, "gcn+lstm") else {}
        sizes = {"num_classes": task.num_classes, "num_tokens": task.num_tokens, "length": self.length}
        return {"name": self.model, "per_element": True, "encoding": "embedding", **sizes, **graph, **self.options}


@dataclass
class TextResult:
    """What came of a run: the curves, the scores on validation (the best step's) and test, and why it ended."""

    fit: FitResult
    test: dict[str, float] | None
    folder: Path


def train_text(
    run: TextRun,
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    log_every: int = 100,
    sample_every: int = 1000,
    save_every: int = 500,
    prompt: str = "",
    tensorboard: bool = False,
    fabric: Any = None,
    on_line: Callable[[dict[str, Any]], None] | None = None,
    on_step: Callable[[int, float, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TextResult:
    """Trains a character model, or goes on with a run that was interrupted or killed.

    `out` gets `last.safetensors` (all that the next step depends on), `best.safetensors` (the weights that did best on
    validation), `log.jsonl` (a line every `log_every` steps, one a look at the validation set), `samples.jsonl` and, as
    a table over training, `samples.md`; in the end `result.json`.

    Args:
        run: what to do.
        out: the run's folder; one that holds another run is refused.
        device: where to train.
        log_every, sample_every, save_every: steps; `sample_every` 0: no samples.
        prompt: what the samples continue.
        tensorboard: also write the log for TensorBoard, which must be installed.
        fabric: see `seqgnn.training.fit`.
        on_line: called with every line of the log and of the samples.
        on_step: see `seqgnn.training.fit`.
        stop: asked after every step whether to save and end.

    Raises:
        ValueError: for whatever is wrong with the text, the options or the folder.
    """
    for name, value, least in (("log_every", log_every, 1), ("sample_every", sample_every, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"train_text: expected {name} to be an integer of at least {least}, got {value!r}")
    out = Path(out)
    leads = fabric is None or fabric.global_rank == 0
    task = run.make_task()
    task.encode(prompt)
    options = run.build_options(task)
    about = {"run": json.loads(json.dumps(asdict(run))), "text": _name(run), "model": options}
    settings: dict[str, Any] = {"log_every": log_every, "sample_every": sample_every, "save_every": save_every}
    settings |= {"prompt": prompt, "tensorboard": tensorboard}
    about |= {"vocabulary": task.vocabulary.to_dict(), "settings": settings}
    step, recent = _check_folder(out, about, log_every)
    checkpoints = Checkpoints(out, save_every, about)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = models.build(**options)
    parameters = sum(p.numel() for p in model.parameters())

    start = time.perf_counter(), time.process_time()
    with RunLog(out, step, tensorboard and leads, leads, on_line) as log:
        began = time.perf_counter()

        def after(number: int, loss: float, accuracy: float) -> None:
            nonlocal began
            recent.append((loss, accuracy))
            if number % log_every == 0:
                seconds, began = time.perf_counter() - began, time.perf_counter()
                means = [sum(values) / len(recent) for values in zip(*recent)]
                speed = len(recent) * run.train.batch_size * run.length / seconds
                log.write({"step": number, "loss": means[0], "accuracy": means[1], "characters_per_second": speed})
                recent.clear()
            if sample_every and number % sample_every == 0 and leads:
                for sample in _samples(model, task, prompt, number, run.seed, device):
                    log.sample(sample)
            if on_step is not None:
                on_step(number, loss, accuracy)

        def looked(point: Any) -> None:
            log.write({"step": point.step, "validation_loss": point.loss, "validation_accuracy": point.accuracy})

        fitted = fit(
            model,
            task,
            run.train,
            seed=run.seed,
            device=device,
            on_step=after,
            on_validation=looked,
            checkpoints=checkpoints,
            stop=stop,
            fabric=fabric,
        )
        measured = measurement(start)
    test = None
    if fitted.stopped != "interrupted" and leads:
        part = task.streams("test", run.train.eval_batch_size) if run.train.carry else task.test(512)
        scored = evaluate(model, part, device=device, precision=run.train.precision, carry=run.train.carry)
        test = asdict(scored)
        best = next(point for point in fitted.validation if point.step == fitted.best_step)
        result = {
            **{name: about[name] for name in ("run", "text", "model")},
            "result": {
                "test": test,
                "validation": asdict(best),
                "steps": fitted.steps,
                "stopped": fitted.stopped,
                "parameters": parameters,
            },
            "measured": measured,
        }
        write_atomically(out / "result.json", json.dumps(result, indent=1) + "\n")
    return TextResult(fitted, test, out)


def find_run(folder: str | os.PathLike[str]) -> tuple[TextRun, dict[str, Any]]:
    """The run whose checkpoints lie in a folder, and what else `train_text` was called with.

    Raises:
        ValueError: if there is none.
    """
    _, info = read_checkpoint(Path(folder) / LAST)
    if "run" not in info:
        raise ValueError(f"train_text: expected a training run on a text in {folder}, got another checkpoint")
    return TextRun.from_dict(info["run"]), info["settings"]


@contextmanager
def stopping_at_signals() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C and a polite kill only set what the given function answers; a second Ctrl-C interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(run: TextRun) -> str:
    if not run.files:
        return identify_text(None)
    return f"{', '.join(Path(file).name for file in run.files)} ({fingerprint(list(run.files))[:16]})"


def _check_folder(out: Path, about: dict[str, Any], log_every: int) -> tuple[int, list[tuple[float, float]]]:
    """The step that the run in this folder has come to, 0 if there is none, and losses and accuracies not yet logged.

    An error if it is another run.
    """
    if not (out / LAST).exists():
        taken = [name for name in (BEST, "log.jsonl", "result.json") if (out / name).exists()]
        if taken and not (out / BEST).exists():
            raise ValueError(f"train_text: expected a folder without {taken[0]} for a new run, got {out}")
        return 0, []
    tensors, info = read_checkpoint(out / LAST)
    theirs, ours = (json.loads(json.dumps(what.get("run"))) for what in (info, about))
    if theirs is None or {**theirs, "train": None} != {**ours, "train": None} or info["text"] != about["text"]:
        raise ValueError(
            f"train_text: expected the run that {out} holds, or another folder, got other files or options; "
            f"it is a run on {info.get('text')}"
        )
    step = int(info["training"]["step"])
    curves = [tensors[f"curves.{name}"][step - step % log_every :].tolist() for name in ("losses", "accuracies")]
    return step, list(zip(*curves))


def _samples(
    model: torch.nn.Module, task: CharText, prompt: str, step: int, seed: int, device: str
) -> Iterator[dict[str, Any]]:
    """Greedily, and at three temperatures, of four lengths each."""
    longest = max(SAMPLE_LENGTHS)
    ways: list[tuple[str, dict[str, Any]]] = [("greedy", {"greedy": True})]
    ways += [(f"temperature {t:g}", {"temperature": t, "samples": len(SAMPLE_LENGTHS)}) for t in TEMPERATURES]
    for name, options in ways:
        texts = generate(model, task.vocabulary, prompt, length=longest, seed=seed + step, device=device, **options)
        texts = texts * len(SAMPLE_LENGTHS) if len(texts) == 1 else texts
        for text, length in zip(texts, SAMPLE_LENGTHS):
            yield {"step": step, "how": name, "length": length, "prompt": prompt, "text": text[:length]}
