"""Recall of the first digit, in palindromes and, as a control, in random digits."""

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count
from seqgnn.data.paths import layers_to_reach, path_graph
from seqgnn.tasks.base import DrawnTask


class FirstDigitRecall(DrawnTask):
    r"""Random digits; the target is the first digit.

    .. math:: x = (d_1, \dots, d_{T-1}), \quad y = d_1, \quad d_i \sim U\{0, \dots, base - 1\}

    The control for `Palindromes`: the digits are independent, so that only the first one depends on the target, and
    counting digits with a readout over all positions does not help.

    Args:
        length: T, at least 2; a sequence has T - 1 digits, as in `Palindromes`.
        base: number of different digits, at least 2; chance is 1 / base.
        directed, hops: edges of the path graph, see `path_graph`.
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets; training batches use the generator passed to `draw`.

    `depth` is the number of layers with which the first position is in the receptive field of the last, and at least
    the number of hops. With `hops=(1,)` it is T - 2; comparisons limit it and report that.

    Shapes:
        `x [B * (T - 1)]` ids, `y [B]`.

    Raises:
        ValueError: if a number is out of range, or no sequence of hops connects the first position with the last.

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
        caller = type(self).__name__
        self.length = check_count(caller, "length", length, 2)
        self.num_tokens = self.num_classes = check_count(caller, "base", base, 2)
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
    r"""Palindromes without their last digit; the target is that digit, which equals the first.

    .. math:: d_i = d_{T+1-i}, \quad x = (d_1, \dots, d_{T-1}), \quad y = d_T = d_1

    **A readout over all positions needs no long-term memory here**: for even T every digit of a palindrome occurs an
    even number of times, so the target is the only digit that occurs an odd number of times in x. The main readout is
    therefore the last position; readouts over all positions solve another task and are reported separately.

    Args and attributes as in `FirstDigitRecall`.

    Example:
        >>> batch = Palindromes(6).draw(2, torch.Generator().manual_seed(0))
        >>> batch.x.view(2, 5).tolist(), batch.y.tolist()
        ([[4, 9, 3, 3, 9], [0, 3, 9, 9, 3]], [4, 0])
    """

    name = "palindromes"

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        half = self._digits((count, (self.length + 1) // 2), generator)
        position = torch.arange(self.length - 1, device=generator.device)
        digits = half[:, torch.minimum(position, self.length - 1 - position)]
        return digits, digits[:, 0].clone(), self.edge_index
