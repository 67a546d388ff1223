"""Fixtures that tests of data use."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a file, by default my.csv, text as UTF-8, and returns its path."""

    def write(content, name="my.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
