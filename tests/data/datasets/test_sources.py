"""The sources of the time series of the catalog."""

from pathlib import Path

from seqgnn.data.datasets import catalog as catalog
from seqgnn.data.datasets.sources import SIGNALS


def test_catalog_time_series_have_distinct_hashes_and_urls():
    files = [file for source in SIGNALS.values() for file in source.files]
    assert len({file.sha256 for file in files}) == len({file.file for file in files}) == len(files) == 8
    for file in files:
        assert len(file.sha256) == 64 and int(file.sha256, 16)
        commit = file.url.split("/")[5]
        assert file.url.startswith("https://") and len(commit) == 40 and int(commit, 16)
        assert file.url.endswith(Path(file.file).name)
