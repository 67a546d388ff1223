"""Names of the plain recurrent layers, and comparisons of what they return."""

from torch.nn.utils.rnn import PackedSequence

LAYERS = ["RNN", "LSTM", "GRU"]
CELLS = ["RNNCell", "LSTMCell", "GRUCell"]


def close(actual, expected, rtol=1e-10):
    """Relative to the largest entry, so that entries near zero do not count for more than they are."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= rtol * max(expected.abs().max(), 1e-3)


def flat(value):
    if isinstance(value, PackedSequence):
        return [value.data]
    return [t for part in value for t in flat(part)] if isinstance(value, tuple) else [value]
