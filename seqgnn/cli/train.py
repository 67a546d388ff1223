"""`seqgnn train text`."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from seqgnn._utils.options import Option, options_of
from seqgnn._utils.processes import StopRequest, call_at_end_of, deferred_signals
from seqgnn.cli import SIGNALED
from seqgnn.cli._options import build, register

app = typer.Typer(help="Train a model on your own data.", no_args_is_help=True)
TEXT, MODEL, TRAINING, OUTPUT = "Text", "Model", "Training", "Progress and samples"
RESUMED = ("resume", "steps", "data", "device")  # what can be given for a run that is resumed


@app.callback()
def _train() -> None:
    """Train a model on your own data."""


def text_options() -> Sequence[Option]:
    """Return the options of `seqgnn train text`."""
    from seqgnn.experiments.runs.text_config import TEXT_TRAINING, LoggingConfig, TextModelConfig, TextRun
    from seqgnn.training.config import TrainConfig

    data = "Text file or folder; may be given several times."
    resume = "Resume the run in this folder (or from its last.safetensors) with its options;  "
    resume += "only --steps, --data and --device can be combined with it."
    evaluation = options_of(TrainConfig, only=("eval_batch_size",), panel=TRAINING)
    return (
        Option("data", list[Path], data, shown="Python's help topics", panel=TEXT, multiple=True),
        *options_of(TextRun, only=("text_encoding", "split"), panel=TEXT),
        *options_of(TextRun, only=("model",), panel=MODEL),
        *options_of(TextModelConfig, panel=MODEL),
        *options_of(TextRun, only=("length",), panel=TRAINING),
        *options_of(TrainConfig, defaults=TEXT_TRAINING, without=("eval_batch_size",), panel=TRAINING),
        *(replace(option, shown="16, or 512 with --no-stateful") for option in evaluation),
        *options_of(TextRun, only=("seed",), panel=TRAINING),
        Option("device", str, "Device: cpu, cuda, ...", default="cpu", panel=TRAINING),
        Option("out", Path, "Folder of the run.", default=Path("runs") / "text", panel=OUTPUT),
        Option("resume", Path, resume, panel=OUTPUT),
        *options_of(LoggingConfig, panel=OUTPUT),
    )


def text(options: dict[str, Any]) -> None:
    """Train a character-level language model on a text and show samples during training. Ctrl-C saves the run and shows
    how to resume it."""
    from seqgnn.cli._training_display import TrainingDisplay
    from seqgnn.experiments.runs.text import find_run, train_text
    from seqgnn.training.checkpoint import LAST

    if "resume" in options:
        for name in options:
            if name not in RESUMED:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"--resume: expected no option but --steps, --data and --device, got {flag}")
        path = options["resume"]
        out = path.parent if path.name == LAST and path.is_file() else path
        run, logging = find_run(out)
        if "data" in options:
            run = replace(run, files=_paths(options["data"]))
        if "steps" in options:
            run = replace(run, train=replace(run.train, steps=options["steps"]))
    else:
        out = options.get("out", Path("runs") / "text")
        run, logging = _new_run(options)

    device = options.get("device", "cpu")
    quoted_out = shlex.quote(str(out))
    command = f"seqgnn train text --resume {quoted_out}"
    with _processes(device) as fabric:
        if fabric is not None:
            device = str(fabric.device)
            if fabric.global_rank > 0:
                with _stopping() as stop:
                    train_text(run, out, device=device, fabric=fabric, stop=stop, logging=logging)
                return
        try:
            with _stopping() as stop, TrainingDisplay(run, out) as display:
                result = train_text(
                    run,
                    out,
                    device=device,
                    logging=logging,
                    fabric=fabric,
                    on_start=display.on_start,
                    on_line=display.on_line,
                    on_step=display.on_step,
                    stop=lambda: stop() or display.lost is not None,
                )
        except KeyboardInterrupt:
            if (out / LAST).exists():
                print(f"seqgnn: resume from the last checkpoint with: {command}", file=sys.stderr)
            raise
    if result.fit.stopped == "interrupted":
        if display.lost is not None:
            reason = f"{display.lost.strerror}; saved after step {result.fit.steps} in {out}"
            raise ValueError(f"train: expected a writable output, got: {reason}")
        print(f"saved after step {result.fit.steps}; resume with: {command}")
        raise SystemExit(SIGNALED + (stop.number or signal.SIGINT))
    assert result.test is not None
    if result.fit.stopped == "no better":
        print(f"stopped early after step {result.fit.steps}: no improvement in {run.train.patience} evaluations")
    loss, accuracy = result.test["loss"], result.test["accuracy"]
    print(f"test loss {loss:.4f} nats ({loss / 0.6931472:.3f} bits) per character, accuracy {accuracy:.4f}")
    print(f"best weights on validation: step {result.fit.best_step}; generate text with: seqgnn generate {quoted_out}")


@contextmanager
def _stopping() -> Iterator[StopRequest]:
    """Yield a request to save and to stop, which a signal makes, or the end of torchrun, which repeats signals."""
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    with deferred_signals("saving after this step", repeated=launched) as request:
        if launched:
            call_at_end_of(os.getppid(), lambda: setattr(request, "number", signal.SIGTERM))
        yield request


def _new_run(options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the run that the options describe, and its logging."""
    from seqgnn.experiments.runs.text_config import TEXT_TRAINING, LoggingConfig, TextModelConfig, TextRun
    from seqgnn.training.config import TrainConfig

    train = build(TrainConfig, options, defaults=TEXT_TRAINING)
    if "eval_batch_size" not in options and not train.stateful:
        train = replace(train, eval_batch_size=512)
    model = options.get("model", TextRun.model)
    _check_effective(options, model, train.schedule)
    if len(options.get("split", "abc")) != 3:
        raise ValueError(f"--split: expected 3 numbers such as 0.9,0.05,0.05, got {options['split']}")
    run = build(
        TextRun,
        options,
        files=_paths(options.get("data", [])),
        options=build(TextModelConfig, options).build_options(model),
        train=train,
    )
    return run, build(LoggingConfig, options)


