"""Comparisons that were never run, all figures known."""

from dataclasses import fields, replace

from seqgnn.experiments import Comparison, DataSource, ExecutionConfig, GridConfig, ModelSpec, Plan, plan, training_for
from seqgnn.experiments.runs.config import BaselineConfig, RunConfig
from seqgnn.experiments.runs.record import (
    BaselineRecord,
    BaselineResult,
    HeldOutScores,
    Measured,
    RunRecord,
    TrainingResult,
)
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig
from seqgnn.training.loop import ValidationPoint


def plan_arguments(task, data=None, **options):
    """Return the arguments of `plan` for the fields of its configurations in one dictionary."""

    def take(table, *without):
        names = [item.name for item in fields(table) if item.name not in without]
        return {name: options.pop(name) for name in names if name in options}

    numbers = ("missing_value", "threshold")
    source = {name: v if name in numbers else str(v) for name, v in take(DataSource, "data").items()}
    source = None if data is None else DataSource(str(data), **source)
    protocol = {name: tuple(value) if isinstance(value, list) else value for name, value in take(Protocol).items()}
    if isinstance(options.get("lr"), dict):
        options["lr_per_size"] = options.pop("lr")
    grid = GridConfig(**take(GridConfig, "protocol"))
    grid = replace(grid, protocol=Protocol(**protocol)) if protocol else grid
    train, execution = training_for(task, **take(TrainConfig)), ExecutionConfig(**take(ExecutionConfig))
    return {"data": source, "grid": grid, "train": train, "execution": execution, **options}


def plan_grid(task, **options) -> Plan:
    """Return the plan of a comparison, see `plan_arguments`."""
    return plan(task, **plan_arguments(task, **options))


def run_grid(task, *, progress=False, **options) -> Comparison:
    """Return a comparison, see `plan_arguments`."""
    return plan_grid(task, **options).run(progress)


TRAIN = TrainConfig(target_accuracy=0.995)


def run(
    accuracy, loss=1.0, model="lstm", steps=30, parameters=100, stopped="steps", seed=0, readout="last", count=10,
    validation=(),
):  # fmt: skip
    """Return the record of a run on "recall", all figures known."""
    config = RunConfig(
        task="recall", size=10, data_id=None, model=model, readout=readout, hops=(1, 2), num_layers=2, hidden=8,
        encoding="one-hot", window=None, init=(), forget_bias=None, positions=False, parameters=None, seed=seed,
        device="cpu", train=TRAIN,
    )  # fmt: skip
    result = TrainingResult(
        test=HeldOutScores({"accuracy": accuracy, "loss": loss}, count),
        steps=steps,
        best_step=steps - 10,
        stopped=stopped,
        parameters=parameters,
        losses=tuple(2.0 - 0.01 * step for step in range(steps)),
        accuracies=tuple(step / steps for step in range(steps)),
        validation=tuple(ValidationPoint(step, 1.0, accuracy) for step, accuracy in validation),
    )
    return RunRecord(config, ModelSpec(model, model), result, Measured(2.0))


def baseline(accuracy, loss=1.0, name="chance", count=10):
    """Return the record of a baseline on "recall", all figures known."""
    result = BaselineResult(HeldOutScores({"accuracy": accuracy, "loss": loss}, count))
    return BaselineRecord(BaselineConfig("recall", 10, None, name, 1), result, Measured(2.0))


def changed(record, **values):
    """Return a record with fields changed, at whatever depth they are.

    Example:
        >>> changed(run(0.5), target_accuracy=None).config.train.target_accuracy is None
        True
    """
    for name in ("config", "train", "result", "test", "measured"):
        if (part := getattr(record, name, None)) is not None:
            record = replace(record, **{name: changed(part, **values)})
    return replace(record, **{name: value for name, value in values.items() if hasattr(record, name)})


def example(sizes=(4, 20), metric="accuracy"):
    """Two models with two seeds and two baselines, all figures known."""
    comparison = Comparison("recall", metric, ("LSTM", "GCN"), sizes, (0, 1))
    for length in sizes:
        comparison.runs |= {
            ("LSTM", length, 0): run(0.5),
            ("LSTM", length, 1): run(1.0, steps=50, stopped="solved", seed=1),
            ("GCN", length, 0): run(0.25, model="gcn", parameters=250),
        }
        comparison.baselines |= {("chance", length): baseline(0.1), ("bigram", length): baseline(0.2, name="bigram")}
    comparison.failures["GCN", sizes[0], 1] = "ValueError: no luck"
    return comparison


def grid(scores, baselines=(), task="recall", length=5, metric="accuracy", count=10_000, stopped="steps", readouts=()):
    """One length: by label the scores of seeds, and the score of each baseline."""
    readouts, baselines = dict(readouts), dict(baselines)
    found = Comparison(task, metric, tuple(scores), (length,), tuple(range(max(map(len, scores.values())))))
    for label, of in scores.items():
        for seed, score in enumerate(of):
            found.runs[label, length, seed] = run(
                score, score, seed=seed, count=count, stopped=stopped, readout=readouts.get(label, "last")
            )
    for name, score in baselines.items():
        found.baselines[name, length] = baseline(score, score, name, count)
    return found


TINY = {"sizes": [4], "seeds": [0], "steps": 6, "hidden": 8, "eval_every": 3, "progress": False}
SMALL = {"sizes": [4], "seeds": [0, 1], "steps": 3, "hidden": 4, "batch_size": 8}
# Of the runs of which pages are rendered.
PAGE_GRID = {"sizes": [4, 6], "seeds": [0, 1], "steps": 4, "hidden": 4, "batch_size": 8, "progress": False}


def tiny(**changes):
    return run_grid("recall", **{**TINY, "models": ["rnn", "gcn"], **changes})
