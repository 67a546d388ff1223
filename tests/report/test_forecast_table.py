import sys

import numpy as np
import pandas
import pytest
import torch

from seqgnn.data import TemporalGraph
from seqgnn.report.forecast_table import as_csv, forecast_table, write_table

EDGES = torch.tensor([[0], [1]])


@pytest.fixture
def graph():
    signal = torch.arange(8.0).view(4, 2, 1)
    mask = torch.ones(4, 2, dtype=torch.bool)
    mask[3, 1] = False
    moments = np.array(["2020-01-01T06", "2020-01-02T06", "2020-01-03T06", "2020-01-05T06"], "datetime64[s]")
    return TemporalGraph(signal, EDGES, mask=mask, timestamps=moments, nodes=["a", 'b, "c"'])


def test_forecast_table_lines_equal_hand_values(graph):
    values = torch.tensor([[[1.5, 2.5], [3.5, 4.5]], [[0.1, -2e-9], [1e20, 6.0]]])[..., None]
    table = forecast_table(graph, values, [2, 4])
    assert as_csv(table).splitlines() == [
        "time,ahead,node,target,forecast,truth",
        "2020-01-03T06:00:00,1,a,0,1.5,4.0",
        '2020-01-03T06:00:00,1,"b, ""c""",0,2.5,5.0',
        "2020-01-05T06:00:00,2,a,0,0.1,6.0",
        '2020-01-05T06:00:00,2,"b, ""c""",0,-2e-09,',
        "2020-01-06T06:00:00,1,a,0,3.5,",
        '2020-01-06T06:00:00,1,"b, ""c""",0,4.5,',
        "2020-01-07T06:00:00,2,a,0,1e+20,",
        '2020-01-07T06:00:00,2,"b, ""c""",0,6.0,',
    ]


def test_forecast_table_after_the_end_has_no_truth():
    graph = TemporalGraph(torch.zeros(3, 2, 2), EDGES, targets=torch.zeros(3, 2, 2))
    table = forecast_table(graph, torch.arange(8.0).view(2, 1, 2, 2), range(3, 4))
    assert list(table) == ["step", "ahead", "node", "target", "forecast"]
    assert table["step"].tolist() == [3] * 4 + [4] * 4 and table["ahead"].tolist() == [1] * 4 + [2] * 4
    assert table["node"].tolist() == ["0", "0", "1", "1"] * 2 and table["target"].tolist() == [0, 1] * 4
    assert table["forecast"].tolist() == list(range(8))


def test_write_table_csv_and_parquet_contain_equal_values(graph, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    values = torch.randn(2, 3, 2, 1, generator=torch.Generator().manual_seed(0))
    table = forecast_table(graph, values, [2, 3, 4])
    write_table(table, tmp_path / "table.csv")
    write_table(table, tmp_path / "table.PARQUET")
    assert (tmp_path / "table.csv").read_text() == as_csv(table)
    read = parquet.read_table(tmp_path / "table.PARQUET")
    assert read.column_names == list(table)
    assert read["truth"].null_count == np.isnan(table["truth"]).sum() == 8
    for name in ("time", "ahead", "node", "forecast"):
        np.testing.assert_array_equal(read[name].to_numpy(), table[name])
    cells = [float(line.rsplit(",", 2)[1]) for line in as_csv(table).splitlines()[1:]]
    np.testing.assert_array_equal(np.float32(cells), table["forecast"])


def test_write_table_failing_leaves_existing_file(graph, tmp_path, monkeypatch):
    table = forecast_table(graph, torch.zeros(1, 1, 2, 1), [4])
    with pytest.raises(ValueError, match=r"a table's file to end to be one of '\.csv', '\.parquet', got '\.txt'"):
        write_table(table, tmp_path / "table.txt")
    with pytest.raises(FileNotFoundError, match=r"none/table\.csv"):
        write_table(table, tmp_path / "none" / "table.csv")
    (tmp_path / "table.parquet").write_text("before")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"write_table: pyarrow is required to write .*table\.parquet"):
        write_table(table, tmp_path / "table.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]
    assert (tmp_path / "table.parquet").read_text() == "before"


def test_forecast_table_invalid_arguments_raise_value_error(graph):
    for wrong in (torch.zeros(1, 2, 1), torch.zeros(1, 2, 2, 1), torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 2, 2)):
        with pytest.raises(ValueError, match=r"forecast_table: expected forecasts \[horizon, 1, 2, 1\], got"):
            forecast_table(graph, wrong, [4])
    with pytest.raises(ValueError, match=r"expected starts from 0 to 4, got \[5\]"):
        forecast_table(graph, torch.zeros(1, 1, 2, 1), [5])
    single = TemporalGraph(graph.signal[:1], EDGES, timestamps=graph.timestamps[:1])
    with pytest.raises(ValueError, match="expected at least two timestamps to extrapolate, got 1"):
        forecast_table(single, torch.zeros(1, 1, 2, 1), [1])


def test_forecast_table_has_the_calendar_and_zone_of_the_series():
    months = pandas.date_range("2019-10-01", periods=3, freq="MS")
    single = TemporalGraph(torch.zeros(3, 1, 1), EDGES[:, :0], timestamps=months)
    table = forecast_table(single, torch.zeros(3, 1, 1, 1), [3])
    assert table["time"].astype(str).tolist() == [f"2020-0{month}-01T00:00:00" for month in (1, 2, 3)]
    hours = pandas.date_range("2012-11-03 22:00", periods=3, freq="h", tz="America/Los_Angeles")
    zoned = TemporalGraph(torch.zeros(3, 1, 1), EDGES[:, :0], timestamps=hours)
    written = forecast_table(zoned, torch.zeros(3, 1, 1, 1), [3])["time"].tolist()
    expected = pandas.date_range(hours[-1], periods=4, freq="h")[1:]
    assert written == [time.isoformat() for time in expected]  # 01:00-07:00, 01:00-08:00, 02:00-08:00


def test_as_csv_writes_names_like_formulas_as_text():
    graph = TemporalGraph(torch.zeros(2, 3, 1), torch.tensor([[0], [1]]), nodes=["=a", "-b", "-5"])
    lines = as_csv(forecast_table(graph, torch.full((1, 1, 3, 1), -1.5), [2])).splitlines()
    assert [line.split(",")[2] for line in lines[1:]] == ["'=a", "'-b", "-5"]
    assert all(line.split(",")[4] == "-1.5" for line in lines[1:])
