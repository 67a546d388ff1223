"""Trained models that the page inspects, and weights that it rejects."""

import re
import shutil

from seqgnn.experiments import ModelSpec
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.report.html import render
from tests.support.comparisons import PAGE_GRID, run_grid
from tests.support.html_reader import Reader


def test_render_without_weights_reports_nothing_measured():
    text = Reader(render([run_grid("recall", models=["lstm", ModelSpec("mine", "gru", lr=0.1)], **PAGE_GRID)])).text
    assert "Not measured: LSTM and mine: the weights were not saved." in text
    assert 'label = "mine"' in text and "seqgnn compare --config grid.toml" in text


def test_render_with_damaged_weights_names_them(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    found = load_comparisons([tmp_path / "copy"]).comparisons[0]
    found.weights["LSTM", 6, 0].write_bytes(b"\x80\x02pickle")
    found.weights["RNN", 6, 0].write_bytes(found.weights["GCN", 6, 0].read_bytes())
    text = Reader(render([found])).text
    assert "got a pickle, which could execute code" in text and re.search(
        r"the weights in \w+.safetensors are not those of the run", text
    )


def test_render_with_weights_of_another_run_rejects_them(folder, tmp_path):
    """Those of another seed would go into the model as well as its own."""
    shutil.copytree(folder, tmp_path / "copy")
    found = load_comparisons([tmp_path / "copy"]).comparisons[0]
    path = found.weights["LSTM", 6, 0]
    path.write_bytes(found.weights["LSTM", 6, 1].read_bytes())
    text = Reader(render([found])).text
    assert f"Not measured: LSTM: the weights in {path.name} are not those of the run." in text
