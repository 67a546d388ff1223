"""The folder of a training run on a text: what it is a run of, its log and its samples."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from seqgnn._utils.files import remove_unfinished, write_atomically
from seqgnn.training.checkpoint import BEST, LAST, read_checkpoint

RUN, LOG, SAMPLES, TABLE, RESULT = "run.json", "log.jsonl", "samples.jsonl", "samples.md", "result.json"
SAMPLE_LENGTHS = (15, 30, 50, 100)
CURVES = ("losses", "accuracies")  # as `fit` saves them
FORMAT, VERSION = "seqgnn-text-run", 1
ENDED = ("no better", "converged", "solved")  # why a run comes to its end before its last step
SAMPLE = ("how", "length", "prompt", "step", "text")  # what a line of the samples tells


def read_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What a folder says that it is a run of.

    Raises:
        ValueError: if it is no folder of a run.
    """
    path = Path(folder) / RUN
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"train: expected the folder of a run, got {folder} ({path.name}: {error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"train: expected JSON in {path}, got a damaged file ({error})") from error
    whole = isinstance(about, dict) and all(isinstance(about.get(name), dict) for name in ("run", "settings"))
    if not whole or about.get("format") != FORMAT or "fingerprint" not in about:
        raise ValueError(f"train: expected format {FORMAT!r} in {path}, got something else")
    if about.get("version") != VERSION:
        found = f"{about.get('version')!r}; go on with the version of seqgnn that wrote it"
        raise ValueError(f"train: expected version {VERSION} in {path}, got {found}")
    return about


class RunFolder:
    """A folder that one run has for itself, with a lock while it is open.

    A run that goes on finds the log and the samples as they were when its last checkpoint was written.

    Args:
        folder: made if it is not there.
        about: what it is a run of: `run`, `text`, `fingerprint`, `settings`.
        tensorboard: whether to write for TensorBoard, too.
        on_line: called with every line of the log and of the samples.

    Attributes:
        step: that of the last checkpoint, 0 if there is none.
        curves: loss and accuracy of each step up to it.
        seconds: what the pieces so far took, up to the last line of the log.

    Raises:
        ValueError: if the folder cannot be written, is in use, or holds another run or other things of one.
    """

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        tensorboard: bool = False,
        on_line: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        from filelock import FileLock, Timeout

        self.folder, self.on_line = folder, on_line
        self.title = f"{about['run']['model']} on {about['text']}"
        self.board: Any = _board() if tensorboard else None
        self.files: dict[str, TextIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(folder / ".lock")
            self.lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"train: expected a folder that no other process trains in, got {folder}") from None
        except OSError as error:
            raise ValueError(f"train: expected a folder that can be written, got {folder} ({error})") from error
        try:
            self._check(json.loads(json.dumps(about)))
            self._open()
        except BaseException:
            self.close()
            raise

    def _check(self, about: dict[str, Any]) -> None:
        """Whether the folder is empty, or holds this very run; keeps what may be said anew of it."""
        self.step = 0
        self.curves: list[tuple[float, float]] = []
        if not (self.folder / RUN).exists():
            taken = [name for name in (LAST, BEST, LOG, RESULT) if (self.folder / name).exists()]
            if taken:
                raise ValueError(f"train: expected a folder without {taken[0]} for a new run, got {self.folder}")
            self._write_run(about)
            return
        theirs = read_run(self.folder)
        if not (self.folder / LAST).exists():
            if (self.folder / BEST).exists() or (self.folder / RESULT).exists():
                raise ValueError(f"train: expected {LAST} of the run in {self.folder} to go on from, got none")
            self._write_run(about)  # nothing had been trained
            return
        held = dict(_parts(theirs["run"]))
        for name, value in _parts(about["run"]):
            # The text may lie elsewhere by now, more steps may be wanted, and older runs lack newer settings.
            if name in ("files", "train.steps") or (name.startswith("train.") and name not in held):
                continue
            if held.get(name) != value:
                found = f"{name}={value!r} where it has {held.get(name)!r}"
                raise ValueError(f"train: expected the run that {self.folder} holds, or another folder, got {found}")
        if theirs["fingerprint"] != about["fingerprint"]:
            same = "its contents have changed" if about["text"] == theirs["text"] else f"it was {theirs['text']}"
            found = f"{about['text']}, but {same}"
            raise ValueError(f"train: expected the text of the run in {self.folder}, or another folder, got {found}")
        self._read_last(about["run"]["train"]["steps"], held["train.steps"])
        if theirs != {"format": FORMAT, "version": VERSION, **about}:
            self._write_run(about)

    def _read_last(self, steps: int, before: int) -> None:
        tensors, info = read_checkpoint(self.folder / LAST)
        training = info["training"]
        self.step, self.curves = training["step"], list(zip(*(tensors[f"curves.{name}"].tolist() for name in CURVES)))
        if steps < self.step:
            found = f"steps={steps} where it has taken {self.step}"
            raise ValueError(f"train: expected no fewer steps than the run in {self.folder} has taken, got {found}")
        if training["stopped"] in ENDED and steps != before:
            found = f"steps={steps} where it ended after {self.step} ({training['stopped']})"
            raise ValueError(f"train: expected the steps of the run in {self.folder}, got {found}")

    def _write_run(self, about: dict[str, Any]) -> None:
        content = {"format": FORMAT, "version": VERSION, **about}
        write_atomically(self.folder / RUN, json.dumps(content, indent=1) + "\n")

    def result(self) -> dict[str, Any] | None:
        """What came of the run when it was last at its end, None if that cannot be read."""
        try:
            result = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))["result"]
            return result if {"steps", "test"} <= set(result) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _open(self) -> None:
        if self.board is not None:
            self.board = self.board(str(self.folder), purge_step=self.step + 1)
        remove_unfinished(self.folder)
        kept = {}
        for name in (LOG, SAMPLES):
            path = self.folder / name
            # Not `splitlines`, which also ends lines at characters that texts have in them.
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
            records = [_record(line, ("step",) if name == LOG else SAMPLE) for line in lines]
            kept[name] = [record for record in records if record is not None and record["step"] <= self.step]
            write_atomically(path, "".join(_json(line) for line in kept[name]))
            self.files[name] = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self.seconds = max((line.get("seconds", 0.0) for line in kept[LOG]), default=0.0)
        self.samples: list[dict[str, Any]] = kept[SAMPLES]
        if self.samples:
            write_atomically(self.folder / TABLE, samples_table(self.samples, self.title))

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self.files.values():
            with contextlib.suppress(OSError):  # what a full disk did not take, as was said
                file.close()
        if hasattr(self.board, "close"):
            self.board.close()
        self.lock.release()

    def log(self, line: dict[str, Any]) -> None:
        """Adds a line, which has a step, to the log."""
        self._append(LOG, line)
        if self.board is not None:
            for name in line.keys() - {"step", "seconds"}:
                self.board.add_scalar(name, line[name], line["step"])
            self.board.flush()

    def sample(self, lines: Iterable[dict[str, Any]]) -> None:
        """Adds samples of one step."""
        for line in lines:
            self._append(SAMPLES, line)
            self.samples.append(line)
        write_atomically(self.folder / TABLE, samples_table(self.samples, self.title))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        try:
            self.files[name].write(_json(line))
            self.files[name].flush()
        except OSError as error:
            found = f"{error.strerror} at {self.folder / name}"
            raise ValueError(f"train: expected a file that can be written, got: {found}") from error
        if self.on_line is not None:
            self.on_line(line)


