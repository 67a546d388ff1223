"""A norm that does not underflow, and evaluation mode with gradients."""

import torch
from torch import nn

from seqgnn.analysis._utils import evaluation_mode, safe_norm


def test_safe_norm_equals_torchs_where_squares_are_representable():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(safe_norm(x), x.double().norm(dim=-1), rtol=1e-12, atol=0)
    assert safe_norm(torch.zeros(2, 3)).tolist() == [0, 0]


def test_safe_norm_does_not_underflow_or_overflow():
    for scale in (1e-300, 1e300):
        x = torch.tensor([3.0, 4.0], dtype=torch.float64) * scale
        torch.testing.assert_close(safe_norm(x), torch.tensor(5 * scale, dtype=torch.float64), rtol=1e-12, atol=0)


def test_evaluation_mode_restores_modes_and_enables_gradients():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    model[1].eval()
    with torch.no_grad(), evaluation_mode(model):
        assert torch.is_grad_enabled() and not any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == [True, True, False]


def test_evaluation_mode_restores_modes_after_an_error():
    model = nn.Linear(2, 2).train()
    try:
        with evaluation_mode(model):
            raise RuntimeError("wrong")
    except RuntimeError:
        pass
    assert model.training
