"""The command `seqgnn report`."""

import pytest
from typer.testing import CliRunner

from seqgnn.cli.main import app
from tests.support.comparisons import SMALL, run_grid


def test_cli_report_unwritable_page_raises_value_error(tmp_path):
    run_grid("recall", models=["rnn"], out=tmp_path, progress=False, **SMALL)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "runs")])
    with pytest.raises(ValueError, match=r"expected a writable file, got .*runs"):
        raise done.exception
    assert not list(tmp_path.glob("*.tmp"))
