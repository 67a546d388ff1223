"""Gradients over time and the influence of inputs in a trained model, compared with the untrained model."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.runs.base import BaselineRun
from seqgnn.experiments.runs.config import RunConfig, identify_text
from seqgnn.experiments.runs.problem import read_config
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.experiments.runs.result import read_weights
from seqgnn.experiments.runs.store import read_run
from seqgnn.experiments.runs.text import load_model
from seqgnn.experiments.runs.text_config import TextRun
from seqgnn.experiments.trained.gradient_study import Maker, Study, gradient_problem, measure_models
from seqgnn.models.sequence_model import SequenceModel, build
from seqgnn.training.checkpoint import BEST, LAST, read_checkpoint


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model.

    Attributes:
        label: what it is called.
        model: with its weights.
        build_untrained: returns the same before its training, from a seed.
        task: that it was trained on.
        steps: of training that its weights have behind them.
    """

    label: str
    model: SequenceModel
    build_untrained: Callable[[int], SequenceModel]
    task: Any
    steps: int


def study_checkpoint(
    path: str | os.PathLike[str],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 128,
    measure: str = "gradients",
    reduce: str = "norm-of-mean",
    device: str = "cpu",
    texts: Sequence[str | os.PathLike[str] | None] = (None,),
) -> Study:
    """Measure a model of `seqgnn train text` or `seqgnn compare` as it is, and as it was before its training.

    Samples of the task, of a text from its training part, and the weights before training are drawn again with each
    seed. Where every position has a target, as in a text, the loss or the prediction is that of the last one.

    Args:
        path: of a checkpoint of `seqgnn train text` or of the run's folder; or of `seqgnn compare --out`, a finished
            run's `runs/<key>.json` or `.safetensors`, or the `.partial` folder of one under way.
        seeds, batch_size, measure, reduce, device: as in `seqgnn.experiments.trained.gradient_study.study`.
        texts: files that a run of a comparison may have read, None for Python's help topics; the one that it names is
            used.

    Raises:
        ValueError: if there is no whole run of a task with classes, its text is gone, the measure has no meaning for
            the model, such as gradients over time of one without recurrence, or an argument is unknown or out of range.
    """
    trained = load_trained(path, texts)
    try:
        gradient_problem(trained.model, trained.task, 1, 0, measure)
    except ValueError as error:
        hint = "; its influence can be measured (--influence)" if measure == "gradients" else ""
        expected = f"expected a model of which {measure} can be measured"
        raise ValueError(f"gradients: {expected}, got {trained.label} in {path}: {error}{hint}") from error

    def make(model: Callable[[int], SequenceModel]) -> Maker:
        return lambda seed: gradient_problem(model(seed), trained.task, batch_size, seed, measure)

    makers = {trained.label: make(lambda seed: trained.model), "untrained": make(trained.build_untrained)}
    settings = {
        "task": trained.task.name,
        "length": trained.task.length,
        "checkpoint": str(path),
        "steps": trained.steps,
        "batch_size": batch_size,
        "per_element": trained.task.per_element,
    }
    return measure_models(makers, settings, seeds, measure, reduce, device)


def load_trained(path: str | os.PathLike[str], texts: Sequence[str | os.PathLike[str] | None] = (None,)) -> Trained:
    """Return the trained model of a checkpoint; arguments and errors as of `study_checkpoint`."""
    path = Path(path)
    if path.suffix == ".json":
        return _from_record(path, texts)
    if (path / "runs").is_dir():
        raise ValueError(f"gradients: expected one run, such as a file in {path / 'runs'}, got a comparison's folder")
    file = path / (BEST if (path / BEST).exists() else LAST) if path.is_dir() else path
    tensors, info = read_checkpoint(file)
    if "config" not in info:
        return _from_text_run(file)
    if "training" not in info:
        return _from_record(file.with_suffix(".json"), texts)
    weights = {name.removeprefix("model."): part for name, part in tensors.items() if name.startswith("model.")}
    return _from_config(file, info["config"], weights, info["training"]["step"], None, texts)


def _from_record(file: Path, texts: Sequence[str | os.PathLike[str] | None]) -> Trained:
    """Return the model of a finished run of a comparison, from its JSON file."""
    content = read_run(file)
    run = RunRecord.from_dict(content, _read_model(file, content["config"]))
    weights = read_weights(file.with_suffix(".safetensors"), run.result.weights_sha256)
    return _from_config(file, content["config"], weights, run.result.best_step, run.spec.label, texts)


def _from_config(
    file: Path,
    config: dict[str, Any],
    weights: dict[str, Tensor],
    steps: int,
    label: str | None,
    texts: Sequence[str | os.PathLike[str] | None],
) -> Trained:
    run = _read_model(file, config)
    text = None if run.data_id is None else _text(file, run.data_id, texts)
    task = run.make_task(text)

    def build_untrained(seed: int) -> SequenceModel:
        model: Any = replace(run, seed=seed).build(task)
        return model

    model = build_untrained(run.seed)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"gradients: the weights in {file} do not fit its model ({reason})") from error
    return Trained(label or _label(run.model), model.eval(), build_untrained, task, steps)


def _read_model(file: Path, config: dict[str, Any]) -> RunConfig:
    run = read_config(config)
    if isinstance(run, BaselineRun):
        raise ValueError(f"gradients: expected the run of a model in {file}, got a baseline, {run.baseline!r}")
    if not isinstance(run, RunConfig):
        raise ValueError(f"gradients: expected a run of a sequence task in {file}, got one of {run.task!r}")
    return run


def _text(file: Path, text: str, texts: Sequence[str | os.PathLike[str] | None]) -> DataSource | None:
    paths = [None if path is None else Path(path) for path in texts]
    for path in paths:
        if identify_text(path) == text:
            return DataSource.of(path)
    raise ValueError(f"gradients: expected the text that {file} was trained on, {text}, got none such (--data)")


def _from_text_run(file: Path) -> Trained:
    """Return the model of a run of `seqgnn train text`."""
    model, vocabulary, info = load_model(file)
    try:
        task = TextRun.from_dict(info["run"]).make_task()
    except (KeyError, TypeError) as error:
        raise ValueError(f"gradients: expected a run of seqgnn train text in {file}, got another ({error})") from error
    if task.vocabulary.to_dict() != vocabulary.to_dict():
        raise ValueError(f"gradients: expected the text that {file} was trained on, got one with other characters")
    options: dict[str, Any] = {n: tuple(value) if n == "hops" else value for n, value in info["model"].items()}

    def build_untrained(seed: int) -> SequenceModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(**options)

    return Trained(_label(options["name"]), model, build_untrained, task, info["training"]["step"])


def _label(model: str) -> str:
    return next(row.label for row in MODEL_SPECS.values() if row.model == model)
