"""Footnotes of a comparison."""

from collections import Counter
from dataclasses import dataclass

from seqgnn._utils.text import count, listed, span
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import (
    TIED,
    UNDECIDED,
    against_baseline,
    candidates,
    differences_from_best,
    standings,
)
from seqgnn.experiments.results.row import MODEL
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.metrics.model_differences import SIGN_FLIPS
from seqgnn.metrics.significance import ACCURACY_MARGIN, RELATIVE_MARGIN, sampling_error
from seqgnn.models.baselines.sequences import NAMES as BASELINES

ABOUT_BASELINES = {
    "bigram": "interpolated with unigram frequencies; their weight is chosen on the validation set.",
    "ngram-5": "Witten-Bell smoothing, counted on the whole training set; like the models, it sees only one window.",
    "linear": "logistic regression (for real-valued targets, ridge regression) on all tokens, with separate weights "
    "for each position.",
    "constant": "the mean of the targets of training samples.",
    "memoryless": "the best prediction without memory: blanks, then equal probability for each symbol.",
}


@dataclass(frozen=True)
class Note:
    """A sentence and its topic: "text", "test set", "excluded", "cost", "receptive field", "baseline", "versions",
    "difference", "windows" or "failure"."""

    topic: str
    text: str


def notes(comparison: Comparison) -> list[Note]:
    """Return the footnotes of the table."""
    footnotes = []
    if comparison.data_id is not None:
        footnotes.append(Note("text", f"{str(comparison.problem.data_kind).capitalize()}: {comparison.data_id}."))
    if comparison.runs:
        footnotes.append(Note("test set", _sampled(comparison)))
    if (scaled := _scaled_errors(comparison)) is not None:
        footnotes.append(Note("test set", scaled))
    if (excluded := excluded_note(comparison)) is not None:
        footnotes.append(Note("excluded", excluded))
    footnotes += _costs(comparison)
    rows = comparison.rows()
    if any(row.receptive_field is not None for row in rows):
        text = "Receptive field: the number of previous positions, or of hops, that a prediction depends on."
        footnotes.append(Note("receptive field", text))
    names = {name for name, _ in comparison.baselines}
    footnotes += [Note("baseline", f"{name}: {about}") for name, about in ABOUT_BASELINES.items() if name in names]
    versions = {str(run.measured.versions) for run in comparison.runs.values()}
    if len(versions) > 1:
        different = "Versions: the runs used different versions of Python, torch, PyG or seqgnn."
        footnotes.append(Note("versions", different))
    if (tests := _tests(comparison)) is not None:
        footnotes.append(Note("difference", tests))
    for size in comparison.sizes:
        place = comparison.at(size)
        footnotes += [Note("difference", f"{place}: {sentence}") for sentence in _differences(comparison, size)]
        if (sentence := windows_note(comparison, size)) is not None:
            footnotes.append(Note("windows", f"{place}: {sentence}"))
    for (label, size, seed), message in comparison.failures.items():
        footnotes.append(Note("failure", f"FAILED: {label}, {comparison.at(size)}, seed {seed}: {message}"))
    return footnotes


def excluded_note(comparison: Comparison) -> str | None:
    """Return which models are excluded from the comparison, and why; None if all are compared."""
    excluded = [name for size in comparison.sizes for name in candidates(comparison, size).excluded]
    names = [f"the baseline {name}" if name in BASELINES else name for name in dict.fromkeys(excluded)]
    if not names:
        return None
    sees = "sees all tokens at once and needs" if len(names) == 1 else "see all tokens at once and need"
    return f"Listed, but not compared with the others: {listed(names)}, which {sees} no memory."


def seeds_of(comparison: Comparison) -> str:
    """Return the number of seeds and the statistic in words."""
    runs = Counter(key[:2] for key in comparison.runs)
    counts = list(runs.values()) or [len(comparison.seeds)]
    return "one seed" if max(counts) == 1 else f"mean ± sd over {span(counts)} seeds"


def _sampled(comparison: Comparison) -> str:
    """Return the size of the test set and the resulting standard error of an accuracy, in words."""
    counts = [run.result.test.count for run in comparison.runs.values()]
    if "accuracy" not in comparison.metrics:
        return (
            f"Test set: {span(counts)} observed values, the same for all models at a horizon; intervals are over seeds."
        )
    return (
        f"Test set: {span(counts)} targets, the same for all models. With this size, an accuracy has a standard error "
        f"of up to {sampling_error(0.5, min(counts)):.2g}, which the intervals of single models do not include."
    )


