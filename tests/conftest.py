"""Fixtures that tests of several folders use."""

import gc
import signal

import pytest
import torch

# A process of `nohup` ignores SIGHUP, one in the background of a shell SIGINT, and so would those that tests start.
for ignored in [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_IGN]:
    signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Exclude all that was imported and collected from garbage collection: thousands of tests are many objects."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    """Undo `pytest_collection_finish`, so that what remains is freed at exit."""
    gc.unfreeze()


@pytest.fixture
def signal_files(tmp_path):
    """80 steps at three nodes, and the edges between them."""
    values = torch.randn(80, 3, generator=torch.Generator().manual_seed(0)).cumsum(0)
    lines = ["a,b,c", *(",".join(f"{value:.4f}" for value in row) for row in values.tolist())]
    (tmp_path / "signal.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "edges.csv").write_text("from,to\na,b\nb,c\n")
    return tmp_path / "signal.csv", tmp_path / "edges.csv"
