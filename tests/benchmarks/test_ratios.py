"""`benchmarks/ratios.py` warns, and fails only where layers do not compute the same."""

import importlib.util
import json
import sys

import pytest

from seqgnn.profile.suite import Row
from tests.support.benchmark_rows import PLAIN_SIZE
from tests.support.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "ratios.py"


@pytest.fixture
def ratios(monkeypatch):
    spec = importlib.util.spec_from_file_location("ratios", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["ratios.py"])
    monkeypatch.setattr(module.torch, "set_num_threads", lambda count: None)
    return module


def test_a_ratio_that_has_fallen_by_half_is_warned_of(ratios):
    now = {"GCRN": {"training, reference": 2.0, "inference, reference": 3.0, "training, GConvLSTM": 4.0}}
    kept = {"GCRN": {"training, reference": 3.1, "inference, reference": 4.4}, "other": {}}
    assert ratios.compared(now, kept) == [
        "GCRN: training, reference 2.00 (3.10); inference, reference 3.00 (4.40); training, GConvLSTM 4.00",
        "warning: GCRN: training, reference has fallen from 3.10 to 2.00",
    ]


@pytest.mark.parametrize(("different", "code"), [([], 0), (["TGCN"], 1)])
def test_slowness_is_no_failure_and_a_difference_is(ratios, monkeypatch, capsys, different, code):
    monkeypatch.setattr(ratios, "measured", lambda rows, pace: ({"GCRN, 12, 50, 4, 4, 32": slow}, different))
    slow = {"training, reference": 0.01}
    assert ratios.main() == code
    out = capsys.readouterr().out
    assert "warning: GCRN" in out and ("do not compute the same" in out) == bool(different)


def test_rows_become_ratios(ratios):
    found, different = ratios.measured([Row("GRU", PLAIN_SIZE, None)], ratios.Pace(1))
    assert different == [] and list(found) == ["GRU, 3, 2, 2, 3"]
    names = ["torch.nn.GRU", "reference"]
    expected = [f"{step}, {name}" for step in ("training", "inference") for name in names]
    assert list(found["GRU, 3, 2, 2, 3"]) == expected


def test_committed_ratios_are_those_of_the_rows(ratios):
    kept = json.loads(ratios.KEPT.read_text())["ratios"]
    assert set(kept) == {
        f"{row.layer}, {', '.join(map(str, size))}" for size in ratios.SIZES for row in ratios.rows_at(size)
    }
