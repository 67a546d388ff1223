import hashlib
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from seqgnn.cli.data import app
from seqgnn.data.datasets import catalog as catalog

CONTENT = "It was the best of times, it was the worst of times.\n" * 40


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.delenv("SEQGNN_DATA", raising=False)
    monkeypatch.setattr(catalog, "_cache", lambda: tmp_path / "cache")
    entry = replace(
        catalog.TEXTS["grimm"],
        sha256=hashlib.sha256(CONTENT.encode()).hexdigest(),
        file="book[1].txt",
        url="http://127.0.0.1:9/book.txt",
    )
    monkeypatch.setitem(catalog.TEXTS, "grimm", entry)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
        if code == 2:  # what seqgnn.cli.main.main makes one line of
            assert isinstance(result.exception, ValueError), result
            return str(result.exception)
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "cache" / "book[1].txt"
    path.parent.mkdir()
    path.write_text(CONTENT)
    return path


def test_cli_data_list_shows_every_dataset(run, book):
    shown = run("list").splitlines()
    line = next(line for line in shown if "grimm" in line)
    assert "Gutenberg 2591" in line and "English" in line and "0.55" in line
    assert "book[1].txt" in re.sub("[ │]", "", "".join(shown))  # a long path is folded within its column
    assert all(any(name in line for line in shown) for name in catalog.TEXTS | catalog.SIGNALS)


def test_cli_data_fetch_prints_path_of_the_file(run, book, tmp_path):
    assert run("fetch", "grimm") == f"{book}\n"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / book.name).write_text(CONTENT)
    assert run("fetch", "grimm", "--out", tmp_path / "out") == f"{tmp_path / 'out' / book.name}\n"
    assert "did you mean 'grimm'?" in run("fetch", "grim", code=2)
    assert "expected to download democracy" in _offline(run, "democracy")


def _offline(run, name):
    text = catalog.TEXTS[name]
    catalog.TEXTS[name] = replace(text, url="http://127.0.0.1:9/book.txt")
    try:
        return run("fetch", name, code=2)
    finally:
        catalog.TEXTS[name] = text


def test_cli_data_check_of_names_reports_whole_changed_missing(run, book):
    assert run("check", "grimm") == f"grimm: whole, {book}\n"
    everything = run("check").splitlines()
    assert len(everything) == len(catalog.TEXTS | catalog.SIGNALS) and f"grimm: whole, {book}" in everything
    assert "democracy: not downloaded; `seqgnn data fetch democracy` downloads it" in everything
    assert "fetch democracy" in run("check", "democracy", "grimm", code=1)
    book.write_text(CONTENT + "!")
    assert f"grimm: changed, {book}, which differs from the catalog" in run("check", "grimm", code=1)
    assert "grimm: changed" in run("check", code=1)
    assert "did you mean 'grimm'?" in run("check", "grim", code=2)


def test_cli_data_check_of_text_files_reports_size_and_encoding(run, tmp_path):
    path = tmp_path / "text"
    path.write_text("abc" * 300 + "d" + "abé" * 33, encoding="utf-8")
    assert run("check", path).splitlines() == [
        f"{path}: 1000 characters, 5 of them distinct, encoding utf-8-sig",
        "  train, validation, test: 900, 50, 50",
        "  rarest in training: 'd' 0, 'é' 0, 'a' 300, 'b' 300, 'c' 300",
        "  in validation and test, but not in training: 34",
    ]
    path.write_text("abc" * 300 + "d" + "abé" * 33, encoding="cp1252")
    assert "got byte 0xe9 at offset 903; encodings that can read it: cp1252, latin-1" in run("check", path, code=2)
    assert "5 of them distinct, encoding cp1252" in run("check", path, "--text-encoding", "cp1252")
    assert "No such file" in run("check", tmp_path / "no.txt", code=2)
    (tmp_path / "a.txt").write_text(CONTENT)
    (tmp_path / "b.txt").write_text(CONTENT)
    assert f"{tmp_path}: {2 * len(CONTENT)} characters in 2 files, " in run("check", tmp_path)


