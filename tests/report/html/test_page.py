"""The page: what stands on it, that nothing on it is code of others, and that it is the same twice."""

import csv
import io
import re
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

from seqgnn.experiments import Comparison, ModelSpec
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.report.html import render, write_page
from tests.support.comparisons import PAGE_GRID, changed, run_grid
from tests.support.html_reader import Reader

EVIL = "<script>alert(1)</script> \"'&amp; $x$ {{ 7 * 7 }}"


def test_render_page_has_all_sections_and_figures(folder):
    page = render(load_comparisons([folder]).comparisons)
    reader = Reader(page)
    for heading in (
        "Task", "Summary", "Scores", "Differences", "Training", "Time to target accuracy", "Gradient flow", "Influence",
        "Over-smoothing", "Receptive fields", "Configuration", "Versions and machine", "Reproduce",
    ):  # fmt: skip
        assert heading in reader.text
    assert "4 models at T = 4 and 6, each with 2 seeds; the score is test accuracy." in reader.text
    assert "Not measured: GCN; and GCN, one hop: no recurrence over time." in reader.text
    assert "3 of 4 previous positions" in reader.text and "0 of 16 runs" not in reader.text
    assert "seqgnn compare recall --models rnn,lstm,gcn,gcn-1hop --lengths 4,6 --seeds 0,1" in reader.text
    svgs = [attributes for tag, attributes in reader.tags if tag == "svg" and attributes.get("role") == "img"]
    # Scores, wide and of two lengths; curves of two lengths; dL/dh and dL/dc; influence; energy.
    assert len(svgs) == 3 + 2 + 2 + 1 + 1
    assert all(set(svg["aria-labelledby"].split()) <= set(reader.ids) for svg in svgs)
    assert len(set(reader.ids)) == len(reader.ids)


def test_render_fixed_sentences_hold_for_any_model(folder):
    text = " ".join(Reader(render(load_comparisons([folder]).comparisons)).text.split())
    assert "Compare the steps of one model, not models with each other" in text
    assert "Outside the receptive field of a GNN the influence is exactly zero" in text
    assert "can no longer learn" not in text and "forgets by degrees" not in text
    assert text.count("the norm of each of 16 sequences, then their mean, since gradients of sequences can") == 2
    assert text.count("the norm of each of 16 sequences, then their mean. Logarithmic axis") == 1


def test_render_references_lead_to_ids_and_nothing_is_loaded(folder):
    page = render(load_comparisons([folder]).comparisons)
    reader = Reader(page)
    references = [one or two for one, two in re.findall(r'href="([^"]*)"|url\(([^)]*)\)', page)]
    files = [reference for reference in references if reference.startswith("data:text/csv;")]
    others = [reference for reference in references if reference not in files]
    assert len(files) == 4 and all(other.startswith("#") and other[1:] in reader.ids for other in others)
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert {tag for tag, _ in reader.tags} & {"img", "link", "iframe", "object", "image", "base"} == set()
    assert reader.handlers == []


def test_render_marks_have_tooltips_and_lead_to_their_row(folder):
    page = render(load_comparisons([folder]).comparisons)
    marks = re.findall(r'<a href="#([^"]*)" tabindex="-1"><g id="[^"]*"><title>([^<]*)</title>', page)
    assert {title.partition(":")[0] for _, title in marks if "seeds" in title} == {
        f"{label}, T = {size}" for label in ("RNN", "LSTM", "GCN", "GCN, one hop") for size in (4, 6)
    }
    assert any(title == "chance, T = 4: 0.100" for _, title in marks)
    for target, title in marks:
        row = re.search(rf'<tr id="{target}"[^>]*><th scope="row">([^<]*)</th>\s*<td[^>]*>([^<]*)</td>', page)
        assert row and title.startswith(f"{row[1]}, T = {row[2]}")


def test_render_data_links_hold_the_tables(folder):
    (comparison,) = load_comparisons([folder]).comparisons
    reader = Reader(render([comparison]))
    links = {attributes["download"]: attributes["href"] for tag, attributes in reader.tags if "download" in attributes}
    assert list(links) == ["recall.csv", "recall-seeds.csv", "recall-pairs.csv", "recall-curves.csv"]
    head, content = links["recall-seeds.csv"].split(",", 1)
    lines = list(csv.DictReader(io.StringIO(unquote(content))))
    assert head == "data:text/csv;charset=utf-8" and len(lines) == 16 + 2 * 3
    for line in lines:
        if line["kind"] == "model":
            run = comparison.runs[line["model"], int(line["size"]), int(line["seed"])]
            assert float(line["accuracy"]) == run.result.test.values["accuracy"]
        else:
            assert line["seed"] == ""


