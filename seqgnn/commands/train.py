"""`seqgnn train text`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from seqgnn.commands import INTERRUPTED

app = typer.Typer(help="Train a model on data of your own.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train a model on data of your own."""


@app.command()
def text(
    context: typer.Context,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Text file or folder, again for more; none: Python's help topics.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/text")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder, with its options.", show_default=False)
    ] = None,
    model: Annotated[str, typer.Option(help="rnn, lstm, gru, gcn, gcn-residual, gcn+lstm or gcn-in-lstm.")] = "lstm",
    hidden: Annotated[int, typer.Option(help="Hidden units.")] = 128,
    layers: Annotated[int | None, typer.Option(help="Layers; default: 2, and one a hop for GCNs.")] = None,
    dropout: Annotated[float, typer.Option(help="On all that is not recurrent.")] = 0.0,
    tie: Annotated[bool, typer.Option(help="One matrix for embedding and head.")] = False,
    one_hot: Annotated[bool, typer.Option(help="One-hot characters in place of an embedding.")] = False,
    positions: Annotated[bool, typer.Option(help="Position features; not with --stateful.")] = False,
    length: Annotated[int, typer.Option(help="Characters a step sees of each sequence.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Sequences a step.")] = 64,
    stateful: Annotated[
        bool, typer.Option(help="Read the text in streams and carry the state; else windows from anywhere.")
    ] = True,
    steps: Annotated[int | None, typer.Option(help="Training steps.", show_default="15000")] = None,
    optimizer: Annotated[str, typer.Option(help="adam, adamw, rmsprop or sgd.")] = "adam",
    lr: Annotated[float, typer.Option(help="Learning rate at the start.")] = 2e-3,
    schedule: Annotated[str, typer.Option(help="cosine (to zero), step or constant.")] = "cosine",
    decay: Annotated[float, typer.Option(help="Of schedule step: the factor ...")] = 0.96,
    decay_every: Annotated[int, typer.Option(help="... every so many steps.")] = 5000,
    weight_decay: Annotated[float, typer.Option(help="Of adamw.")] = 0.0,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient; 0: not clipped.")] = 1.0,
    patience: Annotated[int | None, typer.Option(help="Looks at validation without a better one that end it.")] = None,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    eval_every: Annotated[int, typer.Option(help="Steps between two looks at validation.")] = 500,
    log_every: Annotated[int, typer.Option(help="Steps a line of the log.")] = 100,
    sample_every: Annotated[int, typer.Option(help="Steps between samples; 0: none.")] = 1000,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 500,
    prompt: Annotated[str, typer.Option(help="What samples continue.")] = "",
    split: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "0.9,0.05,0.05",
    encoding: Annotated[str, typer.Option(help="Of the files.")] = "utf-8-sig",
    seed: Annotated[int, typer.Option(help="Of weights, batches, dropout and samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    tensorboard: Annotated[bool, typer.Option(help="Also log for TensorBoard.")] = False,
) -> None:
    """Trains a character model on a text, with samples as it goes; Ctrl-C saves and says how to go on."""
    from seqgnn.text_training import TextRun, find_run, stopping_at_signals, train_text
    from seqgnn.training import TrainConfig

    if resume is not None:
        _check_alone(context)
        run, settings = find_run(resume)
        out = resume
        if file:
            run = replace(run, files=tuple(str(path.resolve()) for path in file))
        if steps is not None:
            run = replace(run, train=replace(run.train, steps=steps))
    else:
        options: dict[str, Any] = {"hidden": hidden, "dropout": dropout, "tie_weights": tie, "positions": positions}
        options["encoding"] = "one-hot" if one_hot else "embedding"
        if layers is not None or model not in ("gcn", "gcn-residual"):
            options["num_layers"] = 2 if layers is None else layers
        config = TrainConfig(
            steps=15_000 if steps is None else steps,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            schedule=schedule,
            decay=decay,
            decay_every=decay_every,
            weight_decay=weight_decay,
            clip=clip or None,
            patience=patience,
            precision=precision,
            eval_every=eval_every,
            eval_batch_size=16 if stateful else 512,
            select="loss",
            carry=stateful,
        )
        run = TextRun(
            files=tuple(str(path.resolve()) for path in file or ()),
            encoding=encoding,
            split=_split(split),
            length=length,
            model=model,
            options=options,
            train=config,
            seed=seed,
        )
        out = Path("runs") / "text" if out is None else out
        settings = {"log_every": log_every, "sample_every": sample_every, "save_every": save_every}
        settings |= {"prompt": prompt, "tensorboard": tensorboard}

    fabric = _fabric(device)
    leads = fabric is None or fabric.global_rank == 0
    with stopping_at_signals() as stop, _display(run, leads) as (on_step, on_line):
        result = train_text(
            run,
            out,
            device=device if fabric is None else str(fabric.device),
            fabric=fabric,
            on_line=on_line,
            on_step=on_step,
            stop=stop,
            **settings,
        )
    if not leads:
        return
    if result.fit.stopped == "interrupted":
        print(f"saved after step {result.fit.steps}; go on with: seqgnn train text --resume {out}")
        raise SystemExit(INTERRUPTED)
    assert result.test is not None
    if result.fit.stopped == "no better":
        print(f"stopped after step {result.fit.steps}: {run.train.patience} looks at validation without a better one")
    loss, accuracy = result.test["loss"], result.test["accuracy"]
    print(f"test loss {loss:.4f} nats ({loss / 0.6931472:.3f} bits) a character, accuracy {accuracy:.4f}")
    print(f"weights of step {result.fit.best_step}, best on validation; write with: seqgnn generate {out}")


def _check_alone(context: typer.Context) -> None:
    """A run that goes on has its options already; only these can be given anew."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in ("resume", "steps", "file", "device") and source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--resume: expected only --steps, --file and --device beside it, got {option}")


def _split(text: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--split: expected three shares such as 0.9,0.05,0.05, got {text!r}") from None
    return first, second, third


def _fabric(device: str) -> Any:
    """What connects the processes that torchrun has started; None for one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise ValueError("train: expected lightning-fabric to be installed for several processes, got none") from None
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    accelerator = "cuda" if device.startswith("cuda") else "cpu"
    nodes = int(os.environ["WORLD_SIZE"]) // here
    fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    return fabric


@contextmanager
def _display(run: Any, leads: bool) -> Iterator[tuple[Any, Any]]:
    """A live bar on a terminal, else a line of text for each line of the log; nothing where another process leads."""
    from seqgnn.text_training import SAMPLE_LENGTHS

    longest = max(SAMPLE_LENGTHS)  # of the samples, these alone
    if not leads:
        yield None, None
        return
    if not sys.stdout.isatty():

        def show(line: dict[str, Any]) -> None:
            if line.get("length", longest) == longest:
                print(_spelled(line), flush=True)

        yield None, show
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("step {task.completed}/{task.total}"), BarColumn(), TextColumn("{task.fields[loss]}")]
    with Progress(*columns, TextColumn("{task.fields[speed]}"), TimeRemainingColumn()) as progress:
        bar = progress.add_task("training", total=run.train.steps, loss="", speed="")

        def on_step(step: int, loss: float, accuracy: float) -> None:
            progress.update(bar, completed=step, loss=f"loss {loss:.3f} accuracy {accuracy:.3f}")

        def on_line(line: dict[str, Any]) -> None:
            if "characters_per_second" in line:
                progress.update(bar, speed=f"{line['characters_per_second']:,.0f} characters/s")
            elif line.get("length", longest) == longest:
                progress.console.print(_spelled(line), markup=False, highlight=False)

        yield on_step, on_line


def _spelled(line: dict[str, Any]) -> str:
    step = f"step {line['step']}"
    if "how" in line:
        return f"{step}, {line['how']}: {line['prompt'] + line['text']!r}"
    if "validation_loss" in line:
        return f"{step}: validation loss {line['validation_loss']:.4f}, accuracy {line['validation_accuracy']:.4f}"
    speed = f"{line['characters_per_second']:,.0f} characters/s"
    return f"{step}: loss {line['loss']:.4f}, accuracy {line['accuracy']:.4f}, {speed}"
