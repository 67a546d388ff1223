"""The answer of a comparison in a few plain sentences: effect, interval, evidence and verdict, without p-values."""

import math
from dataclasses import dataclass

from seqgnn._utils.text import count, listed, span
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import (
    BEST,
    ONLY,
    TIED,
    UNDECIDED,
    UNTESTED,
    WORSE,
    AgainstBaseline,
    against_baseline,
    blind_baseline,
    candidates,
    differences_from_best,
    ranked,
    tie_margin,
)
from seqgnn.experiments.results.verdict import Verdict, verdicts
from seqgnn.experiments.runs.problem import METRICS
from seqgnn.metrics.model_differences import Difference
from seqgnn.metrics.significance import signed

MOST = 4  # names in a list


@dataclass(frozen=True)
class _Facts:
    """What the sentences are made of: the compared models at one size, the best mean first."""

    comparison: Comparison
    size: int
    means: dict[str, float]
    verdicts: dict[str, Verdict]
    differences: dict[str, Difference]

    @property
    def leader(self) -> str:
        return next(iter(self.means))

    @property
    def at(self) -> str:
        position = ", the longest" if len(self.comparison.sizes) > 1 else ""
        return f"At {self.comparison.at(self.size)}{position},"

    @property
    def metric(self) -> str:
        return f"test {METRICS[self.comparison.metric].label}"

    @property
    def solved(self) -> list[str]:
        """The models that solved the task with every seed, the fewest steps first."""
        solved = [label for label in self.means if self.verdicts[label].is_solved]
        return sorted(solved, key=lambda label: self.steps(label) or math.inf)

    @property
    def partly_solved(self) -> list[str]:
        return [label for label in self.means if self.verdicts[label].solved and label not in self.solved]

    @property
    def at_chance(self) -> list[str]:
        return [label for label in self.means if self.verdicts[label].at_chance and label not in self.solved]

    def standing(self, name: str) -> list[str]:
        """Return the models with this standing."""
        return [label for label in self.means if self.verdicts[label].standing == name]

    def steps(self, label: str) -> float | None:
        """Return the mean number of steps in which a model reached the target accuracy; None where not known."""
        reached = [at[0] for at in self.comparison.solved_at(label, self.size) if at is not None]
        return sum(reached) / len(reached) if reached else None

    def against(self, label: str) -> AgainstBaseline | None:
        return against_baseline(self.comparison, label, self.size)

    def open(self) -> list[str]:
        """Return the models that the best is not yet known to be better than, nor tied with: ahead of chance, the best
        mean first."""
        return [label for label in self.standing(UNDECIDED) if label != self.leader and label not in self.at_chance]

    def seeds(self) -> str:
        """Return the number of seeds in words."""
        seeds = [len(self.comparison.scores(label, self.size)) for label in self.means]
        return "one seed" if max(seeds) == 1 else f"{span(seeds)} seeds"

    def evidence(self) -> str:
        """Return the numbers of seeds, and of test windows or targets, in words."""
        seeds_text = self.seeds()
        against = self.against(self.leader)
        if against is not None and against.windows is not None:
            return f"{seeds_text}, {count(against.windows.windows, 'test window')}"
        targets = self.comparison.of(self.leader, self.size)[0].result.test.count
        noun = "value" if self.comparison.problem.data_kind == "time series" else "target"
        return f"{seeds_text}, {targets:,} test {noun}{'' if targets == 1 else 's'}"


def answer(comparison: Comparison) -> list[str]:
    """Return the answer in two or three sentences, or why there is none."""
    sizes = [size for size in comparison.sizes if ranked(comparison, size)]
    if not sizes:
        failed = f", and {len(comparison.failures)} failed" if comparison.failures else ""
        return [f"No run of a model is finished{failed}, so there is no result yet."]
    size = max(sizes)
    means, found = dict(ranked(comparison, size)), verdicts(comparison, size)
    facts = _Facts(comparison, size, means, found, differences_from_best(comparison, size))
    sentences = [*_leaders(facts), *_others(facts), *_baseline(facts), *_doubts(facts)]
    return [f"{facts.at} {sentences[0]}", *sentences[1:]]


