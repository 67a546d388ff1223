"""Forecasts that the figures draw."""

import pytest

from tests.support.forecasts import collected


@pytest.fixture(scope="session")
def example():
    return collected()
