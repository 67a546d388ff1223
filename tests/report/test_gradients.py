"""Tables, words, figures and JSON of studies whose numbers are known."""

import io
import json
from contextlib import redirect_stdout

import pytest
import torch

from seqgnn.experiments.trained.gradient_study import Curve, Study
from seqgnn.report import gradients as report

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


def test_show_prints_table_and_verdicts():
    found = study_of(("RNN", [FALL, FALL]), ("LSTM", [RISE, RISE]))
    text = text_of(found)
    assert "recall, T = 21, xavier weights: norm of the mean gradient, median of 2 seeds" in text
    cells = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in text.splitlines() if "│" in line]
    assert cells[0] == ["dL/dh", "RNN", "1.00e+00", "1.91e-06", "0.500", "1.000", "19", "1"]
    assert cells[1][-2:] == ["5", "1.64e+04"]
    assert report.verdicts(found) == [
        "dL/dh, RNN: falls exponentially in 2 of 2 seeds, times 0.500 (0.500 to 0.500) per step back, R² 1.000",
        "dL/dh, LSTM: falls, then rises again in 2 of 2 seeds, from 5 steps back on, 16,384-fold up to the farthest",
    ]
    assert "One seed" not in text and "All numbers are medians over seeds" in text


@pytest.mark.parametrize(
    "norms, verdict",
    [
        (FALL, "falls exponentially, times 0.500 per step back, R² 1.000"),
        (RISE, "falls, then rises again, from 5 steps back on, 16,384-fold up to the farthest"),
        (
            [2.0**9] + [2.0**d for d in range(10)],
            "falls, then rises again, from 1 step back on, 512-fold up to the farthest",
        ),
        (FALL[::-1], "rises with distance, times 2.000 per step back, R² 1.000"),
        ([1.9] + [2.0**d for d in range(10)], "rises with distance, times 1.882 per step back, R² 0.973"),
        ([1.0, 0.1] + [0.05 * 0.8**d for d in range(8)], "falls unevenly, times 0.682 per step back, R² 0.764"),
        ([1.0] + [0.01 * 0.999**d for d in range(20)], "neither falls nor rises steadily, R² 0.1"),
        ([1.0, 0.1] * 8, "neither falls nor rises steadily, R² 0.0"),  # a zigzag ends above its least
        ([1.0, 0.1] * 8 + [1.0], "neither falls nor rises steadily, R² 0.0"),
        (FALL[:9] + [FALL[8]] * 9 + [1.0], "neither falls nor rises steadily, R² 0.298"),  # one entry is no rise
        ([0.99**d for d in range(30)], "changes less than twofold, times 0.990 per step back, R² 1.000"),
        ([3.0] * 9, "changes less than twofold, times 1.000 per step back, R² 1.000"),
        (FALL[:9], "too few steps for a verdict (9 norms, the farthest 0.00391 times the nearest)"),
        (FALL[:10], "falls exponentially, times 0.500 per step back, R² 1.000"),
        ([8.0, 1.0, 2.0, 4.0, 8.0], "too few steps for a verdict (5 norms, the farthest 1 times the nearest)"),
        ([3.0] * 4, "changes less than twofold, times 1.000 per step back, R² 1.000"),
        ([1.0, 0.5], "too few steps for a verdict (2 norms, the farthest 0.5 times the nearest)"),
        ([1.0], "too few steps for a verdict (1 norm from distance 0 on)"),
        ([0.97**d for d in range(76)], "falls steadily, less than tenfold, times 0.970 per step back, R² 1.000"),
        ([0.97**d for d in range(77)], "falls exponentially, times 0.970 per step back, R² 1.000"),
        ([0.0] * 9, "zero everywhere"),
    ],
)
def test_verdicts_of_one_seed_equal_expected_words(norms, verdict):
    found = study_of(("RNN", [norms]), seeds=(0,))
    (line,) = report.verdicts(found)
    assert line.startswith(f"dL/dh, RNN: {verdict}")
    assert "│ RNN" in text_of(found)


@pytest.mark.parametrize("steps", [10, 30, 100])
@pytest.mark.parametrize("fall", [10.001, 100.0])
def test_kinds_of_straight_or_hyperbolic_falls_are_uneven(steps, fall):
    d = torch.linspace(0, 1, steps, dtype=torch.float64)
    norms = {"straight": 1 - (1 - 1 / fall) * d, "hyperbolic": 1 / (1 + (fall - 1) * d), "exponential": fall**-d}
    curves = {name: Curve(name, norm[None]) for name, norm in norms.items()}
    assert report.kinds(curves["straight"]) == report.kinds(curves["hyperbolic"]) == ["falls unevenly"]
    assert report.kinds(curves["exponential"]) == ["falls exponentially"]


def test_show_states_the_rule_for_exponential():
    text = text_of(study_of(("RNN", [FALL])))
    assert "exponential with at least 10 norms, R² 0.95 and a 10-fold fall" in " ".join(text.split())


def test_verdicts_exclude_zero_norms_beyond_receptive_field():
    reach = Curve("GCN", torch.tensor([FALL[:4] + [0.0] * 16] * 2, dtype=torch.float64), endless=False)
    (line,) = report.verdicts(Study("influence", SETTINGS, (0, 1), {"influence": [reach]}))
    assert line == (
        "influence, GCN: too few steps for a verdict in 2 of 2 seeds (4 norms, the farthest 0.125 times the nearest); "
        "zero beyond distance 3"
    )


