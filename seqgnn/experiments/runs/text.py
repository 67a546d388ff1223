"""Training a character model on a text: what `seqgnn train text` does, for Python too."""

import inspect
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import check_count, checked_device, one_of
from seqgnn.data import Vocabulary
from seqgnn.data.io.text import fingerprint
from seqgnn.experiments.runs.config import identify_text
from seqgnn.experiments.runs.text_directory import RESULT, SAMPLE_LENGTHS, RunFolder, read_run
from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate
from seqgnn.profile.resources import measurement
from seqgnn.tasks import CharText
from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, read_checkpoint
from seqgnn.training.loop import FitResult, TrainConfig, ValidationPoint, evaluate, fit

TEMPERATURES = (0.5, 1.0, 2.0)
SETTINGS = ("log_every", "sample_every", "save_every", "prompt", "tensorboard")  # that no result depends on
OPTIONS = frozenset(inspect.signature(models.build).parameters) - {"name", "num_classes", "num_tokens", "num_features"}
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
class TextRun:
    """Everything that determines a training run on a text.

    Args:
        files: text files and folders; none: the help topics that come with Python.
        encoding, split, length: of `seqgnn.data.CharText`.
        model: a name of `seqgnn.models.build`.
        options: further options of `build`, such as hidden, num_layers, dropout, tie_weights; ids are embedded unless
            `encoding` says otherwise there.
        train: how to train; `stateful` reads the text as streams.
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
        for name in self.options:
            one_of("TextRun", "option", name, sorted(OPTIONS))
        check_count("TextRun", "seed", self.seed, 0)
        check_count("TextRun", "length", self.length, 1)
        check_count("TextRun", "steps", self.train.steps, 1)
        if self.train.stateful and (self.options.get("positions") or self.options.get("readout", "last") != "last"):
            asked = "positions" if self.options.get("positions") else f"readout {self.options['readout']!r}"
            raise ValueError(
                f"TextRun: expected windows that begin afresh with {asked} (stateful=False, --no-stateful), got streams"
            )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TextRun":
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        options = {name: tuple(value) if name == "hops" else value for name, value in content["options"].items()}
        files, split = tuple(content["files"]), tuple(content["split"])
        train = TrainConfig(**content["train"])
        return cls(**{**content, "files": files, "split": split, "options": options, "train": train})

    def make_task(self) -> CharText:
        """The text, on paths whose hops let the last element hear the first."""
        path = [Path(file) for file in self.files] or None
        hops = self.options.get("hops") or models.exponential_hops(self.length)
        return CharText(path, length=self.length, encoding=self.encoding, split=self.split, hops=tuple(hops))

    def build_options(self, task: CharText) -> dict[str, Any]:
        """What `seqgnn.models.build` takes to make the model."""
        graph = {"hops": task.hops} if self.model in (*models.GNNS, "gcn+lstm") else {}
        sizes = {"num_classes": task.num_classes, "num_tokens": task.num_tokens, "length": self.length}
        return {"name": self.model, "per_element": True, "encoding": "embedding", **sizes, **graph, **self.options}


@dataclass
class TextResult:
    """What came of a run.

    Attributes:
        fit: the curves, and why it ended.
        test: loss, accuracy and count on the test part; None while it has not come to its end.
        folder: where it is.
    """

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
    on_start: Callable[[dict[str, int]], None] | None = None,
    on_line: Callable[[dict[str, Any]], None] | None = None,
    on_step: Callable[[int, float, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TextResult:
    """Trains a character model, or goes on with a run that was interrupted or killed.

    `out` gets `run.json` (what it is a run of), `last.safetensors` (all that the next step depends on),
    `best.safetensors` (the weights that did best on validation), `log.jsonl` (a line every `log_every` steps and one a
    look at the validation set), `samples.jsonl` and, as a table over training, `samples.md`; in the end `result.json`.

    Args:
        run: what to do.
        out: the run's folder; one that holds another run is refused.
        device: where to train.
        log_every, sample_every, save_every: steps; `sample_every` 0: no samples.
        prompt: what the samples continue.
        tensorboard: also write the log for TensorBoard, which must be installed.
        fabric: see `seqgnn.training.loop.fit`.
        on_start: called once the folder is found good, with `step` (of the checkpoint that the run goes on from, or 0),
            `characters` and `distinct` of the text, and `parameters` of the model.
        on_line: called with every line of the log and of the samples.
        on_step: see `seqgnn.training.loop.fit`.
        stop: asked before every step whether to save and to end after it.

    Raises:
        ValueError: for whatever is wrong with the text, the options or the folder.
    """
    checked_device("train_text", device)
    for name, value, least in (
        ("log_every", log_every, 1),
        ("sample_every", sample_every, 0),
        ("save_every", save_every, 1),
    ):
        check_count("train_text", name, value, least)
    out = Path(out)
    leads = fabric is None or fabric.global_rank == 0
    task = run.make_task()
    task.encode(prompt)
    options = run.build_options(task)
    settings: dict[str, Any] = {"log_every": log_every, "sample_every": sample_every, "save_every": save_every}
    settings |= {"prompt": prompt, "tensorboard": tensorboard}
    about = {"run": asdict(run), **_identify(run), "settings": settings}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = models.build(**options)
    parameters = sum(p.numel() for p in model.parameters())

    start = time.perf_counter(), time.process_time()
    with RunFolder(out, about, tensorboard, on_line) if leads else nullcontext() as folder:
        if fabric is not None:
            fabric.barrier()  # nobody looks at a folder that another one is still about to refuse
        checkpoints = Checkpoints(out, save_every, {**about, "model": options, "vocabulary": task.vocabulary.to_dict()})
        watch = None if folder is None else _Watch(run, folder, log_every)
        if folder is not None and on_start is not None:
            characters = sum(map(len, (task.train_ids, task.validation_ids, task.test_ids)))
            sizes = {"characters": characters, "distinct": len(task.vocabulary), "parameters": parameters}
            on_start({"step": folder.step, **sizes})

        def after(step: int, loss: float, accuracy: float) -> None:
            if folder is not None and watch is not None:
                watch.end(step, loss, accuracy)
                if sample_every and step % sample_every == 0:
                    folder.sample(_samples(model, task, prompt, step, run.seed, device))
            if on_step is not None:
                on_step(step, loss, accuracy)

        def looked(point: ValidationPoint) -> None:
            if folder is not None:
                seen = {"validation_loss": point.loss, "validation_accuracy": point.accuracy}
                folder.log({"step": point.step, **seen})

        def before() -> bool:
            if watch is not None:
                watch.begin()
            return stop is not None and stop()

        fitted = fit(
            model,
            task,
            run.train,
            seed=run.seed,
            device=device,
            on_step=after,
            on_validation=looked,
            checkpoints=checkpoints,
            stop=before,
            fabric=fabric,
        )
        if fitted.stopped == "interrupted" or folder is None:
            return TextResult(fitted, None, out)
        done = folder.result()
        if done is not None and folder.step == fitted.steps == done["steps"]:  # nothing was left to do
            return TextResult(fitted, done["test"], out)
        measured = measurement(start)
        measured["seconds"] = round(measured["seconds"] + folder.seconds, 3)
        part = task.streams("test", run.train.eval_batch_size) if run.train.stateful else task.test(512)
        test = asdict(evaluate(model, part, device=device, precision=run.train.precision, stateful=run.train.stateful))
        best = next(point for point in fitted.validation if point.step == fitted.best_step)
        result = {
            "test": test,
            "validation": asdict(best),
            "steps": fitted.steps,
            "stopped": fitted.stopped,
            "parameters": parameters,
        }
        content = {"run": about["run"], "text": about["text"], "model": options, "result": result, "measured": measured}
        write_atomically(out / RESULT, json.dumps(content, indent=1) + "\n")
        return TextResult(fitted, test, out)


def find_run(folder: str | os.PathLike[str]) -> tuple[TextRun, dict[str, Any]]:
    """The run that a folder holds, and what else `train_text` was called with.

    Raises:
        ValueError: if there is none.
    """
    about = read_run(folder)
    try:
        settings = {name: about["settings"][name] for name in SETTINGS}
        return TextRun.from_dict(about["run"]), settings
    except (KeyError, TypeError) as error:
        raise ValueError(f"train: expected a whole description of a run in {folder}, got another ({error})") from error


def load_model(
    path: str | os.PathLike[str], device: str = "cpu"
) -> tuple[models.SequenceModel, Vocabulary, dict[str, Any]]:
    """A character model out of a checkpoint of `train_text`, ready to be asked.

    Args:
        path: of a checkpoint, or of the run's folder: then its best one.
        device: where the model is to be.

    Returns:
        The model, its vocabulary, and all that the checkpoint says of itself.

    Raises:
        ValueError: if there is no whole checkpoint of a character model.
    """
    place, path = checked_device("load_model", device), Path(path)
    if path.is_dir():
        path = path / (BEST if (path / BEST).exists() else LAST)
    tensors, info = read_checkpoint(path)
    if not isinstance(info.get("model"), dict) or not isinstance(info.get("vocabulary"), dict):
        raise ValueError(f"checkpoint: expected a character model in {path}, got something else")
    vocabulary = Vocabulary.from_dict(info["vocabulary"])
    try:
        options: dict[str, Any] = {
            name: tuple(value) if name == "hops" else value for name, value in info["model"].items()
        }
        model = models.build(**options)
        weights = {name.removeprefix("model."): part for name, part in tensors.items() if name.startswith("model.")}
        model.load_state_dict(weights)
    except (TypeError, RuntimeError) as error:
        found = " ".join(str(error).split())
        raise ValueError(
            f"checkpoint: expected the weights of its own model in {path}, got another's ({found})"
        ) from error
    return model.to(place).eval(), vocabulary, info


class _Watch:
    """Adds up what a line of the log says, and times the steps, without what comes between them."""

    def __init__(self, run: TextRun, folder: RunFolder, every: int) -> None:
        self.run, self.folder, self.every = run, folder, every
        self.recent = folder.curves[folder.step - folder.step % every :]  # steps that no line tells of yet
        self.start = self.began = time.perf_counter()
        self.training, self.steps = 0.0, 0

    def begin(self) -> None:
        self.began = time.perf_counter()

    def end(self, step: int, loss: float, accuracy: float) -> None:
        now = time.perf_counter()
        self.training, self.steps = self.training + now - self.began, self.steps + 1
        self.recent.append((loss, accuracy))
        if step % self.every == 0:
            means = [sum(values) / len(self.recent) for values in zip(*self.recent)]
            speed = round(self.steps * self.run.train.batch_size * self.run.length / self.training)
            line = {"step": step, "loss": means[0], "accuracy": means[1], "characters_per_second": speed}
            self.folder.log({**line, "seconds": round(self.folder.seconds + now - self.start, 3)})
            self.recent.clear()
            self.training, self.steps = 0.0, 0


@contextmanager
def stopping_at_signals() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C, a polite kill and a closed terminal only set what the given function answers.

    A second one interrupts at once; not where several processes train: torchrun passes on what they heard already.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set() and alone:
            raise KeyboardInterrupt
        if not asked.is_set():
            with suppress(OSError):  # not `print`, which may be what was interrupted
                os.write(2, b"seqgnn: saving after this step\n")
        asked.set()

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _identify(run: TextRun) -> dict[str, str]:
    """What the text is called, and what tells it from others."""
    if not run.files:
        return {"text": identify_text(None), "fingerprint": identify_text(None)}
    return {"text": ", ".join(Path(file).name for file in run.files), "fingerprint": fingerprint(list(run.files))}


def _samples(
    model: torch.nn.Module, task: CharText, prompt: str, step: int, seed: int, device: str
) -> Iterator[dict[str, Any]]:
    """Greedily, and at three temperatures, of four lengths each."""
    longest, seed = max(SAMPLE_LENGTHS), (seed + step) % 2**63
    ways: list[tuple[str, dict[str, Any]]] = [("greedy", {"greedy": True})]
    ways += [(f"temperature {t:g}", {"temperature": t, "samples": len(SAMPLE_LENGTHS)}) for t in TEMPERATURES]
    for name, options in ways:
        texts = generate(model, task.vocabulary, prompt, length=longest, seed=seed, device=device, **options)
        texts = texts * len(SAMPLE_LENGTHS) if len(texts) == 1 else texts
        for text, length in zip(texts, SAMPLE_LENGTHS):
            yield {"step": step, "how": name, "length": length, "prompt": prompt, "text": text[:length]}
