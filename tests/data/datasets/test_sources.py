"""The sources of the time series of the catalog."""

from pathlib import Path

import pytest

from seqgnn.data.datasets import catalog as catalog
from seqgnn.data.datasets.sources import SIGNALS
from seqgnn.data.io.text import fingerprint
from tests.support.paths import DATA


def test_catalog_time_series_have_distinct_hashes_and_urls():
    files = {file for source in SIGNALS.values() for file in source.files}
    manual = {file for file in files if file.page is not None}
    assert {Path(file.file).name for file in manual} == {"metr-la.h5", "pems-bay.h5"}
    assert all(not file.url and not file.sha256 and file.page.startswith("https://") for file in manual)
    files -= manual
    assert len({file.sha256 for file in files}) == len({file.file for file in files}) == len(files) == 10
    for file in files:
        assert len(file.sha256) == 64 and int(file.sha256, 16)
        commit = file.url.split("/")[5]
        assert file.url.startswith("https://") and len(commit) == 40 and int(commit, 16)
        assert file.url.endswith(Path(file.file).name)


def test_catalog_graphs_of_full_data_are_those_that_dcrnn_published():
    assert SIGNALS["metr-la"].files[1:] == SIGNALS["metr-la-week"].files[2:]
    for file, local in zip(SIGNALS["pems-bay"].files[1:], ("adj_mx_bay.pkl", "graph_sensor_locations_bay.csv")):
        path = DATA / "traffic" / local
        if not path.exists():
            pytest.skip("the files are not here")
        assert fingerprint(path) == file.sha256 and path.stat().st_size == file.bytes