def _leaders(facts: _Facts) -> list[str]:
    """Return the sentences on the best models."""
    means, leader = facts.means, facts.leader
    score = f"{means[leader]:.3f}"
    if len(facts.at_chance) == len(means):
        return [_nothing_learned(facts)]
    if facts.solved:
        return _solved(facts)
    if facts.partly_solved:
        return _partly_solved(facts)
    if (lost := _lost(facts)) is not None:
        return [lost, *_tied(facts), *_undecided(facts)]
    standing = facts.verdicts[leader].standing
    if standing == ONLY:
        only = "the only model" + " that is compared" * (len(facts.comparison.labels) > 1)
        return [f"{leader} is {only}: its {facts.metric} is {score} ({facts.evidence()})."]
    if standing == UNTESTED:
        superlative = "highest" if facts.comparison.higher_is_better else "lowest"
        after = list(means)[1]
        return [
            f"{leader} has the {superlative} {facts.metric}, {score} against {means[after]:.3f} of {after} "
            f"({facts.evidence()}); with one seed, no difference can be tested, and another seed could reverse the "
            "order."
        ]
    if standing == BEST:
        runner_up = next(label for label in means if facts.verdicts[label].standing == WORSE)
        ahead = _by(facts, facts.differences[runner_up], evidence=True)
        return [f"{leader} is best, with a {facts.metric} of {score}: ahead of {runner_up}, the next, {ahead}."]
    if standing == UNDECIDED:
        superlative = "highest" if facts.comparison.higher_is_better else "lowest"
        mean = f"{leader} has the {superlative} mean {facts.metric}, {score} ({facts.evidence()})"
        return [f"{mean}.", *_undecided(facts)]
    tied = [label for label in facts.standing(TIED) if label not in facts.at_chance]
    if len(tied) == 1:
        return [f"{leader} has a {facts.metric} of {score} ({facts.evidence()}).", *_undecided(facts)]
    names = "both models" if len(tied) == len(means) == 2 else listed(tied, MOST)
    names = f"all {len(tied)} models" if len(tied) == len(means) > 2 else names
    widest = max((pair for label, pair in facts.differences.items() if label in tied), key=lambda pair: abs(pair.mean))
    span_text = f"{score} ({leader}) to {means[widest.second]:.3f} ({widest.second})"
    differ = _by(facts, widest, evidence=True)
    extent = "" if len(tied) == 2 else "at most "
    within = tie_margin(facts.comparison, facts.size) or 0.0
    first = f"{names} are tied for the best {facts.metric}, {span_text}: they differ {extent}{differ}"
    return [f"{first}, so by no more than {within:.2g}.", *_undecided(facts)]


def _tied(facts: _Facts) -> list[str]:
    """Return the sentence on the models that are tied with the best, where another sentence names the best."""
    tied = [label for label in facts.standing(TIED) if label != facts.leader and label not in facts.at_chance]
    within = tie_margin(facts.comparison, facts.size) or 0.0
    are = "is" if len(tied) == 1 else "are"
    return [f"{listed(tied, MOST)} {are} tied with {facts.leader}, within {within:.2g}."] if tied else []


def _undecided(facts: _Facts) -> list[str]:
    """Return the sentence on the models that are undecided against the best."""
    undecided = [label for label in facts.open() if label in facts.differences]
    if not undecided:
        return []
    after = undecided[0]
    ahead = f"ahead of {after}, the next," if len(undecided) > 1 else "ahead"
    return [f"With {facts.seeds()} it is undecided whether {facts.leader} is better than {listed(undecided, MOST)}: it "
            f"is {ahead} {_by(facts, facts.differences[after])}, so more seeds are needed."]  # fmt: skip


def _solved(facts: _Facts) -> list[str]:
    solved, leader = facts.solved, facts.leader
    seeds = "its seed" if facts.verdicts[solved[0]].seeds == 1 else "every seed"
    if len(solved) == 1:
        score = f"{facts.means[solved[0]]:.3f}"
        first = f"{solved[0]} solves the task with {seeds}: {facts.metric} {score} ({facts.evidence()})"
    else:
        names = "both models" if len(solved) == len(facts.means) == 2 else listed(solved, MOST)
        names = f"all {len(solved)} models" if len(solved) == len(facts.means) > 2 else names
        first = f"{names} solve the task with {seeds.replace('its seed', 'their seed')} ({facts.evidence()}), so their "
        first += "scores are tied" + _fewest_steps(facts)
    after = [label for label in facts.means if label not in solved]
    if leader not in solved or not after or after[0] not in facts.differences:
        return [first + "."]
    label, pair = after[0], facts.differences[after[0]]
    if pair.shown:
        return [f"{first}.", f"The next, {label} with {facts.means[label]:.3f}, is behind {_by(facts, pair)}."]
    number = facts.verdicts[label].solved
    solves = f"solves it with {number or 'no'} seed{'' if number == 1 else 's'}".replace("no seeds", "no seed")
    decided = f"its difference from {leader} is not decided with {facts.seeds()}"
    if not facts.at_chance or label not in facts.at_chance:
        return [f"{first}.", f"The next, {label}, {solves} ({facts.means[label]:.3f} on average); {decided}."]
    return [f"{first}."]


