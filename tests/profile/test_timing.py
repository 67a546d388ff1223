import pytest
import torch

from seqgnn.profile import timing as racing


def test_contenders_take_turns_in_many_orders():
    order = []
    steps = {name: lambda name=name: order.append(name) for name in "abc"}
    times = racing.race(steps, "cpu", rounds=20, least=0.0)
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys("abc", 20)
    assert order[:3] == ["a", "b", "c"]  # to see how long each takes
    rounds = ["".join(order[start : start + 3]) for start in range(3, 63, 3)]
    assert {"".join(sorted(turn)) for turn in rounds} == {"abc"} and len(set(rounds)) == 6


@pytest.mark.parametrize(("taken", "repeats"), [(0.3, [1, 1, 1]), (0.004, [1, 7, 1, 5, 5])])
def test_a_step_of_ten_turns_is_warm_after_one_and_others_repeat(monkeypatch, taken, repeats):
    calls = []
    monkeypatch.setattr(racing, "seconds", lambda step, repeats, device: calls.append(repeats) or taken)
    times = racing.race({"a": lambda: None}, "cpu", rounds=2, least=0.02, warm_up=7)
    assert calls == repeats and times == {"a": [1e3 * taken] * 2}


def test_no_round_begins_after_the_limit_but_the_first_few():
    for limit, rounds in ((0.0, racing.ENOUGH), (1e9, 9)):
        times = racing.race({"a": lambda: None}, "cpu", rounds=9, least=0.0, limit=limit)
        assert len(times["a"]) == rounds


def test_a_ratio_is_the_median_of_pairs():
    times = {"slow": [10.0, 30.0, 1000.0], "fast": [5.0, 10.0, 10.0]}
    assert racing.ratio(times, "slow", "fast") == 3.0
    assert racing.summary(times["slow"]) == {"median_ms": 30.0, "min_ms": 10.0, "max_ms": 1000.0}


def test_peak_memory_is_what_is_alive_at_once():
    def step():
        for _ in range(3):
            torch.ones(1000)  # 4000 bytes, freed before the next
        kept = torch.ones(1000)
        return kept + torch.ones(1000)  # three at once

    assert racing.peak_memory(step, "cpu") == pytest.approx(12_000, abs=500)


def test_machine_and_versions_are_named():
    assert {"cpu", "cores", "threads", "system"} == set(racing.machine("cpu"))
    assert {"python", "torch", "torch_geometric", "seqgnn"} <= set(racing.versions())
