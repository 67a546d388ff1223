"""The calls that a model receives as text is generated, and models that cannot be called so."""

import pytest
import torch
from torch import nn

from seqgnn.models.generation import generate, stream
from seqgnn.models.sampling import SamplingConfig
from tests.support.text_models import ABC, Next, make_model


def test_stream_reads_prompt_at_once_and_then_each_character():
    model = Next(torch.tensor([[0.0, 5.0, 1.0], [0.0, 1.0, 5.0], [5.0, 0.0, 1.0]]))
    assert list(stream(model, ABC, "bca", SamplingConfig(greedy=True), length=4, samples=2)) == [[c, c] for c in "bcab"]
    assert model.calls == [([[1, 2, 0]], False), ([[1], [1]], True), ([[2], [2]], True), ([[0], [0]], True)]


@pytest.mark.parametrize("name", ["lstm", "gcn"])
def test_stream_reads_bounded_number_of_tokens_per_character(name):
    model, read = make_model(name), []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].num_nodes))
    for _ in stream(model, ABC, "a", length=300):
        pass
    assert len(read) <= 301 and max(read[200:]) == max(read[100:200]) <= 100


class Odd(nn.Module):
    """Returns a given state."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def forward(self, batch, state=None):
        return torch.zeros(len(batch.x), 3), self.state


@pytest.mark.parametrize("beam", [None, 2])
def test_generate_model_without_stream_state_raises_value_error(beam):
    with pytest.raises(ValueError, match=r"expected a model that returns a state .* got neither from Odd"):
        generate(Odd(None), ABC, "a", beam=beam)
    for state in (torch.zeros(4), (torch.zeros(1, 1, 2), torch.zeros(1, 7)), ["h"]):
        with pytest.raises(ValueError, match="expected a state of tensors, or nested tuples of them, with the batch"):
            generate(Odd(state), ABC, "a", beam=beam)
    with pytest.raises(ValueError, match=r"a model with logits \[2, 3\], one row per position .* got \[1, 3\]"):
        generate(make_model(per_element=False), ABC, "ab", beam=beam)
    with pytest.raises(ValueError, match=r"expected a model with logits \[2, 3\]"):
        generate(make_model(tokens=4), ABC, "ab", beam=beam)
    with pytest.raises(ValueError, match="state is not supported with positions or readout"):
        generate(make_model(readout="mean"), ABC, "ab", beam=beam)
