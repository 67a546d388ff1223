"""Gradients over time and the influence of elements, against distance, over models and seeds."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, checked_device, one_of
from seqgnn.analysis import REDUCTIONS, Decay, decay, edges_to_last, gradient_flow, influence, receptive_field
from seqgnn.data import path_graph, sequence_batch
from seqgnn.experiments.grid.specs import MODEL_SPECS, ModelSpec, RunTemplate
from seqgnn.experiments.runs.problem import PROBLEMS
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.models.encoders import GCNInGates, Readout, RecurrentEncoder
from seqgnn.models.sequence_model import GNNS, TREES, SequenceModel
from seqgnn.nn.init import RECIPES
from seqgnn.training.loop import TrainConfig

Maker = Callable[[int], tuple[SequenceModel, Batch, Tensor | None]]  # from a seed, as `gradient_problem` gives it
MEASURES = ("gradients", "influence")
STUDIED = tuple(name for name, row in MODEL_SPECS.items() if row.model not in TREES)
RECURRENT = (RecurrentEncoder, GCNInGates)
MODELS_WITH_LSTM = ("lstm", "minlstm", "gcn+lstm", "gcn-in-lstm", "gcn-in-minlstm")


@dataclass(frozen=True, eq=False)
class Curve:
    """Norms against distance.

    Attributes:
        label: the model's.
        norms: ``[seeds, D]``, from distance 0 on.
        start: the distance from which on they are fitted.
        endless: whether the receptive field is unlimited by the structure of the model, so that a zero is what float64
            cannot hold.
    """

    label: str
    norms: Tensor
    start: int = 0
    endless: bool = True

    @property
    def decays(self) -> list[Decay | None]:
        """The fit of each seed's norms against distance; None where there are too few norms."""
        return [decay(row, self.start) for row in self.norms]


@dataclass(frozen=True, eq=False)
class Study:
    """A study: the measured curves and their settings.

    Attributes:
        measure: "gradients" or "influence".
        settings: all that determines it.
        seeds: of weights and batches.
        panels: curves by the name of what they are norms of, such as "dL/dh".
    """

    measure: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    panels: dict[str, list[Curve]]


def study(
    models: Sequence[str] = ("rnn", "lstm"),
    *,
    task: str = "palindromes",
    length: int = 100,
    forget_bias: Sequence[float] | None = (1.0, 2.0),
    seeds: Sequence[int] = (0, 1, 2),
    hidden: int = 128,
    batch_size: int = 128,
    init: str = "xavier",
    measure: str = "gradients",
    reduce: str = "norm-of-mean",
    device: str = "cpu",
) -> Study:
    """Measure untrained models in float64.

    Args:
        models: names in `STUDIED`; GNNs have no recurrence, so only their influence can be measured.
        task: sequence task: "palindromes" or "recall".
        length: length T; a sequence has T - 1 input tokens.
        forget_bias: forget biases of models with an LSTM, one curve for each; with None, `init` initializes the biases.
        seeds: seeds of initial weights and of the batch, which all models share.
        hidden: hidden units.
        batch_size: number of sequences.
        init: initialization of the recurrent layers, a name of `seqgnn.nn.init`; chrono (LSTM and GRU) replaces
            `forget_bias`.
        measure: "gradients", see `seqgnn.analysis.gradient_flow`, or "influence", see `seqgnn.analysis.influence`.
        reduce: reduction of gradients over the batch: "norm-of-mean" or "mean-of-norms".
        device: device of the measurement: "cpu", "cuda", ...

    Raises:
        ValueError: if an argument is unknown or out of range.

    Example:
        >>> result = study(["lstm"], length=12, forget_bias=[1.0], seeds=[0], hidden=8, batch_size=4)
        >>> [(name, curve.label, curve.norms.shape) for name, curves in result.panels.items() for curve in curves][0]
        ('dL/dh', 'LSTM, forget bias 1', torch.Size([1, 11]))
    """
    one_of("gradients", "task", task, ("palindromes", "recall"))
    one_of("gradients", "init", init, RECIPES)
    rows = _rows(models, init, forget_bias, measure)
    sample = SEQUENCE_TASKS[task](length, (1,), None)
    setting = RunTemplate(sample, True, None, check_count("gradients", "hidden", hidden, 1), 4, device)

    def make(row: ModelSpec, seed: int) -> tuple[SequenceModel, Batch, Tensor | None]:
        config = setting.run_config(row, seed, TrainConfig())
        row_task = SEQUENCE_TASKS[task](length, config.hops, None)
        model: Any = config.build(row_task)
        return gradient_problem(model, row_task, batch_size, seed, measure)

    settings = {"task": task, "length": length, "hidden": hidden, "batch_size": batch_size, "init": init}
    makers = {row.label: partial(make, row) for row in rows}
    return measure_models(makers, settings, seeds, measure, reduce, device)


