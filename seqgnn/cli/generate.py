"""`seqgnn generate`: continues a prompt with a trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgnn._utils.options import Option

SAMPLING, BEAM = "Sampling", "Beam search"


def generate_options() -> Sequence[Option]:
    """Return the options of the command."""
    top_p = "Sample from the fewest characters whose probabilities sum to this value (nucleus sampling)."
    penalty = "Power of the length that divides a continuation's log-probability."
    return (
        Option("checkpoint", Path, "Run folder or checkpoint of `seqgnn train`.", positional=True, required=True),
        Option("prompt", str, "Text to continue.", shown="the beginning of a line"),
        Option("length", int, "Maximum number of characters in a continuation.", default=200),
        Option("stop", str, 'Characters that end a continuation, e.g. ".!?".'),
        Option("samples", int, "Number of continuations; of a beam search, the best ones.", default=1),
        Option("on_unknown", str, "Characters of the prompt unknown to the model: error or skip.", default="error"),
        Option("device", str, "Device: cpu, cuda, ...", shown="cpu"),
        Option("greedy", bool, "Choose the most probable character at each step.", default=False, panel=SAMPLING),
        Option("temperature", float, "Divisor of the logits; 0 is greedy, inf uniform.", default=1.0, panel=SAMPLING),
        Option("inverse_temperature", float, "Factor of the logits, instead of a temperature.", panel=SAMPLING),
        Option("top_k", int, "Sample from the k most probable characters only.", shown="all", panel=SAMPLING),
        Option("top_p", float, top_p, shown="all", panel=SAMPLING),
        Option("seed", int, "Seed of the sampling.", default=0, panel=SAMPLING),
        Option("beam", int, "Beam width; searches for the most probable text.", shown="no search", panel=BEAM),
        Option("length_penalty", float, penalty, default=1.0, panel=BEAM),
    )


def generate(given: dict[str, Any]) -> None:
    """Continue a prompt with a trained model and print the text as it is generated; of several samples, the first."""
    from seqgnn.experiments.runs.text import load_model
    from seqgnn.models import generation

    options = dict(given)
    model, vocabulary, _ = load_model(options.pop("checkpoint"))
    prompt, samples = options.pop("prompt", ""), options.get("samples", 1)
    if "beam" in options or options.get("length_penalty", 1) != 1:
        texts = generation.generate(model, vocabulary, prompt, **options)
        for number, text in enumerate(texts, start=1):
            print(_heading(number, len(texts)) + prompt + text)
        return
    options.pop("length_penalty", None)
    steps = generation.stream(model, vocabulary, prompt, **options)
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
