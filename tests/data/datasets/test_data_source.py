"""The data of an experiment: its options, what is read once, and its identity."""

from dataclasses import replace

import pytest

from seqgnn.data.datasets.data_source import DataSource, content_hash


@pytest.fixture
def source(signal_files):
    data, graph = map(str, signal_files)
    return DataSource(data, graph=graph)


def test_data_source_of_paths_and_sources(tmp_path):
    source = DataSource.of(tmp_path / "my.csv")
    assert source == DataSource(str(tmp_path / "my.csv")) and source.path == tmp_path / "my.csv"
    assert DataSource.of(source) is source and DataSource.of(None) is None


def test_data_source_options_are_those_that_are_set(source):
    assert replace(source, missing_value=0.0, units="cases").options() == {
        "data": source.data, "graph": source.graph, "missing_value": 0.0, "units": "cases",
    }  # fmt: skip
    with pytest.raises(ValueError, match="expected units as a line of text"):
        replace(source, units="")


def test_data_source_arguments_hold_the_format_of_tables(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("day;id;y\n2/1/2012;001;1,5\n2/1/2012;002;3\n3/1/2012;001;2\n")
    table = {"sensor_column": "id", "value_columns": ["y"], "decimal": ",", "day_first": False}
    source = DataSource(str(path), sensors=["002"], **table)
    assert set(source.arguments()) == {"table_format", "sensors"} and hash(source)
    assert source.options()["value_columns"] == ("y",) and DataSource("my.csv").arguments() == {}
    graph = source.load()
    assert graph.nodes == ("002",) and graph.signal.flatten().tolist() == [3, 0]
    assert graph.timestamps.astype("datetime64[D]").astype(str).tolist() == ["2012-02-01", "2012-03-01"]


def test_data_source_is_read_again_only_after_changes(source):
    first = source.load()
    assert source.load() is first
    source.path.write_text(source.path.read_text() + "1,2,3\n")
    assert len(source.load()) == len(first) + 1


def test_data_source_identity_depends_on_content_only(source, tmp_path):
    identity = source.identity()
    assert identity == f"signal ({content_hash(source.load())})"
    copied = tmp_path / "other"
    copied.mkdir()
    (copied / "signal.csv").write_text(source.path.read_text())
    assert replace(source, data=str(copied / "signal.csv"), units="cases").identity() == identity
    assert replace(source, graph=None).identity() != identity
