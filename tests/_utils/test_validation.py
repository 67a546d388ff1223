"""Checks of arguments: what they return, and their messages."""

import pytest
import torch
from torch import nn

from seqgnn._utils import validation

WEIGHT = torch.zeros(2, 3)


def test_checks_return_valid_values():
    assert validation.one_of("f", "kind", "a", ["a", "b"]) == "a"
    assert validation.check_count("f", "steps", 0, 0) == 0
    assert validation.checked_device("f", "cpu") == torch.device("cpu")
    assert [validation.check_channels("f", channels) for channels in (3, -1, (4, 4), (-1, -1))] == [3, -1, 4, -1]


@pytest.mark.parametrize("value", [True, 1.0, "2", 0, None])
def test_check_count_rejects_other_than_whole_numbers(value):
    with pytest.raises(ValueError, match="f: expected steps to be an integer of at least 1, got "):
        validation.check_count("f", "steps", value, 1)


def test_check_count_rejects_numbers_above_64_bits():
    with pytest.raises(ValueError, match=r"f: expected steps to be an integer below 2\*\*63, got 9223372036854775808"):
        validation.check_count("f", "steps", 2**63, 1)


@pytest.mark.parametrize("channels", [0, -2, 2.0, (3, 4), (3, 3, 3)])
def test_check_channels_rejects_sizes_and_unequal_pairs(channels):
    with pytest.raises(ValueError, match="f: expected in_channels to be an integer of at least 1, got "):
        validation.check_channels("f", channels)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([0.0], "f: expected a tensor, got list"),
        (torch.zeros(3), r"expected input of rank 2 or 3 with 3 channels at the end, got shape \(3,\)"),
        (torch.zeros(1, 4), r"with 3 channels at the end, got shape \(1, 4\)"),
        (torch.zeros(1, 3).double(), "expected input of torch.float32, as the weights are, got torch.float64"),
        (torch.zeros(1, 3, device="meta"), "expected input on cpu, where the weights are, got meta"),
    ],
)
def test_check_input_invalid_tensor_raises_value_error(x, message):
    with pytest.raises(ValueError, match=message):
        validation.check_input("f", x, (2, 3), 3, WEIGHT)


def test_shown_is_one_short_line_whatever_the_value():
    class Broken:
        def __repr__(self):
            raise RuntimeError("no repr")

    assert [validation.shown(value) for value in (3, "3", None)] == ["3", "'3'", "None"]
    assert validation.shown(torch.ones(99, 99)) == validation.shown(torch.ones(99, 99)).replace("\n", "")
    assert len(validation.shown([1] * 99)) == 80
    assert [validation.shown(value) for value in (10**9999, Broken())] == ["int", "Broken"]


def test_check_like_accepts_floating_dtypes_under_autocast():
    half = torch.zeros(1, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        validation.check_like("f", "input", half, WEIGHT)
        with pytest.raises(ValueError, match=r"got torch\.int64"):
            validation.check_like("f", "input", half.long(), WEIGHT)
    with pytest.raises(ValueError, match=r"got torch\.bfloat16"):
        validation.check_like("f", "input", half, WEIGHT)


def test_check_state_compares_shapes_and_kinds():
    h = torch.zeros(2, 3)
    validation.check_state("f", h, ((2, 3),), WEIGHT)
    validation.check_state("f", [h, h], ((2, 3), (2, 3)), WEIGHT)
    for state, shapes, message in (
        ((h,), ((2, 3),), r"expected a state h of shape \(2, 3\), got \(shape \(2, 3\)\)"),
        (h, ((2, 3), (2, 3)), r"expected a state \(h, c\) of shape \(2, 3\), \(2, 3\), got shape"),
        ((h, 1), ((2, 3), (2, 3)), r"got \(shape \(2, 3\), int\)"),
    ):
        with pytest.raises(ValueError, match=message):
            validation.check_state("f", state, shapes, WEIGHT)


def test_check_steps_rejects_a_sequence_without_steps():
    validation.check_steps("f", torch.zeros(1, 0, 3))
    with pytest.raises(ValueError, match=r"f: expected at least one time step, got shape \(1, 0, 3\)"):
        validation.check_steps("f", torch.zeros(1, 0, 3), dim=1)


def test_first_parameter_is_no_edge_mask():
    layer = nn.Module()
    assert validation.first_parameter(layer, WEIGHT) is WEIGHT
    layer._edge_mask = nn.Parameter(torch.zeros(4))
    assert validation.first_parameter(layer, WEIGHT) is WEIGHT
    layer.weight = nn.Parameter(torch.zeros(5))
    assert validation.first_parameter(layer, WEIGHT) is layer.weight
