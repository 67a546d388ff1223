"""`seqgnn gradients`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seqgnn.cli.compare import default_book, integers


def gradients(
    models: Annotated[
        str | None, typer.Option(help="Models, e.g. rnn,lstm,gru,gcn+lstm,gcn-in-lstm; default: rnn,lstm.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="palindromes or recall; default: palindromes.")] = None,
    length: Annotated[int | None, typer.Option(help="Length T; default: 100.")] = None,
    forget_bias: Annotated[
        str | None, typer.Option(help="Of the LSTMs, a line for each, e.g. 1,2; none: as --init has it; default: 1,2.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Recurrent weights: xavier, torch, orthogonal, ...; default: xavier.")
    ] = None,
    hidden: Annotated[int | None, typer.Option(help="Hidden units; default: 128.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A model, trained and before: of `seqgnn train text`, or a run that `seqgnn compare` keeps."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Text that the run of a comparison read; default: as `seqgnn compare`.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of weights and batches, e.g. 0,1,2.")] = "0,1,2",
    batch_size: Annotated[int, typer.Option(help="Sequences to average over.")] = 128,
    reduce: Annotated[
        str, typer.Option(help="norm-of-mean: the batch's mean gradient, then its norm; mean-of-norms.")
    ] = "norm-of-mean",
    influence: Annotated[
        bool,
        typer.Option("--influence", help="In their place how elements move the answer, of a text the last; GNNs too."),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Folder for the figure and its numbers; default: none kept.")] = None,
) -> None:
    """Shows how much of the loss's gradient reaches the state of each step, or how far elements move the answer.

    A fall is called exponential where there are at least ten norms, a line through their logarithms explains 95% of the
    variance, and the fall is tenfold; of fewer norms it is said that they are too few.
    """
    from seqgnn.experiments.trained.checkpoints import study_checkpoint
    from seqgnn.experiments.trained.gradient_study import study
    from seqgnn.report import gradients as gradients_report

    common: dict[str, Any] = {"seeds": integers("--seeds", seeds), "batch_size": batch_size, "reduce": reduce}
    common |= {"device": device, "measure": "influence" if influence else "gradients"}
    chosen = {"models": models, "task": task, "length": length, "forget_bias": forget_bias, "init": init}
    chosen |= {"hidden": hidden}
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if checkpoint is not None:
        if given:
            options = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(f"gradients: expected none of its own settings beside --checkpoint, got {options}")
        found = study_checkpoint(checkpoint, texts=[default_book(), None] if data is None else [data], **common)
    else:
        if data is not None:
            raise ValueError("gradients: expected --data beside --checkpoint, got it alone")
        if models is not None:
            given["models"] = [name.strip() for name in models.split(",")]
        if forget_bias is not None:
            given["forget_bias"] = _biases(forget_bias)
        elif init == "chrono":
            given["forget_bias"] = None
        found = study(**given, **common)
    written = [] if out is None else gradients_report.write(found, out)
    gradients_report.show(found)
    for path in written:
        print(f"wrote {path}")


def _biases(text: str) -> list[float] | None:
    if text == "none":
        return None
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        raise ValueError(f"--forget-bias: expected numbers with commas between them, or none, got {text!r}") from None