def _check_effective(options: dict[str, Any], model: str, schedule: str) -> None:
    """Raise a ValueError for an option that would have no effect."""
    from seqgnn.models.sequence_model import FAMILIES, WINDOWED

    graphs = [name for name, family in FAMILIES.items() if family.uses_batch_edges or family.uses_window]
    for name, effective in (
        ("hops", model in graphs),
        ("window", model in WINDOWED),
        ("decay", schedule == "step"),
        ("decay_every", schedule == "step"),
    ):
        if name in options and not effective:
            setting = f"--model {model}" if name in ("hops", "window") else f"--schedule {schedule}"
            raise ValueError(f"--{name.replace('_', '-')}: expected a model or schedule that uses it, got {setting}")


def _paths(files: Sequence[Path]) -> tuple[str, ...]:
    from seqgnn.data.datasets.catalog import TEXTS

    for path in files:
        if str(path) in TEXTS and not path.exists():
            hint = f"a name of the catalog: `seqgnn data fetch {path}` prints the path of its file"
            raise ValueError(f"--data: expected a file or a folder, got {str(path)!r}, {hint}")
    return tuple(str(path.resolve()) for path in files)


@contextmanager
def _processes(device: str) -> Iterator[Any]:
    """Connect the processes started by torchrun; yield None for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise ValueError("train: expected lightning-fabric to be installed for several processes, got none") from None
    import torch

    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    accelerator = "cuda" if device.startswith("cuda") else "cpu"
    nodes = int(os.environ["WORLD_SIZE"]) // local_processes
    fabric = Fabric(accelerator=accelerator, devices=local_processes, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    yield fabric
    torch.distributed.destroy_process_group()  # not after an error, where other processes may still wait


register(app, text, text_options)
