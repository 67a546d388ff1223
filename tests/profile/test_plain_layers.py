import pytest

from seqgnn.nn import LSTM
from seqgnn.profile import plain_layers as plain
from tests.support.benchmark_rows import PLAIN_SIZE


@pytest.mark.parametrize("kind", plain.KINDS)
def test_plain_disagreement_with_torch_is_small(kind):
    assert plain.plain_disagreement(kind, PLAIN_SIZE, "cpu", ["auto", "fused", "reference"]) < 1e-12


def test_plain_disagreement_detects_different_weights(monkeypatch):
    monkeypatch.setattr(LSTM, "load_state_dict", lambda self, state: None)
    assert plain.plain_disagreement("LSTM", PLAIN_SIZE, "cpu", ["reference"]) > 1e-3
