"""Hidden sizes for a number of parameters, against a search through all sizes."""

import pytest
from torch import nn

from seqgnn.models.parameter_matching import hidden_size_for


@pytest.mark.parametrize("parameters", [264, 1300, 5000, 20000])
def test_hidden_size_for_parameters_is_the_nearest(parameters):
    def off(hidden):
        return abs(4 * hidden * (3 + hidden + 2) - parameters)  # torch's LSTM of three features, with two biases

    size = hidden_size_for("caller", "lstm", parameters, lambda hidden: nn.LSTM(3, hidden))
    assert off(size) == min(map(off, range(1, 200)))


@pytest.mark.parametrize("parameters, nearest", [(1, "24 with hidden=1"), (42, "56 with hidden=2")])
def test_hidden_size_for_too_few_parameters_raises_value_error(parameters, nearest):
    with pytest.raises(ValueError, match=f"caller: expected parameters that 'lstm' can have, such as {nearest}, got"):
        hidden_size_for("caller", "lstm", parameters, lambda hidden: nn.LSTM(3, hidden))
