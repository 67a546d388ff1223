import pytest
import torch

from seqgnn.profile import timing as timing


def test_interleaved_timing_runs_candidates_in_many_orders():
    order = []
    steps = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.interleaved_timing(steps, "cpu", rounds=20, min_seconds=0.0)
    assert {name: len(values) for name, values in times.items()} == dict.fromkeys("abc", 20)
    assert order[:3] == ["a", "b", "c"]  # the first calls, which determine the repeats
    rounds = ["".join(order[start : start + 3]) for start in range(3, 63, 3)]
    assert {"".join(sorted(turn)) for turn in rounds} == {"abc"} and len(set(rounds)) == 6


@pytest.mark.parametrize(("taken", "repeats"), [(0.3, [1, 1, 1]), (0.004, [1, 7, 1, 5, 5])])
def test_interleaved_timing_warms_up_short_steps_only(monkeypatch, taken, repeats):
    calls = []
    monkeypatch.setattr(timing, "seconds", lambda step, repeats, *_: calls.append(repeats) or taken)
    times = timing.interleaved_timing({"a": lambda: None}, "cpu", rounds=2, min_seconds=0.02, warm_up=7)
    assert calls == repeats and times == {"a": [1e3 * taken] * 2}


def test_interleaved_timing_stops_after_the_time_limit():
    for time_limit, rounds in ((0.0, timing.MIN_ROUNDS), (1e9, 9)):
        times = timing.interleaved_timing({"a": lambda: None}, "cpu", rounds=9, min_seconds=0.0, time_limit=time_limit)
        assert len(times["a"]) == rounds


def test_ratio_is_the_median_of_pairwise_ratios():
    times = {"slow": [10.0, 30.0, 1000.0], "fast": [5.0, 10.0, 10.0]}
    assert timing.ratio(times, "slow", "fast") == 3.0
    assert timing.summary(times["slow"]) == {"median_ms": 30.0, "min_ms": 10.0, "max_ms": 1000.0}


def test_peak_memory_counts_tensors_alive_at_once():
    def step():
        for _ in range(3):
            torch.ones(1000)  # 4000 bytes, freed before the next
        first = torch.ones(1000)
        return first + torch.ones(1000)  # three at once

    assert timing.peak_memory(step, "cpu") == pytest.approx(12_000, abs=500)


def test_machine_and_versions_have_their_keys():
    assert {"cpu", "cores", "threads", "system"} == set(timing.machine("cpu"))
    assert {"python", "torch", "torch_geometric", "seqgnn"} <= set(timing.versions())
