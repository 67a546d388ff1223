"""Character models to generate text with, and their logits without a state."""

import torch
from torch import nn

from seqgnn.data import path_graph, sequence_batch
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.models import sequence_model as models

ABC = Vocabulary("abc", [3, 5, 1])
LETTERS = Vocabulary("abcdef", [1] * 6)
LOGITS = torch.tensor([0.3, 1.2, -0.5, 0.9, -2.0, 0.0])  # of these letters


class Always(nn.Module):
    """The same logits at every position; records its calls."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.as_tensor(logits)
        self.calls = []

    def forward(self, batch, state=None):
        self.calls.append((batch.x.view(batch.num_graphs, -1).tolist(), state is not None))
        return self.predict(batch.x), torch.zeros(1, batch.num_graphs, 1)

    def predict(self, x):
        return self.logits.expand(len(x), -1)


class Next(Always):
    """The logits in the row of the token."""

    def predict(self, x):
        return self.logits[x]


def make_model(name="lstm", tokens=3, **options):
    torch.manual_seed(1)
    sizes = {"num_classes": tokens, "num_tokens": tokens, "per_element": True, "hidden": 5, "hops": (1, 2)}
    model = models.build(name, **sizes | {"num_layers": 2} | options).double()
    with torch.no_grad():
        model.head.weight *= 8  # far from uniform, and dependent on the text
    return model


def logits_without_state(model, texts):
    """The logits after the last character of texts of equal length, each read from its start, without a state."""
    ids = torch.stack([ABC.encode(text) for text in texts])
    batch = sequence_batch(ids, ids, path_graph(ids.size(1), hops=model.hops))
    with torch.no_grad():
        return model(batch)[0].view(*ids.shape, -1)[:, -1]
