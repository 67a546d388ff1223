import shutil
import time
from dataclasses import dataclass

import pytest

from seqgnn.experiments.runs import executor as parallel
from seqgnn.experiments.runs.executor import run_all
from seqgnn.experiments.runs.job import RunContext
from seqgnn.experiments.runs.result import never
from seqgnn.experiments.runs.store import RunStore, StoreLost
from tests.support.jobs import Sum, jobs


@dataclass(frozen=True)
class Dies(Sum):
    """A run that takes its process with it, as the kernel does when memory is short."""

    def perform(self, path, control):
        import os

        os._exit(9)


def test_run_all_without_terminal_prints_lines(tmp_path, capsys):
    store = RunStore(tmp_path)
    planned = jobs(Sum("a"), Sum("b", fails=True))
    records, failures = run_all(planned, RunContext(store=store), progress=True)
    assert list(records) == [("a", 1, 0)]
    assert failures == {("b", 1, 0): "ArithmeticError: it does not add up"}
    assert capsys.readouterr().out.splitlines() == [
        "sum of a: test accuracy 0.500, loss 1.250",
        "sum of b: FAILED, ArithmeticError: it does not add up",
    ]
    run_all(planned, RunContext(store=store), progress=True)
    assert capsys.readouterr().out.splitlines()[0] == "1 of 2 runs are already stored"
    run_all(planned, RunContext(store=store), progress=False)
    assert capsys.readouterr().out == ""


def test_perform_with_every_zero_reports_each_step(monkeypatch):
    events = []
    monkeypatch.setattr(parallel, "EVERY", 0.0)
    parallel._perform(jobs(Sum("a"))[0], RunContext(), events.append, never)
    assert [event[2:] for event in events if event[0] == "step"] == [(1, 1.0, 1 / 3), (2, 0.5, 2 / 3), (3, 1 / 3, 1.0)]


def test_perform_within_the_interval_reports_no_step(monkeypatch):
    events = []
    monkeypatch.setattr(parallel, "EVERY", 1e9)
    parallel._perform(jobs(Sum("a"))[0], RunContext(), events.append, never)
    assert [event[0] for event in events] == ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_run_all_killed_worker_loses_no_other_run(tmp_path, kept):
    store = RunStore(tmp_path) if kept else None
    planned = jobs(Dies("first"), Sum("a"), Sum("b"), Dies("last"), Sum("c"))
    records, failures = run_all(planned, RunContext(store=store, workers=2), progress=False)
    assert {name for name, *_ in records} == {"a", "b", "c"}
    assert set(failures) == {("first", 1, 0), ("last", 1, 0)}
    assert all("its worker process was killed" in message for message in failures.values())


def test_run_all_folder_removed_while_workers_start_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "STORE_EVERY", 0.01)
    store = RunStore(tmp_path / "runs")

    class Starting:
        """Workers that need a minute to start, in which the folder is removed."""

        def __init__(self, **options):
            pass

        def __call__(self, calls):
            shutil.rmtree(store.folder)
            for _ in range(600):
                time.sleep(0.1)
            yield

    monkeypatch.setattr("joblib.Parallel", Starting)
    start = time.monotonic()
    with pytest.raises(StoreLost, match=f"expected the folder {store.folder}, but it was removed"):
        run_all(jobs(Sum("a"), Sum("b")), RunContext(store=store, workers=2), progress=False)
    assert time.monotonic() - start < 30
    assert not store.folder.exists()