def _partly_solved(facts: _Facts) -> list[str]:
    """Return the sentences where no model solved the task with every seed, but some did with some."""
    texts = [f"{label} does with {facts.verdicts[label].solved} of {facts.verdicts[label].seeds}, "
             f"{facts.metric} {facts.means[label]:.3f}" for label in facts.partly_solved]  # fmt: skip
    first = f"no model solves the task with every seed: {listed(texts, MOST)} ({facts.evidence()})."
    pairs = [(label, pair) for label, pair in facts.differences.items() if label not in facts.partly_solved]
    if facts.leader not in facts.partly_solved:
        mean = f"{facts.means[facts.leader]:.3f}"
        return [first, f"{facts.leader}, which solves it with no seed, has the best mean, {mean}.", *_undecided(facts)]
    if not pairs:
        return [first]
    label, pair = pairs[0]
    ahead = f"With the same seeds, {facts.leader} is ahead of {label} {_by(facts, pair)}"
    return [first, f"{ahead}." if pair.shown else f"{ahead}, which decides nothing yet: more seeds are needed."]


def _fewest_steps(facts: _Facts) -> str:
    """Return which of the models that solved the task needed the fewest steps; "" where that is not known."""
    first, second = facts.solved[:2]
    fewest, after = facts.steps(first), facts.steps(second)
    if fewest is None or after is None or fewest == after:
        return ""
    average = " on average" if facts.verdicts[first].seeds > 1 else ""
    return f"; {first} needs the fewest steps, {fewest:,.0f}{average} against {after:,.0f} of {second}"


def _nothing_learned(facts: _Facts) -> str:
    name, score = blind_baseline(facts.comparison, facts.size) or ("", 0.0)
    leader, mean = facts.leader, facts.means[facts.leader]
    scores = f"a {facts.metric} of {mean:.3f} against {score:.3f} of the baseline {name}, which ignores its input"
    if len(facts.means) == 1:
        return f"{leader} is not ahead of chance within this budget: {scores} ({facts.evidence()})."
    return f"no model is ahead of chance within this budget: the best, {leader}, has {scores} ({facts.evidence()})."


def _lost(facts: _Facts) -> str | None:
    """Return the sentence for a best model that loses to the best baseline; None where it does not."""
    against = facts.against(facts.leader)
    if against is None or facts.verdicts[facts.leader].loses_to is None:
        return None
    mean, losing = facts.means[facts.leader], [label for label in facts.means if facts.verdicts[label].loses_to]
    scores = f"{facts.metric} of {mean:.3f} against {against.score:.3f}: {_behind(facts, against)}"
    if len(facts.means) == 1:
        return f"{facts.leader} loses to the baseline {against.baseline}, with a {scores}."
    subject = "every model" if len(losing) == len(facts.means) else "the best model"
    best = "the best" if facts.verdicts[facts.leader].standing == BEST else "the best by its mean"
    return f"{subject} loses to the baseline {against.baseline}: {best}, {facts.leader}, has a {scores}."


def _behind(facts: _Facts, against: AgainstBaseline) -> str:
    """Return by how much a model is worse than a baseline, with interval and evidence."""
    parts, interval = [], against.interval or against.over_seeds
    if interval is not None:
        low, high = sorted(edge * (1 if against.difference > 0 else -1) for edge in interval)
        seeds = " over seeds" if against.interval is None else ""
        parts.append(f"95% interval{seeds} {_edge(low)} to {_edge(high)}")
    evidence = facts.evidence()
    if against.windows is not None:
        over = against.windows
        worse = over.windows - over.better if not facts.comparison.higher_is_better else over.better
        number = count(over.windows, "test window")
        evidence = evidence.replace(number, f"worse in {worse} of {number}")
    return f"worse by {abs(against.difference):.3f} ({'; '.join([*parts, evidence])})"


