"""The trained models of a comparison, from their saved weights: gradients, influence, samples and diagnostics."""

from dataclasses import dataclass, field, replace
from typing import Any

from seqgnn._utils.threads import one_thread
from seqgnn.analysis import diagnose
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.config import identify_text
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.experiments.runs.result import read_weights
from seqgnn.experiments.trained.gradient_study import Curve, Study, gradient_problem, norms_of, sees_everything
from seqgnn.models.generation import generate
from seqgnn.models.sampling import SamplingConfig
from seqgnn.models.sequence_model import SequenceModel

BATCH = 16  # sequences that gradients and influence are averaged over
MEASURES = ("gradients", "influence", "samples")
SAMPLE, TEMPERATURE = 240, 0.7
REDUCE = "mean-of-norms"  # near an optimum the gradients of sequences cancel in their mean, and norms do not


@dataclass(frozen=True)
class ModelInspection:
    """The inspection of the trained models of a comparison.

    Attributes:
        size, seed: size and seed of the models inspected; None without models.
        gradients, influence: curves of the models that have them; None if no model does.
        missing: by measure ("gradients", "influence" or "samples") and label, why it is missing.
        samples: generated text, by label.
        prompt: text that the samples continue.
        diagnostics: by label and size, the lines of `seqgnn.analysis.diagnostics`.
    """

    size: int | None = None
    seed: int | None = None
    gradients: Study | None = None
    influence: Study | None = None
    missing: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in MEASURES})
    samples: dict[str, str] = field(default_factory=dict)
    prompt: str = ""
    diagnostics: dict[tuple[str, int], list[str]] = field(default_factory=dict)


def inspect_models(comparison: Comparison) -> ModelInspection:
    """Inspect one trained model of each specification: at the largest size that has runs, and of the first seed.

    What cannot be measured is listed in `ModelInspection.missing`, never raised: weights that are not stored or are
    damaged, a model without recurrence, a text that is not available.
    """
    if not isinstance(comparison.problem, SequenceProblem):
        return ModelInspection()
    with one_thread():
        return _inspect(comparison)


def _inspect(comparison: Comparison) -> ModelInspection:
    no_text = _no_text(comparison)
    diagnostics = {} if no_text else _diagnostics(comparison)
    sizes = [size for _, size, _ in comparison.runs]
    if not sizes:
        return ModelInspection(diagnostics=diagnostics)
    size = max(sizes)
    seed = min(seed for _, run_size, seed in comparison.runs if run_size == size)
    inspection = ModelInspection(size, seed, diagnostics=diagnostics)
    panels: dict[str, dict[str, list[Curve]]] = {"gradients": {}, "influence": {}}
    for label in comparison.labels:
        if (label, size, seed) not in comparison.runs:
            continue
        try:
            if no_text:
                raise ValueError(no_text)
            model, task = trained_model(comparison, label, size, seed)
        except (ValueError, RuntimeError) as error:
            for name in MEASURES:
                inspection.missing[name][label] = _reason(error)
            continue
        for measure in ("gradients", "influence"):
            try:
                _measure(panels[measure], measure, label, model, task, seed)
            except (ValueError, RuntimeError) as error:
                inspection.missing[measure][label] = _reason(error)
        if hasattr(task, "vocabulary"):
            try:
                inspection.samples[label] = _sample(model, task)
            except (ValueError, RuntimeError) as error:
                inspection.missing["samples"][label] = _reason(error)
    settings = {"task": comparison.task, "length": size, "batch_size": BATCH, "reduce": REDUCE}
    settings["per_element"] = any(panels.values()) and task.per_element
    studies = {name: Study(name, settings, (seed,), curves) if curves else None for name, curves in panels.items()}
    return replace(
        inspection,
        gradients=studies["gradients"],
        influence=studies["influence"],
        prompt=_prompt(task) if inspection.samples else "",
    )


def trained_model(comparison: Comparison, label: str, size: int, seed: int) -> tuple[SequenceModel, Any]:
    """Return a model of the comparison with the weights that were chosen on validation, and its task.

    Raises:
        ValueError: if the weights were not saved, are damaged or are not those of the run.
    """
    path = comparison.weights.get((label, size, seed))
    if path is None or not path.exists():
        raise ValueError("the weights were not saved")
    run = comparison.runs[label, size, seed]
    weights = read_weights(path, run.result.weights_sha256)
    task = run.config.make_task(comparison.data)
    model: Any = run.config.build(task)
    model.load_state_dict(weights)
    return model.eval(), task


def _no_text(comparison: Comparison) -> str | None:
    """Return why the text of the comparison is not available, or None if it is."""
    if comparison.data_id is None:
        return None
    try:
        data_id = identify_text(None if comparison.data is None else comparison.data.path)
    except ValueError:
        data_id = None
    return None if data_id == comparison.data_id else f"the text {comparison.data_id} is not available (--data)"


def _diagnostics(comparison: Comparison) -> dict[tuple[str, int], list[str]]:
    diagnostics = {}
    for size in comparison.sizes:
        for label in comparison.labels:
            runs = comparison.of(label, size)
            if runs:
                config = runs[0].config
                try:
                    task = config.make_task(comparison.data)
                    diagnostics[label, size] = diagnose(config.build(task), task)
                except (ValueError, RuntimeError) as error:
                    diagnostics[label, size] = [f"unknown: {_reason(error)}"]
    return diagnostics


def _measure(
    panels: dict[str, list[Curve]], measure: str, label: str, model: SequenceModel, task: Any, seed: int
) -> None:
    """Add the curves of a model, measured in float64.

    Raises:
        ValueError: if it has none, with the reason.
    """
    model, batch, distance = gradient_problem(model, task, BATCH, seed, measure)
    start = int(measure == "gradients")  # the last state is what the head reads itself
    for (name, row), norms in norms_of(label, model, batch, measure, REDUCE, distance).items():
        panels.setdefault(name, []).append(Curve(row, norms.cpu()[None], start, sees_everything(model)))


def _prompt(task: Any) -> str:
    return str(task.decode(next(iter(task.validation(1))).x[:40]))


def _sample(model: SequenceModel, task: Any) -> str:
    sampling = SamplingConfig(temperature=TEMPERATURE)
    (text,) = generate(model, task.vocabulary, _prompt(task), sampling, length=SAMPLE)
    return text


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
