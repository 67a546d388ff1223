"""Signals that end a process, and processes that end with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from seqgnn._utils.processes import SIGNALS, deferred_signals, interrupting_signals, kept_handlers, working

WORKER = """
import os, subprocess, sys, time
from seqgnn._utils import processes

processes.SAVING_SECONDS = float(sys.argv[2])
processes.end_with_parent(int(sys.argv[1]))
with processes.working() as ends:
    print("ready", flush=True)
    while not ends():
        time.sleep(0.01)
    print("saved", flush=True)
    if sys.argv[3] == "long":
        time.sleep(60)
time.sleep(60)
"""
# Starts a worker and is killed.
PARENT = f"""
import os, subprocess, sys, time
output = open(sys.argv[1], "w+")
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}, str(os.getpid()), *sys.argv[2:]], stdout=output)
while not os.path.getsize(sys.argv[1]):
    time.sleep(0.01)
print(worker.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def default_handlers():
    """Python's own handlers, also where the tests are run in the background, which ignores SIGINT."""
    before = handlers()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


def test_deferred_signals_first_requests_and_second_is_delivered():
    before = handlers()
    with deferred_signals() as request:
        assert not request()
        os.kill(os.getpid(), signal.SIGTERM)
        assert request() and request.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert handlers() == before


def test_deferred_signals_with_nothing_to_save_are_not_deferred(capfd):
    with deferred_signals("saving", idle=lambda: True), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_deferred_signals_raised_where_python_drops_exceptions_are_requests():
    """With nothing to save, SIGTERM raises KeyboardInterrupt, which is dropped in a `__del__`."""

    class Signals:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    with interrupting_signals(), deferred_signals(idle=lambda: True) as request:
        Signals()
        assert request() and request.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            request.deliver()


def test_deferred_signals_are_delivered_after_the_block(capfd):
    with deferred_signals("saving") as request:
        os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == "seqgnn: saving\n"
    with pytest.raises(KeyboardInterrupt):
        request.deliver()


def test_deferred_signals_repeated_ones_are_ignored():
    with deferred_signals(repeated=True) as request:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert request.number == signal.SIGINT


@pytest.mark.parametrize("block", [deferred_signals, interrupting_signals])
def test_signals_that_are_ignored_stay_ignored(block):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with block() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_in_another_thread_change_no_handler():
    before, seen = handlers(), []

    def enter():
        with deferred_signals() as first, interrupting_signals() as second:
            seen.append((handlers(), first(), second()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(before, False, False)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_interrupting_signals_raise_keyboard_interrupt(number):
    before = handlers()
    with interrupting_signals() as request:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert request.number == number
    assert handlers() == before


def test_interrupting_signals_during_an_import_end_the_process(tmp_path):
    """Where the import is tried by a package that catches everything, as KeyboardInterrupt."""
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    (tmp_path / "tries.py").write_text("try:\n    import slow\nexcept:\n    slow = None\n")
    script = "from seqgnn._utils import processes\nwith processes.interrupting_signals():\n    import tries\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *filter(None, sys.path)))}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 130 and done.stderr == "seqgnn: interrupted\n"


def test_working_without_parent_to_watch_never_ends():
    with working() as ends:
        assert not ends()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")
@pytest.mark.parametrize(("grace", "work"), [("60", "short"), ("0.5", "long")])
def test_end_with_parent_saves_first_but_not_for_long(tmp_path, grace, work):
    output = tmp_path / "output"
    command = [sys.executable, "-c", PARENT, str(output), grace, work]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker, end = int(parent.stdout.readline()), time.monotonic() + 30
    assert parent.returncode == -signal.SIGKILL
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(worker) and output.read_text() == "ready\nsaved\n"


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")
def test_end_with_parent_signal_interrupts_work_but_not_the_process():
    command = [sys.executable, "-c", WORKER, str(os.getpid()), "60", "short"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGTERM)
        assert worker.stdout.readline() == "saved\n" and worker.poll() is None
        worker.kill()


def test_kept_handlers_are_installed_again_after_the_block():
    def handle(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with kept_handlers():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is handle
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
