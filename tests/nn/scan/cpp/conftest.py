"""Fixtures of the tests of the compiled library."""

import pytest

from seqgnn.nn.scan.cpp import library


@pytest.fixture
def instruction_set():
    """Choose one, or skip the test where this processor does not have it."""
    best = library.instruction_set()

    def choose(name):
        if not library.use_instruction_set(name):
            pytest.skip(f"this processor does not have {name}")

    yield choose
    library.use_instruction_set(best)
