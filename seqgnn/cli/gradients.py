"""`seqgnn gradients`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option, options_of
from seqgnn.cli.compare import default_book

STUDY = ("models", "task", "length", "forget_bias", "init", "hidden")  # what a checkpoint determines
COMMON = ("seeds", "batch_size", "reduce", "device")


def gradients_options() -> Sequence[Option]:
    """Return the options of the command."""
    from seqgnn.experiments.trained.gradient_study import STUDIED, study

    models = f"Models: {', '.join(STUDIED)}; GNNs have no recurrence, so only their influence can be measured."
    checkpoint = "Trained model from `seqgnn train text` or a stored run "
    checkpoint += "of `seqgnn compare`, to compare with its untrained state."
    data = "Text on which the model of --checkpoint was trained."
    influence = "Measure the influence of input tokens on the output (in text, the last one) instead; also for GNNs."
    study_options = {option.name: option for option in options_of(study, only=(*STUDY, *COMMON))}
    study_options["models"] = replace(study_options["models"], help=models)
    biases = replace(study_options.pop("forget_bias"), kind=str)  # "none", or numbers
    return (
        *(study_options[name] for name in STUDY if name in study_options),
        biases,
        Option("checkpoint", Path, checkpoint),
        Option("data", Path, data, shown="as `seqgnn compare`"),
        *(study_options[name] for name in COMMON),
        Option("influence", bool, influence, default=False),
        Option("out", Path, "Folder for the figure and its data.", shown="not written"),
    )


def gradients(options: dict[str, Any]) -> None:
    """Show the norm of the gradient with respect to the state at each step, or the influence of input tokens.

    The decay is called exponential if there are at least ten norms, a linear fit to their logarithms explains 95% of
    the variance, and they decrease by a factor of ten or more. Fewer than ten norms are reported as too few.
    """
    from seqgnn.experiments.trained.checkpoints import study_checkpoint
    from seqgnn.experiments.trained.gradient_study import study
    from seqgnn.report import gradients as gradients_report

    common = {name: options[name] for name in COMMON if name in options}
    common["measure"] = "influence" if options.get("influence") else "gradients"
    settings = {name: options[name] for name in STUDY if name in options}
    data = options.get("data")
    if "checkpoint" in options:
        if settings:
            flags = ", ".join("--" + name.replace("_", "-") for name in settings)
            raise ValueError(f"gradients: expected no settings of an untrained model with --checkpoint, got {flags}")
        texts = [default_book(), None] if data is None else [data]
        result = study_checkpoint(options["checkpoint"], texts=texts, **common)
    else:
        if data is not None:
            raise ValueError("gradients: expected --checkpoint with --data, got --data alone")
        if "forget_bias" in settings:
            settings["forget_bias"] = _biases(settings["forget_bias"])
        elif settings.get("init") == "chrono":
            settings["forget_bias"] = None
        result = study(**settings, **common)
    paths = [] if "out" not in options else gradients_report.write(result, options["out"])
    gradients_report.show(result)
    for path in paths:
        print(f"wrote {path}")


def _biases(text: str) -> list[float] | None:
    if text == "none":
        return None
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        raise ValueError(f"--forget-bias: expected comma-separated numbers or none, got {text!r}") from None
