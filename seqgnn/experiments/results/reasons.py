"""Reasons why a model did not solve a task, as far as the records of its runs show them."""

from collections.abc import Sequence

from seqgnn._utils.text import span
from seqgnn.analysis import path_receptive_field
from seqgnn.experiments.results.records import ComparisonRecords
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.problem import SequenceProblem
from seqgnn.experiments.runs.record import RunRecord
from seqgnn.models.sequence_model import GNNS
from seqgnn.training.loop import ValidationPoint

# Their state decays unless the forget gate starts open.
FORGETFUL = ("lstm", "minlstm", "gcn+lstm", "gcn-in-lstm", "gcn-in-minlstm")
ENDINGS = {"time": " until the time was over", "no better": " until early stopping", "converged": " until convergence"}
FALLING = 0.01  # relative improvement of the validation loss that counts as still falling


def receptive_field(run: RunRecord) -> int | None:
    """Return the number of previous positions in the receptive field; None where it is not limited by layers."""
    config = run.config
    if not isinstance(config, RunConfig) or config.model not in GNNS:
        return None
    return path_receptive_field(config.num_layers, config.hops)


def why_unsolved(comparison: ComparisonRecords, label: str, size: int) -> str | None:
    """Return why a model did not solve the task within its budget: its receptive field if the first position is
    decisive and not in it, else the gates of an LSTM whose forget gate does not start open, and the budget; None
    without a run."""
    runs = comparison.of(label, size)
    if not runs:
        return None
    problem, config = comparison.problem, runs[0].config
    needs_first = isinstance(problem, SequenceProblem) and problem.sequential and problem.data_kind is None
    before = comparison.elements.get(size, size) - 1
    field = receptive_field(runs[0])
    if needs_first and field is not None and field < before:
        return f"receptive field of {field} of {before} previous positions"
    closed = isinstance(config, RunConfig) and not config.forget_bias and "chrono" not in config.init
    if needs_first and closed and getattr(config, "model", None) in FORGETFUL:
        return f"gates without forget bias, {_budget(runs)}"
    return _budget(runs)


def _budget(runs: Sequence[RunRecord]) -> str:
    """Return where training ended, and whether the validation loss was still falling."""
    steps = [run.result.steps for run in runs]
    limit = f"{span(steps)} step{'' if max(steps) == 1 else 's'}"
    endings = {run.result.stopped for run in runs}
    if len(endings) == 1:
        limit += ENDINGS.get(endings.pop(), "")
    falling = [is_falling(run.result.validation) for run in runs]
    if None in falling:
        return limit
    if not any(falling):
        return f"{limit}, validation loss no longer falling"
    seeds = "" if all(falling) else f" with {sum(map(bool, falling))} of {len(falling)} seeds"
    return f"{limit}, validation loss still falling{seeds}"


def is_falling(validation: Sequence[ValidationPoint]) -> bool | None:
    """Return True if the lowest validation loss in the last third of the evaluations is at least 1% below the lowest
    before; None with fewer than three evaluations.

    Example:
        >>> is_falling([ValidationPoint(step, 3.0 - step / 1000, None) for step in (100, 200, 300)])
        True
    """
    losses = [point.loss for point in validation]
    last = len(losses) // 3
    if last == 0:
        return None
    return min(losses[-last:]) <= (1 - FALLING) * min(losses[:-last])