def test_cli_data_check_of_time_series_reports_steps_and_graph(run, tmp_path, monkeypatch):
    path, edges = tmp_path / "my.csv", tmp_path / "edges.csv"
    path.write_text("time,a,b\n2012-03-01 00:00,1,0\n2012-03-01 00:05,2,5\n")
    edges.write_text("a,b\n")
    assert run("check", path, "--graph", edges, "--missing-value", 0).splitlines() == [
        f"{path}: 2 steps, 2 sensors (a, b), 1 feature",
        "  every 5 minutes, 2012-03-01 00:00 to 2012-03-01 00:05, no gaps",
        "  values from 1 to 5, missing 25.0%: b 50.0%",
        "  constant: b",
        "  1 edge, weights from 1 to 1, 0 isolated nodes, 0 self-loops, not symmetric",
    ]
    edges.write_text("from,to,cost\na,b,3\nb,a,1\na,b,3\n")
    assert run("check", path, "--graph", edges, "--threshold", 0.01).splitlines()[-3:] == [
        "  1 edge, weights from 0.367879 to 0.367879, 0 isolated nodes, 0 self-loops, not symmetric",
        f"  note: read_graph: {edges}: edges repeated with the same value, which count once: 1",
        f"  note: read_graph: {edges}: distances, as 'cost' says; 1 of 2 edges have a weight of at least 0.01 "
        "(Gaussian kernel, standard deviation 1); a threshold of 0 (--threshold) keeps all",
    ]
    edges.write_text("a,b,0.5\n")
    note = "values without a name from 0.5 to 0.5 are taken as weights; pass kind='edges' or kind='distances'"
    assert f"  note: read_graph: {edges}: {note}" in run("check", path, "--graph", edges)
    assert "note" not in run("check", path, "--graph", edges, "--graph-kind", "edges")
    (tmp_path / "ids.txt").write_text("7\n8\n")
    edges.write_text("from,to\n8,7\n9,7\n")
    shown = run("check", path, "--graph", edges, "--graph-nodes", tmp_path / "ids.txt")
    assert f"note: read_graph: {edges}: 1 of 2 edges have nodes that are not in {tmp_path / 'ids.txt'}" in shown
    assert "got '8' in line 2" in run("check", path, "--graph", edges, code=2)
    source = catalog.SIGNALS["pedalme"]
    content = '{"X": [[1, 2], [3, 4]], "edges": [[0, 1], [1, 0]], "weights": [1, 1]}'
    file = replace(source.files[0], sha256=hashlib.sha256(content.encode()).hexdigest())
    monkeypatch.setitem(catalog.SIGNALS, "pedalme", replace(source, files=(file,)))
    place = tmp_path / "cache" / file.file
    place.parent.mkdir(parents=True)
    place.write_text(content)
    shown = run("check", "pedalme").splitlines()
    assert shown[:2] == [f"pedalme: whole, {place}", "  2 steps, 2 sensors, 1 feature"]
    assert shown[3] == "  values from 1 to 4 log ratios, nothing missing"
    assert run("fetch", "pedalme") == f"{place}\n" and "35 steps x 15 sensors" in run("list")
    edges.write_text("a,c\n")
    assert "between the 2 nodes of the signal, got 'c' in line 1" in run("check", path, "--graph", edges, code=2)
    assert "No such file" in run("check", tmp_path / "no.csv", code=2)


def test_cli_data_check_reads_folders_of_time_series(run, tmp_path):
    folder = tmp_path / "CITY"
    folder.mkdir()
    (folder / "CITY.geo").write_text('geo_id,type,coordinates\n07,Point,"[5.0, 52.0]"\n08,Point,"[5.1, 52.0]"\n')
    (folder / "CITY.rel").write_text("rel_id,type,origin_id,destination_id,link_weight\n0,geo,07,08,0.5\n")
    times = ["2012-03-01T00:00:00Z", "2012-03-01T00:05:00Z"]
    records = [f"0,state,{times[0]},08,5", f"1,state,{times[1]},08,", f"2,state,{times[0]},07,3"]
    (folder / "CITY.dyna").write_text("\n".join(["dyna_id,type,time,entity_id,traffic_speed", *records]))
    shown = run("check", folder).splitlines()
    assert shown[0].startswith(f"{folder}: 2 steps, 2 sensors (07, 08), 1 feature (target: traffic_speed)")
    assert "  every 5 minutes, 2012-03-01 00:00 to 2012-03-01 00:05, no gaps" in shown
    assert any(line.startswith("  values from 3 to 5, missing 50.0%: 07 50.0%, 08 50.0%") for line in shown)
    assert any(line.startswith("  1 edge, weights from 0.5 to 0.5, 0 isolated nodes") for line in shown)
    notes = [line for line in shown if "note: " in line]
    assert len(notes) == 2 and "CITY.dyna are local, although they end with Z" in notes[0]
    assert notes[1].endswith("CITY.rel: 'link_weight' is the weight")
    (folder / "CITY.dyna").rename(folder / "CITY.grid")
    assert "got states of cells of a grid (CITY.grid), which are not read" in run("check", folder, code=2)


def test_cli_data_check_of_full_data_says_where_to_put_them(run, tmp_path):
    shown = run("check", "metr-la", code=1)
    assert shown.startswith(
        "metr-la: not downloaded; it needs metr-la.h5, downloaded from https://github.com/liyaguang/"
    )
    assert str(tmp_path / "cache" / "metr_la" / "metr-la.h5") in shown
    assert "52116 steps x 325 sensors" in run("list")


def test_cli_data_check_fills_gaps_and_reads_positions(run, tmp_path):
    path, positions = tmp_path / "x.csv", tmp_path / "positions.csv"
    path.write_text("time,a,b\n" + "".join(f"2020-01-0{day},{day},2\n" for day in (1, 2, 3, 5)))
    positions.write_text("sensor_id,latitude,longitude\na,1,2\nb,3,4\n")
    assert run("check", path).startswith(f"{path}: 4 steps, 2 sensors")
    assert run("check", path, "--fill-gaps", "--positions", positions).startswith(f"{path}: 5 steps, 2 sensors")
    positions.write_text("sensor_id,latitude,longitude\na,1,2\n")
    assert "got none of 'b'" in run("check", path, "--positions", positions, code=2)


@pytest.mark.parametrize("number", ["1_0", "٣", "x"])
def test_cli_options_have_plain_digits(number, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    for option in ("--threshold", "--header-rows"):
        result = CliRunner().invoke(app, ["check", str(tmp_path / "x.csv"), option, number], env={"COLUMNS": "200"})
        assert result.exit_code == 2 and f"{number!r} is not a valid" in result.output and option in result.output