def test_write_page_of_same_runs_is_identical(folder, tmp_path):
    paths = [write_page(load_comparisons([folder]).comparisons, tmp_path / name / "report.html") for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report.html"]


def test_render_of_result_and_loaded_runs_is_identical(tmp_path):
    rows = ["gcn-mean", ModelSpec("mine", "gru"), "lstm", ModelSpec("a bias", "lstm", forget_bias=1.0), "rnn"]
    result = run_grid("recall", models=rows, out=tmp_path, **PAGE_GRID)
    found = load_comparisons([tmp_path]).comparisons[0]
    assert found.labels == ("RNN", "LSTM", "a bias", "mine", "GCN, mean readout")
    assert result.labels[0] == "GCN, mean readout" and result.in_order().labels == found.labels
    assert render([result]) == render([found])


def test_render_escapes_labels_errors_and_machine_names(folder):
    found = load_comparisons([folder]).comparisons[0]
    names = {"LSTM": EVIL, "GCN": "</style><b>"}
    evil = replace(
        found,
        labels=tuple(names.get(label, label) for label in found.labels),
        runs={(names.get(key[0], key[0]), *key[1:]): run for key, run in found.runs.items()},
        weights={(names.get(key[0], key[0]), *key[1:]): path for key, path in found.weights.items()},
        failures={(EVIL, 4, 9): f"ValueError: {EVIL}"},
    )
    for key, run in evil.runs.items():
        evil.runs[key] = changed(run, machine=EVIL)
    long = {key: run for key, run in evil.runs.items() if key[1] == 6}
    for comparison in (evil, replace(evil, sizes=(6,), baselines={}, runs=long)):
        page = render([comparison], [f"/tmp/{EVIL}.json: no run"])
        reader = Reader(page)
        assert [tag for tag, _ in reader.tags].count("script") == 1 and "b" not in {tag for tag, _ in reader.tags}
        assert reader.text.count(EVIL) > 8 and "{{ 7 * 7 }}" in page
        tooltips = [title for title in re.findall(r"<title>([^<]*)</title>", page) if "alert(1)" in title]
        assert len(tooltips) > 8 and all(unescape(title).startswith(EVIL) for title in tooltips)


def test_render_of_one_seed_model_and_length_explains_gaps(tmp_path):
    result = run_grid(
        "recall",
        models=["gcn"],
        sizes=[2],
        seeds=[0],
        steps=2,
        hidden=4,
        progress=False,
        out=tmp_path,
        target_accuracy=None,
    )
    reader = Reader(render([result]))
    assert "GCN is the only model" in reader.text and "One seed, so no spread." in reader.text
    assert "No test is possible: it needs two models" in reader.text
    assert "only one position here, so there are no distances to plot" in reader.text
    assert "Not measured: GCN: no recurrence over time." in reader.text
    assert "No target accuracy was set" in reader.text


def test_render_without_finished_runs_reports_failures():
    empty = Comparison("recall", "accuracy", ("LSTM",), (4,), (0,), failures={("LSTM", 4, 0): "ValueError: x"})
    text = Reader(render([empty])).text
    assert "No run of a model is finished, and 1 failed, so there is no result yet." in text
    assert "FAILED: LSTM, T = 4, seed 0: ValueError: x" in text and "There are no finished runs to plot." in text
    assert "no finished runs to reproduce" in text


def test_render_of_runs_by_time_does_not_promise_equal_bits(folder):
    whole = load_comparisons([folder]).comparisons[0]
    assert "are identical bit for bit" in " ".join(Reader(render([whole])).text.split())
    for key, run in whole.runs.items():
        whole.runs[key] = changed(run, max_seconds=1.0)
    text = " ".join(Reader(render([whole])).text.split())
    assert "so scores, curves and weights are not reproducible." in text and "bit for bit" not in text
    assert f"Afterwards, seqgnn report {folder.name} creates this page." in text


def test_render_of_text_shows_samples_and_escapes_file_name(tmp_path):
    book = tmp_path / "verse & <i>.txt"
    book.write_text("the quick brown fox <b>jumps</b> over the lazy dog. " * 60)
    options = {"sizes": [8], "seeds": [0], "steps": 4, "hidden": 4, "batch_size": 8, "progress": False}
    run_grid("text", models=["rnn", "gcn"], data=book, out=tmp_path, **options)
    (found,) = load_comparisons([tmp_path], [book]).comparisons
    reader = Reader(render([found]))
    assert re.search(r"continues the same \d+ characters of the", reader.text) and "verse & <i>.txt" in reader.text
    assert not {"b", "i"} & {tag for tag, attributes in reader.tags if attributes == {} and tag == "i"}
    assert "--data 'verse & <i>.txt'" in reader.text
    without = Reader(render(load_comparisons([tmp_path]).comparisons)).text
    assert "No sample: RNN and GCN: the text " in without and "is not available (--data)" in without
