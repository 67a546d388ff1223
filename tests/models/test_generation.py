"""Generated text against models that process the whole text again for each character."""

import math

import pytest
import torch

from seqgnn.data.vocabulary import Vocabulary
from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate, stream
from seqgnn.models.sampling import SamplingConfig
from tests.support.text_models import ABC, LETTERS, LOGITS, Always, logits_without_state, make_model


@pytest.mark.parametrize("name", models.NAMES)
def test_generate_greedy_equals_reading_the_whole_text(name):
    model, text = make_model(name), "abacb"
    for _ in range(12):
        text += ABC.decode(logits_without_state(model, [text]).argmax(-1))
    assert generate(model, ABC, "abacb", SamplingConfig(greedy=True), length=12) == [text[5:]]


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("options", [{"positions": True}, {"readout": "mean"}, {"readout": "max"}], ids=str)
def test_generate_stateless_models_reread_their_window(name, options):
    model, greedy, texts = make_model(name, length=6, **options), "abac", ["abac"] * 3
    generator = torch.Generator().manual_seed(7)
    for _ in range(9):
        greedy += ABC.decode(logits_without_state(model, [greedy[-6:]]).argmax(-1))
        cumulative = logits_without_state(model, [text[-6:] for text in texts]).softmax(-1).cumsum(-1)
        u = torch.rand(3, 1, dtype=torch.float64, generator=generator)
        texts = [text + "abc"[int(i)] for text, i in zip(texts, (u > cumulative).sum(-1))]
    assert generate(model, ABC, "abac", SamplingConfig(greedy=True), length=9) == [greedy[4:]]
    assert generate(model, ABC, "abac", length=9, beam=1) == [greedy[4:]]
    assert generate(model, ABC, "abac", SamplingConfig(seed=7), length=9, samples=3) == [text[4:] for text in texts]
    longer, window = (
        generate(model, ABC, prompt, SamplingConfig(greedy=True), length=1) for prompt in ("cc" + greedy, greedy[-6:])
    )
    assert longer == window


@pytest.mark.parametrize("name", models.NAMES)
def test_generate_samples_have_separate_states(name):
    model, texts, generator = make_model(name), ["cab"] * 4, torch.Generator().manual_seed(7)
    for _ in range(12):
        cumulative = (logits_without_state(model, texts) / 1.5).softmax(-1).cumsum(-1)
        u = torch.rand(4, 1, dtype=torch.float64, generator=generator)
        texts = [text + "abc"[int(i)] for text, i in zip(texts, (u > cumulative).sum(-1))]
    sampling = SamplingConfig(temperature=1.5, seed=7)
    assert generate(model, ABC, "cab", sampling, length=12, samples=4) == [text[3:] for text in texts]
    assert len(set(texts)) > 1


def test_generate_stop_ends_each_sample_separately():
    model = Always(LOGITS)
    free = generate(model, LETTERS, "a", length=60, samples=5)
    stopped = generate(model, LETTERS, "a", length=60, samples=5, stop="ce?")
    for text, full in zip(stopped, free):
        ends = [full.find(letter) for letter in "ce" if letter in full]
        assert text == full[: min(ends) + 1] if ends else text == full
    assert len({len(text) for text in stopped}) > 1
    steps = list(stream(model, LETTERS, "a", length=60, samples=5, stop="ce"))
    assert len(steps) == max(len(text) for text in stopped) and steps[-1].count("") == 4


def test_generate_empty_prompt_equals_newline_or_most_frequent():
    model = make_model()
    assert generate(model, ABC, length=20) == generate(model, ABC, "b", length=20)
    lines = Vocabulary("\nab", [1, 5, 9])
    assert generate(model, lines, length=20) == generate(model, lines, "\n", length=20)
    assert generate(model, lines, "xyz", on_unknown="skip", length=20) == generate(model, lines, length=20)


def test_generate_unknown_prompt_characters_raise_or_are_skipped():
    with pytest.raises(ValueError, match="'x', 'ä'"):
        generate(make_model(), ABC, "aäbxä")
    skipped = generate(make_model(), ABC, "aäbx", on_unknown="skip", length=20)
    assert skipped == generate(make_model(), ABC, "ab", length=20)


