"""`seqgnn generate`: continues a prompt with a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option, options_of
from seqgnn.cli._options import build

SAMPLING, BEAM = "Sampling", "Beam search"
GENERAL = ("length", "samples", "stop", "device", "on_unknown")
SEARCH = ("beam", "length_penalty")


def generate_options() -> Sequence[Option]:
    """Return the options of the command."""
    from seqgnn.models.generation import generate
    from seqgnn.models.sampling import SamplingConfig

    return (
        Option("checkpoint", Path, "Run folder or checkpoint of `seqgnn train`.", positional=True, required=True),
        Option("prompt", str, "Text to continue.", shown="the beginning of a line"),
        *options_of(generate, only=GENERAL),
        *options_of(SamplingConfig, panel=SAMPLING),
        *options_of(generate, only=SEARCH, panel=BEAM),
    )


def generate(options: dict[str, Any]) -> None:
    """Continue a prompt with a trained model and print the text (or the first of several texts) as it is generated."""
    from seqgnn.experiments.runs.text import load_model
    from seqgnn.models import generation
    from seqgnn.models.sampling import SamplingConfig

    model, vocabulary, _ = load_model(options["checkpoint"])
    sampling = build(SamplingConfig, options)
    arguments = {name: options[name] for name in (*GENERAL, *SEARCH) if name in options}
    prompt, samples = options.get("prompt", ""), arguments.get("samples", 1)
    if "beam" in arguments or arguments.get("length_penalty", 1) != 1:
        texts = generation.generate(model, vocabulary, prompt, sampling, **arguments)
        for number, text in enumerate(texts, start=1):
            print(_heading(number, len(texts)) + prompt + text)
        return
    arguments.pop("length_penalty", None)
    steps = generation.stream(model, vocabulary, prompt, sampling, **arguments)
    rows: list[list[str]] = []
    try:
        print(_heading(1, samples) + prompt, end="", flush=True)
        for row in steps:
            print(row[0], end="", flush=True)
            rows.append(row)
    finally:
        print()  # after Ctrl-C too
    for number, characters in enumerate(zip(*rows), start=1):
        if number > 1:
            print(_heading(number, samples) + prompt + "".join(characters))


def _heading(number: int, count: int) -> str:
    return f"--- {number} of {count} ---\n" if count > 1 else ""