def _scaled_errors(comparison: Comparison) -> str | None:
    """Return what MASE is relative to, in words; None where no run has one."""
    tests = [run.result.test for run in comparison.runs.values()]
    tests += [baseline.result.test for baseline in comparison.baselines.values()]
    seasons = {int(season) for test in tests if (season := test.values.get("mase_season")) and test.values.get("mase")}
    if not seasons:
        return None
    steps = "step" if seasons == {1} else "steps"
    repeated = f"the value {listed([str(season) for season in sorted(seasons)])} {steps} earlier"
    return f"MASE: absolute errors divided by those of repeating {repeated}, at the same node in the training part."


def _costs(comparison: Comparison) -> list[Note]:
    footnotes = []
    rows = [row for row in comparison.rows() if row.parameters and row.kind == MODEL]
    counts = [row.parameters for row in rows if row.parameters]
    if len(counts) > 1:
        agreement = "matched" if comparison.matched else "not matched"
        times = f"the largest model has {max(counts) / min(counts):.2f} times as many parameters as the smallest."
        footnotes.append(Note("cost", f"Parameter counts are {agreement}: {times}"))
    if any(row.flops for row in rows):
        flops = (
            "kFLOP: thousands of operations in matrix products and sums over edges, per sample and forward pass. "
            "MB: peak memory beyond what was in use before the run."
        )
        footnotes.append(Note("cost", flops))
    if any(run.config.train.max_seconds for run in comparison.runs.values()):
        equal = "Equal training time: the number of steps depends on the machine, so these runs are not reproducible."
        footnotes.append(Note("cost", equal))
    return footnotes


def _differences(comparison: Comparison, size: int, most: int = 5) -> list[str]:
    """Return which candidates differ significantly from the best at one size, which are tied, and which are undecided,
    in words."""
    pairs = differences_from_best(comparison, size)
    if not pairs:
        return []
    significant = [pair for pair in pairs.values() if pair.shown]
    sentences = [str(pair) for pair in significant[:most]]
    if len(significant) > most:
        sentences.append(f"{len(significant) - most} more models differ from the best.")
    best, found = next(iter(pairs.values())).first, standings(comparison, size)
    tied, undecided = ([label for label in pairs if found[label] == standing] for standing in (TIED, UNDECIDED))
    if tied:
        sentences.append(f"tied with {best}: {listed(tied)}.")
    if undecided:
        sentences.append(f"undecided, no significant difference from {best}: {listed(undecided)}.")
    return sentences


def _tests(comparison: Comparison) -> str | None:
    """Return how differences are tested, in words; None where none is."""
    pairs = [pair for size in comparison.sizes for pair in differences_from_best(comparison, size).values()]
    if not pairs:
        return None
    tests = "a t test, which assumes that differences are roughly normal over seeds"
    if any(pair.test == SIGN_FLIPS for pair in pairs):
        some = "" if all(pair.test == SIGN_FLIPS for pair in pairs) else " for some"
        tests += f", and{some} by sign flips, which assume only that equal models differ symmetrically"
    included = all(pair.test_set for pair in pairs)
    error = "include" if included else "do not include"
    text = f"Differences: the best model with each other one, paired by seed, by {tests}; intervals and p "
    text += f"{error} the error of the test set."
    if any(pair.seeds == 1 for pair in pairs):
        text += " With one seed, they compare two trained models."
    elif any(pair.seeds < 5 for pair in pairs) and comparison.metric == "accuracy":
        text += " With few seeds, a model that solves the task with only some of them can look significantly different."
    found = {standing for size in comparison.sizes for standing in standings(comparison, size).values()}
    if found & {TIED, UNDECIDED}:
        within = f"{RELATIVE_MARGIN:.0%} of the best baseline"
        within = f"{ACCURACY_MARGIN}" if comparison.higher_is_better else within
        text += f" Tied: both solved the task, or the interval for all pairs together is within ± {within}. Undecided: "
        text += "neither tied nor significantly different; more seeds are needed."
    return text


def windows_note(comparison: Comparison, size: int) -> str | None:
    """Return which models are significantly better than the best baseline over test windows, in words."""
    pairs = window_pairs(comparison, size)
    if not pairs:
        return None
    over, best = pairs[0].over_windows, pairs[0].second
    windows = count(over.windows, "test window")
    if over.interval is not None:
        clause = f"over {windows} (bootstrap in blocks of {over.block}, each pair uncorrected),"
    elif over.p is not None:
        clause = f"{windows} are too few for a bootstrap, and their sign-flip test cannot give p below "
        clause += f"{over.least:.3g}; by Student's t,"
    else:
        clause = f"{windows}, which overlap, are too few for an interval or a test; with every seed,"
    relations = {pair.first: against_baseline(comparison, pair.first, size) for pair in pairs if pair.second == best}
    ahead = [label for label, against in relations.items() if against is not None and against.relation == "ahead of"]
    subject = f"{listed(ahead)} {'is' if len(ahead) == 1 else 'are'}" if ahead else "no model is"
    how = "" if over.interval is None and over.p is None else "significantly "
    return f"{clause} {subject} {how}better than {best}."
