"""Output that is lost: closed pipes and full devices."""

import os
import subprocess
import sys
from contextlib import contextmanager, suppress

import pytest

from seqgnn.cli._terminal import despite_lost_output
from seqgnn.experiments.runs.progress import progress_bars
from tests.support.command_line import TINY, call

NAMES = {"recall.csv", "report.html"} | {f"recall-{x}.{y}" for x in ("scores", "curves") for y in ("png", "svg")}


@pytest.mark.parametrize("terminal", [False, True])
def test_cli_compare_closed_pipe_writes_all_runs_and_files(tmp_path, monkeypatch, capsys, terminal):
    with closed_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        if terminal:
            monkeypatch.setattr("seqgnn.experiments.runs.executor.show_progress", bars_on_any_stream)
        code = call("compare", "recall", *TINY, "--models", "rnn", "--out", tmp_path)
    assert code == 1 and capsys.readouterr().err == ""
    assert {path.name for path in tmp_path.iterdir()} == NAMES | {"runs"}
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4


@contextmanager
def closed_pipe():
    """A stream without a reader."""
    read, write = os.pipe()
    os.close(read)
    with suppress(BrokenPipeError), open(write, "w") as stream:
        yield stream


@contextmanager
def bars_on_any_stream(total, found, progress):
    """Bars as on a terminal, on the stream that there is."""
    with progress_bars(total, found) as say:
        yield say


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_cli_compare_full_device_exits_2_after_writing_files(tmp_path, monkeypatch, capsys):
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert call("compare", "recall", *TINY, "--models", "rnn", "--out", tmp_path) == 2
    assert capsys.readouterr().err == "seqgnn: expected to write all output, got: No space left on device\n"
    assert {path.name for path in tmp_path.iterdir()} == NAMES | {"runs"}


@pytest.mark.slow
def test_cli_compare_piped_to_head_writes_all_files(tmp_path):
    command = [sys.executable, "-m", "seqgnn", "compare", "recall", *TINY, "--models", "rnn", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 1
    assert {path.name for path in tmp_path.iterdir()} == NAMES | {"runs"}


def test_cli_compare_closed_pipe_without_out_exits_with_code_1(monkeypatch, capsys):
    with closed_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        code = call("compare", "recall", *TINY, "--models", "rnn")
    assert code == 1 and capsys.readouterr().err == ""


def test_despite_lost_output_finishes_the_block_then_raises(monkeypatch, capsys):
    done = []
    with closed_pipe() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(BrokenPipeError), despite_lost_output():
            for number in range(3):
                print(number, flush=True)
                done.append(number)
    assert done == [0, 1, 2]
    monkeypatch.undo()
    with despite_lost_output():
        print("shown")
    assert capsys.readouterr().out == "shown\n"
