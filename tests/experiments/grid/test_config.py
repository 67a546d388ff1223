"""The settings of a grid that a task does not use."""

import pytest

from seqgnn.experiments.grid.config import FORECAST_SETTINGS, SEQUENCE_SETTINGS, GridConfig, check_unused


def test_check_unused_accepts_defaults():
    check_unused(GridConfig(lr_per_size={4: 0.1}), (*FORECAST_SETTINGS, *SEQUENCE_SETTINGS), "recall")


@pytest.mark.parametrize(
    ("name", "value"), [("parameters", 500), ("refit", True), ("residual", False), ("K", 2), ("window", 3)]
)
def test_check_unused_names_the_setting(name, value):
    with pytest.raises(ValueError, match=f"compare: expected no {name} for task 'recall', got {value}"):
        check_unused(GridConfig(**{name: value}), (*FORECAST_SETTINGS, *SEQUENCE_SETTINGS), "recall")
