"""Comparisons that were never run, all figures known."""

from dataclasses import fields, replace

from seqgnn.experiments import Comparison, DataSource, ExecutionConfig, GridConfig, Plan, plan, training_for
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig


def plan_arguments(task, data=None, **options):
    """Return the arguments of `plan` for the fields of its configurations in one dictionary."""

    def take(table, *without):
        names = [item.name for item in fields(table) if item.name not in without]
        return {name: options.pop(name) for name in names if name in options}

    source = {name: v if name == "missing_value" else str(v) for name, v in take(DataSource, "data").items()}
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


def run(
    accuracy, loss=1.0, model="lstm", steps=30, parameters=100, stopped="steps", seed=0, readout="last", count=10,
    validation=(),
):  # fmt: skip
    return {
        "config": {
            "model": model,
            "readout": readout,
            "num_layers": 2,
            "hops": [1, 2],
            "seed": seed,
            "train": {"target_accuracy": 0.995},
        },
        "result": {
            "test": {"accuracy": accuracy, "loss": loss, "count": count},
            "steps": steps,
            "best_step": steps - 10,
            "stopped": stopped,
            "parameters": parameters,
            "losses": [2.0 - 0.01 * step for step in range(steps)],
            "accuracies": [step / steps for step in range(steps)],
            "validation": list(validation),
        },
        "measured": {"seconds": 2.0},
    }


def example(sizes=(4, 20), metric="accuracy"):
    """Two models with two seeds and two baselines, all figures known."""
    comparison = Comparison("recall", metric, ("LSTM", "GCN"), sizes, (0, 1))
    for length in sizes:
        comparison.runs |= {
            ("LSTM", length, 0): run(0.5),
            ("LSTM", length, 1): run(1.0, steps=50, stopped="solved", seed=1),
            ("GCN", length, 0): run(0.25, model="gcn", parameters=250),
        }
        comparison.baselines |= {("chance", length): run(0.1), ("bigram", length): run(0.2)}
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
        found.baselines[name, length] = run(score, score, count=count)
    return found
