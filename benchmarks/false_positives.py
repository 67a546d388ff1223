"""How often equal models differ: the false positives of comparisons with the best model, by simulation.

    python benchmarks/false_positives.py                  # minutes on one core
    python benchmarks/false_positives.py --repetitions 100

Models are equal, so that every difference is a false positive. Their accuracies on a test set of 2,500 targets are
either normal over seeds, or those of models that solve the task with a seed (0.999) or not (0.1). All figures are in
percent: comparisons in which a model is called worse than the best, and in which the first model is, which is truly the
best, as all are.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from seqgnn.metrics.model_differences import SamplingError, differences_from
from seqgnn.metrics.significance import smoothed_error

TARGETS = 2500
MODELS, SEEDS = (2, 4, 8), (2, 3, 5, 8, 10)


def normal(spread: float) -> Callable[[Any, int], Any]:
    """Return a function that draws the accuracies of a model, around 0.9; all seeds share the error of the test set."""

    def draw(random: Any, seeds: int) -> Any:
        shared = (0.9 * 0.1 / TARGETS) ** 0.5 * random.standard_normal()
        return np.clip(0.9 + spread * random.standard_normal(seeds) + shared, 0, 1)

    return draw


def solved(probability: float) -> Callable[[Any, int], Any]:
    """Return a function that draws the accuracies of a model that solves the task with this probability."""

    def draw(random: Any, seeds: int) -> Any:
        accuracy = np.where(random.random(seeds) < probability, 0.999, 0.1)
        return random.binomial(TARGETS, accuracy) / TARGETS

    return draw


SCORES = {
    "normal, sd 0.01": normal(0.01),
    "normal, sd 0.03": normal(0.03),
    "solved by 80% of seeds": solved(0.8),
    "solved by half of the seeds": solved(0.5),
}


def rates(models: int, seeds: int, draw: Callable[[Any, int], Any], repetitions: int) -> tuple[float, float]:
    """Return the fractions of comparisons in which any model, and in which the first one, is called worse."""
    any_worse = first_worse = 0
    for repetition in range(repetitions):
        random = np.random.default_rng([models, seeds, repetition])
        scores = {str(model): dict(enumerate(draw(random, seeds).tolist())) for model in range(models)}
        means = {label: float(np.mean(list(values.values()))) for label, values in scores.items()}

        def error(first: str, second: str, means: dict[str, float] = means) -> SamplingError:
            return SamplingError(float(np.hypot(*(smoothed_error(means[label], TARGETS) for label in (first, second)))))

        best = max(means, key=means.__getitem__)
        worse = {pair.second for pair in differences_from(best, scores, error) if pair.shown}
        any_worse += bool(worse)
        first_worse += "0" in worse
    return any_worse / repetitions, first_worse / repetitions


def main() -> None:
    """Print a table of all settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    repetitions = parser.parse_args().repetitions
    print("| scores | models |", " | ".join(f"{seeds} seeds" for seeds in SEEDS), "|")
    print("|---|---|" + "---|" * len(SEEDS))
    for name, draw in SCORES.items():
        for models in MODELS:
            cells = (rates(models, seeds, draw, repetitions) for seeds in SEEDS)
            print(f"| {name} | {models} |", " | ".join(f"{a:.1%} ({b:.1%})" for a, b in cells), "|", flush=True)


if __name__ == "__main__":
    main()
