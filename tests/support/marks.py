"""Marks of slow cases, so that `make slow` runs one of each kind and `make thorough` all of them."""

from collections.abc import Iterable
from typing import Any

import pytest

TRACED = [pytest.mark.slow, pytest.mark.traced]  # torch.compile, torch.export, ONNX
THOROUGH = [*TRACED, pytest.mark.thorough]


def thorough_but(cases: Iterable[Any], *quick: str) -> list[Any]:
    """Cases, all but those of these names marked as thorough; hyphens join the parts of a tuple in its name."""
    cases = list(cases)
    names = ["-".join(map(str, case)) if isinstance(case, tuple) else str(case) for case in cases]
    assert set(quick) <= set(names), f"expected names among {names}, got {quick}"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), id=name, marks=TRACED if name in quick else THOROUGH
        )
        for case, name in zip(cases, names)
    ]
