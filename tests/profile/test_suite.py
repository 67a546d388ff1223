import json
import math
from dataclasses import dataclass

import pytest

from seqgnn.profile import reference_layers as peers
from seqgnn.profile import suite as run
from seqgnn.profile.suite import Row


@dataclass(frozen=True)
class Pretended(Row):
    """A row that fits if it is small, and says what it was given."""

    fits: bool = True

    def case(self, device, pace):
        asked.append((self.layer, pace))
        return {"layer": self.layer, "peer": "", "size": self.size, "same": True, "timed": self.fits}


asked = []


@pytest.fixture(autouse=True)
def nothing_asked():
    asked.clear()


def test_what_is_as_large_as_what_did_not_fit_is_not_tried():
    rows = [
        Pretended("a", (2, 5, 1, 1, 1), None),
        Pretended("b", (2, 50, 1, 1, 1), None, fits=False),
        Pretended("c", (2, 60, 1, 1, 1), None),
        Pretended("d", (2, 40, 1, 1, 1), None),
        Pretended("plain", (9, 9, 9, 9), None),
    ]
    said = []
    found = run.bench(100.0, rows=rows, say=said.append)
    assert [name for name, _ in asked] == ["a", "b", "d", "plain"]
    assert [case["layer"] for case in found.cases] == ["a", "d", "plain"]
    assert [row.layer for row in found.left_out] == ["b", "c"]
    assert said[0] == "a, 2, 5, 1, 1, 1"
    assert json.loads(found.to_json())["left_out"][0] == {"layer": "b", "size": [2, 50, 1, 1, 1]}


def test_the_time_that_is_left_is_divided_by_the_rows_that_are():
    run.bench(100.0, rows=[Pretended(name, (2, 5, 1, 1, 1), None) for name in "abcd"])
    shares = [pace.share for _, pace in asked]
    assert shares == pytest.approx([25.0, 100 / 3, 50.0, 100.0], rel=0.05)
    assert all(pace.left == pytest.approx(100.0, rel=0.05) for _, pace in asked)


def test_without_time_all_is_left_out():
    found = run.bench(1e-9, rows=[Pretended("a", (2, 5, 1, 1, 1), None)])
    assert asked == [] and found.cases == [] and len(found.left_out) == 1


def test_rows_of_every_size_of_worth(monkeypatch):
    assert [row.layer for row in run.rows_at((30, 64, 64, 128))] == ["LSTM", "GRU", "RNN"]
    for installed in (None, object()):
        monkeypatch.setattr(peers, "pyg_temporal", lambda found=installed: found)
        found = run.rows_at((4, 20, 1, 4, 32))
        assert [row.layer for row in found] == ["GCRN", "GCRN, GRU", "TGCN", "GCLSTM", "GCNLSTM"]
        assert found[0].numbers == 4 * 20 * 1 * 32
    assert set(peers.SIZES) == {size for size in run.WORTH if len(size) == 5}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_seconds_must_be_positive(seconds):
    with pytest.raises(ValueError, match=r"bench: expected seconds to be a positive number, got"):
        run.bench(seconds)


def test_a_device_must_be_there(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'cpu'"):
        run.bench(device="cpus")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="bench: expected a folder that can be written"):
        run.folder_for(tmp_path / "file" / "below")
