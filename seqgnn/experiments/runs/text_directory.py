"""The folder of a training run on a text: its configuration, log and samples."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from seqgnn._utils.files import is_lost, remove_unfinished, write_atomically
from seqgnn.training.checkpoint import BEST, LAST, read_checkpoint

RUN, LOG, SAMPLES, TABLE, RESULT = "run.json", "log.jsonl", "samples.jsonl", "samples.md", "result.json"
SAMPLE_LENGTHS = (15, 30, 50, 100)
CURVES = ("losses", "accuracies")  # as `fit` saves them
FORMAT, VERSION = "seqgnn-text-run", 1
ENDED = ("no better", "converged", "solved")  # reasons to end before the last step
SAMPLE = ("how", "length", "prompt", "step", "text")  # keys of a line of the samples


def read_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the configuration that a run's folder holds, with its settings and the fingerprint of its text.

    Raises:
        ValueError: if it is not the folder of a run.
    """
    path = Path(folder) / RUN
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"train: expected the folder of a run, got {folder} ({path.name}: {error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"train: expected JSON in {path}, got a damaged file ({error})") from error
    complete = isinstance(description, dict)
    complete = complete and all(isinstance(description.get(name), dict) for name in ("run", "settings"))
    if not complete or description.get("format") != FORMAT or "fingerprint" not in description:
        raise ValueError(f"train: expected format {FORMAT!r} in {path}, got something else")
    if description.get("version") != VERSION:
        hint = "resume with the version of seqgnn that wrote it"
        raise ValueError(f"train: expected version {VERSION} in {path}, got {description.get('version')!r}; {hint}")
    if description.pop("sha256", None) not in (None, _checksum(description)):  # earlier versions wrote none
        raise ValueError(f"train: {path} was changed after it was written (sha256); restore it, or use another folder")
    return description


