"""Progress of runs: bars, and events of worker processes."""

import io
import sys

import pytest
import rich

from seqgnn.experiments.runs import executor as parallel
from seqgnn.experiments.runs.job import RunContext
from seqgnn.experiments.runs.progress import show_progress, summary_line
from seqgnn.experiments.runs.result import never
from tests.support.jobs import Sum, jobs


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
    with parallel.listening(events.append, never) as (address, key):
        number, outcome = parallel._perform_in_worker(7, jobs(Sum("a"))[0], RunContext(), address, key)
        assert number == 7 and outcome["result"]["test"]["loss"] == 1.25
    assert [event[0] for event in events] == ["begin", "done"]
    assert parallel._perform_in_worker(7, jobs(Sum("a"))[0], RunContext(), address, key) == (7, outcome)


def test_listening_callback_error_is_raised_at_the_end():
    def say(event):
        raise BrokenPipeError("the pipe is closed")

    with pytest.raises(BrokenPipeError, match="the pipe is closed"), parallel.listening(say, never) as (address, key):
        for _ in range(3):
            assert parallel._perform_in_worker(0, jobs(Sum("a"))[0], RunContext(), address, key)[1]["result"]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        ({"test": {"loss": 1.25, "accuracy": 0.5}}, "test accuracy 0.500, loss 1.250"),
        ({"test": {"loss": 3.0, "rmse": 2.0, "mae": 1.0}}, "test MAE 1.000, RMSE 2.000"),
        (
            {"test": {"loss": 1.0}, "steps": 40, "stopped": "time"},
            "test loss 1.000; 40 steps, 2.3 s, stopped: time",
        ),
    ],
)
def test_summary_line_has_scores_steps_and_seconds(result, line):
    assert summary_line({"result": result, "measured": {"seconds": 2.34}}) == line


def test_show_progress_off_a_terminal_prints_a_line_per_end(capsys):
    with show_progress(2, 0, True) as report:
        for event in (("start", "a", 9), ("step", "a", 1, 0.5, 0.5), ("done", "a", "test loss 1.000")):
            report(event)
        report(("waiting", "1 run is in another process"))
        report(("failed", "b", "ValueError: no"))
    lines = ["a: test loss 1.000", "1 run is in another process", "b: FAILED, ValueError: no"]
    assert capsys.readouterr().out.splitlines() == lines
    with show_progress(2, 1, False) as report:
        report(("done", "a", "x"))
    assert capsys.readouterr().out == ""


def test_show_progress_off_a_terminal_says_what_remains(capsys, monkeypatch):
    now = iter([0.0, 30.0, 50.0, 60.0])
    monkeypatch.setattr("seqgnn.experiments.runs.progress.time.monotonic", lambda: next(now))
    with show_progress(8, 5, True) as report:
        report(("done", "a", "test loss 1.000"))
        report(("failed", "b", "ValueError: no"))
        report(("done", "c", "test loss 2.000"))
    assert capsys.readouterr().out.splitlines() == [
        "5 of 8 runs are already stored",
        "a: test loss 1.000; 2 to go, about 60 s",
        "b: FAILED, ValueError: no; 1 to go, about 25 s",
        "c: test loss 2.000",
    ]
