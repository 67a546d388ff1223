"""What a comparison shows of each model: a verdict within the budget of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqgnn._utils.text import listed
from seqgnn.experiments.results.ranking import (
    BEST,
    ONLY,
    TIED,
    UNDECIDED,
    UNTESTED,
    WORSE,
    against_baseline,
    is_at_chance,
    solved_seeds,
    standings,
)
from seqgnn.experiments.results.reasons import why_unsolved
from seqgnn.experiments.results.records import ComparisonRecords

EXCLUDED, FAILED = "excluded", "failed"
STANDINGS = {
    BEST: "best",
    TIED: "tied with best",
    UNDECIDED: "undecided",
    WORSE: "worse",
    ONLY: "only model",
    UNTESTED: "not tested",
    EXCLUDED: "not compared",
    FAILED: "no result",
}
FEW = 3  # names in a title


@dataclass(frozen=True)
class Verdict:
    """What a comparison shows of one model at one size, within the budget of its training.

    Attributes:
        model: its label.
        size: length of sequences, number of nodes of trees, or horizon.
        standing: "best" if all other models are significantly worse, "tied" with the best within a margin fixed
            beforehand, "worse" (significantly) than the best, "undecided" if more seeds are needed to know, "only" if
            no other model is compared, "untested" if no error is known, as for the losses of one seed, "excluded" from
            the comparison, or "failed" if no run is finished.
        seeds: number of finished runs.
        solved: how many of them reached the target accuracy, or made no error on the test set.
        has_target: True if its runs have a target accuracy.
        at_chance: True if with no seed it is ahead of the best baseline that ignores its input.
        reason: why it did not solve its task, as far as its records show it; None if it did, and for tasks without
            a target accuracy.
        loses_to, ahead_of: name of the best compared baseline, if the baseline or the model is significantly better or,
            where the error of the test set is not known, with every seed; else None.

    Example:
        >>> Verdict("GCN", 20, "best", seeds=3, solved=3).text, Verdict("LSTM", 20, "worse", seeds=3, solved=2).text
        ('solved', '2 of 3 solved')
    """

    model: str
    size: int
    standing: str
    seeds: int = 0
    solved: int = 0
    has_target: bool = False
    at_chance: bool = False
    reason: str | None = None
    loses_to: str | None = None
    ahead_of: str | None = None

    @property
    def is_solved(self) -> bool:
        """True if every seed solved the task."""
        return self.seeds > 0 and self.solved == self.seeds

    @property
    def text(self) -> str:
        """The verdict in a few words, as in the column of a table."""
        if self.standing in (EXCLUDED, FAILED):
            return STANDINGS[self.standing]
        if self.is_solved:
            return "solved"
        if self.at_chance:
            return "at chance"
        words = STANDINGS[self.standing]
        if self.solved:
            words = f"{self.solved} of {self.seeds} solved"
        elif self.has_target:
            words = "not solved" + (f", {words}" if self.standing in (BEST, TIED, WORSE) else "")
        return words if self.loses_to is None else f"{words}, loses to {self.loses_to}"


def verdicts(comparison: ComparisonRecords, size: int) -> dict[str, Verdict]:
    """Return the verdict on each model at a size, by label, in the order of the labels."""
    standing = standings(comparison, size)
    found = {}
    for label in comparison.labels:
        runs = comparison.of(label, size)
        if not runs:
            if any(key[:2] == (label, size) for key in comparison.failures):
                found[label] = Verdict(label, size, FAILED)
            continue
        solved = solved_seeds(comparison, label, size)
        has_target = any(run.config.train.target_accuracy is not None for run in runs)
        baseline = against_baseline(comparison, label, size)
        relation, name = (None, None) if baseline is None else (baseline.relation, baseline.baseline)
        found[label] = Verdict(
            model=label,
            size=size,
            standing=standing.get(label, EXCLUDED),
            seeds=len(runs),
            solved=solved,
            has_target=has_target,
            at_chance=is_at_chance(comparison, label, size),
            reason=why_unsolved(comparison, label, size) if has_target and solved < len(runs) else None,
            loses_to=name if relation == "behind" else None,
            ahead_of=name if relation == "ahead of" else None,
        )
    return found


def finding(comparison: ComparisonRecords, size: int) -> str | None:
    """Return the finding at a size as a title, such as "GCN solves T = 20; LSTM stays at chance"; None without a
    result."""
    found = verdicts(comparison, size)
    order = [label for label in standings(comparison, size) if label in found]
    return title({label: found[label] for label in (*order, *found)}, comparison.at(size))


def title(found: Mapping[str, Verdict], at: str) -> str | None:
    """Return verdicts as a title.

    Args:
        found: verdicts at one size, by label, the best mean first.
        at: the size in words.

    Example:
        >>> gcn, lstm = Verdict("GCN", 20, "best", seeds=3, solved=3), Verdict("LSTM", 20, "worse", at_chance=True)
        >>> title({"GCN": gcn, "LSTM": lstm}, "T = 20")
        'GCN solves T = 20; LSTM stays at chance'
    """
    compared = [verdict for verdict in found.values() if verdict.standing not in (EXCLUDED, FAILED)]
    if not compared:
        return None
    solved = [verdict.model for verdict in compared if verdict.is_solved]
    chance = [verdict.model for verdict in compared if verdict.at_chance]
    if len(chance) == len(compared):
        return f"No model is ahead of chance at {at}" if len(compared) > 1 else f"{chance[0]} stays at chance at {at}"
    if solved:
        first: str | None = f"{listed(solved, FEW)} solve{'s' if len(solved) == 1 else ''} {at}"
    elif all(verdict.loses_to for verdict in compared):
        beaten = "every model" if len(compared) > 1 else compared[0].model
        return f"Baseline {compared[0].loses_to} beats {beaten} at {at}"
    else:
        first = _leaders(compared, at)
    if not chance:
        return first
    stay = f"{listed(chance, FEW)} stay{'s' if len(chance) == 1 else ''} at chance"
    return f"{stay} at {at}" if first is None else f"{first}; {stay}"


def _leaders(compared: Sequence[Verdict], at: str) -> str | None:
    """Return the finding on the models that may be the best, where none solved the task with every seed. A baseline
    that beats one of them comes first."""
    top = [verdict for verdict in compared if verdict.standing != WORSE and not verdict.at_chance]
    best, tied, undecided = ([verdict.model for verdict in top if verdict.standing == standing]
                             for standing in (BEST, TIED, UNDECIDED))  # fmt: skip
    beaten = [verdict for verdict in top if verdict.loses_to]
    partly = [verdict for verdict in top if verdict.solved]
    if beaten:
        names = f"{best[0]}, the best model," if best else listed([verdict.model for verdict in beaten], FEW)
        return f"Baseline {beaten[0].loses_to} beats {names} at {at}"
    if partly:
        some = "some seeds" if len(partly) > 1 else f"{partly[0].solved} of {partly[0].seeds} seeds"
        names = listed([verdict.model for verdict in partly], FEW)
        return f"{names} solve{'s' if len(partly) == 1 else ''} {at} with {some}"
    if best:
        return f"{best[0]} is best at {at}"
    if len(top) == 1 and top[0].standing != ONLY:
        return f"{top[0].model} is ahead of chance at {at}"
    if len(tied) == len(compared):
        return f"{'Both' if len(tied) == 2 else f'All {len(tied)}'} models are tied at {at}"
    if tied:
        names = f"{listed(tied, FEW)} {'is' if len(tied) == 1 else 'are'} tied for best at {at}"
        return names if not undecided else f"{names}; {listed(undecided, FEW)} undecided"
    if undecided:
        return f"Best model at {at} undecided: {listed([verdict.model for verdict in top], FEW)}"
    only = next((verdict for verdict in top if verdict.standing == ONLY and verdict.ahead_of is not None), None)
    return None if only is None else f"{only.model} beats baseline {only.ahead_of} at {at}"
