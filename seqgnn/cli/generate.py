"""`seqgnn generate`: continues a prompt with a trained model."""

from pathlib import Path
from typing import Annotated, Any

import typer


def generate(
    checkpoint: Annotated[Path, typer.Argument(help="What `seqgnn train` saved.", show_default=False)],
    prompt: Annotated[str, typer.Option(help="What to continue; none: the beginning of a line.")] = "",
    length: Annotated[int, typer.Option(help="Most characters of a continuation.")] = 200,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the most probable character.")] = False,
    temperature: Annotated[
        float, typer.Option(help="Divides the logits: 0 is greedy, 1 what was learned, inf uniform.")
    ] = 1.0,
    inverse_temperature: Annotated[float | None, typer.Option(help="Multiplies the logits instead.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k most probable characters only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the fewest characters that have this probability together.")
    ] = None,
    beam: Annotated[int | None, typer.Option(help="Search for the most probable text, with a beam this wide.")] = None,
    length_penalty: Annotated[
        float, typer.Option(help="Of the beam search: divides a score by its length to this power.")
    ] = 1.0,
    stop: Annotated[str | None, typer.Option(help='Characters that end a continuation, e.g. ".!?".')] = None,
    samples: Annotated[int, typer.Option(help="Continuations; of a beam search the best ones.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    on_unknown: Annotated[
        str, typer.Option(help="Characters of the prompt that the model does not know: error or skip.")
    ] = "error",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: cpu.", show_default=False)] = None,
) -> None:
    """Continues a prompt with a trained model: prompt and what follows, as it comes; of several samples the first."""
    from seqgnn.experiments.runs.text import load_model
    from seqgnn.models import generation

    model, vocabulary, _ = load_model(checkpoint)
    options: dict[str, Any] = {
        "length": length,
        "samples": samples,
        "greedy": greedy,
        "temperature": temperature,
        "inverse_temperature": inverse_temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop,
        "seed": seed,
        "device": device,
        "on_unknown": on_unknown,
    }
    if beam is not None or length_penalty != 1:
        texts = generation.generate(model, vocabulary, prompt, beam=beam, length_penalty=length_penalty, **options)
        for number, text in enumerate(texts, start=1):
            print(_heading(number, len(texts)) + prompt + text)
        return
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
