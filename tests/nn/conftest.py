"""Fixtures that tests of several folders of layers use."""

import pytest

from seqgnn.nn.scan.cpp import scan as cpp
from seqgnn.nn.scan.fused import scan as fused


@pytest.fixture
def fused_calls(monkeypatch):
    """Calls of the fused engine."""
    taken = []
    original = fused.fused_scan
    monkeypatch.setattr(fused, "fused_scan", lambda *args: taken.append(1) or original(*args))
    return taken


@pytest.fixture
def no_library(monkeypatch):
    """As where the compiled library was not built."""
    monkeypatch.setattr(cpp, "is_available", lambda: False)
