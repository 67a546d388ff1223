"""A task where the graph matters and the order does not: the distance between two nodes of a tree."""

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count, one_of
from seqgnn.tasks.base import DrawnTask


class TreeDistance(DrawnTask):
    r"""The distance d between two marked nodes of a random tree: at most k, or even?

    .. math::
        p(1) \le p(2) \le \dots \le p(n-1), \quad p(i) < i, \quad
        x_i = \left(marked(i), \; \frac{i - p(i)}{n}\right), \quad y = [d \le k] \text{ or } [d \text{ even}]

    The nodes 0 (the root) to n - 1 are in breadth-first order, so their parents p(i) never decrease: they are n - 1
    independent draws from U{0, ..., i - 1}, sorted. Every tree has positive probability, but probabilities differ. The
    two marked nodes are distinct and uniform. Edges connect parent and child in both directions; the second feature, 0
    for the root, encodes the same tree for models that read the nodes in order.

    Args:
        nodes: n, at least 3.
        target: "at-most-k" (k is the median distance) or "even".
        validation_size, test_size: number of samples in the validation and test sets.
        seed: random seed of these sets, and of the 8192 trees from which k and `depth` are computed; training batches
            use the generator passed to `draw`.

    Attributes:
        k: the median distance.
        depth: the number of layers with which one marked node is in the receptive field of the other: k for the target
            "at-most-k", else enough for 99% of pairs. (For a node halfway between them, half as many are enough.)

    Shapes:
        `x [B * n, 2]`, `y [B]`, `edge_index [2, B * 2 (n - 1)]`.

    Raises:
        ValueError: if a number is out of range or the target unknown.

    Example:
        >>> batch = TreeDistance(5).draw(1, torch.Generator().manual_seed(0))
        >>> (batch.x[:, 1] * 5).tolist(), batch.x[:, 0].tolist(), batch.y.tolist()
        ([0.0, 1.0, 2.0, 1.0, 2.0], [0.0, 1.0, 0.0, 0.0, 1.0], [0])
    """

    name = "trees"
    num_features = 2
    num_classes = 2
    directed = False
    readout = "mean"

    def __init__(
        self,
        nodes: int,
        target: str = "at-most-k",
        *,
        validation_size: int = 2048,
        test_size: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__(validation_size, test_size, seed)
        self.length = check_count("TreeDistance", "nodes", nodes, 3)
        self.target = one_of("TreeDistance", "target", target, ["at-most-k", "even"])
        parent, first, second = self._trees(8192, self.fixed_generator("median"))
        distance = tree_distance(parent, first, second).sort().values
        self.k = int(distance[len(distance) // 2])
        self.depth = self.k if target == "at-most-k" else int(distance[len(distance) * 99 // 100])

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        parent, first, second = self._trees(count, generator)
        node = torch.arange(self.length, device=parent.device)
        x = torch.empty(count, self.length, 2, device=parent.device)
        x[:, :, 0] = (node == first[:, None]) | (node == second[:, None])
        x[:, :, 1] = (node - parent) / self.length
        down = torch.stack([parent[:, 1:], node[1:].expand(count, -1)], dim=1)
        edges = torch.cat([down, down.flip(1)], dim=2)
        distance = tree_distance(parent, first, second)
        label = distance <= self.k if self.target == "at-most-k" else distance % 2 == 0
        return x, label.long(), edges

    def _trees(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return parents `[B, n]` (the root's is itself) and the two marked nodes, `[B]` each."""
        device = generator.device
        node = torch.arange(self.length, device=device)
        # float64: floor(u * i) < i holds for every u < 1
        draws = torch.rand(count, self.length, generator=generator, device=device, dtype=torch.float64)
        parent = (draws * node).long().sort(dim=1).values
        first = torch.randint(self.length, (count,), generator=generator, device=device)
        ahead = torch.randint(1, self.length, (count,), generator=generator, device=device)
        return parent, first, (first + ahead) % self.length

    def __repr__(self) -> str:
        return f"TreeDistance({self.length}, target={self.target!r})"


def tree_distance(parent: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the distance between two nodes of each tree; the larger node moves to its parent until they are equal.

    Args:
        parent: `[B, n]`, with parent[i] < i except for the root, 0, whose parent is itself.
        first, second: `[B]`, nodes.

    Returns:
        `[B]`.

    Example:
        >>> tree_distance(torch.tensor([[0, 0, 0, 1]]), torch.tensor([3]), torch.tensor([2])).tolist()
        [3]
    """
    distances = []
    for up, a, b in zip(parent.tolist(), first.tolist(), second.tolist(), strict=True):
        steps = 0
        while a != b:
            a, b = (up[a], b) if a > b else (a, up[b])
            steps += 1
        distances.append(steps)
    return torch.tensor(distances, device=parent.device)
