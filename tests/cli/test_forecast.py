"""`seqgnn forecast`, also as docs/forecasting.md calls it."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from seqgnn.cli.main import main
from seqgnn.data import load_temporal_graph
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.runs.forecast_config import ForecastBaseline
from seqgnn.experiments.trained.forecast import forecast, forecast_test, load_forecaster, load_record
from tests.support import pages
from tests.support.paths import ROOT
from tests.support.stored_runs import PROTOCOL, keep, run_of, write_signal

DOCS = (ROOT / "docs" / "forecasting.md").read_text()


@pytest.fixture
def call(capsys):
    def call(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert ended.value.code == code, shown.err
        return shown

    return call


@pytest.fixture
def kept(tmp_path):
    source = write_signal(tmp_path)
    path = keep(run_of(source), source, tmp_path / "runs")
    return path, source, ["forecast", path, "--data", source.data, "--graph", source.graph]


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def test_cli_forecast_prints_values_of_the_next_steps(call, kept):
    path, source, command = kept
    shown = call(*command)
    rows = rows_of(shown.out)
    assert list(rows[0]) == ["time", "ahead", "node", "target", "forecast"] and shown.err == ""
    assert [row["time"] for row in rows] == ["2020-03-01T00:00:00"] * 3 + ["2020-03-02T00:00:00"] * 3
    assert [row["node"] for row in rows] == ["a", "b", "c"] * 2
    expected = forecast(*load_forecaster(path), source.load()).flatten().tolist()
    assert [float(row["forecast"]) for row in rows] == pytest.approx(expected)


def test_cli_forecast_test_part_errors_are_in_known_units(call, kept, monkeypatch):
    _, source, command = kept
    graph = load_temporal_graph(source.data, source.graph, units="cases")
    monkeypatch.setattr(DataSource, "load", lambda self: graph)
    assert call(*command, "--part", "test").err.endswith(" (cases) over 48 values\n")


def test_cli_forecast_test_part_is_written_with_the_truth(call, kept, tmp_path):
    path, source, command = kept
    values, _, scores = forecast_test(*load_forecaster(path), source.load())
    shown = call(*command, "--part", "test", "--out", tmp_path / "test.csv").out.splitlines()
    rows = rows_of((tmp_path / "test.csv").read_text())
    assert shown[-1] == f"MAE {scores.mae:.6g}, RMSE {scores.rmse:.6g} over 48 values"
    assert shown[-2] == f"wrote {tmp_path / 'test.csv'}, 48 lines"
    assert shown[:-2] == (tmp_path / "test.csv").read_text().splitlines()[:11]
    errors = [abs(float(row["forecast"]) - float(row["truth"])) for row in rows]
    assert sum(errors) / len(errors) == pytest.approx(scores.mae, rel=1e-5)
    truth = {(row[0] + "T00:00:00", node): row[1 + i]
             for row in list(csv.reader(Path(source.data).read_text().splitlines()))[1:]
             for i, node in enumerate("abc")}  # fmt: skip
    assert all(float(row["truth"]) == pytest.approx(float(truth[row["time"], row["node"]])) for row in rows)
    assert [float(row["forecast"]) for row in rows] == pytest.approx(values.transpose(0, 1).flatten().tolist())
    printed = call(*command, "--part", "test")
    assert rows_of(printed.out) == rows and printed.err.splitlines() == [shown[-1]]


def test_cli_forecast_of_longer_file_starts_at_its_end(call, kept, tmp_path):
    path, _, command = kept
    longer = write_signal(tmp_path, 75, "longer.csv")
    rows = rows_of(call(*command[:3], longer.data, *command[4:]).out)
    assert rows[0]["time"] == "2020-03-16T00:00:00"
    expected = forecast(*load_forecaster(path), longer.load()).flatten().tolist()
    assert [float(row["forecast"]) for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["persistence", "mean", "mean-node", "seasonal", "ar", "ar-node", "ar-graph"])
def test_cli_forecast_takes_the_run_of_a_baseline(call, tmp_path, name):
    source, longer = write_signal(tmp_path), write_signal(tmp_path, 75, "longer.csv")
    baseline = ForecastBaseline("forecast", source.identity(), name, PROTOCOL, True, 7 if name == "seasonal" else None)
    path = keep(baseline, source, tmp_path / "runs")
    command = ["forecast", path, "--data", source.data, "--graph", source.graph]
    scores = load_record(path).result.test.values
    shown = call(*command, "--part", "test")
    assert shown.err == f"MAE {scores['mae']:.6g}, RMSE {scores['rmse']:.6g} over 48 values\n"
    rows = rows_of(shown.out)
    errors = [abs(float(row["forecast"]) - float(row["truth"])) for row in rows]
    assert sum(errors) / len(errors) == pytest.approx(scores["mae"], rel=1e-5) and len(rows) == 48
    values = [row[1:] for row in csv.reader(Path(longer.data).read_text().splitlines())][1:]
    for data, steps, first in ((source, 60, "2020-03-01"), (longer, 75, "2020-03-16")):
        rows = rows_of(call(*command[:3], data.data, *command[4:]).out)
        assert rows[0]["time"] == f"{first}T00:00:00" and len(rows) == 6
        if name in ("persistence", "seasonal"):
            last = [values[steps - 1]] * 2 if name == "persistence" else values[steps - 7 : steps - 5]
            assert [f"{float(row['forecast']):.4f}" for row in rows] == last[0] + last[1]


def test_cli_forecast_of_a_folder_takes_the_best_on_validation(call, kept):
    path, _, command = kept
    record = load_record(path).result
    (score,) = [point.loss for point in record.validation if point.step == record.best_step]
    shown = call("forecast", path.parent.parent, *command[2:])
    expected = f"forecast by GCRN, seed 0 ({path}): validation MAE {score:,.4f}, the best of 1 runs and 0 baselines\n"
    assert shown.err == expected and shown.out == call(*command).out
    shown = call("forecast", path.parent, *command[2:], "--horizon", 2)
    assert shown.err == expected and shown.out == call(*command).out


def test_cli_forecast_bad_input_is_one_line_and_writes_nothing(call, kept, tmp_path):
    path, source, command = kept
    (tmp_path / "short.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "two.csv").write_text(re.sub(",[^,]*$", "", Path(source.data).read_text(), flags=re.MULTILINE))
    (tmp_path / "edges2.csv").write_text("from,to\na,b\n")
    (tmp_path / "empty").mkdir()
    other = write_signal(tmp_path, name="other.csv", seed=1)
    for arguments, message in (
        ([*command, "--out", tmp_path / "x.xlsx"], "'.csv', '.parquet', got '.xlsx'"),
        ([*command, "--out", tmp_path / "none" / "x.csv"], "none/x.csv"),
        ([*command, "--part", "training"], "expected part to be one of 'next', 'test', got 'training'"),
        (command[:4], "with the same nodes and edges"),
        ([*command[:3], tmp_path / "short.csv"], "expected at least 3 steps to read, got 1"),
        ([*command[:3], tmp_path / "two.csv", "--graph", tmp_path / "edges2.csv"], "nodes=2"),
        ([*command[:3], other.data, *command[4:]], "that the run was trained on"),
        ([*command[:3], tmp_path / "none.csv"], "none.csv"),
        ([*command[:3], "chickenpocks"], "did you mean 'chickenpox'?"),
        (["forecast", tmp_path / "empty", *command[2:]], "expected finished runs of forecasters in"),
        (["forecast", tmp_path, *command[2:], "--horizon", "3"], "forecasters with horizon 3 in"),
        ([*command, "--horizon", "2"], "expected --horizon with a folder of runs, got it with"),
        (["forecast", tmp_path / "none.json", *command[2:]], "none.json"),
        (["forecast", path], "--data"),
    ):
        before = sorted(tmp_path.rglob("*"))
        shown = call(*arguments, code=2)
        assert message in shown.err and shown.err.count("\n") == 1 and shown.out == "", shown
        assert sorted(tmp_path.rglob("*")) == before


def test_docs_forecasting_code_and_commands_run(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(pages.setup(DOCS), {})
    source = DataSource("signal.csv", "edges.csv")
    (tmp_path / "results").mkdir()
    key = keep(run_of(source, protocol=PROTOCOL), source, Path("results/runs")).stem
    seasonal = ForecastBaseline("forecast", source.identity(), "seasonal", PROTOCOL, False, 7)
    baseline = keep(seasonal, source, Path("results/runs")).stem
    for code in pages.blocks(DOCS, "kept"):
        exec(code.replace("KEY", key).replace("BASELINE", baseline), {})
        pages.check_promises(code, capsys.readouterr().out)
    commands = re.findall(r"^seqgnn (.*)$", "".join(re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)), re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        if "parquet" in command:
            pytest.importorskip("pyarrow")
        call(*shlex.split(command.replace("KEY", key), comments=True))
    assert (tmp_path / "test.parquet").exists()
