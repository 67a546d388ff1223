"""A task on trees: the value of a nested arithmetic expression, modulo 10."""

import numpy as np
import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count
from seqgnn.tasks.base import DrawnTask

DIGITS = 10
PLUS, TIMES = 10, 11
SYMBOLS = "0123456789+*"


class ExpressionTrees(DrawnTask):
    r"""The value of an arithmetic expression of digits, + and *, modulo 10.

    .. math::
        v_j = x_j \text{ (a digit)}, \qquad v_j = v_l + v_r \;\text{or}\; v_l \cdot v_r \pmod{10}, \qquad y = v_{root}

    The tokens are in postfix order, which needs no brackets. For an RNN they are a sequence that ends with the root;
    for a GNN they are a tree with edges from each operand to its operator. Both operators are commutative, so the order
    of children does not matter. All binary trees with the same number of leaves are equally likely; digits and
    operators are independent and uniform.

    With n digits left and h values on the stack, an expression has :math:`W(n, h)` completions (`ballot numbers
    <https://en.wikipedia.org/wiki/Bertrand%27s_ballot_theorem>`_), and the next token is an operator in

    .. math::
        \frac{W(n, h - 1)}{W(n, h)} = \frac{(h - 1) (n + h)}{h (2 n + h - 1)} \text{ of them}, \qquad
        W(n, h) = \frac{h}{2 n + h} \binom{2 n + h}{n}

    Args:
        length: L, number of tokens, odd and at least 3: (L + 1) / 2 digits and (L - 1) / 2 operators.
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets, and of the 8192 trees from which `depth` is computed.

    Attributes:
        depth: the number of layers with which all leaves are in the receptive field of the root, for 99% of trees.

    Shapes:
        `x [B * L]` ids (0 to 9, + is 10, * is 11), `y [B]`, `edge_index [2, B * (L - 1)]`.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> task = ExpressionTrees(5)
        >>> batch = task.draw(1, torch.Generator().manual_seed(0))
        >>> task.spell(batch.x), batch.y.item(), batch.edge_index.tolist()
        ('71+5+', 3, [[0, 1, 2, 3], [2, 2, 4, 4]])
    """

    name = "expressions"
    num_tokens = len(SYMBOLS)
    num_classes = DIGITS
    directed = True
    readout = "last"

    def __init__(self, length: int, *, validation_size: int = 2048, test_size: int = 8192, seed: int = 0) -> None:
        super().__init__(validation_size, test_size, seed)
        self.length = check_count("ExpressionTrees", "length", length, 3)
        if length % 2 == 0:
            raise ValueError(f"ExpressionTrees: expected length to be odd, n digits and n - 1 operators, got {length}")
        generator, count = self.fixed_generator("depth"), max(1, 2**24 // length)  # limits memory
        parts = [self._trees(min(count, 8192 - start), generator)[3] for start in range(0, 8192, count)]
        depth = np.sort(np.concatenate(parts))
        self.depth = int(depth[len(depth) * 99 // 100])

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        tokens, values, edges, _ = self._trees(count, generator)
        return tuple(torch.from_numpy(part).to(generator.device) for part in (tokens, values, edges))  # type: ignore[return-value]

    def spell(self, tokens: Tensor) -> str:
        """Return tokens as text, in postfix order."""
        return "".join(SYMBOLS[token] for token in tokens.tolist())

    def _trees(self, count: int, generator: Generator) -> tuple[np.ndarray, ...]:
        """Return tokens `[B, L]`, values `[B]`, edges `[B, 2, L - 1]` and depths `[B]`, built token by token with a
        stack."""
        draws = torch.rand(2, count, self.length, generator=generator, device=generator.device, dtype=torch.float64)
        chance, symbol = draws.cpu().numpy()
        row = np.arange(count)
        leaves = np.full(count, (self.length + 1) // 2)
        height = np.zeros(count, dtype=np.int64)
        stack = np.zeros((3, count, leaves[0] + 1), dtype=np.int64)  # value, node and depth of each entry
        tokens = np.empty((count, self.length), dtype=np.int64)
        edges = np.empty((count, 2, self.length - 1), dtype=np.int64)
        done = np.zeros(count, dtype=np.int64)
        for step in range(self.length):
            operates = chance[:, step] * height * (2 * leaves + height - 1) < (height - 1) * (leaves + height)
            digit = (DIGITS * symbol[:, step]).astype(np.int64)
            token = np.where(operates, PLUS + (symbol[:, step] >= 0.5), digit)
            (right, j, right_depth), (left, i, left_depth) = stack[:, row, height - 1], stack[:, row, height - 2]
            value = np.where(token == PLUS, left + right, left * right) % DIGITS
            here = row[operates]
            edges[here, :, done[operates]] = np.stack([i, np.full(count, step)], axis=1)[operates]
            edges[here, :, done[operates] + 1] = np.stack([j, np.full(count, step)], axis=1)[operates]
            done += 2 * operates
            height += np.where(operates, -1, 1)
            leaves -= ~operates
            stack[0, row, height - 1] = np.where(operates, value, digit)
            stack[1, row, height - 1] = step
            stack[2, row, height - 1] = np.where(operates, 1 + np.maximum(right_depth, left_depth), 0)
            tokens[:, step] = token
        return tokens, stack[0, :, 0], edges, stack[2, :, 0]

    def __repr__(self) -> str:
        return f"ExpressionTrees({self.length})"
