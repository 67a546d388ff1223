"""Training of a character model on a text, as `seqgnn train text` runs it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from seqgnn._utils.files import write_atomically
from seqgnn._utils.validation import checked_device
from seqgnn.data import Vocabulary
from seqgnn.data.io.text import fingerprint
from seqgnn.experiments.runs.config import identify_text
from seqgnn.experiments.runs.text_config import LoggingConfig, TextRun
from seqgnn.experiments.runs.text_directory import RESULT, SAMPLE_LENGTHS, RunFolder, read_run
from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate
from seqgnn.models.sampling import SamplingConfig
from seqgnn.profile.resources import measurement
from seqgnn.tasks import CharText
from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, read_checkpoint
from seqgnn.training.loop import FitResult, ValidationPoint, evaluate, fit

TEMPERATURES = (0.5, 1.0, 2.0)
STORE_EVERY = 1.0  # seconds between two checks that the folder is still there


@dataclass
class TextResult:
    """The result of a run.

    Attributes:
        fit: the curves, and the reason why training ended.
        test: loss, accuracy and count on the test part; None for a run that was interrupted.
        folder: folder of the run.
    """

    fit: FitResult
    test: dict[str, float] | None
    folder: Path


def train_text(
    run: TextRun,
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    logging: LoggingConfig | None = None,
    fabric: Any = None,
    on_start: Callable[[dict[str, int]], None] | None = None,
    on_line: Callable[[dict[str, Any]], None] | None = None,
    on_step: Callable[[int, float, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TextResult:
    """Train a character model, or resume a run that was interrupted or killed.

    `out` gets `run.json` (the configuration), `last.safetensors` (the complete state after the last step),
    `best.safetensors` (the weights with the best validation score), `log.jsonl` (a line per `log_every` steps and one
    per evaluation), `samples.jsonl` and, as a table over training, `samples.md`; at the end `result.json`.

    Args:
        run: configuration of the run.
        out: folder of the run; one that holds another run raises an error.
        device: device to train on.
        logging: log, samples and checkpoints; None: `LoggingConfig()`.
        fabric: see `seqgnn.training.loop.fit`.
        on_start: called once the folder is checked, with `step` (of the checkpoint that the run resumes from, or 0),
            `characters` and `distinct` of the text, and `parameters` of the model.
        on_line: called with every line of the log and of the samples.
        on_step: see `seqgnn.training.loop.fit`.
        stop: called before every step; True saves and ends the run after that step.

    Raises:
        ValueError: if the text, an option or the folder is invalid.
    """
    checked_device("train_text", device)
    logging = LoggingConfig() if logging is None else logging
    out = Path(out)
    is_first = fabric is None or fabric.global_rank == 0
    task = run.make_task()
    task.encode(logging.prompt)
    options = run.build_options(task)
    description = {"run": asdict(run), **_identify(run), "settings": asdict(logging)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = models.build(**options)
    parameters = sum(p.numel() for p in model.parameters())

    start = time.perf_counter(), time.process_time()
    last_check = time.monotonic()
    with RunFolder(out, description, logging.tensorboard, on_line) if is_first else nullcontext() as folder:
        if fabric is not None:
            fabric.barrier()  # wait until the first process has checked the folder
        checkpoints = Checkpoints(
            out, logging.save_every, {**description, "model": options, "vocabulary": task.vocabulary.to_dict()}
        )
        meter = None if folder is None else _Meter(run, folder, logging.log_every)
        if folder is not None and on_start is not None:
            characters = sum(map(len, (task.train_ids, task.validation_ids, task.test_ids)))
            sizes = {"characters": characters, "distinct": len(task.vocabulary), "parameters": parameters}
            on_start({"step": folder.step, **sizes})

        def end_step(step: int, loss: float, accuracy: float) -> None:
            nonlocal last_check
            if folder is not None and meter is not None:
                if time.monotonic() - last_check >= STORE_EVERY:
                    last_check = time.monotonic()
                    folder.check()
                meter.end(step, loss, accuracy)
                if logging.sample_every and step % logging.sample_every == 0:
                    folder.sample(_samples(model, task, logging.prompt, step, run.seed, device))
            if on_step is not None:
                on_step(step, loss, accuracy)

        def log_validation(point: ValidationPoint) -> None:
            if folder is not None:
                scores = {"validation_loss": point.loss, "validation_accuracy": point.accuracy}
                folder.log({"step": point.step, **scores})

        def begin_step() -> bool:
            if meter is not None:
                meter.begin()
            return stop is not None and stop()

        fitted = fit(
            model,
            task,
            run.train,
            seed=run.seed,
            device=device,
            on_step=end_step,
            on_validation=log_validation,
            checkpoints=checkpoints,
            stop=begin_step,
            fabric=fabric,
        )
        if fitted.stopped == "interrupted" or folder is None:
            return TextResult(fitted, None, out)
        stored_result = folder.result()
        if stored_result is not None and folder.step == fitted.steps == stored_result["steps"]:  # the run was complete
            return TextResult(fitted, stored_result["test"], out)
        measured = measurement(start)
        measured["seconds"] = round(measured["seconds"] + folder.seconds, 3)
        stateful = run.train.stateful
        batches = task.streams("test", run.train.eval_batch_size) if stateful else task.test(512)
        test = asdict(evaluate(model, batches, device=device, precision=run.train.precision, stateful=stateful))
        best = next(point for point in fitted.validation if point.step == fitted.best_step)
        result = {
            "test": test,
            "validation": asdict(best),
            "steps": fitted.steps,
            "stopped": fitted.stopped,
            "parameters": parameters,
        }
        content = {"run": description["run"], "text": description["text"]}
        content |= {"model": options, "result": result, "measured": measured}
        write_atomically(out / RESULT, json.dumps(content, indent=1) + "\n")
        return TextResult(fitted, test, out)


def find_run(folder: str | os.PathLike[str]) -> tuple[TextRun, LoggingConfig]:
    """Return the run that a folder holds, and its logging.

    Raises:
        ValueError: if there is none.
    """
    description = read_run(folder)
    try:
        logging = LoggingConfig(**{item.name: description["settings"][item.name] for item in fields(LoggingConfig)})
        return TextRun.from_dict(description["run"]), logging
    except (KeyError, TypeError) as error:
        raise ValueError(f"train: expected a whole description of a run in {folder}, got another ({error})") from error


def load_model(
    path: str | os.PathLike[str], device: str = "cpu"
) -> tuple[models.SequenceModel, Vocabulary, dict[str, Any]]:
    """Return the character model of a checkpoint of `train_text`, in evaluation mode.

    Args:
        path: path of a checkpoint, or of the run's folder, for its best checkpoint.
        device: device of the model.

    Returns:
        The model, its vocabulary, and the metadata of the checkpoint.

    Raises:
        ValueError: if there is no complete checkpoint of a character model.
    """
    torch_device, path = checked_device("load_model", device), Path(path)
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
        reason = " ".join(str(error).split())
        raise ValueError(f"checkpoint: the weights in {path} do not fit its model ({reason})") from error
    return model.to(torch_device).eval(), vocabulary, info


class _Meter:
    """The means over the steps of a line of the log, and the time of these steps without evaluation and samples."""

    def __init__(self, run: TextRun, folder: RunFolder, every: int) -> None:
        self.run, self.folder, self.every = run, folder, every
        self.recent = folder.curves[folder.step - folder.step % every :]  # steps since the last line
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


def _identify(run: TextRun) -> dict[str, str]:
    """Return the name of the text and a hash of its content."""
    if not run.files:
        return {"text": identify_text(None), "fingerprint": identify_text(None)}
    return {"text": ", ".join(Path(file).name for file in run.files), "fingerprint": fingerprint(list(run.files))}


def _samples(
    model: torch.nn.Module, task: CharText, prompt: str, step: int, seed: int, device: str
) -> Iterator[dict[str, Any]]:
    """Yield greedy samples and samples at three temperatures, of four lengths each."""
    longest, seed = max(SAMPLE_LENGTHS), (seed + step) % 2**63
    decodings = [("greedy", SamplingConfig(greedy=True, seed=seed), 1)]
    decodings += [
        (f"temperature {t:g}", SamplingConfig(temperature=t, seed=seed), len(SAMPLE_LENGTHS)) for t in TEMPERATURES
    ]
    for name, sampling, samples in decodings:
        texts = generate(model, task.vocabulary, prompt, sampling, length=longest, samples=samples, device=device)
        texts = texts * len(SAMPLE_LENGTHS) if len(texts) == 1 else texts
        for text, length in zip(texts, SAMPLE_LENGTHS):
            yield {"step": step, "how": name, "length": length, "prompt": prompt, "text": text[:length]}
