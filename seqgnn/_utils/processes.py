"""Signals that end a process, and processes that end with their parent."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVING_SECONDS = 3.5  # after the end of its parent, in which a worker may save
POLL_SECONDS = 0.5
_parent_ended, _signaled, _busy = threading.Event(), threading.Event(), threading.Lock()


class StopRequest:
    """A request to save and to stop: called, it returns True once there is one.

    Attributes:
        number: number of the signal that made the request, None if there is none.
    """

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None

    def deliver(self) -> None:
        """Raise the signal again, for the handlers that were there before `deferred_signals`."""
        if self.number is not None:
            signal.raise_signal(self.number)


@contextmanager
def deferred_signals(
    message: str = "", repeated: bool = False, idle: Callable[[], bool] | None = None
) -> Iterator[StopRequest]:
    """Within the block, the first SIGINT, SIGTERM or SIGHUP only makes a request to stop, which is yielded.

    A second one is handled as before the block, so it usually ends the process at once. Signals that are ignored, as
    SIGHUP is under `nohup`, stay ignored; outside the main thread nothing changes.

    Args:
        message: written to stderr when a request is made.
        repeated: signals arrive several times, as from torchrun; all but the first are ignored.
        idle: called when a signal arrives; True if there is nothing to save, so the signal is not deferred. It still
            makes a request.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        first, request.number = request.number is None, request.number or number
        if first and not (idle is not None and idle()):
            if message:
                with suppress(OSError):  # not `print`, which the signal may have interrupted
                    os.write(2, f"seqgnn: {message}\n".encode())
        elif first or not repeated:  # the request stays, as Python drops what is raised in a `__del__` or at a fork
            _restore(handlers)
            signal.raise_signal(number)

    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            handlers[number] = signal.signal(number, handle)
    try:
        yield request
    finally:
        _restore(handlers)


@contextmanager
def interrupting_signals() -> Iterator[StopRequest]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does, unless they are ignored or handled.

    A signal that arrives during an import ends the process at once: packages that catch every exception when they
    import another would continue without it.

    Yields the request with the number of the last of them.
    """
    request = StopRequest()
    handlers: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        request.number = number
        if _is_importing(frame):
            with suppress(OSError, RuntimeError, ValueError):  # closed, or interrupted while it is written to
                sys.stdout.flush()
            with suppress(OSError):
                os.write(2, b"seqgnn: interrupted\n")
            os._exit(128 + number)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                handlers[number] = signal.signal(number, handle)
    try:
        yield request
    finally:
        _restore(handlers)


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Install the handlers of signals from before the block again after it; a library may replace them in it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            _restore({number: handler for number, handler in before.items() if handler is not None})


def _is_importing(frame: FrameType | None) -> bool:
    """Return True if a frame, or one that called it, executes an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end_with_parent(parent: int) -> None:
    """Let this worker process end within five seconds after the process that started it, and at once when it is done.

    A signal no longer ends the process, but interrupts the work that it does within `working`: a terminal sends
    signals to workers as well, and the parent decides what happens next.

    Args:
        parent: process id of the parent.
    """

    def handle(number: int, frame: Any) -> None:
        _signaled.set()

    def end() -> None:
        _parent_ended.set()
        _busy.acquire(timeout=SAVING_SECONDS)  # until the work is saved
        os._exit(1)

    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, handle)
    call_at_end_of(parent, end)
    atexit.register(os._exit, 0)  # the modules of torch are objects by which Python's own end takes two seconds


@contextmanager
def working() -> Iterator[Callable[[], bool]]:
    """Within the block, a process that ends with its parent has time to save.

    Yields a function that returns True once the work has to be saved and stopped.
    """
    _signaled.clear()
    with _busy:
        yield lambda: _parent_ended.is_set() or _signaled.is_set()


def call_at_end_of(parent: int, action: Callable[[], object]) -> None:
    """Call a function in a thread of its own when the parent of this process has ended, however it did.

    Args:
        parent: process id of the parent; a process whose parent is another one has lost it already.
        action: the function.
    """

    def watch() -> None:
        started_by = parent_process()
        if os.name != "posix" and started_by is not None:
            from multiprocessing.connection import wait

            wait([started_by.sentinel])
        else:
            while os.getppid() == parent:
                time.sleep(POLL_SECONDS)
        action()

    threading.Thread(target=watch, daemon=True, name="seqgnn-parent").start()