class RunFolder:
    """The folder of one run, locked while it is open.

    For a run that resumes, the log and the samples are cut to their state at its last checkpoint.

    Args:
        folder: path of the folder; created if it does not exist.
        description: `run`, `text`, `fingerprint` and `settings` of the run.
        tensorboard: whether to log for TensorBoard as well.
        on_line: called with every line of the log and of the samples.

    Attributes:
        step: step of the last checkpoint, 0 if there is none.
        curves: loss and accuracy of each step up to it.
        seconds: training time up to the last line of the log, over all resumptions.

    Raises:
        ValueError: if the folder cannot be written, is in use, or holds another run or parts of one.
    """

    def __init__(
        self,
        folder: Path,
        description: dict[str, Any],
        tensorboard: bool = False,
        on_line: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        from filelock import FileLock, Timeout

        self.folder, self.on_line = folder, on_line
        self.title = f"{description['run']['model']} on {description['text']}"
        self.board: Any = _board() if tensorboard else None
        self.files: dict[str, TextIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(folder / ".lock")
            self.lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"train: expected a folder that no other process trains in, got {folder}") from None
        except OSError as error:
            raise ValueError(f"train: expected a writable folder, got {folder} ({error})") from error
        try:
            self._check(json.loads(json.dumps(description)))
            self._open()
        except BaseException:
            self.close()
            raise

    def _check(self, description: dict[str, Any]) -> None:
        """Check that the folder is empty or holds this run, and update what may change in it."""
        self.step = 0
        self.curves: list[tuple[float, float]] = []
        if not (self.folder / RUN).exists():
            existing = [name for name in (LAST, BEST, LOG, RESULT) if (self.folder / name).exists()]
            if existing:
                raise ValueError(f"train: expected a folder without {existing[0]} for a new run, got {self.folder}")
            self._write_run(description)
            return
        stored = read_run(self.folder)
        if not (self.folder / LAST).exists():
            if (self.folder / BEST).exists() or (self.folder / RESULT).exists():
                raise ValueError(f"train: expected {LAST} of the run in {self.folder} to resume from, got none")
            self._write_run(description)  # nothing had been trained
            return
        settings = dict(_parts(stored["run"]))
        for name, value in _parts(description["run"]):
            # The text may have been moved, steps may be added, and older runs lack newer settings.
            if name in ("files", "train.steps") or (name.startswith("train.") and name not in settings):
                continue
            if settings.get(name) != value:
                expected = f"the run that {self.folder} holds, or another folder"
                difference = f"{name}={value!r} where it has {settings.get(name)!r}"
                raise ValueError(f"train: expected {expected}, got {difference}")
        if stored["fingerprint"] != description["fingerprint"]:
            text, stored_text = description["text"], stored["text"]
            reason = "its contents have changed" if text == stored_text else f"it was {stored_text}"
            expected = f"the text of the run in {self.folder}, or another folder"
            raise ValueError(f"train: expected {expected}, got {text}, but {reason}")
        self._read_last(description["run"]["train"]["steps"], stored)
        if stored != {"format": FORMAT, "version": VERSION, **description}:
            self._write_run(description)

    def _read_last(self, steps: int, stored: dict[str, Any]) -> None:
        tensors, info = read_checkpoint(self.folder / LAST)
        training, stored_steps = info["training"], stored["run"]["train"]["steps"]
        trained = dict(_parts(info.get("run", {})))
        for name, value in _parts(stored["run"]):
            # The files may have been moved and steps added since; older checkpoints lack newer settings.
            if name not in ("files", "train.steps") and name in trained and value != trained[name]:
                expected = f"{name}={trained[name]!r} in {self.folder / RUN}, as in {LAST}"
                raise ValueError(f"train: expected {expected}, got {value!r}; restore it, or use another folder")
        if info.get("fingerprint", stored["fingerprint"]) != stored["fingerprint"]:
            raise ValueError(f"train: expected the text of {LAST} in {self.folder / RUN}, got another fingerprint")
        self.step, self.curves = training["step"], list(zip(*(tensors[f"curves.{name}"].tolist() for name in CURVES)))
        if steps < self.step:
            expected = f"no fewer steps than the run in {self.folder} has taken"
            raise ValueError(f"train: expected {expected}, got steps={steps} where it has taken {self.step}")
        if training["stopped"] in ENDED and steps != stored_steps:
            difference = f"steps={steps} where it ended after {self.step} ({training['stopped']})"
            raise ValueError(f"train: expected the steps of the run in {self.folder}, got {difference}")

    def _write_run(self, description: dict[str, Any]) -> None:
        content = json.loads(json.dumps({"format": FORMAT, "version": VERSION, **description}))
        content["sha256"] = _checksum(content)
        write_atomically(self.folder / RUN, json.dumps(content, indent=1) + "\n")

    def result(self) -> dict[str, Any] | None:
        """Return the stored result, None if the run has not ended or it cannot be read."""
        try:
            result = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))["result"]
            return result if {"steps", "test"} <= set(result) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _open(self) -> None:
        if self.board is not None:
            self.board = self.board(str(self.folder), purge_step=self.step + 1)
        remove_unfinished(self.folder)
        lines_until_checkpoint = {}
        for name in (LOG, SAMPLES):
            path = self.folder / name
            # Not `splitlines`, which also splits at characters that occur in texts.
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
            records = [_record(line, ("step",) if name == LOG else SAMPLE) for line in lines]
            lines_until_checkpoint[name] = [
                record for record in records if record is not None and record["step"] <= self.step
            ]
            write_atomically(path, "".join(_json(line) for line in lines_until_checkpoint[name]))
            self.files[name] = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self.seconds = max((line.get("seconds", 0.0) for line in lines_until_checkpoint[LOG]), default=0.0)
        self.samples: list[dict[str, Any]] = lines_until_checkpoint[SAMPLES]
        if self.samples:
            write_atomically(self.folder / TABLE, samples_table(self.samples, self.title))

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self.files.values():
            with contextlib.suppress(OSError):  # the disk is full, which has been reported
                file.close()
        if hasattr(self.board, "close"):
            self.board.close()
        self.lock.release()

    def check(self) -> None:
        """Check that the folder is still there; what is appended to open files of a removed one would be lost.

        Raises:
            ValueError: if it is not.
        """
        if is_lost(self.folder):
            reason = "it was removed, renamed or unmounted during training"
            raise ValueError(f"train: expected the folder {self.folder}, but {reason}")

    def log(self, line: dict[str, Any]) -> None:
        """Add a line, which has a step, to the log."""
        self._append(LOG, line)
        if self.board is not None:
            for name in line.keys() - {"step", "seconds"}:
                self.board.add_scalar(name, line[name], line["step"])
            self.board.flush()

    def sample(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add the samples of one step."""
        for line in lines:
            self._append(SAMPLES, line)
            self.samples.append(line)
        write_atomically(self.folder / TABLE, samples_table(self.samples, self.title))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        try:
            self.files[name].write(_json(line))
            self.files[name].flush()
        except OSError as error:
            reason = f"{error.strerror} at {self.folder / name}"
            raise ValueError(f"train: expected a writable file, got: {reason}") from error
        if self.on_line is not None:
            self.on_line(line)


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parts(run: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the settings of a run by name, as JSON values; those of model and training have dotted names."""
    parts: list[tuple[str, Any]] = []
    for name, value in json.loads(json.dumps(run)).items():
        parts += (
            [(f"{name}.{key}", inner) for key, inner in value.items()] if isinstance(value, dict) else [(name, value)]
        )
    return parts


def samples_table(samples: list[dict[str, Any]], title: str) -> str:
    """Return samples over training as Markdown: a table per decoding, with a row per step and a column per length."""
    tables: dict[str, dict[int, dict[int, str]]] = {}
    for sample in samples:
        cells = tables.setdefault(sample["how"], {}).setdefault(sample["step"], {})
        cells[sample["length"]] = _cell(sample["text"])
    prompt = f", continuing {_cell(samples[0]['prompt'])}" if samples[0]["prompt"] else ""
    parts = [f"# Samples over training\n\n{title}{prompt}.\n"]
    for decoding, rows in tables.items():
        lengths = sorted({length for cells in rows.values() for length in cells})
        parts.append(f"\n## {decoding}\n\n| step | {' | '.join(map(str, lengths))} |\n{'|---' * (len(lengths) + 1)}|\n")
        for step, cells in rows.items():
            parts.append(f"| {step} | {' | '.join(cells.get(length, '') for length in lengths)} |\n")
    return "".join(parts)


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _record(line: str, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the content of a line, None if it lacks one of the names, as the last line of a killed run may."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    complete = isinstance(record, dict) and set(names) <= set(record) and isinstance(record["step"], int)
    return record if complete else None


def _board() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("train: expected TensorBoard (`pip install tensorboard`), got none") from None
    return SummaryWriter


def _cell(text: str) -> str:
    """Return a text as Markdown code, so that nothing in it is interpreted."""
    printable = "".join(c if c.isprintable() else {"\n": "↵", "\t": "⇥"}.get(c, "�") for c in text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", printable)), default=1))
    return f"{fence} {printable} {fence}"
