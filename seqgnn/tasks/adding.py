"""The adding problem: real values that are marked must be remembered and added."""

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data.paths import layers_to_reach, path_graph
from seqgnn.tasks.base import DrawnTask
from seqgnn.tasks.objectives import Regression

TOLERANCE = 0.04


class Adding(DrawnTask):
    r"""The adding problem: pairs of a random value and a marker; the target is the sum of the two marked values.

    .. math:: x_t = (v_t, m_t), \quad v_t \sim U[0, 1), \quad y = \sum_t m_t v_t

    with m = 1 at one position of the first half and one of the second half, drawn uniformly, and m = 0 elsewhere. The
    mean squared error of the best constant prediction, 1, is 1/6.

    Experiment 4 of Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, in the form of
    `Arjovsky et al. 2016 <https://arxiv.org/abs/1511.06464>`_, section 4.2, which is usual today. In the original,
    values are from [-1, 1]; lengths are random between T and T + T / 10; one marker is among the first ten pairs and
    the other among the first T / 2 - 1 others; the first and the last pair have the marker -1, and a first value that
    is marked counts as 0; the target is 0.5 + (v_i + v_j) / 4, in [0, 1]. A prediction is correct if its error is below
    0.04, there as here; since the range of the target is twice as large here, this is stricter.

    **A mean readout needs no memory here**: relu(v_t + m_t - 1) = m_t v_t, so the target is T times the mean of a
    function of single positions. Readouts over all positions are reported separately.

    Args:
        length: T, the number of pairs, at least 2.
        directed, hops: edges of the path graph, see `path_graph`.
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets; training batches use the generator passed to `draw`.

    `depth` is the number of layers with which the first position is in the receptive field of the last, and at least
    the number of hops.

    Shapes:
        `x [B * T, 2]`, value and marker; `y [B]`.

    Raises:
        ValueError: if a number is out of range, or no sequence of hops connects the first position with the last.

    Example:
        >>> batch = Adding(4).draw(1, torch.Generator().manual_seed(0))
        >>> [[round(value, 2) for value in pair] for pair in batch.x.tolist()], round(batch.y.item(), 2)
        ([[0.5, 0.0], [0.77, 1.0], [0.09, 0.0], [0.13, 1.0]], 0.9)
    """

    name = "adding"
    num_features = 2
    num_classes = 1
    objective = Regression(TOLERANCE)

    def __init__(
        self,
        length: int,
        *,
        directed: bool = True,
        hops: tuple[int, ...] = (1,),
        validation_size: int = 2048,
        test_size: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__(validation_size, test_size, seed)
        self.length = check_count("Adding", "length", length, 2)
        self.directed = directed
        self.edge_index = path_graph(length, directed, hops)
        self.hops = tuple(hops)
        self.depth = max(layers_to_reach(length - 1, hops, directed), len(hops))

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        device, half = generator.device, self.length // 2
        values = torch.rand(count, self.length, generator=generator, device=device)
        first = torch.randint(half, (count, 1), generator=generator, device=device)
        second = torch.randint(half, self.length, (count, 1), generator=generator, device=device)
        marked = torch.cat([first, second], dim=1)
        markers = torch.zeros_like(values).scatter_(1, marked, 1.0)
        return torch.stack([values, markers], dim=-1), values.gather(1, marked).sum(1), self.edge_index

    def __repr__(self) -> str:
        return f"Adding({self.length})"
