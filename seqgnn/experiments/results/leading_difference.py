"""The leading difference: between the best model and the next one, or the best baseline."""

import math
from dataclasses import dataclass

from seqgnn.experiments.results.ranking import baseline_score, best_baseline, ranked
from seqgnn.experiments.results.records import ComparisonRecords
from seqgnn.metrics.significance import paired_difference


@dataclass(frozen=True)
class LeadingDifference:
    """The difference between the best model at a size and the next one; with a single model, the best baseline.

    Attributes:
        first, second: labels; the second may be a baseline.
        mean: mean of `first - second` over their common seeds.
        width: width of its 95% interval by Student's t, paired by seed; infinite for a single seed.
        seeds: number of common seeds.
    """

    first: str
    second: str
    mean: float
    width: float
    seeds: int


def leading_difference(comparison: ComparisonRecords, size: int) -> LeadingDifference | None:
    """Return the leading difference at a size; None without two models or a model and a baseline that have scores.

    Example:
        >>> from seqgnn.experiments.compare import compare
        >>> options = {"seeds": [0, 1], "steps": 2, "hidden": 4, "progress": False}
        >>> lead = leading_difference(compare("recall", models=["rnn", "gcn"], sizes=[3], **options), 3)
        >>> sorted([lead.first, lead.second]), lead.seeds
        (['GCN', 'RNN'], 2)
    """
    order = [label for label, _ in ranked(comparison, size)]
    if not order:
        return None
    first, scores = order[0], comparison.scores_by_seed(order[0], size)
    if len(order) > 1:
        second, other = order[1], comparison.scores_by_seed(order[1], size)
    elif (baseline := best_baseline(comparison, size)) is not None:
        second = baseline
        other = dict.fromkeys(scores, baseline_score(comparison, second, size))
    else:
        return None
    seeds = [seed for seed in scores if seed in other]
    pairs = [scores[seed] for seed in seeds], [other[seed] for seed in seeds]
    if len(seeds) < 2:
        mean = pairs[0][0] - pairs[1][0] if seeds else math.nan
        return LeadingDifference(first, second, mean, math.inf, len(seeds))
    mean, half = paired_difference(*pairs)
    return LeadingDifference(first, second, mean, 2 * half, len(seeds))
