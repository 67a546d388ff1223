"""The log and the samples of a training run, as JSON lines, for TensorBoard, and as a table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from seqgnn.store import write_atomically


class RunLog:
    """The log and the samples of a run as JSON lines; what a killed run wrote after its last checkpoint goes."""

    def __init__(
        self,
        folder: Path,
        step: int,
        tensorboard: bool,
        leads: bool,
        on_line: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.folder, self.leads, self.on_line = folder, leads, on_line
        self.board: Any = None
        self.files: dict[str, TextIO] = {}
        if not leads:
            return
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ValueError("train_text: expected TensorBoard to be installed, got none") from None
            self.board = SummaryWriter(str(folder), purge_step=step + 1)
        for name in ("log.jsonl", "samples.jsonl"):
            path = folder / name
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            kept = [line for line in lines if _step_of(line) <= step]
            write_atomically(path, "".join(f"{line}\n" for line in kept))
            self.files[name] = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed on exit)
        self.samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *args: object) -> None:
        for file in self.files.values():
            file.close()
        if self.board is not None:
            self.board.close()

    def write(self, line: dict[str, Any]) -> None:
        if self.leads:
            self._append("log.jsonl", line)
            if self.board is not None:
                for name, value in line.items():
                    if name != "step":
                        self.board.add_scalar(name, value, line["step"])

    def sample(self, line: dict[str, Any]) -> None:
        self._append("samples.jsonl", line)
        self.samples.append(line)
        write_atomically(self.folder / "samples.md", samples_table(self.samples))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        self.files[name].write(json.dumps(line, ensure_ascii=False) + "\n")
        self.files[name].flush()
        if self.on_line is not None:
            self.on_line(line)


def _step_of(line: str) -> float:
    """The step of a line of a log; infinite for one that a killed run did not finish."""
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def samples_table(samples: list[dict[str, Any]]) -> str:
    """Samples over training as Markdown: a table for each way to choose, steps down, lengths across."""
    parts = ["# Samples over training\n"]
    for how in dict.fromkeys(sample["how"] for sample in samples):
        lengths = sorted({sample["length"] for sample in samples})
        parts.append(
            f"\n## {how}\n\n| step | " + " | ".join(map(str, lengths)) + " |\n" + "|---" * (len(lengths) + 1) + "|\n"
        )
        for step in sorted({sample["step"] for sample in samples}):
            cells = {s["length"]: _cell(s["text"]) for s in samples if s["how"] == how and s["step"] == step}
            parts.append(f"| {step} | " + " | ".join(cells.get(length, "") for length in lengths) + " |\n")
    return "".join(parts)


def _cell(text: str) -> str:
    """A text as code, so that nothing in it is taken for Markdown."""
    return "`` " + text.replace("|", "\\|").replace("\n", "↵") + " ``"
