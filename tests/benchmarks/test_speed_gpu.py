"""The table of precisions of benchmarks/speed.py, at sizes too small to measure speed."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
TINY = (3, 10, 2, 2, 4), (3, 5, 2, 4)
CODE = f"""
import sys, speed_gpu
cases = speed_gpu.gpu(sys.argv[1], 1, *{TINY})["cases"]
assert [case["precision"] for case in cases] == 2 * ["float32", "tf32", "bf16"]
for case in cases:
    for engine, error in case["errors"].items():
        assert 0 < error < {{"float32": 1e-5, "tf32": 1e-2, "bf16": 0.3}}[case["precision"]], (case, engine)
captured = {{speed_gpu.CAPTURED}} if sys.argv[1] == "cuda" else set()
assert set(cases[0]["errors"]) == {{"reference", "fused", "triton"}} | captured
"""


@pytest.mark.slow
def test_speed_gpu_on_cpu_is_skipped_and_writes_nothing(tmp_path):
    command = [sys.executable, "speed.py", "gpu", "--json", str(tmp_path / "speed.json")]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gpu: expected --device cuda, got cpu; skipped" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_speed_gpu_errors_are_within_bounds_of_each_precision(device, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", str(int(device == "cpu")))
    done = subprocess.run([sys.executable, "-c", CODE, device], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
