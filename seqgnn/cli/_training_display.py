"""The display of a training run on a text."""

import sys
from pathlib import Path
from typing import Any

from seqgnn.experiments.runs.text_config import TextRun
from seqgnn.experiments.runs.text_directory import SAMPLE_LENGTHS

LONGEST = max(SAMPLE_LENGTHS)  # length of the samples that are shown


class TrainingDisplay:
    """A progress bar on a terminal and a line of text per line of the log; without a terminal, lines only.

    An output that can no longer be written to (a closed pipe, a full disk) does not end the run: its error is stored in
    `lost`, and nothing more is written.
    """

    def __init__(self, run: TextRun, out: Path) -> None:
        self.run, self.out = run, out
        self.lost: OSError | None = None
        self.progress: Any = None
        if sys.stdout.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            # A console of its own: rich's global one remembers whether stdout was a terminal when first asked for.
            columns = [TextColumn("step {task.completed}/{task.total}"), BarColumn(), TextColumn("{task.fields[loss]}")]
            columns += [TextColumn("{task.fields[speed]}"), TimeRemainingColumn()]
            self.progress = Progress(*columns, console=Console())
            self.bar = self.progress.add_task("training", total=run.train.steps, loss="", speed="")

    def __enter__(self) -> "TrainingDisplay":
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(self, *args: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def on_start(self, sizes: dict[str, int]) -> None:
        run, steps = self.run, self.run.train.steps
        text = ", ".join(Path(file).name for file in run.files) or "Python's help topics"
        text += f" ({sizes['characters']:,} characters, {sizes['distinct']} distinct)"
        self._print(f"{run.model} of {sizes['parameters']:,} parameters on {text}, in {self.out}")
        if sizes["step"]:
            self._print(f"resumes after step {sizes['step']} of {steps}")
            if self.progress is not None:
                self.progress.update(self.bar, completed=sizes["step"])

    def on_step(self, step: int, loss: float, accuracy: float) -> None:
        if self.progress is not None:
            self.progress.update(self.bar, completed=step, loss=f"loss {loss:.3f} accuracy {accuracy:.3f}")

    def on_line(self, line: dict[str, Any]) -> None:
        """Show a line of the log or of the samples."""
        step = f"step {line['step']}"
        if "how" in line:
            if line["length"] == LONGEST:
                self._print(f"{step}, {line['how']}: {line['prompt'] + line['text']!r}")
        elif "validation_loss" in line:
            scores = f"validation loss {line['validation_loss']:.4f}, accuracy {line['validation_accuracy']:.4f}"
            self._print(f"{step}: {scores}")
        else:
            speed = f"{line['characters_per_second']:,.0f} characters/s"
            if self.progress is not None:
                self.progress.update(self.bar, speed=speed)
            else:
                self._print(f"{step}: loss {line['loss']:.4f}, accuracy {line['accuracy']:.4f}, {speed}")

    def _print(self, text: str) -> None:
        if self.lost is not None:
            return
        try:
            if self.progress is not None:
                self.progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
            else:
                print(text, flush=True)
        except OSError as error:
            self.lost = error
