"""The copying task: symbols must be remembered over a delay and repeated in order."""

import math

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data.paths import layers_to_reach, path_graph
from seqgnn.tasks.base import DrawnTask
from seqgnn.tasks.objectives import Classification


class Copying(DrawnTask):
    r"""The copying task: random symbols, T - 1 blanks, a delimiter, and blanks again, at which the symbols are to be
    repeated.

    .. math:: y_t = \text{blank} \; (t \le T + m), \quad y_t = x_{t - T - m} \; (T + m < t \le T + 2m)

    with m = `copied` symbols. There is one target per position. The accuracy counts the last m positions only, since
    the blank is right at all others; the loss is the mean over all positions.

    The copying memory problem of `Arjovsky et al. 2016 <https://arxiv.org/abs/1511.06464>`_, section 4.1, with 10
    symbols out of 8, after the experiments of Hochreiter and Schmidhuber 1997 with long time lags.

    Without memory, the best prediction is the blank up to the delimiter and equal probability for all symbols after it.
    Its expected accuracy is 1/8 and its loss 10 log(8) / (T + 20), see `memoryless`.

    Args:
        length: T, the delay, at least 1: symbols are repeated T + m positions after they are seen.
        symbols: number of different symbols, at least 2.
        copied: m, the number of symbols of a sequence, at least 1.
        hops: edges of the path graph, see `path_graph`.
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets; training batches use the generator passed to `draw`.

    Attributes:
        blank, delimiter: the token ids after those of the symbols; the delimiter is no class.

    `depth` is the number of layers with which each position that repeats a symbol has it in its receptive field, and at
    least the number of hops.

    Shapes:
        `x [B * (T + 2 m)]` ids, `y [B * (T + 2 m)]`.

    Raises:
        ValueError: if a number is out of range, or no sequence of hops connects a symbol with its copy.

    Example:
        >>> batch = Copying(3, copied=2).draw(1, torch.Generator().manual_seed(0))
        >>> batch.x.tolist(), batch.y.tolist()
        ([4, 7, 8, 8, 9, 8, 8], [8, 8, 8, 8, 8, 4, 7])
    """

    name = "copying"
    per_element = True

    def __init__(
        self,
        length: int,
        symbols: int = 8,
        copied: int = 10,
        *,
        hops: tuple[int, ...] = (1,),
        validation_size: int = 2048,
        test_size: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__(validation_size, test_size, seed)
        self.length = check_count("Copying", "length", length, 1)
        self.blank = check_count("Copying", "symbols", symbols, 2)
        self.copied = check_count("Copying", "copied", copied, 1)
        self.delimiter = self.blank + 1
        self.num_tokens, self.num_classes = self.blank + 2, self.blank + 1
        self.objective = Classification(background=self.blank)
        self.edge_index = path_graph(self.max_positions, True, hops)
        self.hops = tuple(hops)
        self.depth = max(layers_to_reach(length + copied, hops), len(hops))

    @property
    def max_positions(self) -> int:
        return self.length + 2 * self.copied

    @property
    def memoryless(self) -> tuple[float, float]:
        """The expected loss, in nats, and accuracy of the best prediction that does not depend on the symbols."""
        return self.copied * math.log(self.blank) / self.max_positions, 1 / self.blank

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        symbols = torch.randint(self.blank, (count, self.copied), generator=generator, device=generator.device)
        x = symbols.new_full((count, self.max_positions), self.blank)
        y = x.clone()
        x[:, : self.copied] = symbols
        x[:, self.copied + self.length - 1] = self.delimiter
        y[:, self.copied + self.length :] = symbols
        return x, y, self.edge_index

    def __repr__(self) -> str:
        return f"Copying({self.length}, symbols={self.blank}, copied={self.copied})"
