"""The plain recurrent layers of the comparisons with oracles."""

from tests.support import oracles

T, B, F, H = 5, 4, 3, 4
# kind, options of the constructor, options of the oracle's cell
CASES = [
    ("rnn", {}, {}),
    ("rnn", {"nonlinearity": "relu"}, {"nonlinearity": "relu"}),
    ("lstm", {}, {}),
    ("lstm", {"proj_size": 2}, {}),
    ("gru", {}, {}),
]


def name(case):
    return case[0] + "".join(f"-{k}={v}" for k, v in case[1].items())


def oracle_parameters(layer):
    return {key: oracles.leaf(value) for key, value in layer.state_dict().items()}