def power(rate):
    return [rate**d for d in range(20)]


def test_verdicts_follow_most_seeds_and_count_the_others():
    norms = [power(0.5), RISE, power(0.6), FALL[::-1], power(0.8), [0.0] * 20, RISE]
    found = study_of(("RNN", norms), seeds=range(7))
    assert report.verdicts(found) == [
        "dL/dh, RNN: falls exponentially in 3 of 7 seeds, times 0.600 (0.500 to 0.800) per step back, R² 1.000; "
        "falls, then rises again in 2; rises with distance in 1; zero everywhere in 1"
    ]
    curve = found.panels["dL/dh"][0]
    assert report.kinds(curve)[:3] == ["falls exponentially", "falls, then rises again", "falls exponentially"]
    row = next(line for line in text_of(found).splitlines() if line.startswith("│ dL/dh"))
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    # Rates 0.5, 0.6, 0.8, 2 and twice that of RISE; rises 1, 1, 1, 2^14, 2^14 and 2^19.
    assert cells[2:4] == ["1.00e+00", "1.44e-02"] and cells[-1] == "8.19e+03"


def test_verdicts_with_one_more_noisy_seed_stay_the_same():
    noisy = power(0.8)
    noisy[3] *= 1e6
    before, after = (study_of(("RNN", [power(0.8)] * 18 + [noisy] * n), seeds=range(18 + n)) for n in (0, 1))
    assert report.verdicts(before)[0].startswith("dL/dh, RNN: falls exponentially in 18 of 18 seeds, times 0.800 ")
    assert report.verdicts(after)[0].startswith("dL/dh, RNN: falls exponentially in 18 of 19 seeds, times 0.800 ")
    assert report.verdicts(after)[0].endswith("; neither falls nor rises steadily in 1")


@pytest.mark.parametrize(
    "endless, norms, end",
    [
        (True, [FALL[:12] + [0.0] * 8], "; below what float64 can hold beyond distance 11"),
        (True, [FALL[:12] + [1e-310] + [0.0] * 7], "; below what float64 can hold beyond distance 11"),
        (False, [FALL[:12] + [0.0] * 8], "; zero beyond distance 11"),
        (False, [FALL[:11] + [0.0] * 9, FALL], "; zero beyond distance 10 in 1 of 2 seeds"),
        (False, [FALL], "R² 1.000"),
    ],
)
def test_verdicts_state_why_norms_end(endless, norms, end):
    curve = Curve("RNN", torch.tensor(norms, dtype=torch.float64), endless=endless)
    (line,) = report.verdicts(Study("gradients", SETTINGS, tuple(range(len(norms))), {"dL/dh": [curve]}))
    assert line.startswith("dL/dh, RNN: falls exponentially") and line.endswith(end)


def test_show_of_one_seed_states_no_spread_and_draws_no_band():
    found = study_of(("RNN", [FALL]), seeds=(0,))
    text = text_of(found)
    assert "One seed: no spread, and no band in the figure." in text and "one seed" in text and "0.500 │" in text
    assert all(not panel.collections for panel in report.figure(found).axes)


def test_figure_draws_medians_and_ranges_on_both_axes():
    found = study_of(("RNN", [FALL, [3 * norm for norm in FALL], [2 * norm for norm in FALL]]), ("LSTM", [RISE] * 3))
    log, linear = report.figure(found).axes
    assert (log.get_yscale(), linear.get_yscale()) == ("log", "linear")
    for panel in (log, linear):
        assert [list(line.get_ydata()) for line in panel.lines] == [[2 * norm for norm in FALL], RISE]
        band = panel.collections[0].get_paths()[0].vertices[:, 1]
        assert {min(band), max(band)} == {FALL[-1], 3.0}
    assert {line.get_color() for line in log.lines} == {"#0072B2", "#D55E00"}
    assert "median and range of 2 seeds" in report.figure(found)._suptitle.get_text()


def test_figure_draws_zeros_on_linear_axis_only():
    log, linear = report.figure(study_of(("RNN", [[1.0, 0.5, 0.0]]), seeds=(0,))).axes
    assert linear.lines[0].get_ydata().tolist() == [1.0, 0.5, 0.0]
    assert torch.tensor(log.lines[0].get_ydata()).isnan().tolist() == [False, False, True]


def test_write_of_zero_norms_raises_and_writes_nothing(tmp_path):
    found = study_of(("RNN", [[0.0] * 5]), seeds=(0,))
    with pytest.raises(ValueError, match="gradients: all norms are zero, so there is nothing to plot"):
        report.write(found, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_write_saves_identical_json_and_figures_twice(tmp_path):
    found = study_of(("RNN", [FALL, FALL]), panel="influence", measure="influence")
    paths = report.write(found, tmp_path / "new")
    assert [path.name for path in paths] == ["influence.json", "influence.png", "influence.svg"]
    content = json.loads(paths[0].read_text())
    assert content["settings"] == SETTINGS and content["seeds"] == [0, 1]
    (curve,) = content["curves"]
    assert curve["norms"] == [FALL, FALL] and curve["fits"][0]["rate"] == pytest.approx(0.5)
    assert curve["verdict"].startswith("falls exponentially") and curve["kinds"] == ["falls exponentially"] * 2
    assert curve["of"] == "influence"
    again = report.write(found, tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert paths[1].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="expected a writable folder"):
        report.write(found, paths[0])
