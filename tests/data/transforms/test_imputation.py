"""What is read in place of what was not observed."""

import torch

from seqgnn.data.transforms.imputation import carry_forward


def test_carry_forward_fills_each_node_and_feature_separately():
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]], [[9.0, 10.0], [11.0, 12.0]]])
    seen = torch.tensor([[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [1, 0]]]).bool()
    found = carry_forward(values, seen, torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]))
    assert found.tolist() == [[[1, -2], [-3, 4]], [[1, -2], [7, 4]], [[1, 10], [11, 4]]]
    assert carry_forward(values, seen, torch.tensor([0.5, 0.25]))[0].tolist() == [[1, 0.25], [0.5, 4]]
    assert torch.equal(carry_forward(values, seen | True, torch.nan), values)
    assert carry_forward(values, seen & False, torch.nan).isnan().all()
