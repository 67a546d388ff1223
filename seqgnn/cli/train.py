"""`seqgnn train text`."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from seqgnn.cli import INTERRUPTED

app = typer.Typer(help="Train a model on data of your own.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train a model on data of your own."""


TEXT, MODEL, TRAINING, OUTPUT = "Text", "Model", "Training", "Progress and samples"


@app.command()
def text(
    context: typer.Context,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="Text file or folder, again for more; none: Python's help topics.",
            show_default=False,
            rich_help_panel=TEXT,
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the files.", rich_help_panel=TEXT)] = "utf-8-sig",
    split: Annotated[
        str, typer.Option(help="Shares of train, validation and test.", rich_help_panel=TEXT)
    ] = "0.9,0.05,0.05",
    model: Annotated[
        str, typer.Option(help="rnn, lstm, gru, gcn, gcn-residual, gcn+lstm or gcn-in-lstm.", rich_help_panel=MODEL)
    ] = "lstm",
    hidden: Annotated[int, typer.Option(help="Hidden units.", rich_help_panel=MODEL)] = 128,
    layers: Annotated[
        int | None, typer.Option(help="Layers; default: 2, and one a hop for GCNs.", rich_help_panel=MODEL)
    ] = None,
    hops: Annotated[
        str | None,
        typer.Option(
            help="Edges of the GCNs, e.g. 1,2,4; default: powers of two below --length, 1 in gcn-in-lstm.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    window: Annotated[
        int, typer.Option(help="Last characters that gcn-in-lstm sees at a time.", rich_help_panel=MODEL)
    ] = 4,
    dropout: Annotated[float, typer.Option(help="On all that is not recurrent.", rich_help_panel=MODEL)] = 0.0,
    weight_dropout: Annotated[
        float, typer.Option(help="On hidden-to-hidden weights of rnn, lstm, gru, gcn+lstm.", rich_help_panel=MODEL)
    ] = 0.0,
    tie: Annotated[
        bool, typer.Option("--tie", help="One matrix for embedding and head.", rich_help_panel=MODEL)
    ] = False,
    one_hot: Annotated[
        bool, typer.Option("--one-hot", help="One-hot characters, not embedded ones.", rich_help_panel=MODEL)
    ] = False,
    positions: Annotated[
        bool, typer.Option("--positions", help="Position features; with --no-stateful.", rich_help_panel=MODEL)
    ] = False,
    length: Annotated[
        int, typer.Option(help="Characters a step sees of each sequence.", rich_help_panel=TRAINING)
    ] = 30,
    batch_size: Annotated[int, typer.Option(help="Sequences a step.", rich_help_panel=TRAINING)] = 64,
    stateful: Annotated[
        bool,
        typer.Option(
            help="Read the text in streams and carry the state; else windows from anywhere.", rich_help_panel=TRAINING
        ),
    ] = True,
    steps: Annotated[
        int | None, typer.Option(help="Training steps.", show_default="15000", rich_help_panel=TRAINING)
    ] = None,
    optimizer: Annotated[str, typer.Option(help="adam, adamw, rmsprop or sgd.", rich_help_panel=TRAINING)] = "adam",
    lr: Annotated[float, typer.Option(help="Learning rate at the start.", rich_help_panel=TRAINING)] = 2e-3,
    schedule: Annotated[
        str, typer.Option(help="cosine (to zero at the last step), step or constant.", rich_help_panel=TRAINING)
    ] = "cosine",
    decay: Annotated[float, typer.Option(help="Of schedule step: the factor ...", rich_help_panel=TRAINING)] = 0.96,
    decay_every: Annotated[int, typer.Option(help="... every so many steps.", rich_help_panel=TRAINING)] = 5000,
    weight_decay: Annotated[float, typer.Option(help="Of adamw.", rich_help_panel=TRAINING)] = 0.0,
    max_grad_norm: Annotated[
        float, typer.Option(help="Largest norm of the gradient; 0: not clipped.", rich_help_panel=TRAINING)
    ] = 1.0,
    patience: Annotated[
        int | None,
        typer.Option(help="Looks at validation without a better one that end it.", rich_help_panel=TRAINING),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32 or bf16.", rich_help_panel=TRAINING)] = "float32",
    seed: Annotated[int, typer.Option(help="Of weights, batches, dropout and samples.", rich_help_panel=TRAINING)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...", rich_help_panel=TRAINING)] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="The run's folder.", show_default="runs/text", rich_help_panel=OUTPUT)
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the run in this folder (or of its last.safetensors), with its options; beside it: "
            "--steps, --file, --device.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.", rich_help_panel=OUTPUT)] = 500,
    eval_every: Annotated[
        int, typer.Option(help="Steps between two looks at validation.", rich_help_panel=OUTPUT)
    ] = 500,
    log_every: Annotated[int, typer.Option(help="Steps a line of the log.", rich_help_panel=OUTPUT)] = 100,
    sample_every: Annotated[int, typer.Option(help="Steps between samples; 0: none.", rich_help_panel=OUTPUT)] = 1000,
    prompt: Annotated[str, typer.Option(help="What samples continue.", rich_help_panel=OUTPUT)] = "",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log for TensorBoard.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Trains a character model on a text, with samples as it goes; Ctrl-C saves and says how to go on."""
    from seqgnn.cli._training_display import TrainingDisplay
    from seqgnn.experiments.runs.text import TextRun, find_run, stopping_at_signals, train_text
    from seqgnn.models.sequence_model import GNNS
    from seqgnn.training.checkpoint import LAST
    from seqgnn.training.loop import TrainConfig

    if resume is not None:
        _check_alone(context)
        out = resume.parent if resume.name == LAST and resume.is_file() else resume
        run, settings = find_run(out)
        if file:
            run = replace(run, files=_paths(file))
        if steps is not None:
            run = replace(run, train=replace(run.train, steps=steps))
    else:
        _check_use(context, model, schedule)
        options: dict[str, Any] = {"hidden": hidden, "dropout": dropout, "tie_weights": tie, "positions": positions}
        options["encoding"] = "one-hot" if one_hot else "embedding"
        if layers is not None or model not in GNNS:
            options["num_layers"] = 2 if layers is None else layers
        if hops is not None:
            options["hops"] = tuple(_numbers("--hops", hops, int, "1,2,4"))
        if weight_dropout:
            options["weight_dropout"] = weight_dropout
        if model == "gcn-in-lstm":
            options["window"] = window
        config = TrainConfig(
            steps=15_000 if steps is None else steps,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            schedule=schedule,
            decay=decay,
            decay_every=decay_every,
            weight_decay=weight_decay,
            max_grad_norm=max_grad_norm or None,
            patience=patience,
            precision=precision,
            eval_every=eval_every,
            eval_batch_size=16 if stateful else 512,
            monitor="loss",
            stateful=stateful,
        )
        run = TextRun(
            files=_paths(file or []),
            encoding=encoding,
            split=tuple(_numbers("--split", split, float, "0.9,0.05,0.05", count=3)),
            length=length,
            model=model,
            options=options,
            train=config,
            seed=seed,
        )
        out = Path("runs") / "text" if out is None else out
        settings = {"log_every": log_every, "sample_every": sample_every, "save_every": save_every}
        settings |= {"prompt": prompt, "tensorboard": tensorboard}

    quoted = shlex.quote(str(out))
    go_on = f"seqgnn train text --resume {quoted}"
    with _processes(device) as fabric:
        if fabric is not None:
            device = str(fabric.device)
            if fabric.global_rank > 0:
                with stopping_at_signals() as stop:
                    train_text(run, out, device=device, fabric=fabric, stop=stop, **settings)
                return
        try:
            with stopping_at_signals() as stop, TrainingDisplay(run, out) as display:
                result = train_text(
                    run,
                    out,
                    device=device,
                    fabric=fabric,
                    on_start=display.on_start,
                    on_line=display.on_line,
                    on_step=display.on_step,
                    stop=lambda: stop() or display.lost is not None,
                    **settings,
                )
        except KeyboardInterrupt:
            if (out / LAST).exists():
                print(f"seqgnn: go on from the last checkpoint with: {go_on}", file=sys.stderr)
            raise
    if result.fit.stopped == "interrupted":
        if display.lost is not None:
            found = f"{display.lost.strerror}; saved after step {result.fit.steps} in {out}"
            raise ValueError(f"train: expected an output that can be written to, got: {found}")
        print(f"saved after step {result.fit.steps}; go on with: {go_on}")
        raise SystemExit(INTERRUPTED)
    assert result.test is not None
    if result.fit.stopped == "no better":
        print(f"stopped after step {result.fit.steps}: {run.train.patience} looks at validation without a better one")
    loss, accuracy = result.test["loss"], result.test["accuracy"]
    print(f"test loss {loss:.4f} nats ({loss / 0.6931472:.3f} bits) a character, accuracy {accuracy:.4f}")
    print(f"weights of step {result.fit.best_step}, best on validation; write with: seqgnn generate {quoted}")


def _check_alone(context: typer.Context) -> None:
    """A run that goes on has its options already; only these can be given anew."""
    for name in context.params:
        if name not in ("resume", "steps", "file", "device") and _given(context, name):
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--resume: expected only --steps, --file and --device beside it, got {option}")


def _check_use(context: typer.Context, model: str, schedule: str) -> None:
    """What is asked for must do something."""
    graphs = ("gcn", "gcn-residual", "gcn+lstm", "gcn-in-lstm")
    for name, used in (
        ("hops", model in graphs),
        ("window", model == "gcn-in-lstm"),
        ("decay", schedule == "step"),
        ("decay_every", schedule == "step"),
    ):
        if _given(context, name) and not used:
            found = f"--model {model}" if name in ("hops", "window") else f"--schedule {schedule}"
            raise ValueError(f"--{name.replace('_', '-')}: expected a model or schedule that it changes, got {found}")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _paths(files: list[Path]) -> tuple[str, ...]:
    from seqgnn.data.datasets.catalog import TEXTS

    for path in files:
        if str(path) in TEXTS and not path.exists():
            hint = f"a name of the catalog: `seqgnn data fetch {path}` prints where its file is"
            raise ValueError(f"--file: expected a file or a folder, got {str(path)!r}, {hint}")
    return tuple(str(path.resolve()) for path in files)


def _numbers(option: str, text: str, kind: type, example: str, count: int | None = None) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split(",")]
        if count not in (None, len(numbers)):
            raise ValueError
    except ValueError:
        raise ValueError(f"{option}: expected {count or 'some'} numbers such as {example}, got {text!r}") from None
    return numbers


@contextmanager
def _processes(device: str) -> Iterator[Any]:
    """What connects the processes that torchrun has started, None for one alone; they part when all went well."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise ValueError("train: expected lightning-fabric to be installed for several processes, got none") from None
    import torch

    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    accelerator = "cuda" if device.startswith("cuda") else "cpu"
    nodes = int(os.environ["WORLD_SIZE"]) // here
    fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    yield fabric
    torch.distributed.destroy_process_group()
