"""Fields of dataclasses and arguments of functions as options."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seqgnn._utils.options import ZERO_IS_NONE, entries, kind_of, options_of


@dataclass
class Size:
    """The size.

    Args:
        width: width in
            meters.
        height, depth: in meters; None: as the width.
        limit: at most this; None disables it.
    """

    width: float
    height: float | None = None
    depth: float | None = None
    limit: int | None = field(default=9, metadata=ZERO_IS_NONE)


def test_options_of_a_dataclass_have_its_docstring_and_defaults():
    width, height, depth, limit = options_of(Size, panel="Size")
    assert (width.help, width.default, width.kind, width.panel) == ("Width in meters.", None, float, "Size")
    assert (height.help, height.shown) == (depth.help, depth.shown) == ("In meters.", "as the width")
    assert (limit.help, limit.default, limit.kind) == ("At most this; 0 disables it.", 9, int) and limit.zero_is_none


def test_options_of_only_without_and_defaults_choose_fields():
    assert [option.name for option in options_of(Size, only=["depth", "width"])] == ["width", "depth"]
    assert [option.name for option in options_of(Size, without=["depth", "width"])] == ["height", "limit"]
    (height,) = options_of(Size, only=["height"], defaults=Size(1.0, height=2.0))
    assert height.default == 2.0 and height.shown is None


def test_options_of_a_function_are_its_arguments():
    def draw(count: int, name: str = "x") -> None:
        """Draws.

        Args:
            count: how many.
            name: of what...
        """

    count, name = options_of(draw)
    assert (count.flag, count.default, name.default, name.help) == ("--count", None, "x", "Of what...")
    assert entries(draw) == {"count": "how many.", "name": "of what..."}


@pytest.mark.parametrize(
    ("hint", "kind"),
    [
        (str | None, str),
        (int | float, float),
        (str | os.PathLike[str] | None, Path),
        (Sequence[int] | None, list[int]),
        (tuple[str, ...], list[str]),
        (Mapping[int, float], dict[int, float]),
    ],
)
def test_kind_of_a_hint_is_without_none(hint, kind):
    assert kind_of(hint) == kind
