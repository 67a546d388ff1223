"""Footnotes: what test windows show."""

import pytest

from seqgnn.report.footnotes import notes, windows_note
from tests.support.window_errors import MEANS, WEEKS, comparison


@pytest.mark.parametrize(
    "weeks, said",
    [
        (1, "4 test windows are too few for a bootstrap, and their sign-flip test cannot give p below 0.125; by "
            "Student's t, GCRN is significantly better than ar."),
        (2, "8 test windows are too few for a bootstrap, and their sign-flip test cannot give p below 0.00781; by "
            "Student's t, GCRN is significantly better than ar."),
        (10, "over 40 test windows (bootstrap in blocks of 5, each pair uncorrected), LSTM and GCRN are significantly "
             "better than ar."),
    ],
)  # fmt: skip
def test_windows_note_depends_on_number_of_windows(weeks, said):
    longer = {label: [sums * weeks for sums in seeds] for label, seeds in WEEKS.items()}
    found = comparison(longer, {name: sums * weeks for name, sums in MEANS.items()})
    assert windows_note(found, 1) == said
    assert [note.text for note in notes(found) if note.topic == "windows"] == [f"horizon 1: {said}"]


def test_windows_note_of_two_step_windows_mentions_overlap():
    found = comparison(WEEKS, MEANS)
    found.sizes = (2,)
    found.runs = {(label, 2, seed): run for (label, _, seed), run in found.runs.items()}
    found.baselines = {(name, 2): run for (name, _), run in found.baselines.items()}
    expected = "4 test windows, which overlap, are too few for an interval or a test; with every seed, LSTM and GCRN"
    assert windows_note(found, 2) == f"{expected} are better than ar."


def test_notes_name_the_season_of_mase(stored_forecasts):
    texts = [note.text for note in notes(stored_forecasts[0])]
    mase = [text for text in texts if text.startswith("MASE")]
    unit = "repeating the value 7 steps earlier, at the same node in the training part."
    assert mase == [f"MASE: absolute errors divided by those of {unit}"]  # daily steps
    assert not any(note.text.startswith("MASE") for note in notes(comparison(WEEKS, MEANS)))  # of an earlier version
