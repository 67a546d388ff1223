"""The trained models of a comparison, from their kept weights: gradients, influence, samples, and what they can see."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from seqgnn.analysis import describe
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.config import RunConfig, identify_text, read_weights
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.experiments.trained.gradient_study import Curve, Study, asked, hears_everything, norms_of
from seqgnn.models.generation import generate
from seqgnn.models.sequence_model import SequenceModel

BATCH = 16  # sequences that gradients and influence are averaged over
MEASURES = ("gradients", "influence", "samples")
SAMPLE, TEMPERATURE = 240, 0.7
REDUCE = "mean-of-norms"  # near an optimum the gradients of sequences cancel in their mean, and norms do not


@dataclass(frozen=True)
class Look:
    """What was found in the models of a comparison.

    Attributes:
        length, seed: of the models looked at; None where there is none.
        gradients, influence: curves of the models that have such; None where no model has.
        silent: per label, why it is missing in "gradients", "influence" or "samples".
        samples: of text, by label.
        prompt: that the samples go on from.
        sees: per (label, length), what `seqgnn.analysis.diagnostics` says.
    """

    length: int | None = None
    seed: int | None = None
    gradients: Study | None = None
    influence: Study | None = None
    silent: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in MEASURES})
    samples: dict[str, str] = field(default_factory=dict)
    prompt: str = ""
    sees: dict[tuple[str, int], list[str]] = field(default_factory=dict)


def look(comparison: Comparison) -> Look:
    """Looks at one trained model of each row: at the greatest length that has runs, and of the first seed.

    What cannot be measured is said in `Look.silent`, never raised: weights that were not kept or are damaged, a model
    without recurrence, a text that is not there.
    """
    with one_thread():
        return _look(comparison)


def _look(comparison: Comparison) -> Look:
    missing = _no_text(comparison)
    sees = {} if missing else _sees(comparison)
    lengths = [length for _, length, _ in comparison.runs]
    if not lengths:
        return Look(sees=sees)
    length = max(lengths)
    seed = min(seed for _, of, seed in comparison.runs if of == length)
    found = Look(length, seed, sees=sees)
    panels: dict[str, dict[str, list[Curve]]] = {"gradients": {}, "influence": {}}
    for label in comparison.labels:
        if (label, length, seed) not in comparison.runs:
            continue
        try:
            if missing:
                raise ValueError(missing)
            model, task = trained_model(comparison, label, length, seed)
        except (ValueError, RuntimeError) as error:
            for name in MEASURES:
                found.silent[name][label] = _reason(error)
            continue
        for measure in ("gradients", "influence"):
            try:
                _measure(panels[measure], measure, label, model, task, seed)
            except (ValueError, RuntimeError) as error:
                found.silent[measure][label] = _reason(error)
        if hasattr(task, "vocabulary"):
            try:
                found.samples[label] = _sample(model, task)
            except (ValueError, RuntimeError) as error:
                found.silent["samples"][label] = _reason(error)
    settings = {"task": comparison.task, "length": length, "batch_size": BATCH, "reduce": REDUCE}
    settings["per_element"] = any(panels.values()) and task.per_element
    studies = {name: Study(name, settings, (seed,), curves) if curves else None for name, curves in panels.items()}
    return Look(length, seed, studies["gradients"], studies["influence"], found.silent, found.samples,
                _prompt(task) if found.samples else "", sees)  # fmt: skip


def trained_model(comparison: Comparison, label: str, length: int, seed: int) -> tuple[SequenceModel, Any]:
    """Returns a model of the comparison with the weights that were chosen on validation, and its task.

    Raises:
        ValueError: if the weights were not kept, are damaged or are not those of the run.
    """
    path = comparison.weights.get((label, length, seed))
    if path is None or not path.exists():
        raise ValueError("the weights were not kept")
    run = comparison.runs[label, length, seed]
    config, weights = RunConfig.from_dict(run["config"]), read_weights(path, run)
    task = TASKS[config.task].make(length, config.hops, comparison.path)
    model: Any = config.build(task)
    model.load_state_dict(weights)
    return model.eval(), task


def _no_text(comparison: Comparison) -> str | None:
    """Why the text that the models read is not at hand, or None."""
    if comparison.text is None:
        return None
    try:
        found = identify_text(comparison.path)
    except ValueError:
        found = None
    return None if found == comparison.text else f"the text it read, {comparison.text}, is not at hand (--data)"


def _sees(comparison: Comparison) -> dict[tuple[str, int], list[str]]:
    found = {}
    for length in comparison.lengths:
        for label in comparison.labels:
            runs = comparison.of(label, length)
            if runs:
                config = RunConfig.from_dict(runs[0]["config"])
                try:
                    task = TASKS[config.task].make(length, config.hops, comparison.path)
                    found[label, length] = describe(config.build(task), task)
                except (ValueError, RuntimeError) as error:
                    found[label, length] = [f"not known: {_reason(error)}"]
    return found


def _measure(
    panels: dict[str, list[Curve]], measure: str, label: str, model: SequenceModel, task: Any, seed: int
) -> None:
    """Adds the curves of a model, measured in float64.

    Raises:
        ValueError: if it has none, saying why.
    """
    model, batch, distance = asked(model, task, BATCH, seed, measure)
    start = int(measure == "gradients")  # the last state is what the head reads itself
    for (name, row), norms in norms_of(label, model, batch, measure, REDUCE, distance).items():
        panels.setdefault(name, []).append(Curve(row, norms.cpu()[None], start, hears_everything(model)))


def _prompt(task: Any) -> str:
    return str(task.decode(next(iter(task.validation(1))).x[:40]))


def _sample(model: SequenceModel, task: Any) -> str:
    (text,) = generate(model, task.vocabulary, _prompt(task), length=SAMPLE, temperature=TEMPERATURE, seed=0)
    return text


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def one_thread() -> Iterator[None]:
    """As runs are made, so that figures are the same whatever the machine has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
