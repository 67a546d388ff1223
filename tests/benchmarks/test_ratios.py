"""`benchmarks/ratios.py` warns of lost speed, and fails only if outputs of layers differ."""

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


def test_compared_ratio_fallen_below_margin_warns(ratios):
    now = {"GCRN": {"training, reference": 2.0, "inference, reference": 3.0, "training, GConvLSTM": 4.0}}
    stored = {"GCRN": {"training, reference": 3.1, "inference, reference": 4.4}, "other": {}}
    assert ratios.compared(now, stored) == [
        "GCRN: training, reference 2.00 (3.10); inference, reference 3.00 (4.40); training, GConvLSTM 4.00",
        "warning: GCRN: training, reference has fallen from 3.10 to 2.00",
    ]


@pytest.mark.parametrize(("different", "code"), [([], 0), (["TGCN"], 1)])
def test_main_slow_layer_exits_0_and_different_outputs_exit_1(ratios, monkeypatch, capsys, different, code):
    monkeypatch.setattr(ratios, "measured", lambda rows, budget: ({"GCRN, 12, 50, 4, 4, 32": slow}, different))
    slow = {"training, reference": 0.01}
    assert ratios.main() == code
    out = capsys.readouterr().out
    assert "warning: GCRN" in out and ("outputs of the layers differ" in out) == bool(different)


def test_measured_plain_row_has_ratios_of_both_steps(ratios):
    speedups, different = ratios.measured([Row("GRU", PLAIN_SIZE, None)], ratios.TimeBudget(1))
    assert different == [] and list(speedups) == ["GRU, 3, 2, 2, 3"]
    names = ["torch.nn.GRU", "reference"]
    expected = [f"{step}, {name}" for step in ("training", "inference") for name in names]
    assert list(speedups["GRU, 3, 2, 2, 3"]) == expected


def test_stored_ratios_have_the_rows_of_the_script(ratios):
    stored = json.loads(ratios.STORED.read_text())["ratios"]
    assert set(stored) == {
        f"{row.layer}, {', '.join(map(str, size))}" for size in ratios.SIZES for row in ratios.rows_at(size)
    }