def test_generate_depends_on_the_seed_only():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = generate(make_model(), ABC, "a", SamplingConfig(seed=1), length=40)
    torch.set_rng_state(before)
    second = generate(model := make_model(), ABC, "a", SamplingConfig(seed=1), length=40)
    torch.manual_seed(9)
    untouched = torch.get_rng_state()
    assert first == second == generate(model, ABC, "a", SamplingConfig(seed=1), length=40)
    assert generate(model, ABC, "a", SamplingConfig(seed=2), length=40) != first
    assert torch.equal(torch.get_rng_state(), untouched)


def test_stream_evaluation_mode_ends_with_the_stream():
    model = make_model(dropout=0.5)
    expected = generate(model.eval(), ABC, "a", length=20)
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    assert generate(model, ABC, "a", length=20) == expected
    assert [module.training for module in model.modules()] == modes
    steps = stream(model, ABC, "a", length=20)
    assert model.training
    assert next(steps) == [expected[0][0]] and not any(module.training for module in model.modules())
    assert torch.is_grad_enabled()  # in the caller's code
    steps.close()
    assert [module.training for module in model.modules()] == modes
    assert generate(model, ABC, "a", length=5, beam=2) and model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_generate_failing_model_restores_training_mode():
    model = Always([0.0, math.nan, 1.0]).train()
    with pytest.raises(ValueError, match="expected logits whose largest is finite, got NaN"):
        generate(model, ABC)
    assert model.training


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "expected length to be an integer of at least 1, got 0"),
        ({"samples": 0}, "expected samples to be an integer of at least 1"),
        ({"beam": 0}, "expected beam to be an integer of at least 1"),
        ({"beam": 2, "samples": 3}, "expected beam to be an integer of at least 3, got 2"),
        ({"beam": 2, "sampling": SamplingConfig(greedy=True)}, "beam cannot be combined with greedy"),
        ({"beam": 2, "sampling": SamplingConfig(temperature=0.5)}, "beam cannot be combined with greedy, temperature"),
        ({"beam": 2, "sampling": SamplingConfig(inverse_temperature=0.5)}, "beam cannot be combined with"),
        ({"beam": 2, "sampling": SamplingConfig(top_p=0.5)}, "beam cannot be combined with"),
        ({"beam": 2, "length": 0}, "expected length to be an integer"),
        ({"beam": 2, "length_penalty": -1.0}, "expected length_penalty to be a number of at least 0, got -1.0"),
        ({"length_penalty": 0.5}, "length_penalty=0.5 requires beam"),
        ({"stop": ""}, "expected at least one known character in stop, got ''"),
        ({"stop": "?"}, "expected at least one known character in stop"),
        ({"on_unknown": "drop"}, "expected on_unknown to be one of 'error', 'skip', got 'drop'"),
        ({"device": "nowhere"}, "expected a device that this torch can use, got 'nowhere'"),
    ],
    ids=str,
)
def test_generate_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=f"generate: {message}"):
        generate(make_model(), ABC, "a", **options)


def test_stream_invalid_length_raises_at_the_call():
    with pytest.raises(ValueError, match="expected length"):
        stream(make_model(), ABC, "a", length=0)


def test_generate_device_by_name_or_object_is_accepted():
    assert generate(make_model(), ABC, "a", device="cpu", length=9) == generate(make_model(), ABC, "a", length=9)
    assert len(generate(Always(LOGITS), LETTERS, device=torch.device("cpu"), length=9)[0]) == 9


@pytest.mark.gpu
@pytest.mark.parametrize("name", models.NAMES)
def test_generate_on_gpu_equals_cpu(name):
    for options in ({"samples": 3}, {"beam": 3, "samples": 2}, {"sampling": SamplingConfig(greedy=True)}):
        here = generate(make_model(name), ABC, "abc", length=30, **options)
        assert generate(make_model(name), ABC, "abc", length=30, device="cuda", **options) == here