def _others(facts: _Facts) -> list[str]:
    """Return the sentences on models that did not solve the task, are at chance, or are significantly worse."""
    sentences, solved, partly = [], facts.solved, facts.partly_solved
    if partly and solved:
        texts = [f"{label} with {facts.verdicts[label].solved} of {facts.verdicts[label].seeds}" for label in partly]
        sentences.append(f"Solved with some seeds only: {listed(texts, MOST)}.")
    chance = facts.at_chance
    if chance and len(chance) < len(facts.means):
        sentences.append(f"At chance within this budget: {_with_reasons(facts, chance)}.")
    elif chance and any(facts.verdicts[label].reason for label in chance):
        sentences.append(f"Reasons that the runs show: {_with_reasons(facts, chance)}.")
    unsolved = []
    if solved or partly:
        unsolved = [label for label in facts.means if facts.verdicts[label].reason and label not in (*partly, *chance)]
    if unsolved:
        sentences.append(f"Better than chance, but not solved: {_with_reasons(facts, unsolved)}.")
    worse = [label for label in facts.standing(WORSE) if label not in (*partly, *chance, *unsolved)]
    best = facts.verdicts[facts.leader]
    further = worse[1:] if best.standing == BEST and best.loses_to is None and not solved else worse
    if further:
        sentences.append(f"Significantly worse than the best: {listed(further, MOST)}.")
    return sentences


def _with_reasons(facts: _Facts, labels: list[str]) -> str:
    """Return models with the reasons that their records show, those with the same reason together."""
    by_reason: dict[str | None, list[str]] = {}
    for label in labels:
        by_reason.setdefault(facts.verdicts[label].reason, []).append(label)
    texts = [listed(names, MOST) + (f" ({reason})" if reason else "") for reason, names in by_reason.items()]
    return "; ".join(texts)


def _baseline(facts: _Facts) -> list[str]:
    """Return the sentence on the best baseline, where it is not yet in the first."""
    against = facts.against(facts.leader)
    if against is None or len(facts.at_chance) == len(facts.means) or against.relation == "behind":
        return []
    linear_excluded = "linear" in candidates(facts.comparison, facts.size).excluded
    best = f"the best {'compared ' * linear_excluded}baseline, {against.baseline} with {against.score:.3f}"
    losing = [label for label in facts.means if facts.verdicts[label].loses_to]
    also = f"; {listed(losing, MOST)} {'loses' if len(losing) == 1 else 'lose'} to it" if losing else ""
    if against.relation == "ahead of" and facts.solved and not losing:
        return []
    if against.relation == "ahead of":
        return [f"{facts.leader} is ahead of {best}{also}."]
    interval, edges = "", against.interval or against.over_seeds
    if edges is not None:
        low, high = map(signed, edges)
        seeds = " over seeds" if against.interval is None else ""
        interval = f" (difference {signed(against.difference)}, 95% interval{seeds} {low} to {high})"
    return [f"{facts.leader} is not distinguishable from {best}{interval}{also}."]


def _doubts(facts: _Facts) -> list[str]:
    """Return what limits the answer: single seeds and failed runs."""
    comparison, sentences = facts.comparison, []
    one_seed = all(len(comparison.scores(label, facts.size)) == 1 for label in facts.means)
    if one_seed and facts.verdicts[facts.leader].standing != UNTESTED and len(facts.means) > 1:
        sentences.append("This is one seed per model; another seed could change it.")
    if comparison.failures:
        sentences.append(f"{count(len(comparison.failures), 'run').capitalize()} failed.")
    return sentences


def _by(facts: _Facts, pair: Difference, evidence: bool = False) -> str:
    """Return the size of a difference with its joint interval and, if asked for, its evidence in words. An interval of
    all possible values is left out."""
    sign = -1 if pair.mean < 0 else 1
    low, high = sorted(sign * edge for edge in pair.joint)
    if facts.comparison.metric == "accuracy":
        if low <= -1 and high >= 1:
            more = f"{facts.evidence()}; " if evidence else ""
            return f"by {abs(pair.mean):.3f} ({more}too few seeds for an interval)"
        low, high = max(low, -1.0), min(high, 1.0)
    more = f"; {facts.evidence()}" if evidence else ""
    return f"by {abs(pair.mean):.3f} (95% interval {_edge(low)} to {_edge(high)}{more})"


def _edge(value: float) -> str:
    return f"{value:.3f}".replace("-0.000", "0.000")
