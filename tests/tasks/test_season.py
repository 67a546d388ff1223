"""The value one season earlier, against numpy."""

import numpy as np
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.tasks.season import season_earlier, training_naive_error


def graph_of(steps, every=None, keep=slice(None), mask=None):
    values = torch.randn(steps, 2, 1, generator=torch.Generator().manual_seed(0))
    times = None if every is None else (np.datetime64("2024-01-01T00", "s") + np.arange(steps) * every)[keep]
    return TemporalGraph(values[keep], torch.tensor([[0], [1]]), timestamps=times, mask=mask)


@pytest.mark.parametrize(
    "every, season",
    [
        (None, 1),
        (np.timedelta64(15, "m"), 96),
        (np.timedelta64(1, "h"), 24),
        (np.timedelta64(1, "D"), 7),
        (np.timedelta64(7, "D"), 52),
    ],
)
def test_season_earlier_is_a_day_week_or_year_earlier(every, season):
    earlier, found = season_earlier(graph_of(200, every))
    assert found == season
    assert earlier.tolist() == [-1] * season + list(range(200 - season))


def test_season_earlier_across_a_gap_is_earlier_in_time():
    keep = np.delete(np.arange(60), [30, 31, 40])
    earlier, season = season_earlier(graph_of(60, np.timedelta64(1, "h"), keep))
    assert season == 24
    places = {hour: step for step, hour in enumerate(keep)}
    for step, hour in enumerate(keep):
        assert earlier[step] == next((places[day] for day in range(hour - 24, -1, -24) if day in places), -1)


def test_season_earlier_of_months_is_a_year_earlier():
    months = np.arange("2015-01", "2021-01", dtype="datetime64[M]")
    earlier, season = season_earlier(
        TemporalGraph(torch.zeros(72, 1, 1), torch.empty(2, 0, dtype=torch.long), timestamps=months)
    )
    assert season == 12 and earlier.tolist() == [-1] * 12 + list(range(60))


def test_training_naive_error_reads_only_the_training_part():
    graph = graph_of(100, np.timedelta64(1, "h"))
    values = graph.targets[..., 0].double().numpy()
    found, season = training_naive_error(graph, range(10, 70))
    assert season == 24
    np.testing.assert_allclose(found[:, 0], np.abs(values[34:70] - values[10:46]).mean(0), rtol=1e-12)
    short, season = training_naive_error(graph, range(10, 34))
    assert season == 1
    np.testing.assert_allclose(short[:, 0], np.abs(np.diff(values[10:34], axis=0)).mean(0), rtol=1e-12)