def gradient_problem(
    model: SequenceModel, task: Any, batch_size: int, seed: int, measure: str
) -> tuple[SequenceModel, Batch, Tensor | None]:
    """Return a model and a batch in float64, and the distances of nodes from the prediction where they are not steps.

    Where every position of a sequence has a target, as in a text, only the prediction at the last one is studied.

    Raises:
        ValueError: if the model has no states over time, or positions have no distance from the prediction.
    """
    if measure == "gradients" and not any(isinstance(part, RECURRENT) for part in model.modules()):
        raise ValueError("no recurrence over time")
    on_path = PROBLEMS[task.name].sequential
    if measure == "influence" and not on_path and task.readout != "last":
        raise ValueError("the readout treats all nodes alike, so none has a distance from the prediction")
    batch = task.draw(batch_size, torch.Generator().manual_seed(seed))
    if task.per_element:
        model = SequenceModel(model.inputs, model.encoder, Readout(model.readout.kind, False), model.head, model.hops)
        x, y = (part.view(batch.num_graphs, -1) for part in (batch.x, batch.y))
        batch = sequence_batch(x, y[:, -1].clone(), path_graph(x.size(1), hops=task.hops))
    if batch.x.is_floating_point():
        batch.x = batch.x.double()
    distance = edges_to_last(batch) if measure == "influence" and not on_path else None
    return copy.deepcopy(model).double(), batch, distance


def _rows(models: Sequence[str], init: str, biases: Sequence[float] | None, measure: str) -> list[ModelSpec]:
    """Return a row for each model, and for each forget bias of those that have one."""
    rows = []
    for name in models:
        row = MODEL_SPECS[one_of("gradients", "model", name, STUDIED)]
        if row.model in GNNS:
            if measure == "gradients":
                recurrent = ", ".join(name for name in STUDIED if MODEL_SPECS[name].model not in GNNS)
                hint = "its influence can be measured (--influence)"
                raise ValueError(f"gradients: expected models with states, {recurrent}, got {name!r}; {hint}")
            rows.append(row)
            continue
        row = replace(row, init=(init,), forget_bias=None)
        if row.model not in MODELS_WITH_LSTM or biases is None:
            rows.append(row if init != "chrono" else replace(row, label=f"{row.label}, chrono"))
        else:
            rows += [replace(row, label=f"{row.label}, forget bias {bias:g}", forget_bias=bias) for bias in biases]
    labels = [row.label for row in rows]
    if not rows or len(set(labels)) < len(labels):
        raise ValueError(f"gradients: expected one or more models and forget biases, each once, got {labels}")
    return rows


def measure_models(
    makers: Mapping[str, Maker],
    settings: dict[str, Any],
    seeds: Sequence[int],
    measure: str,
    reduce: str,
    device: str,
) -> Study:
    """Measure the models that `makers` give, by label, for each seed.

    Raises:
        ValueError: if an argument is unknown or out of range.
    """
    one_of("gradients", "measure", measure, MEASURES)
    one_of("gradients", "reduce", reduce, REDUCTIONS)
    torch_device = checked_device("gradients", device)
    seeds = tuple(check_count("gradients", "seed", seed, 0) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"gradients: expected one or more seeds, each once, got {list(seeds)}")
    panels: dict[str, list[Curve]] = {}
    start = int(measure == "gradients")  # the last state is what the head reads itself, unlike those before it
    for label, make in makers.items():
        by_row: dict[tuple[str, str], list[Tensor]] = {}
        for seed in seeds:
            model, batch, distance = make(seed)
            model, batch = model.to(torch_device), batch.to(torch_device)
            for key, norms in norms_of(label, model, batch, measure, reduce, distance).items():
                by_row.setdefault(key, []).append(norms.cpu())
        for (name, row), curves in by_row.items():
            panels.setdefault(name, []).append(Curve(row, torch.stack(curves), start, sees_everything(model)))
    reduction = {"reduce": reduce} if measure == "gradients" else {}
    return Study(measure, settings | reduction, seeds, panels)


def sees_everything(model: SequenceModel) -> bool:
    """Return True if the receptive field is not limited by layers: that of a model with a state, unlike a GNN."""
    field = receptive_field(model)
    return math.isinf(max(field.hops, field.positions))


def norms_of(
    label: str, model: SequenceModel, batch: Batch, measure: str, reduce: str, distance: Tensor | None = None
) -> dict[tuple[str, str], Tensor]:
    """Return norms from distance 0 on, by what they are norms of and by label, a row for each of several layers; of
    influence against a distance other than steps, if there is one."""
    if measure == "influence":
        return {("influence", label): influence(model, batch, distance)}
    flow = gradient_flow(model, batch, reduce)
    parts = {"dL/dh": flow.h} | ({} if flow.c is None else {"dL/dc": flow.c})
    return {
        (name, label if len(norms) == 1 else f"{label}, layer {number}"): row.flip(0)
        for name, norms in parts.items()
        for number, row in enumerate(norms, start=1)
    }
