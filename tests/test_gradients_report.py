"""Tables, words, figures and JSON of studies whose numbers are known."""

import io
import json
from contextlib import redirect_stdout

import pytest
import torch

from seqgnn import gradients_report as report
from seqgnn.gradients import Curve, Study

FALL = [2.0**-d for d in range(20)]
RISE = [2.0**-d for d in range(6)] + [2.0 ** (d - 5) for d in range(1, 15)]
SETTINGS = {"task": "recall", "length": 21, "init": "xavier", "reduce": "norm-of-mean"}


def study_of(*curves, seeds=(0, 1), panel="dL/dh", measure="gradients"):
    rows = [Curve(label, torch.tensor(norms, dtype=torch.float64)) for label, norms in curves]
    return Study(measure, SETTINGS, seeds, {panel: rows})


def text_of(study):
    with redirect_stdout(io.StringIO()) as printed:
        report.show(study)
    return printed.getvalue()


def test_table_and_words():
    found = study_of(("RNN", [FALL, FALL]), ("LSTM", [RISE, RISE]))
    text = text_of(found)
    assert "recall, T = 21, xavier weights: norm of the mean gradient, 2 seeds" in text
    cells = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in text.splitlines() if "│" in line]
    assert cells[0] == ["dL/dh", "RNN", "1.00e+00", "1.91e-06", "0.500 ± 0.000", "1.000", "19", "1"]
    assert cells[1][-2:] == ["5", "1.64e+04"]
    assert report.verdicts(found) == [
        "dL/dh, RNN: falls exponentially, times 0.500 ± 0.000 a step back (R² at least 1.000)",
        "dL/dh, LSTM: falls until 5 steps back, then rises again, 16,384-fold to the farthest, in 2 of 2 seeds",
    ]
    assert "One seed" not in text


@pytest.mark.parametrize(
    "norms, verdict",
    [
        ([RISE, FALL], "falls until 5 steps back, then rises again, 16,384-fold to the farthest, in 1 of 2 seeds"),
        ([FALL[::-1]] * 2, "rises from the last element on, 524,288-fold to the farthest, in 2 of 2 seeds"),
        (
            [FALL[:5] + [0.0] * 15] * 2,
            "falls exponentially, times 0.500 ± 0.000 a step back (R² at least 1.000); zero beyond 4 back",
        ),
        (
            [[1.0, 1.5, 1.0, 1.5, 1.0, 1.5]] * 2,
            "neither falls steadily, times 1.035 ± 0.000 a step back (R² from 0.086), nor rises again",
        ),
        ([[1.0] + [0.01 * 0.999**d for d in range(20)]] * 2, "neither falls steadily, times 0.9"),
        ([[1.0, 0.1] + [0.05 * 0.8**d for d in range(8)]] * 2, "falls, though not exponentially, times 0.682"),
        ([[1.0, 0.5]] * 2, "too few norms that are not zero for a fit, 2 where it needs 3"),
        ([[1.0]] * 2, "too few norms that are not zero for a fit, 1 where it needs 3"),
        ([[0.0] * 9] * 2, "zero everywhere"),
    ],
)
def test_words(norms, verdict):
    found = study_of(("RNN", norms))
    (line,) = report.verdicts(found)
    assert line.startswith(f"dL/dh, RNN: {verdict}")
    assert "│ RNN" in text_of(found)


def test_one_seed_has_no_band_and_it_is_said():
    found = study_of(("RNN", [FALL]), seeds=(0,))
    text = text_of(found)
    assert "One seed: no spread, and no band in the figure." in text and "one seed" in text and "0.500 │" in text
    assert all(not panel.collections for panel in report.figure(found).axes)


def test_figure_has_means_and_ranges_on_both_axes():
    found = study_of(("RNN", [FALL, [3 * norm for norm in FALL]]), ("LSTM", [RISE, RISE]))
    log, linear = report.figure(found).axes
    assert (log.get_yscale(), linear.get_yscale()) == ("log", "linear")
    for panel in (log, linear):
        assert [list(line.get_ydata()) for line in panel.lines] == [[2 * norm for norm in FALL], RISE]
        band = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert {min(band), max(band)} == {FALL[-1], 3.0}
    assert {line.get_color() for line in log.lines} == {"#0072B2", "#D55E00"}
    assert "mean and range of 2 seeds" in report.figure(found)._suptitle.get_text()


def test_zeros_are_on_the_linear_axis_alone():
    log, linear = report.figure(study_of(("RNN", [[1.0, 0.5, 0.0]]), seeds=(0,))).axes
    assert linear.lines[0].get_ydata().tolist() == [1.0, 0.5, 0.0]
    assert torch.tensor(log.lines[0].get_ydata()).isnan().tolist() == [False, False, True]


def test_nothing_to_draw_is_an_error_and_writes_nothing(tmp_path):
    found = study_of(("RNN", [[0.0] * 5]), seeds=(0,))
    with pytest.raises(ValueError, match="gradients: expected norms to draw, got zeros alone"):
        report.write(found, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files(tmp_path):
    found = study_of(("RNN", [FALL, FALL]), panel="influence", measure="influence")
    paths = report.write(found, tmp_path / "new")
    assert [path.name for path in paths] == ["influence.json", "influence.png", "influence.svg"]
    content = json.loads(paths[0].read_text())
    assert content["settings"] == SETTINGS and content["seeds"] == [0, 1]
    (curve,) = content["curves"]
    assert curve["norms"] == [FALL, FALL] and curve["fits"][0]["rate"] == pytest.approx(0.5)
    assert curve["verdict"].startswith("falls exponentially") and curve["of"] == "influence"
    again = report.write(found, tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert paths[1].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="expected a folder that can be written"):
        report.write(found, paths[0])
