"""Specifications of models, also from JSON."""

import json
from dataclasses import asdict

import pytest

from seqgnn.experiments.runs.specs import ForecasterSpec, ModelSpec, spec_from_dict


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("a", "lstm", init=("orthogonal", "chrono"), lr=0.5),
        ModelSpec("b", "gcn", hops=(1, 2)),
        ForecasterSpec("c", "gcrn", K=3, hidden=4),
    ],
    ids=str,
)
def test_spec_from_dict_inverts_asdict_through_json(spec):
    assert spec_from_dict(json.loads(json.dumps(asdict(spec)))) == spec


@pytest.mark.parametrize("content", [{}, {"label": "a", "model": "lstm", "depth": 3}, {"residual": True}])
def test_spec_from_dict_of_other_fields_raises_value_error(content):
    with pytest.raises(ValueError, match="compare: expected the specification of a model, got another"):
        spec_from_dict(content)
