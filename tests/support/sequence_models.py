"""Small models for sequences, and ragged batches for them."""

import torch

from seqgnn.data import SequenceGraph
from seqgnn.models import sequence_model as models

HOPS = (1, 2, 4)


def make(name, **options):
    torch.manual_seed(0)
    settings = {"num_classes": 3, "num_tokens": 5, "hidden": 6, "hops": HOPS, "length": 7} | options
    return models.build(name, **settings).double()


def ragged(lengths=(4, 7, 1, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        SequenceGraph.from_values(torch.randint(5, (n,), generator=generator), y=torch.zeros(1).long(), hops=HOPS)
        for n in lengths
    ]


def flat(state):
    return [t for part in state for t in flat(part)] if isinstance(state, tuple) else [state]