def _parts(run: dict[str, Any]) -> list[tuple[str, Any]]:
    """The settings of a run by name, those of its model and its training one by one, as JSON has them."""
    parts: list[tuple[str, Any]] = []
    for name, value in json.loads(json.dumps(run)).items():
        parts += (
            [(f"{name}.{key}", inner) for key, inner in value.items()] if isinstance(value, dict) else [(name, value)]
        )
    return parts


def samples_table(samples: list[dict[str, Any]], title: str) -> str:
    """Samples over training as Markdown: a table for each way to choose, steps down, lengths across."""
    tables: dict[str, dict[int, dict[int, str]]] = {}
    for sample in samples:
        cells = tables.setdefault(sample["how"], {}).setdefault(sample["step"], {})
        cells[sample["length"]] = _cell(sample["text"])
    prompt = f", continuing {_cell(samples[0]['prompt'])}" if samples[0]["prompt"] else ""
    parts = [f"# Samples over training\n\n{title}{prompt}.\n"]
    for how, rows in tables.items():
        lengths = sorted({length for cells in rows.values() for length in cells})
        parts.append(f"\n## {how}\n\n| step | {' | '.join(map(str, lengths))} |\n{'|---' * (len(lengths) + 1)}|\n")
        for step, cells in rows.items():
            parts.append(f"| {step} | {' | '.join(cells.get(length, '') for length in lengths)} |\n")
    return "".join(parts)


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def _record(line: str, names: tuple[str, ...]) -> dict[str, Any] | None:
    """What a line tells, None if it is none with these names, such as one that a killed run did not finish."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    whole = isinstance(record, dict) and set(names) <= set(record) and isinstance(record["step"], int)
    return record if whole else None


def _board() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("train: expected TensorBoard (`pip install tensorboard`), got none") from None
    return SummaryWriter


def _cell(text: str) -> str:
    """A text as code, so that nothing in it is taken for Markdown."""
    shown = "".join(c if c.isprintable() else {"\n": "↵", "\t": "⇥"}.get(c, "�") for c in text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=1))
    return f"{fence} {shown} {fence}"
