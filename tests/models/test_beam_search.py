"""Beam search against a search through all continuations."""

import math

import pytest
import torch

from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate
from seqgnn.models.sampling import SamplingConfig
from tests.support.text_models import ABC, Always, Next, logits_without_state, make_model


def exhaustive(model, prompt, length, penalty, stop):
    """All continuations with their scores, the best first."""
    scored = []
    open_ends = {"": 0.0}
    for step in range(1, length + 1):
        logp = logits_without_state(model, [prompt + text for text in open_ends]).log_softmax(-1).tolist()
        longer = {
            text + letter: score + row[i]
            for (text, score), row in zip(open_ends.items(), logp)
            for i, letter in enumerate(ABC.characters)
        }
        over = {text for text in longer if step == length or text[-1] in stop}
        scored += [(longer[text] / step**penalty, text) for text in over]
        open_ends = {text: score for text, score in longer.items() if text not in over}
    return [text for _, text in sorted(scored, reverse=True)]


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("stop", [None, "c", "ab"])
def test_generate_wide_beam_equals_exhaustive_search(name, stop):
    model = make_model(name)
    for penalty in (0.0, 0.7, 1.0, 2.0):
        best = exhaustive(model, "ba", 4, penalty, stop or "")
        options = {"length": 4, "beam": 27, "length_penalty": penalty, "stop": stop}
        assert generate(model, ABC, "ba", samples=5, **options) == best[:5]
        assert generate(model, ABC, "ba", **options) == best[:1]


def test_generate_beam_of_one_is_greedy_and_of_two_finds_more():
    # a is more probable at first, but c follows b with near certainty.
    model = Next(torch.tensor([[0.0, 0.0, 0.0], [-9.0, -9.0, 9.0], [1.0, 0.9, -9.0]]))
    assert generate(model, ABC, "c", SamplingConfig(greedy=True), length=2) == ["aa"]
    assert generate(model, ABC, "c", length=2, beam=1) == ["aa"]
    assert generate(model, ABC, "c", length=2, beam=2) == ["bc"]


def test_generate_narrow_beam_follows_paths_through_the_state():
    model = make_model("gcn-in-lstm")
    for text in generate(model, ABC, "ab", length=9, beam=3, samples=3):
        path, score, beams = "ab", {"": 0.0}, None
        for _ in range(9):
            rows = logits_without_state(model, [path + t for t in score]).log_softmax(-1).tolist()
            beams = {t + "abc"[i]: s + row[i] for (t, s), row in zip(score.items(), rows) for i in range(3)}
            score = dict(sorted(beams.items(), key=lambda pair: -pair[1])[:3])
        assert text in score


def test_generate_beam_ends_early_if_no_better_score_can_come():
    model = Next(torch.tensor([[-9.0, -9.0, 9.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert generate(model, ABC, "a", length=1000, beam=3, stop="c", length_penalty=0.0) == ["c"]
    assert len(model.calls) == 1


def test_generate_beam_returns_only_possible_texts():
    possible = Always([0.0, 1.0, -math.inf])
    assert generate(possible, ABC, "a", length=1, beam=3, samples=3) == ["b", "a"]
    assert generate(possible, ABC, "a", length=3, beam=9, samples=9, stop="ab", length_penalty=0.0) == ["b", "a"]
