import io
import sys
from dataclasses import dataclass

import pytest
import rich

from seqgnn.experiments.runs import executor as parallel
from seqgnn.experiments.runs.executor import run_all
from seqgnn.experiments.runs.job import Job, RunContext
from seqgnn.experiments.runs.result import RunResult
from seqgnn.experiments.runs.store import RunStore


@dataclass(frozen=True)
class Sum:
    """A run that needs no training: what it gives is fixed by what it is."""

    name: str
    fails: bool = False

    def perform(self, path, on_step, folder, save_every):
        for step in range(1, 4):
            on_step(step, 1 / step, step / 3)
        if self.fails:
            raise ArithmeticError("it does not add up")
        return RunResult({"test": {"accuracy": 0.5, "loss": 1.25}}, {"seconds": 0.0})


@dataclass(frozen=True)
class Dies(Sum):
    """A run that takes its process with it, as the kernel does when memory is short."""

    def perform(self, path, on_step, folder, save_every):
        import os

        os._exit(9)


def jobs(*configs):
    return [Job((config.name, 1, 0), f"sum of {config.name}", config) for config in configs]


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


def test_show_progress_on_terminal_draws_bars(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    rich.get_console()  # rich's global console is created while stdout is not a terminal, and is not used for drawing
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with parallel.show_progress(3, 1, True) as say:
        say(("start", "a [b] T=3", 10))
        say(("step", "a [b] T=3", 5, 0.75, 0.25))
        say(("start", "by time", None))
        say(("step", "by time", 7, 0.5, 0.5))
        say(("done", "a baseline", "test accuracy 0.1"))
        say(("failed", "a [b] T=3", "ValueError: [no] luck"))
    text = screen.getvalue()
    assert "1 of 3 runs are already stored" in text
    assert "3/3" in text and "ValueError: [no] luck" in text


def test_worker_sends_done_event_if_listener_is_open():
    events = []
    with parallel.listening(events.append) as (address, key):
        number, outcome = parallel._perform_in_worker(7, jobs(Sum("a"))[0], RunContext(), address, key)
        assert number == 7 and outcome["result"]["test"]["loss"] == 1.25
    assert [event[0] for event in events] == ["done"]
    assert parallel._perform_in_worker(7, jobs(Sum("a"))[0], RunContext(), address, key) == (7, outcome)


def test_listening_callback_error_is_raised_at_the_end():
    def say(event):
        raise BrokenPipeError("the pipe is closed")

    with pytest.raises(BrokenPipeError, match="the pipe is closed"), parallel.listening(say) as (address, key):
        for _ in range(3):
            assert parallel._perform_in_worker(0, jobs(Sum("a"))[0], RunContext(), address, key)[1]["result"]


def test_perform_with_every_zero_reports_each_step(monkeypatch):
    events = []
    monkeypatch.setattr(parallel, "EVERY", 0.0)
    parallel._perform(jobs(Sum("a"))[0], RunContext(), events.append)
    assert [event[2:] for event in events if event[0] == "step"] == [(1, 1.0, 1 / 3), (2, 0.5, 2 / 3), (3, 1 / 3, 1.0)]


def test_perform_within_the_interval_reports_no_step(monkeypatch):
    events = []
    monkeypatch.setattr(parallel, "EVERY", 1e9)
    parallel._perform(jobs(Sum("a"))[0], RunContext(), events.append)
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
