"""What a page says in sentences: what was asked, the answer, and what figures show."""

import math
from typing import Any

from seqgnn.labels import default_readout
from seqgnn.metrics import mean_sd, running_mean
from seqgnn.outcome import Comparison
from seqgnn.report import METRICS
from seqgnn.runs import TASKS
from seqgnn.statistics import Difference

QUESTIONS = {
    "palindromes": "Given all digits of a palindrome but the last, which is the last? It is the first, so a model has "
    "to remember it over T − 1 digits.",
    "recall": "Given T − 1 random digits, which was the first? A model has to remember it over all the others.",
    "text": "Given the characters of a text so far, which comes next? Every character has to be answered for.",
    "expressions": "Given an arithmetic expression of T digits and operators, as a tree or in postfix order, what is "
    "its value, modulo ten?",
    "trees": "Given a tree of T nodes, two of them marked, do these lie near each other: at most as far apart as half "
    "of all such pairs?",
}


def question(comparison: Comparison) -> list[str]:
    """What was asked, and of whom."""
    models, seeds = len(comparison.labels), len(comparison.seeds)
    lengths = listed([str(length) for length in comparison.lengths])
    score = METRICS[comparison.metric] + (", lower is better" if comparison.metric == "loss" else "")
    grid = f"{count(models, 'model')} at T = {lengths}, each with {count(seeds, 'seed')}; the score is {score}."
    read = [] if comparison.text is None else [f"The text is {comparison.text}."]
    return [QUESTIONS[comparison.task], grid[0].upper() + grid[1:], *read]


def answer(comparison: Comparison) -> list[str]:
    """The answer in three sentences, or why there is none."""
    lengths = [length for _, length, _ in comparison.runs]
    if not lengths:
        failed = f", and {len(comparison.failures)} failed" if comparison.failures else ""
        return [f"No run of a model is finished{failed}, so there is no answer yet."]
    length = max(lengths)
    ranked = _ranked(comparison, length)
    level = [label for label, mean in ranked if f"{mean:.3f}" == f"{ranked[0][1]:.3f}"]
    return [
        _first(comparison, length, level, ranked[0][1]),
        _second(comparison, length, level, ranked),
        _third(comparison),
    ]


def best_at(comparison: Comparison, length: int) -> str:
    """The row with the best mean at a length; of several, the first."""
    return _ranked(comparison, length)[0][0]


def _ranked(comparison: Comparison, length: int) -> list[tuple[str, float]]:
    """Mean scores, the best first; without rows that a readout of all elements gives the answer away to."""
    means = {label: mean_sd(scores)[0] for label in comparison.labels if (scores := comparison.scores(label, length))}
    usual = default_readout(comparison.task)
    alike = {label for label in means if comparison.of(label, length)[0]["config"]["readout"] == usual}
    if alike and TASKS[comparison.task].on_path:
        means = {label: mean for label, mean in means.items() if label in alike}
    return sorted(means.items(), key=lambda pair: pair[1], reverse=comparison.metric == "accuracy")


def _first(comparison: Comparison, length: int, level: list[str], best: float) -> str:
    runs = len(comparison.scores(level[0], length))
    name = METRICS[comparison.metric]
    who = f"{level[0]} has" if len(level) == 1 else f"{listed(level, 4)} share"
    spread = ""
    if len(level) == 1:
        row = next(row for row in comparison.rows() if (row["model"], row["length"]) == (level[0], length))
        low, high = (row[f"{comparison.metric}_t_{end}"] for end in ("low", "high"))
        if low == high:
            spread = "" if low is None else f", the same with all {runs} seeds"
        else:
            spread = f", 95% interval {interval(low, high, comparison.metric)} over {runs} seeds"
        if row["failed"]:
            spread += f" ({row['failed']} of its runs failed)"
    which = ", the longest" if len(comparison.lengths) > 1 else ""
    return (
        f"At T = {length}{which}, {who} the best mean {name}: {best:.3f}{spread}{_baseline(comparison, length, best)}."
    )


def _baseline(comparison: Comparison, length: int, best: float) -> str:
    scores = {
        name: record["result"]["test"][comparison.metric]
        for (name, of), record in comparison.baselines.items()
        if of == length
    }
    if not scores:
        return ""
    higher = comparison.metric == "accuracy"
    name = (max if higher else min)(scores, key=scores.__getitem__)
    ahead = best > scores[name] if higher else best < scores[name]
    return f"; the best baseline, {name}, has {scores[name]:.3f}" + ("" if ahead else ", so no model is ahead of it")


