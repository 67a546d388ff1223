"""Tasks that a model learns in a few steps, and their models."""

import torch
from torch import nn
from torch_geometric.data import Batch

from seqgnn.training.loop import TrainConfig


class FirstOfTwo:
    """Two numbers per sample; the target is the sign of the first. A linear map learns it in a few dozen steps."""

    def __init__(self, flip_validation: bool = False) -> None:
        self.flip_validation = flip_validation
        self.drawn: list[torch.Tensor] = []

    def draw(self, batch_size, generator):
        x = torch.randn(batch_size, 2, generator=generator)
        self.drawn.append(x)
        return Batch(x=x, y=(x[:, 0] > 0).long())

    def validation(self, batch_size):
        x = torch.randn(96, 2, generator=torch.Generator().manual_seed(99))
        y = (x[:, 0] > 0).long()
        if self.flip_validation:
            y = 1 - y
        for part in range(0, 96, batch_size):
            yield Batch(x=x[part : part + batch_size], y=y[part : part + batch_size])

    def test(self, batch_size):
        raise RuntimeError("training looked at the test set")


class Linear(nn.Module):
    """A linear map with zero weights, after dropout."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.map = nn.Linear(2, 2)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, batch, state=None):
        return self.map(self.dropout(batch.x)), None


def config(**changes):
    return TrainConfig(**{"steps": 40, "batch_size": 32, "lr": 0.02, "eval_every": 10, **changes})


class RunningSums:
    """Streams of bits; the target is the parity of their running sum, which needs the state of earlier windows."""

    num_streams = 4

    def stream(self, batch_size, index):
        window = index % 5
        steps = torch.randint(0, 2, (15, batch_size), generator=torch.Generator().manual_seed(7))
        part = slice(3 * window, 3 * window + 3)
        y = steps.cumsum(0)[part] % 2
        return Batch(x=steps[part].float(), y=y.flatten(), num_graphs=batch_size), window == 0

    def streams(self, part, batch_size):
        assert part == "validation"
        for window in range(5):
            yield self.stream(batch_size, window)[0]


class ParityModel(nn.Module):
    """Predicts the parity of the running sum; the state is `[1, B]`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.states = []

    def forward(self, batch, state=None):
        self.states.append(None if state is None else (state.requires_grad, state.clone()))
        start = torch.zeros(1, batch.x.shape[1]) if state is None else state
        total = batch.x.cumsum(0) + start
        odd = (total % 2).flatten()
        return self.scale * torch.stack([-odd, odd - 1], 1), total[-1:] + 0 * self.scale


class Broken(FirstOfTwo):
    """The same task with a change of its third training batch."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def draw(self, batch_size, generator):
        batch = super().draw(batch_size, generator)
        if len(self.drawn) == 3:
            self.change(batch)
        return batch
