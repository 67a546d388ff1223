"""Recall of the first digit: in palindromes, and in random digits as the control beside them."""

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data.sequence_graph import layers_to_reach, path_graph
from seqgnn.tasks.base import DrawnTask


class FirstDigitRecall(DrawnTask):
    r"""Random digits; the answer is the first of them.

    .. math:: x = (d_1, \dots, d_{T-1}), \quad y = d_1, \quad d_i \sim U\{0, \dots, base - 1\}

    The control beside `Palindromes`: T - 1 independent digits, in which nothing but the first tells the answer, so that
    no readout over all positions can count its way to it.

    Args:
        length: T, at least 2; a sequence has T - 1 elements, as in `Palindromes`.
        base: number of digits, at least 2; chance is 1 / base.
        directed, hops: the path's edges, see `path_graph`.
        validation_size, test_size: samples in the fixed sets.
        seed: of the fixed sets only; training batches come from the generator given to `draw`.

    `depth` is the rounds after which the last element has heard of the first, and at least the number of hops. With
    `hops=(1,)` that is T - 2: a comparison caps it and says so.

    Shapes:
        `x [B * (T - 1)]` ids, `y [B]`.

    Raises:
        ValueError: if a number is out of range, or the hops do not lead from the first element to the last.

    Example:
        >>> batch = FirstDigitRecall(5).draw(2, torch.Generator().manual_seed(0))
        >>> batch.x.view(2, 4).tolist(), batch.y.tolist()
        ([[4, 9, 3, 0], [3, 9, 7, 3]], [4, 3])
    """

    name = "recall"

    def __init__(
        self,
        length: int,
        base: int = 10,
        *,
        directed: bool = True,
        hops: tuple[int, ...] = (1,),
        validation_size: int = 2048,
        test_size: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__(validation_size, test_size, seed)
        who = type(self).__name__
        self.length = check_count(who, "length", length, 2)
        self.num_tokens = self.num_classes = check_count(who, "base", base, 2)
        self.directed = directed
        self.edge_index = path_graph(length - 1, directed, hops)
        self.hops = tuple(hops)
        self.depth = max(layers_to_reach(length - 2, hops, directed), len(hops))

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        digits = self._digits((count, self.length - 1), generator)
        return digits, digits[:, 0].clone(), self.edge_index

    def _digits(self, shape: tuple[int, int], generator: Generator) -> Tensor:
        return torch.randint(self.num_classes, shape, generator=generator, device=generator.device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length}, base={self.num_classes})"


class Palindromes(FirstDigitRecall):
    r"""Palindromes without their last digit; the answer is that digit, which is the first.

    .. math:: d_i = d_{T+1-i}, \quad x = (d_1, \dots, d_{T-1}), \quad y = d_T = d_1

    **A readout that sees all positions needs no memory here**: for even T every digit of a palindrome occurs an even
    number of times, so the answer is the only digit that occurs an odd number of times in x. Hence the headline
    readout is the last element; a readout over all elements is another task and is reported apart.

    Args and attributes as in `FirstDigitRecall`.

    Example:
        >>> batch = Palindromes(6).draw(2, torch.Generator().manual_seed(0))
        >>> batch.x.view(2, 5).tolist(), batch.y.tolist()
        ([[4, 9, 3, 3, 9], [0, 3, 9, 9, 3]], [4, 0])
    """

    name = "palindromes"

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        half = self._digits((count, (self.length + 1) // 2), generator)
        place = torch.arange(self.length - 1, device=generator.device)
        digits = half[:, torch.minimum(place, self.length - 1 - place)]
        return digits, digits[:, 0].clone(), self.edge_index