def _second(comparison: Comparison, length: int, level: list[str], ranked: list[tuple[str, float]]) -> str:
    rest = [(label, mean) for label, mean in ranked if label not in level]
    if len(ranked) == 1:
        return "It is the only model, so it can be compared with the baselines alone."
    if not rest:
        return "No model is behind the others, so the task does not tell them apart."
    label, mean = rest[0]
    next_best = f"{label} is next with {mean:.3f}"
    pair = difference_from(comparison, length, level[0], label)
    if pair is None:
        return f"{next_best}; with one seed in common there is no test, and another seed could turn the order round."
    if pair.shown:
        return f"{next_best}, and the difference is shown: {pair.figures}."
    hint = "" if pair.testable else ", which are too few to show one among so many pairs"
    return f"{next_best}, and no difference between it and {level[0]} is shown: {pair.figures}{hint}."


def difference_from(comparison: Comparison, length: int, first: str, second: str) -> Difference | None:
    """The difference `first - second`, its p corrected for all pairs; None without two seeds in common."""
    for pair in comparison.differences(length):
        if (pair.first, pair.second) == (first, second):
            return pair
        if (pair.first, pair.second) == (second, first):
            return pair.turned()
    return None


def _third(comparison: Comparison) -> str:
    runs = list(comparison.runs.values())
    bars = {run["config"]["train"].get("stop_at") for run in runs}
    failed = f"; {count(len(comparison.failures), 'run')} failed" if comparison.failures else ""
    if bars == {None}:
        slow = max(runs, key=lambda run: run["measured"]["seconds"])["measured"]["seconds"]
        return f"No bar was set at which the task counts as solved, and the longest run took {slow:.0f} s{failed}."
    solved = sum(run["result"]["stopped"] == "solved" for run in runs)
    bar = " or ".join(f"{bar:g}" for bar in sorted(bar for bar in bars if bar is not None))
    what = f"a validation accuracy of {bar}, which counts as solved"
    if not solved:
        return f"No run came to {what}{failed}."
    return f"{solved} of {count(len(runs), 'run')} came to {what}{failed}."


def interval(low: float, high: float, metric: str) -> str:
    """An interval in words; of an accuracy, cut at 0 and 1."""
    if metric == "accuracy":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{low:.3f} to {high:.3f}"


def scores_described(comparison: Comparison) -> str:
    """The figure of scores in words."""
    parts = []
    for label in comparison.labels:
        means = [(n, mean_sd(scores)[0]) for n in comparison.lengths if (scores := comparison.scores(label, n))]
        if means:
            parts.append(f"{label}: " + ", ".join(f"{mean:.3f} at T = {length}" for length, mean in means))
    return "; ".join(parts) + "."


def curves_described(comparison: Comparison, length: int) -> str:
    """Training curves in words: where they end."""
    parts = []
    for label in comparison.labels:
        runs = comparison.of(label, length)
        if runs:
            name = "accuracies" if comparison.metric == "accuracy" else "losses"
            ends = mean_sd([running_mean(run["result"][name])[-1] for run in runs])[0]
            steps = mean_sd([run["result"]["steps"] for run in runs])[0]
            parts.append(f"{label} ends at {ends:.3f} after {steps:.0f} steps")
    return "; ".join(parts) + "."


def silence(reasons: dict[str, str]) -> list[str]:
    """Who is missing, and why: a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        by_reason.setdefault(reason, []).append(label)
    return [f"{listed(labels)}: {reason}." for reason, labels in by_reason.items()]


def listed(names: list[str], most: int | None = None) -> str:
    """Names as a sentence has them, at most so many of them."""
    if most is not None and len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} others"]
    if len(names) == 1:
        return names[0]
    if any("," in name for name in names):  # such as "GCN, one hop"
        return "; ".join(names[:-1]) + "; and " + names[-1]
    return ", ".join(names[:-1]) + " and " + names[-1]


def count(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number if number != 1 else 'one'} {what}{'' if number == 1 else 's'}"


def number(value: Any, digits: int = 0) -> str:
    """A figure with thousands apart, or a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:,.{digits}f}"
