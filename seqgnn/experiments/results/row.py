"""A row of the table of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqgnn.experiments.results.verdict import Verdict
from seqgnn.metrics.significance import Summary

MODEL, BASELINE = "model", "baseline"


@dataclass(frozen=True)
class ComparisonRow:
    """A model or a baseline at one size; what is None was not measured or does not exist.

    Attributes:
        model: label of the model, or name of the baseline.
        kind: "model" or "baseline".
        size: length of sequences, number of nodes of trees, or horizon.
        scores: summary over seeds of each metric on the test set; None where a value is not finite.
        readout: "last", "mean" or "max".
        targets: number of targets in the test set.
        accuracy_se: standard error that the test set alone gives the accuracy.
        steps, seconds: of training, means over seeds.
        solved_steps, solved_seconds: steps and seconds to the target accuracy, means over the seeds that reached it.
        parameters: number of parameters.
        flops: floating-point operations per sample of a forward pass.
        peak_memory: bytes, the maximum over seeds.
        receptive_field: number of previous positions, of models in which layers limit it.
        verdict: what the comparison shows of the model; None for baselines.
        solved, seeds, failed: numbers of runs that reached the target accuracy, finished and failed.
    """

    model: str
    kind: str
    size: int
    scores: Mapping[str, Summary | None]
    readout: str | None = None
    targets: int | None = None
    accuracy_se: float | None = None
    steps: float | None = None
    seconds: float | None = None
    solved_steps: float | None = None
    solved_seconds: float | None = None
    parameters: int | None = None
    flops: float | None = None
    peak_memory: int | None = None
    receptive_field: int | None = None
    verdict: Verdict | None = None
    solved: int = 0
    seeds: int = 0
    failed: int = 0

    def mean(self, metric: str) -> float | None:
        """Return the mean score over seeds; None where it is not known."""
        score = self.scores.get(metric)
        return None if score is None else score.mean

    def sd(self, metric: str) -> float | None:
        """Return the standard deviation over seeds; None where it is not known, NaN for a single seed."""
        score = self.scores.get(metric)
        return None if score is None or self.kind == BASELINE else score.sd

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a line of a table, with a column for each number."""
        columns = dict(vars(self))
        del columns["scores"]
        columns["verdict"] = None if self.verdict is None else self.verdict.text
        head = {name: columns.pop(name) for name in ("model", "kind", "size", "readout", "verdict")}
        scores: dict[str, Any] = {}
        for metric, score in self.scores.items():
            scores[metric], scores[f"{metric}_sd"] = self.mean(metric), self.sd(metric)
            for name in ("t", "bootstrap"):
                low, high = (None if score is None else getattr(score, name)) or (None, None)
                scores |= {f"{metric}_{name}_low": low, f"{metric}_{name}_high": high}
        return head | scores | columns
