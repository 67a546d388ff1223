"""Sampling against hand-computed distributions and statistical tests."""

import itertools
import math

import pytest
import torch
from scipy import stats

from seqgnn.models.generation import generate
from seqgnn.models.sampling import SamplingConfig, next_probabilities
from tests.support.text_models import ABC, LETTERS, LOGITS, Always, make_model


def test_next_probabilities_temperature_divides_the_logits():
    z = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    for temperature in (0.1, 0.5, 1, 3.0):
        expected = (z.double() / temperature).exp()
        expected /= expected.sum(-1, keepdim=True)
        torch.testing.assert_close(next_probabilities(z, temperature), expected, rtol=1e-12, atol=0)


def test_next_probabilities_extreme_temperatures_are_exact():
    z = torch.tensor([[1.0, 3.0, 3.0, -math.inf]])
    assert next_probabilities(z, 0).tolist() == [[0, 1, 0, 0]]
    assert next_probabilities(z, math.inf).tolist() == [[1 / 3, 1 / 3, 1 / 3, 0]]
    assert next_probabilities(z, 1e-320).tolist() == [[0, 0.5, 0.5, 0]]
    assert next_probabilities(z, 1e300).tolist() == [[1 / 3, 1 / 3, 1 / 3, 0]]
    assert next_probabilities(torch.tensor([[0.0, 1.0, 2.0]]), 1e-9).tolist() == [[0, 0, 1]]


def test_next_probabilities_top_k_and_top_p_equal_hand_values():
    z = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()

    def near(expected, **options):
        torch.testing.assert_close(next_probabilities(z, **options), torch.tensor([expected]).double())

    near([0, 4 / 9, 2 / 9, 3 / 9], top_k=3)
    near([0.1, 0.4, 0.2, 0.3], top_k=4)
    near([0.1, 0.4, 0.2, 0.3], top_k=9, top_p=1.0)
    near([0, 1, 0, 0], top_p=1e-9)
    near([0, 4 / 7, 0, 3 / 7], top_p=0.5)
    near([0, 4 / 9, 2 / 9, 3 / 9], top_p=0.75)
    near([0, 4 / 7, 0, 3 / 7], top_k=3, top_p=0.7)  # 4/9 + 3/9 is enough after top-k
    near([0, 16 / 25, 0, 9 / 25], temperature=0.5, top_p=0.8)  # (16 + 9) / 30 is enough: at that temperature
    near([0, 1 / 3, 1 / 3, 1 / 3], temperature=math.inf, top_k=3)
    near([0, 1 / 2, 0, 1 / 2], temperature=math.inf, top_p=0.5)
    near([0, 1, 0, 0], temperature=0, top_k=3, top_p=0.9)


def test_next_probabilities_top_p_of_equal_logits_is_exact():
    for share in range(1, 11):
        p = next_probabilities(torch.arange(10.0)[None], math.inf, top_p=share / 10)
        torch.testing.assert_close(p[0], torch.tensor([0.0] * (10 - share) + [1 / share] * share).double())


def test_next_probabilities_top_k_of_ties_takes_the_first():
    z = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]])
    assert next_probabilities(z, top_k=1).tolist() == [[1, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(next_probabilities(z, top_k=2)[1], torch.tensor([0, 0.5, 0.5]).double())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"inverse_temperature": 0.4},
        {"temperature": math.inf},
        {"inverse_temperature": 0},
        {"top_k": 3},
        {"top_p": 0.8},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.9},
    ],
    ids=str,
)
def test_samples_pass_a_chi_squared_test(options):
    texts = generate(Always(LOGITS), LETTERS, "a", SamplingConfig(seed=3, **options), length=300, samples=100)
    plain = dict(options)
    tau = plain.pop("inverse_temperature", None)
    if tau is not None:
        plain["temperature"] = 1 / tau if tau else math.inf
    p = next_probabilities(LOGITS[None], **plain)[0].tolist()
    counts = ["".join(texts).count(letter) for letter in LETTERS.characters]
    assert all(count == 0 for count, share in zip(counts, p) if share == 0)
    possible = [(count, 30_000 * share) for count, share in zip(counts, p) if share > 0]
    assert stats.chisquare(*zip(*possible)).pvalue > 0.01


def test_generate_successive_samples_are_independent():
    (text,) = generate(Always(LOGITS), LETTERS, "a", SamplingConfig(seed=1), length=5_000)
    pairs = [[0] * 6 for _ in range(6)]
    for first, second in itertools.pairwise(text):
        pairs["abcdef".index(first)]["abcdef".index(second)] += 1
    assert stats.chi2_contingency(pairs).pvalue > 0.01


def test_generate_inverse_temperature_equals_its_reciprocal():
    sizes = {"length": 50, "samples": 3}
    by_tau = generate(make_model(), ABC, "ab", SamplingConfig(inverse_temperature=4.0, seed=5), **sizes)
    assert by_tau == generate(make_model(), ABC, "ab", SamplingConfig(temperature=0.25, seed=5), **sizes)
    greedy = generate(make_model(), ABC, "ab", SamplingConfig(greedy=True), length=50)
    assert generate(make_model(), ABC, "ab", SamplingConfig(inverse_temperature=math.inf), length=50) == greedy
    assert generate(make_model(), ABC, "ab", SamplingConfig(temperature=0), length=50) == greedy


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "expected seed to be an integer of at least 0"),
        ({"temperature": -1.0}, "expected temperature to be a number of at least 0, got -1.0"),
        ({"temperature": math.nan}, "expected temperature to be a number of at least 0, got nan"),
        ({"temperature": "hot"}, "expected temperature to be a number"),
        ({"inverse_temperature": -1.0}, "expected inverse_temperature to be a number of at least 0"),
        ({"temperature": 2.0, "inverse_temperature": 2.0}, "expected temperature or inverse_temperature, got both"),
        ({"top_k": 0}, "expected top_k to be an integer of at least 1"),
        ({"top_p": 0.0}, r"expected top_p in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, r"expected top_p in \(0, 1\]"),
        ({"greedy": True, "temperature": 2.0}, "greedy cannot be combined with temperature"),
        ({"greedy": True, "inverse_temperature": 1.0}, "greedy cannot be combined with temperature"),
        ({"greedy": True, "top_k": 2}, "greedy cannot be combined with temperature, top_k or top_p"),
    ],
    ids=str,
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=f"SamplingConfig: {message}"):
        SamplingConfig(**options)


def test_next_probabilities_invalid_arguments_raise_value_error():
    with pytest.raises(
        ValueError, match=r"next_probabilities: expected floating logits of shape \[B, V\], got .*\[3\]"
    ):
        next_probabilities(torch.zeros(3))
    with pytest.raises(ValueError, match="next_probabilities: expected temperature"):
        next_probabilities(torch.zeros(1, 3), -1)
