"""The committed results of `benchmarks/memory.py` are those of the configurations that it runs."""

import argparse
import importlib.util
import json
import sys

import pytest

from tests.support.paths import ROOT

OPTIONS = argparse.Namespace(steps=None, jobs=1, out=None)
PARTS = [("minimal", "palindromes"), ("minimal", "recall"), ("adding", "adding"), ("copying", "copying")]


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("memory", ROOT / "benchmarks" / "memory.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "memory", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("part", "task"), PARTS)
def test_committed_runs_equal_the_planned_configurations(benchmark, part, task):
    stored = json.loads((benchmark.RESULTS / f"{part}-{task}.json").read_text(encoding="utf-8"))
    groups = [group for group in benchmark.PARTS[part] if task in group.tasks]
    jobs = [job for group in groups for job in benchmark.planned(task, group, OPTIONS).jobs if job.spec is not None]
    planned = {json.dumps(job.content, sort_keys=True) for job in jobs}
    assert len(planned) == len(jobs) == len(stored["runs"]) and stored["missing"] == []
    assert {json.dumps(run["config"], sort_keys=True) for run in stored["runs"]} == planned
    assert all(run["measured"]["machine"] and run["measured"]["versions"] for run in stored["runs"])
