"""Runs of which pages are rendered."""

import pytest

from tests.support.comparisons import PAGE_GRID, run_grid


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    run_grid("recall", models=["rnn", "lstm", "gcn", "gcn-1hop"], out=out, **PAGE_GRID)
    return out
