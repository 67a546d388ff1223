"""A3TGCN: the oracle, windows and ragged batches."""

import pytest
import torch

from seqgnn.nn import A3TGCN
from tests.support import graph_oracles as og
from tests.support.layer_cases import per_gate
from tests.support.oracles import close, leaf
from tests.support.published_layers import EDGES, STATIC, WEIGHTS, F, H, N, T, leaves, same_gradients, signal


@pytest.mark.parametrize("variant", ["paper", "authors", "pyg-temporal"])
def test_a3tgcn_equals_oracle(variant):
    torch.manual_seed(0)
    layer = A3TGCN(F, H, attention_channels=5, variant=variant, dtype=torch.float64)
    inputs = leaves([signal(T, N, F), WEIGHTS, signal(1, N, H, seed=3)])
    p, others = {name: leaf(value) for name, value in layer.named_parameters()}, leaves(inputs)
    (x, weight, state), (y, other_weight, other_state) = inputs, others
    inner = {name: value for name, value in p.items() if not name.startswith("attention.")}
    names = per_gate(inner) if variant == "pyg-temporal" else inner
    for index in (0, 1):
        for kind in ("weight", "bias"):
            names[f"attention.{kind}_{index + 1}"] = p[f"attention.{index}.{kind}"]
    wanted, _, states = og.a3tgcn(names, y, (EDGES, other_weight), variant, state=(other_state[0],))
    summary, last = layer(x, EDGES, weight, state)
    close(summary, wanted)
    close(last[0], states[-1])
    same_gradients(layer, inputs, summary, p, others, wanted)


def test_a3tgcn_windows_and_ragged_batches_equal_single_calls():
    layer, x = A3TGCN(F, H, dtype=torch.float64), signal(T, 2, N, F)
    together = layer(x, *STATIC)[0]
    close(together, torch.stack([layer(x[:, b], *STATIC)[0] for b in range(2)]))
    ragged = layer(x, *STATIC, lengths=torch.tensor([2, 4]))[0]
    close(ragged, torch.stack([layer(x[:2, 0], *STATIC)[0], together[1]]))
    first = A3TGCN(F, H, batch_first=True, dtype=torch.float64)
    first.load_state_dict(layer.state_dict())
    close(first(x.transpose(0, 1), *STATIC)[0], together)
    with pytest.raises(ValueError, match="A3TGCN: expected one direction"):
        A3TGCN(F, H, bidirectional=True)
