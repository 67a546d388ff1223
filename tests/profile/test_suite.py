import json
import math
from dataclasses import dataclass

import pytest

from seqgnn.profile import reference_layers as references
from seqgnn.profile import suite as run
from seqgnn.profile.suite import Row


@dataclass(frozen=True)
class FakeRow(Row):
    """A row that records its time budget and fits into it or does not."""

    fits: bool = True

    def case(self, device, budget):
        calls.append((self.layer, budget))
        return {"layer": self.layer, "reference_layer": "", "size": self.size, "same": True, "timed": self.fits}


calls = []


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def test_bench_skips_rows_as_large_as_one_that_did_not_fit():
    rows = [
        FakeRow("a", (2, 5, 1, 1, 1), None),
        FakeRow("b", (2, 50, 1, 1, 1), None, fits=False),
        FakeRow("c", (2, 60, 1, 1, 1), None),
        FakeRow("d", (2, 40, 1, 1, 1), None),
        FakeRow("plain", (9, 9, 9, 9), None),
    ]
    reported = []
    found = run.bench(100.0, rows=rows, report=reported.append)
    assert [name for name, _ in calls] == ["a", "b", "d", "plain"]
    assert [case["layer"] for case in found.cases] == ["a", "d", "plain"]
    assert [row.layer for row in found.left_out] == ["b", "c"]
    assert reported[0] == "a, 2, 5, 1, 1, 1"
    assert json.loads(found.to_json())["left_out"][0] == {"layer": "b", "size": [2, 50, 1, 1, 1]}


def test_bench_divides_remaining_time_among_remaining_rows():
    run.bench(100.0, rows=[FakeRow(name, (2, 5, 1, 1, 1), None) for name in "abcd"])
    seconds = [budget.seconds for _, budget in calls]
    assert seconds == pytest.approx([25.0, 100 / 3, 50.0, 100.0], rel=0.05)
    assert all(budget.remaining == pytest.approx(100.0, rel=0.05) for _, budget in calls)


def test_bench_without_time_leaves_out_all_rows():
    found = run.bench(1e-9, rows=[FakeRow("a", (2, 5, 1, 1, 1), None)])
    assert calls == [] and found.cases == [] and len(found.left_out) == 1


def test_rows_at_each_size_have_every_layer(monkeypatch):
    assert [row.layer for row in run.rows_at((30, 64, 64, 128))] == ["LSTM", "GRU", "RNN"]
    for installed in (None, object()):
        monkeypatch.setattr(references, "pyg_temporal", lambda found=installed: found)
        found = run.rows_at((4, 20, 1, 4, 32))
        assert [row.layer for row in found] == ["GCRN", "GCRN, GRU", "TGCN", "GCLSTM", "GCNLSTM"]
        assert found[0].numbers == 4 * 20 * 1 * 32
    assert set(references.SIZES) == {size for size in run.SIZES_BY_PRIORITY if len(size) == 5}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_bench_rejects_seconds_not_positive(seconds):
    with pytest.raises(ValueError, match=r"bench: expected seconds to be a positive number, got"):
        run.bench(seconds)


def test_bench_rejects_unknown_device_and_bad_folder(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'cpu'"):
        run.bench(device="cpus")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="bench: expected a writable folder"):
        run.folder_for(tmp_path / "file" / "below")
