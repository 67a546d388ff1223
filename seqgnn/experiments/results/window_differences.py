"""Differences of forecasters over test windows: models and the best baseline, with and without the graph."""

from dataclasses import dataclass

from seqgnn._utils.text import number
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.results.ranking import against_baseline, baseline_score, candidates, ranked
from seqgnn.experiments.results.sampling import compare_windows
from seqgnn.experiments.runs.forecast_config import ForecastRun
from seqgnn.metrics.significance import paired_difference, signed
from seqgnn.metrics.window_significance import OverWindows
from seqgnn.models.forecasters import uses_neighbors


@dataclass(frozen=True)
class WindowPair:
    """The difference of two models at one horizon, over seeds and over test windows.

    Attributes:
        first, second: labels; the second may be a baseline.
        over_seeds: the 95% interval of `first - second` by Student's t, not corrected for other pairs; None for a
            single seed.
        over_windows: the same difference, with its interval over test windows.
    """

    first: str
    second: str
    over_seeds: tuple[float, float] | None
    over_windows: OverWindows

    @property
    def figures(self) -> list[str]:
        """The difference, its intervals over seeds and over windows, in how many windows the first is better, and p."""
        over = self.over_windows
        intervals = ("–" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
                     for interval in (self.over_seeds, over.interval))  # fmt: skip
        return [signed(over.mean), *intervals, f"{over.better} of {over.windows}", number(over.p, 3)]


def window_pairs(comparison: Comparison, size: int) -> list[WindowPair]:
    """Return each model against the best baseline, then each that uses neighbors against the best that does not.

    Models whose runs store no errors by window, as on other tasks and in earlier versions, are left out.
    """
    if not any(run.result.test.windows for run in comparison.runs.values()):
        return []
    models = candidates(comparison, size).models
    without_graph = [label for label, _ in ranked(comparison, size) if not _has_neighbors(comparison, label, size)]
    pairs = [(label, best.baseline) for label in models if (best := against_baseline(comparison, label, size))]
    pairs += [(label, without_graph[0]) for label in models if without_graph and label not in without_graph]
    return [difference for pair in pairs if (difference := _pair(comparison, size, *pair)) is not None]


def _has_neighbors(comparison: Comparison, label: str, size: int) -> bool:
    config = comparison.of(label, size)[0].config
    return isinstance(config, ForecastRun) and uses_neighbors(config.model, K=config.K, neighbors=config.neighbors)


def _pair(comparison: Comparison, size: int, first: str, second: str) -> WindowPair | None:
    runs = comparison.of(first, size)
    baseline = comparison.baselines.get((second, size))
    over = compare_windows(
        runs, comparison.of(second, size) if baseline is None else [baseline], comparison.metric, size
    )
    if over is None:
        return None
    scores = comparison.scores_by_seed(first, size)
    others = comparison.scores_by_seed(second, size)
    if baseline is not None:
        others = dict.fromkeys(scores, baseline_score(comparison, second, size))
    seeds = [seed for seed in scores if seed in others]
    over_seeds = None
    if len(seeds) > 1:
        mean, half = paired_difference([scores[seed] for seed in seeds], [others[seed] for seed in seeds])
        over_seeds = mean - half, mean + half
    return WindowPair(first, second, over_seeds, over)
