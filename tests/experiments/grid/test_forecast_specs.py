"""Comparisons of forecasters: the same grid, statistics and files as of other tasks."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.markup import render

from seqgnn.cli import main as cli
from seqgnn.cli.compare import settings
from seqgnn.data import TemporalGraph
from seqgnn.data.datasets.data_source import DataSource
from seqgnn.experiments.compare import plan
from seqgnn.experiments.grid.config import GridConfig
from seqgnn.experiments.grid.forecast_specs import ForecasterSpec
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.runs.store import RunStore
from seqgnn.experiments.trained.forecast import load_forecaster
from seqgnn.report.footnotes import notes
from seqgnn.report.html.commands import reproduction_commands
from seqgnn.report.plots.comparison import metric_label
from seqgnn.report.plots.scores import scores_figure
from seqgnn.report.tables import table, windows_table
from seqgnn.tasks import Protocol
from tests.support.comparisons import plan_grid

SMALL = {"lags": 3, "steps": 8, "eval_every": 4, "hidden": 4, "batch_size": 8, "seeds": [0, 1]}


@pytest.fixture
def files(signal_files):
    return dict(zip(("data", "graph"), signal_files))


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return end.value.code


def test_plan_forecast_run_lists_models_and_baselines_in_rows(files, tmp_path):
    options = {"models": ["lstm", "gcrn"], "sizes": [1, 3], "out": tmp_path / "out"}
    found = plan_grid("forecast", **files, **options, **SMALL).run(progress=False)
    assert not found.failures and len(found.runs) == 8
    rows = {(row.model, row.size): row for row in found.rows()}
    assert {name for name, _ in rows} == {"LSTM", "GCRN", "persistence", "mean", "ar", "ar-node", "ar-graph"}
    cell = [run.result.test.values["mae"] for run in found.of("GCRN", 3)]
    assert rows["GCRN", 3].mean("mae") == pytest.approx(sum(cell) / 2) and rows["GCRN", 3].seeds == 2
    assert rows["persistence", 1].mean("mae") < rows["persistence", 3].mean("mae")
    assert [pair.seeds for pair in found.differences(1)] == [2]
    again = plan_grid("forecast", **files, **options, **SMALL)
    assert set(again.states().values()) == {"finished"}
    assert again.run(progress=False).rows() == found.rows()


def test_cli_compare_forecast_writes_table_files_and_report(files, tmp_path, capsys):
    small = ["--lags", 3, "--steps", 8, "--hidden", 4, "--batch-size", 8, "--seeds", "0,1", "--jobs", 1]
    named = ["--data", files["data"], "--graph", files["graph"], "--models", "lstm,gcn-lstm", "--horizons", "1,2"]
    more = ["--metric", "rmse", "--loss", "mse", "--split", "50,12,15", "--no-skip", "--residual", "--refit"]
    assert call("compare", "forecast", *named, *small, *more, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert err == "" and "forecast: test RMSE, mean ± sd over 2 seeds" in out and "│ ar-graph" in out
    assert "horizon 1: undecided, no significant difference from" in out and "Differences: the best model with" in out
    assert "Time series: signal" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = ("scores", "curves", "truth", "steps", "graph", "difference")  # no times, without timestamps
    drawn = {f"forecast-{what}.{kind}" for what in pictures for kind in ("png", "svg")}
    assert names == {"runs", "forecast.csv", "forecast-pairs.csv", "forecast-ahead.csv", "report.html"} | drawn
    with (tmp_path / "out" / "forecast.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"rmse", "rmse_sd", "mae", "mape", "rmse_t_low"} <= set(rows[0]) and rows[0]["size"] == "1"
    with (tmp_path / "out" / "forecast-ahead.csv").open() as file:
        steps = {(row["model"], row["size"], row["ahead"]): row for row in csv.DictReader(file)}
    assert len(steps) == 7 * 3 and steps["LSTM", "2", "2"]["seeds"] == "2"  # 2 models and 5 baselines, 1 + 2 steps
    for model in ("LSTM", "ar"):  # as many values at either step: the whole is their mean
        whole = next(row for row in rows if (row["model"], row["size"]) == (model, "2"))
        parts = [float(steps[model, "2", ahead]["mae"]) for ahead in "12"]
        assert float(whole["mae"]) == pytest.approx(sum(parts) / 2)
    blocked = tmp_path / "out" / "forecast-truth.png"
    for name in drawn:
        (tmp_path / "out" / name).unlink()
    blocked.mkdir()
    assert call("compare", "forecast", *named, *small, *more, "--out", tmp_path / "out") == 1
    assert f"expected a writable file, got {blocked} (Is a directory)" in capsys.readouterr().err
    assert all((tmp_path / "out" / name).stat().st_size > 0 for name in drawn - {blocked.name})
    run = next(path for path in (tmp_path / "out" / "runs").glob("*.json") if path.with_suffix(".safetensors").exists())
    config = json.loads(run.read_text())["config"]
    assert config["refit"] and config["residual"] and not config["skip"]
    assert config["protocol"]["split"] == [50, 12, 15] and config["protocol"]["metric"] == "rmse"
    page = tmp_path / "again.html"
    assert call("report", tmp_path / "out", "--data", files["data"], "--graph", files["graph"], "--out", page) == 0
    assert page.read_text() == (tmp_path / "out" / "report.html").read_text()
    for said in ("2 models at horizons 1 and 2", "test RMSE", "Node ", "Error by step ahead", "lags"):
        assert said in page.read_text()
    assert "Gradient flow" not in page.read_text() and "Error by hour" not in page.read_text()
    assert call("report", tmp_path / "out", "--out", page) == 0  # the signal is not known
    assert "Not plotted: the time series is not available (--data, --graph)" in page.read_text()


def test_cli_compare_forecast_config_file_reads_forecaster_rows(files, tmp_path, capsys):
    (tmp_path / "grid.toml").write_text(
        'task = "forecast"\ndata = "signal.csv"\ngraph = "edges.csv"\nlags = 3\nhorizons = [1]\nseeds = [0]\n'
        'steps = 2\nhidden = 4\nsplit = [0.5, 0.2, 0.3]\n[[row]]\nlabel = "wide"\nmodel = "gru"\nhidden = 7\n'
        'residual = true\n'
    )
    assert call("compare", "--config", tmp_path / "grid.toml", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "1 ahead wide seed 0: to do, at most" in out and "ahead seasonal" not in out


def test_load_comparisons_of_forecasts_restores_rows_and_grid(files, tmp_path):
    rows = [ForecasterSpec("mine", "lstm"), ForecasterSpec("yours", "gcrn", residual=True, lr=0.1)]
    out = tmp_path / "out"
    options = {"models": rows, "sizes": [1, 2], "refit": True, "metric": "rmse", "out": out, "split": (50, 12, 15)}
    result = plan_grid("forecast", **files, **options, **SMALL).run(progress=False)
    signal = DataSource(str(files["data"]), str(files["graph"]))
    (found,) = load_comparisons([out], data=[signal]).comparisons
    assert found.rows() == result.in_order().rows() and found.labels == result.in_order().labels
    assert found.data == signal and found.metric == "rmse"
    assert load_comparisons([out]).comparisons[0].data is None
    (command,) = reproduction_commands(found)
    grid = tmp_path / "grid.toml"
    grid.write_text(command.grid)
    content = settings({}, grid)
    assert content.pop("task") == "forecast" and content["data"] == tmp_path / "signal.csv"
    assert content["graph"] == tmp_path / "edges.csv"
    content["sizes"] = content.pop("horizons")
    states = plan_grid("forecast", **content | {"out": out}).states()
    assert set(states.values()) == {"finished"} and len(states) == 8 + 10


def test_cli_commands_use_missing_value_graph_kind_and_positions(tmp_path, capsys, monkeypatch):
    kept = ["--graph", "edges.csv", "--graph-kind", "edges", "--missing-value", "0"]
    kept += ["--threshold", "0.05", "--graph-nodes", "ids.txt"]
    positions = ["--positions", "places.csv"]
    (tmp_path / "signal.csv").write_text("a,b\n" + "\n".join(f"{step % 7},{step % 5 + 1}" for step in range(40)) + "\n")
    (tmp_path / "edges.csv").write_text("a,b,1\nb,a,1\nb,c,1\n")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    (tmp_path / "places.csv").write_text("sensor_id,latitude,longitude\na,47,19\nb,48,20\n")
    options = ["--models", "linear", "--lags", "2", "--horizons", "1", "--steps", "2", "--seeds", "0", "--jobs", "1"]
    monkeypatch.chdir(tmp_path)
    said = ["--data", "signal.csv", *kept]
    assert call("compare", "forecast", *said, *positions, *options, "--out", "out") == 0
    (run,) = (path for path in Path("out/runs").glob("*.json") if path.with_suffix(".safetensors").exists())
    assert json.loads(run.read_text())["result"]["test"]["count"] == 6 * 2 - 1  # step 35 of a is 0
    assert call("forecast", run, *said) == 0
    assert call("forecast", run, "--data", "signal.csv", *kept[:2], *kept[6:]) == 2  # zeros are values there
    assert call("report", "out", *said, *positions) == 0
    page = Path("report.html").read_text()
    assert "longitude" in page and "spring layout" not in page
    for line in ('data = "signal.csv"', 'graph = "edges.csv"', 'graph_kind = "edges"', "missing_value = 0.0",
                 'positions = "places.csv"', "threshold = 0.05", 'graph_nodes = "ids.txt"'):  # fmt: skip
        assert line.replace('"', "&#34;") in page
    source = DataSource("signal.csv", "edges.csv", "edges", 0.0, "places.csv", threshold=0.05, graph_nodes="ids.txt")
    (found,) = load_comparisons(["out"], data=[source]).comparisons
    Path("grid.toml").write_text(reproduction_commands(found)[0].grid)
    capsys.readouterr()
    assert call("compare", "--config", "grid.toml", "--dry-run") == 0
    assert "0 runs to train" in capsys.readouterr().out


def test_plan_forecast_units_are_shown_and_not_in_run_keys(files, tmp_path, capsys):
    options = {"models": ["linear"], "sizes": [1], "out": tmp_path / "out", **SMALL}
    plain = plan_grid("forecast", **files, **options).run(progress=False)
    planned = plan_grid("forecast", **files, units="veh [5 min]", **options)
    assert set(planned.states().values()) == {"finished"}
    found = planned.run(progress=False)
    assert plain.units is None and found.units == "veh [5 min]" and found.rows() == plain.rows()
    assert table(plain).title == "forecast: test MAE, mean ± sd over 2 seeds"
    assert render(table(found).title).plain == f"{table(plain).title}; MAE and RMSE in veh [5 min]"
    squared = replace(found, metric="mse")
    assert render(table(squared).title).plain.endswith("; MSE in veh [5 min], squared; MAE and RMSE in veh [5 min]")
    assert render(windows_table(squared).title).plain.startswith("test MSE (veh [5 min], squared): first minus second")
    assert metric_label(found) == "test MAE (veh [5 min])" and metric_label(found, "mape") == "test MAPE"
    assert replace(plain, metric="mse").units_of("mse") is None
    assert scores_figure(found).axes[0].get_xlabel() == "test MAE (veh [5 min])"


def test_cli_units_option_or_file_sets_units_of_forecasts(files, tmp_path, capsys):
    named = ["--data", files["data"], "--graph", files["graph"]]
    small = ["--models", "linear", "--lags", 3, "--steps", 2, "--seeds", 0, "--jobs", 1]
    assert call("compare", "forecast", *named, *small, "--units", "cases") == 0
    assert "MAE and RMSE in cases" in " ".join(capsys.readouterr().out.split())
    plan_grid("forecast", **files, models=["linear"], out=tmp_path / "out", **SMALL).run(progress=False)
    assert call("report", tmp_path / "out", *named, "--units", "deaths", "--out", tmp_path / "page.html") == 0
    assert "MAE (deaths)" in (tmp_path / "page.html").read_text()
    (tmp_path / "grid.toml").write_text('task = "forecast"\nunits = "cases"\n')
    assert settings({}, tmp_path / "grid.toml")["units"] == "cases"
    capsys.readouterr()
    for command, message in (
        (["compare", "forecast", *named, "--units", ""], "expected units as a line of text, not empty, got ''"),
        (["report", tmp_path / "out", *named, "--units", " "], "expected units as a line of text, not empty, got ' '"),
        (["compare", "recall", "--units", "cases"], "got 'units'"),
    ):
        assert call(*command) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(("lags", "there"), [(5, False), (6, True)])
def test_plan_forecast_with_season_before_test_has_seasonal_row(tmp_path, lags, there):
    lines = [f"2024-01-0{1 + hour // 24}T{hour % 24:02}:00,{hour % 5},{hour % 3}" for hour in range(38)]
    (tmp_path / "hours.csv").write_text("time,a,b\n" + "\n".join(lines) + "\n")
    options = {"models": ["linear"], "sizes": [1], "split": (9, 9, 10), "lags": lags, "seeds": [0], "steps": 2}
    found = plan_grid("forecast", data=tmp_path / "hours.csv", **options).run(
        progress=False
    )  # the test part begins at step 18
    assert not found.failures and (("seasonal", 1) in found.baselines) is there


def test_plan_forecast_parameters_sets_hidden_size_of_each_model(files, tmp_path, capsys):
    rows = [ForecasterSpec("narrow", "lstm", hidden=2), "gcrn", "dcrnn-forecaster"]
    options = {"models": rows, "sizes": [1, 3], "parameters": 5000, **SMALL, "seeds": [0], "steps": 2}
    result = plan_grid("forecast", **files, **options, out=tmp_path / "out").run(progress=False)
    counts = [run.result.parameters for run in result.runs.values()]
    assert len(counts) == 6 and all(abs(count - 5000) <= 235 for count in counts) and result.matched
    widths = {key[:2]: run.config.hidden for key, run in result.runs.items()}
    assert (widths["narrow", 1], widths["narrow", 3], widths["GCRN", 1]) == (34, 33, 24)
    assert "Parameter counts are matched: the largest model has 1.0" in " ".join(note.text for note in notes(result))
    (kept,) = load_comparisons([tmp_path / "out"]).comparisons
    assert kept.matched and kept.rows() == result.in_order().rows()
    (command,) = reproduction_commands(kept)
    assert "parameters = 5000" in command.grid and "hidden" not in command.grid
    (tmp_path / "grid.toml").write_text(command.grid)
    content = settings({}, tmp_path / "grid.toml")
    content |= {"sizes": content.pop("horizons"), "out": tmp_path / "out"}
    del content["task"], content["data"]
    assert set(plan_grid("forecast", **files | content).states().values()) == {"finished"}
    path = next(path for key, path in kept.weights.items() if key[0] == "GCRN")
    assert load_forecaster(path)[0].num_parameters in counts


def test_cli_compare_forecast_parameters_option_rejects_linear(files, capsys):
    named = ["--data", files["data"], "--graph", files["graph"], "--lags", 3, "--steps", 2, "--dry-run"]
    assert call("compare", "forecast", *named, "--models", "lstm", "--parameters", 5000) == 0
    assert "3 ahead LSTM seed 0: to do" in capsys.readouterr().out
    assert call("compare", "forecast", *named, "--models", "linear", "--parameters", 5000) == 2
    assert "parameters=5000 is not supported by 'linear'" in capsys.readouterr().err


def test_load_comparisons_distinguishes_runs_with_parameters(files, tmp_path):
    options = {**SMALL, "seeds": [0], "steps": 2, "out": tmp_path / "out"}
    plan_grid("forecast", **files, models=["lstm"], **options).run(progress=False)
    store = RunStore(tmp_path / "out" / "runs")
    for path in store.folder.glob("*.json"):  # as an earlier version wrote them
        run = json.loads(path.read_text())
        run["config"].pop("parameters", None)
        assert store.put(run["config"], run["result"], run["measured"], run["spec"]) == path
    assert set(plan_grid("forecast", **files, models=["lstm"], **options).states().values()) == {"finished"}
    plan_grid("forecast", **files, models=["lstm"], parameters=5000, **options).run(progress=False)
    (found,) = load_comparisons([tmp_path / "out"]).comparisons
    assert len(found.labels) == 2 and not found.matched
    assert any(label.endswith("about 5000 parameters") for label in found.labels)


def test_load_comparisons_separates_forecasts_by_protocol(files, tmp_path):
    for lags in (2, 3):
        plan_grid("forecast", **files, models=["linear"], out=tmp_path / "out", **SMALL | {"lags": lags}).run(
            progress=False
        )
    plan_grid("forecast", **files, models=["linear"], out=tmp_path / "out", lr=0.5, **SMALL).run(progress=False)
    found = load_comparisons([tmp_path / "out"]).comparisons
    assert sorted(comparison.labels for comparison in found) == [("Linear",), ("Linear, lr 0.005", "Linear, lr 0.5")]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"models": ["lstn"]}, "expected model to be one of .* did you mean 'lstm'"),
        ({"models": [ForecasterSpec("ar", "lstm")]}, "labels other than those of baselines, got 'ar'"),
        ({"models": ["lstm", "lstm"]}, "each once"),
        ({"parameters": 0}, "compare: expected parameters"),
        ({"parameters": 20}, "expected parameters that 'lstm' can have, such as .* with hidden=1, got 20"),
        ({"sizes": [0]}, "expected sizes to be distinct integers of at least 1"),
        ({"split": (0.5, 0.5)}, "fractions or counts of training, validation and test"),
        ({"lags": 70}, "Forecasting: expected more than"),
        ({"match_parameters": True}, "expected no match_parameters for task 'forecast', got True"),
        ({"window": 3}, "expected no window for task 'forecast', got 3"),
        ({"split_by": "window"}, "did you mean 'windows'"),
        ({"models": [ForecasterSpec("a\nb", "lstm")]}, "printable labels of one line"),
        ({"target_accuracy": 0.9}, "expected target_accuracy=None for forecasts, got 0.9"),
        ({"stateful": True}, "expected stateful=False for forecasts, got True"),
        ({"monitor": "accuracy"}, "expected monitor='loss' for forecasts, got 'accuracy'"),
    ],
)
def test_plan_forecast_invalid_options_raise_value_error(files, options, message):
    with pytest.raises(ValueError, match=message):
        plan_grid("forecast", **files, **(SMALL | options))


def test_plan_forecast_changing_graph_leaves_out_static_models(monkeypatch, capsys):
    edges = [torch.tensor([[step % 3, 1], [2, 0]]) for step in range(80)]
    graph = TemporalGraph(torch.randn(80, 3, 1, generator=torch.Generator().manual_seed(0)), edges)
    monkeypatch.setattr("seqgnn.data.datasets.data_source.load_temporal_graph", lambda data: graph)
    planned = plan_grid("forecast", data="changing", **SMALL)
    assert planned.labels == ("LSTM", "GRU", "GCN in LSTM", "GCRN", "DCRNN, encoder") and planned.left_out == ("GCN",)
    assert not any(job.key[0] == "GCN" for job in planned.jobs)
    said = "GCN: left out, since the graph changes and it takes one for all steps"
    found = plan_grid("forecast", data="changing", **SMALL | {"steps": 1, "seeds": [0]}).run()
    assert not found.failures and capsys.readouterr().out.splitlines()[0] == said
    assert call("compare", "forecast", "--data", "changing", "--lags", 3, "--steps", 2, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[0] == said
    for models in (["lstm", "gcn"], [ForecasterSpec("GCN", "gcn")]):
        with pytest.raises(ValueError, match=r"a graph that changes, got 'gcn' \('GCN'\), which needs a fixed graph"):
            plan_grid("forecast", data="changing", models=models, **SMALL)


def test_plan_forecast_unobserved_test_part_raises_value_error(tmp_path):
    lines = [f"{step % 7},{step % 5}" if step < 60 else "," for step in range(80)]
    (tmp_path / "signal.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    with pytest.raises(ValueError, match="observed targets in the test part, got none"):
        plan_grid("forecast", data=tmp_path / "signal.csv", **SMALL)


def test_plan_forecast_static_graph_includes_gcn(files):
    planned = plan_grid("forecast", **files, **SMALL)
    assert "GCN" in planned.labels and planned.remarks() == ["no baseline 'seasonal': there are no timestamps"]


def test_plan_forecast_names_gaps_in_time_and_fills_them(tmp_path):
    hours = np.datetime64("2012-03-01", "h") + np.delete(np.arange(80), [20, 21, 50])
    lines = [f"{hour},{step % 7},{step % 5}" for step, hour in enumerate(hours.astype("datetime64[s]"))]
    (tmp_path / "signal.csv").write_text("\n".join(["time,a,b", *lines]) + "\n")
    planned = plan_grid("forecast", data=tmp_path / "signal.csv", models=["lstm"], **SMALL)
    gaps = "every hour, but 2 gaps, the first after 2012-03-01 19:00: windows ignore gaps, --fill-gaps inserts the"
    assert planned.remarks()[0].startswith(gaps)
    filled = DataSource(str(tmp_path / "signal.csv"), fill_gaps=True)
    assert len(filled.load()) == 80 and filled.load().mask.sum() == 2 * 77
    grid = GridConfig(protocol=Protocol(lags=3, horizon=1))
    assert plan("forecast", data=filled, models=["lstm"], grid=grid).remarks() == []


def test_cli_compare_forecast_with_preset_exits_with_code_2(files, capsys):
    assert call("compare", "forecast", "--data", files["data"], "--preset", "reports") == 2
    assert "compare: expected no preset for task 'forecast', got 'reports'" in capsys.readouterr().err


def test_cli_compare_forecast_without_data_exits_with_code_2(capsys):
    assert call("compare", "forecast") == 2
    assert "expected data for 'forecast' (--data), a file or a name of `seqgnn data list`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "step, unit, steps, expected", [(5, "m", 600, 288), (1, "h", 30, 24), (1, "D", 30, 7), (7, "D", 100, 52)]
)
def test_season_of_timestamps_is_a_day_week_or_year(step, unit, steps, expected):
    times = np.datetime64("2024-01-01", "s") + np.arange(steps) * np.timedelta64(step, unit)
    graph = TemporalGraph(torch.zeros(steps, 1, 1), torch.zeros(2, 0, dtype=torch.long), timestamps=times)
    assert graph.time.season().steps == expected
    assert graph.steps(0, min(expected, steps)).time.season().steps is None


def test_plan_forecast_without_edges_refuses_models_of_a_graph(files, tmp_path, capsys):
    message = (
        "compare: expected a graph for gcn, gcn-lstm, gcrn and dcrnn, which use neighbors, got no edges between "
        "different nodes; pass its file (--graph), or models without a graph (--models lstm,gru)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_grid("forecast", data=files["data"], **SMALL)
    small = ["--data", files["data"], "--lags", 3, "--steps", 2, "--dry-run"]
    assert call("compare", "forecast", *small) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"for lstm, which uses neighbors.*--models linear,lstm,gru"):
        plan_grid("forecast", data=files["data"], models=["lstm"], neighbors=True, **SMALL)
    (tmp_path / "loops.csv").write_text("from,to\na,a\nb,b\n")
    with pytest.raises(ValueError, match="for gcrn, which uses neighbors, got no edges between different nodes"):
        plan_grid("forecast", data=files["data"], graph=tmp_path / "loops.csv", models=["gcrn"], **SMALL)
    assert plan_grid("forecast", data=files["data"], models=["lstm"], **SMALL).labels == ("LSTM",)
    assert plan_grid("forecast", data=files["data"], models=["gcrn"], K=1, **SMALL).labels == ("GCRN",)
