"""What came out of a comparison: the records of its runs, and the figures drawn from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqgnn.analysis import path_receptive_field
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.grid.specs import MODEL_SPECS
from seqgnn.experiments.runs.task_defaults import TASKS
from seqgnn.metrics.significance import Difference, differences, mean_sd, sampling_error, summary
from seqgnn.models.baselines.classification import NAMES as BASELINES
from seqgnn.models.baselines.forecasting import NAMES as FORECAST_BASELINES
from seqgnn.models.sequence_model import GNNS


@dataclass
class Comparison:
    """The outcome: records of runs, and the figures drawn from them.

    Attributes:
        task: name of the task.
        metric: what the headline is: "accuracy", "loss" (nats), or of forecasts an error, such as "mae".
        labels: labels of the rows, in order.
        sizes, seeds: of the grid; sizes are lengths of sequences, numbers of nodes of trees, or horizons.
        elements: how many elements a sample has, by size.
        runs: per (label, size, seed), `{"config", "spec", "result", "measured"}`.
        baselines: the same per (name, size).
        failures: per (label or name, size, seed), what went wrong.
        failed: per (label, size, seed), the configuration and specification of a run that failed.
        data_id: name and hash of the data that the task reads; None for tasks that generate their samples.
        units: of forecasts, those of the signal; None: not known.
        matched: whether the models were matched in parameters.
        data: the source of that data, where it is known.
        weights: per run, where its weights are, if they are kept.
        out: the folder with the `runs/` of the comparison, if there is one.
    """

    task: str
    metric: str
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    elements: dict[int, int] = field(default_factory=dict)
    data_id: str | None = None
    units: str | None = None
    matched: bool = False
    runs: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    baselines: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    failures: dict[tuple[str, int, int], str] = field(default_factory=dict)
    failed: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    data: DataSource | None = None
    weights: dict[tuple[str, int, int], Path] = field(default_factory=dict)
    out: Path | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that its runs have, the headline first."""
        family = CLASSES if self.metric in CLASSES else ERRORS
        return self.metric, *(name for name in family if name != self.metric)

    @property
    def of_classes(self) -> bool:
        """True if the targets are classes, False for forecasts."""
        return self.metric in CLASSES

    @property
    def on_path(self) -> bool:
        """True if the samples are sequences."""
        return self.task in TASKS and TASKS[self.task].on_path

    def at(self, size: int) -> str:
        """Return a size in words: "T = 20", or "horizon 3" for forecasts."""
        return f"T = {size}" if self.of_classes else f"horizon {size}"

    def units_of(self, metric: str) -> str | None:
        """Return the units of a metric, such as "cases" or "cases, squared"; None where they are not known, and for
        fractions."""
        if self.units is None or metric not in ("mae", "rmse", "mse"):
            return None
        return f"{self.units}, squared" if metric == "mse" else self.units

    def of(self, label: str, size: int) -> list[dict[str, Any]]:
        """Return the runs of one cell of the table, by seed; failed ones are not among them."""
        keys = ((label, size, seed) for seed in self.seeds)
        return [self.runs[key] for key in keys if key in self.runs]

    def scores(self, label: str, size: int, metric: str | None = None) -> list[float]:
        """Return the test scores of one cell, by seed."""
        return [run["result"]["test"][metric or self.metric] for run in self.of(label, size)]

    def differences(self, size: int, labels: Sequence[str] | None = None) -> list[Difference]:
        """Return all pairs of rows, or of some rows, seed by seed, with intervals and p corrected for their number."""
        scores = {
            label: {run["config"]["seed"]: run["result"]["test"][self.metric] for run in self.of(label, size)}
            for label in (self.labels if labels is None else labels)
        }
        return differences(scores)

    def solved_at(self, label: str, size: int, bar: float) -> list[tuple[int, float] | None]:
        """Returns, by seed, the step and the second at which the validation accuracy first was at the bar, or None."""
        return [_first_at(run, bar) for run in self.of(label, size)]

    def in_order(self) -> "Comparison":
        """Return the same with rows in the order of `ROWS`, user-defined ones after the first with their model, and
        runs, baselines and failures in that of the table: the same runs give the same comparison."""
        models = {label: run["config"]["model"] for (label, _, _), run in self.runs.items()}
        labels = tuple(sorted(self.labels, key=lambda label: _place(label, models.get(label))))
        order = {name: place for place, name in enumerate((*labels, *BASELINES, *FORECAST_BASELINES))}

        def sort(found: dict[Any, Any]) -> dict[Any, Any]:
            return {key: found[key] for key in sorted(found, key=lambda key: (key[1], order[key[0]], *key[2:]))}

        return replace(
            self,
            labels=labels,
            sizes=tuple(sorted(self.sizes)),
            seeds=tuple(sorted(self.seeds)),
            runs=sort(self.runs),
            baselines=sort(self.baselines),
            failures=sort(self.failures),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary per size and row, baselines after the models; None where there is no figure."""
        rows = []
        for size in self.sizes:
            for label in self.labels:
                if any(key[:2] == (label, size) for key in (*self.runs, *self.failures)):
                    rows.append(self._row(label, size))
            for (name, of), record in self.baselines.items():
                if of == size:
                    test, seconds = record["result"]["test"], record["measured"]["seconds"]
                    rows.append(
                        _empty_row(name, "baseline", size, self.metrics)
                        | {metric: test[metric] for metric in self.metrics}
                        | {"seconds": seconds, "seeds": 1, "parameters": record["result"].get("parameters")}
                        | _tested(test)
                    )
        return rows

    def _row(self, label: str, size: int) -> dict[str, Any]:
        row = _empty_row(label, "model", size, self.metrics)
        row["failed"] = sum((label, size, seed) in self.failures for seed in self.seeds)
        runs = self.of(label, size)
        if not runs:
            return row
        config, result = runs[0]["config"], runs[0]["result"]
        for metric in self.metrics:
            scores = self.scores(label, size, metric)
            if None in scores:
                continue
            found = summary(scores)
            row[metric], row[f"{metric}_sd"] = found.mean, found.sd
            for kind, interval in (("t", found.t), ("bootstrap", found.bootstrap)):
                row[f"{metric}_{kind}_low"], row[f"{metric}_{kind}_high"] = interval or (None, None)
        row |= _tested(result["test"] | {"accuracy": row.get("accuracy")})
        bar = config["train"]["target_accuracy"]
        reached = [] if bar is None else [at for at in self.solved_at(label, size, bar) if at is not None]
        memory = [run["measured"]["peak_memory"] for run in runs if run["measured"].get("peak_memory")]
        return row | {
            "solved_steps": mean_sd([steps for steps, _ in reached])[0] if reached else None,
            "solved_seconds": mean_sd([seconds for _, seconds in reached])[0] if reached else None,
            "flops": result.get("flops"),
            "peak_memory": max(memory, default=None),
            "readout": config.get("readout"),
            "steps": mean_sd([run["result"]["steps"] for run in runs])[0],
            "seconds": mean_sd([run["measured"]["seconds"] for run in runs])[0],
            "parameters": result["parameters"],
            "receptive_field": _receptive_field(config),
            "solved": sum(run["result"]["stopped"] == "solved" for run in runs),
            "seeds": len(runs),
        }


def _place(label: str, model: str | None) -> tuple[int, bool, str]:
    """Return the sort key of a label: the known specification it is named after, or else the first with its model."""
    names = [row.label for row in MODEL_SPECS.values()]
    family = max((name for name in names if f"{label},".startswith(f"{name},")), key=len, default=None)
    if family is None:
        family = next((row.label for row in MODEL_SPECS.values() if row.model == model), None)
    return len(names) if family is None else names.index(family), label != family, label


def _first_at(run: dict[str, Any], bar: float) -> tuple[int, float] | None:
    clock = run["measured"].get("validation_seconds", [])
    for place, point in enumerate(run["result"]["validation"]):
        if point["accuracy"] >= bar:
            return point["step"], clock[place] if place < len(clock) else math.nan
    return None


def _receptive_field(config: dict[str, Any]) -> int | None:
    """Return the number of previous positions in the receptive field; None where it is not limited by layers."""
    if config["model"] not in GNNS or "hops" not in config:
        return None
    return path_receptive_field(config["num_layers"], tuple(config["hops"]))


def _tested(test: dict[str, Any]) -> dict[str, Any]:
    accuracy, answers = test.get("accuracy"), test["count"]
    return {"answers": answers, "accuracy_se": None if accuracy is None else sampling_error(accuracy, answers)}


CLASSES = ("accuracy", "loss")
ERRORS = ("mae", "rmse", "mape", "mse")
EDGES = ("t_low", "t_high", "bootstrap_low", "bootstrap_high")
TESTED = ("answers", "accuracy_se")
COSTS = ("steps", "seconds", "solved_steps", "solved_seconds", "parameters", "flops", "peak_memory")


def _empty_row(label: str, kind: str, size: int, metrics: Sequence[str]) -> dict[str, Any]:
    metrics = [name for family in (CLASSES, ERRORS) for name in family if name in metrics]
    scores = [name for metric in metrics for name in (metric, *(f"{metric}_{e}" for e in ("sd", *EDGES)))]
    return (
        {"model": label, "kind": kind, "size": size}
        | dict.fromkeys(("readout", *scores, *TESTED, *COSTS, "receptive_field"))
        | {"solved": 0, "seeds": 0, "failed": 0}
    )
