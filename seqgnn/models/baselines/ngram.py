"""N-gram language models with Witten-Bell smoothing."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, describe
from seqgnn.data import from_padded, sequence_batch, to_padded
from seqgnn.metrics.classification import ClassificationSums

NO_ID = -1  # in a state, before the beginning of the text
PIECE = 4096  # characters per call in `score`


class NGram(nn.Module):
    r"""An n-gram model with Witten-Bell smoothing, interpolated down to the uniform distribution.

    Witten and Bell, `The zero-frequency problem <https://doi.org/10.1109/18.87000>`_ (1991), method C: after a context
    h that was followed by t(h) different characters, a new one has odds t(h) : n(h), and its distribution is that of
    the context h', which is one character shorter.

    .. math:: p(c \mid h) = \frac{n(h c) + t(h) \, p(c \mid h')}{n(h) + t(h)}

    n(h c) is the number of times c followed h in the training text, n(h) the number of occurrences of h before any
    character. The distribution below the empty context is uniform, 1 / C. An unseen context has the distribution of h'.
    At the beginning of a text the context is shorter than order - 1.

    Deviation: the paper, on compression, uses h' only for characters that never followed h; here both are always
    interpolated, as is usual for language models (Chen and Goodman 1999), so that probabilities sum to one.

    It has the call of a model. The contexts form a tree: the root is the empty context, and the child of h under the
    character c is the context c h. Create an instance with :meth:`fit`; the constructor takes the tables of
    ``state_dict``, so ``NGram(C, order, **tables)`` restores one.

    Args:
        num_tokens: C, size of the vocabulary, at least 1.
        order: length of the n-grams, at least 1: the predicted character and order - 1 before it.
        keys: sorted, ``parent * C + oldest character``; the i-th is node i + 1. The last is larger than all keys.
        start: ``[nodes + 1]``; entries ``start[i]`` to ``start[i + 1]`` of the next two belong to node i.
        symbols, counts: the characters that followed each node, and their counts.

    Shapes:
        A batch with ids ``x [sum L]`` gives log-probabilities ``[sum L, C]`` in float64 and a state
        ``[order - 1, B]``: the last ids, oldest first, -1 before the beginning of the text.

    Example:
        >>> from seqgnn.data import path_graph
        >>> model = NGram.fit(torch.tensor([0, 1, 0, 1, 0, 0]), num_tokens=2, order=2)
        >>> batch = sequence_batch(torch.tensor([[1, 0]]), torch.tensor([[0, 0]]), path_graph(2))
        >>> log_probability, state = model(batch)
        >>> log_probability.exp().round(decimals=4).tolist(), state.tolist()
        ([[0.875, 0.125], [0.45, 0.55]], [[0]])
    """

    hops = (1,)  # for batches created for it; edges are not used
    keys: Tensor
    start: Tensor
    symbols: Tensor
    counts: Tensor

    def __init__(
        self, num_tokens: int, order: int, keys: Tensor, start: Tensor, symbols: Tensor, counts: Tensor
    ) -> None:
        super().__init__()
        self.num_tokens = check_count("NGram", "num_tokens", num_tokens, 1)
        self.order = check_count("NGram", "order", order, 1)
        tables = {"keys": keys, "start": start, "symbols": symbols, "counts": counts}
        for name, table in tables.items():
            if table.dim() != 1 or table.dtype != torch.long:
                raise ValueError(f"NGram: expected {name} to be a list of int64, got {describe(table)} {table.dtype}")
            self.register_buffer(name, table)
        if len(start) != len(keys) + 1 or len(symbols) != len(counts):
            sizes = {name: len(table) for name, table in tables.items()}
            raise ValueError(f"NGram: expected start one longer than keys and a count per symbol, got {sizes}")

    @classmethod
    def fit(cls, ids: Tensor, num_tokens: int, order: int) -> "NGram":
        """Return a model with the counts of a text.

        Args:
            ids: ``[L]`` integers of any dtype between 0 and num_tokens - 1, at least one.
            num_tokens: C, at least 1.
            order: length of the n-grams, at least 1.

        Raises:
            ValueError: if an argument is out of range or has the wrong shape.
        """
        check_count("NGram", "num_tokens", num_tokens, 1)
        check_count("NGram", "order", order, 1)
        text = _check_ids(ids, num_tokens)
        if text.dim() != 1 or text.numel() == 0:
            raise ValueError(f"NGram: expected ids of shape [L], at least one, got {list(text.shape)}")
        node = torch.zeros_like(text)  # of the context before each character, from the k-th on
        nodes, keys, followers, counts = 1, [], [], []
        for k in range(min(order, len(text))):
            if k:
                longer, place = torch.unique(node[1:] * num_tokens + text[:-k], return_inverse=True)
                node = nodes + place
                nodes += len(longer)
                keys.append(longer)
            pairs, count = torch.unique(node * num_tokens + text[k:], return_counts=True)
            followers.append(pairs)
            counts.append(count)
        # Nodes of longer contexts have larger numbers, so the concatenated keys of all lengths are sorted too.
        end = torch.tensor([torch.iinfo(torch.long).max], device=text.device)
        pairs = torch.cat(followers)
        number = torch.bincount(pairs // num_tokens, minlength=nodes)
        start = torch.cat([number.new_zeros(1), number.cumsum(0)])
        return cls(num_tokens, order, torch.cat([*keys, end]), start, pairs % num_tokens, torch.cat(counts))

    def forward(self, batch: Batch, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of the next id after each of `batch.x`, and the state for the next call.

        Raises:
            ValueError: if ids are not integers between 0 and C - 1 or on another device, or the state is invalid.
        """
        if batch.x.device != self.counts.device:
            raise ValueError(f"NGram: expected ids x on {self.counts.device}, got {batch.x.device}")
        ids = _check_ids(batch.x, self.num_tokens)
        if ids.dim() != 1:
            raise ValueError(f"NGram: expected ids x of shape [sum L], got {list(ids.shape)}")
        padded, lengths = to_padded(batch, ids)
        context, size = self.order - 1, padded.size(1)
        if state is None:
            state = padded.new_full((context, size), NO_ID)
        elif not isinstance(state, Tensor) or state.shape != (context, size) or state.device != padded.device:
            raise ValueError(f"NGram: expected a state [{context}, {size}] on {padded.device}, got {describe(state)}")
        else:
            state = _check_ids(state, self.num_tokens, least=NO_ID)
        stream = torch.cat([state, padded])
        contexts = from_padded(stream.unfold(0, context, 1)[1:], lengths)
        tail = lengths + torch.arange(context)[:, None]
        state = stream[tail.to(stream.device), torch.arange(size, device=stream.device)]
        return self._probabilities(contexts).log(), state

    def _probabilities(self, contexts: Tensor) -> Tensor:
        """Return ``p(c | h) [M, C]`` for contexts ``[M, order - 1]``, oldest first, -1 before the beginning."""
        rows = torch.arange(len(contexts), device=contexts.device)
        node = torch.zeros_like(rows)
        p = torch.full((len(rows), self.num_tokens), 1 / self.num_tokens, dtype=torch.double, device=rows.device)
        self._interpolate(p, rows, node)
        for older in contexts.flip(1).unbind(1):
            # No context that contains an unseen one was seen, so these rows are complete.
            key = node * self.num_tokens + older[rows]
            place = torch.searchsorted(self.keys, key)
            seen = (self.keys[place] == key) & (older[rows] != NO_ID)
            rows, node = rows[seen], place[seen] + 1
            self._interpolate(p, rows, node)
        return p

    def _interpolate(self, p: Tensor, rows: Tensor, node: Tensor) -> None:
        """Replace p(c | h') by p(c | h) in the given rows, in place; `node` is the node of h."""
        first, t = self.start[node], self.start[node + 1] - self.start[node]
        row = torch.arange(len(rows), device=rows.device).repeat_interleave(t)
        entry = first[row] + torch.arange(len(row), device=rows.device) - (t.cumsum(0) - t)[row]
        n_hc = self.counts[entry]
        n = torch.zeros_like(t).index_add(0, row, n_hc)
        p[rows] *= (t.double() / (n + t))[:, None]
        p[rows[row], self.symbols[entry]] += n_hc.double() / (n + t)[row]

    def score(self, ids: Tensor) -> tuple[float, float]:
        """Return nats per character and accuracy over a text, with full contexts throughout.

        L - 1 characters are predicted, all but the first, as in :meth:`seqgnn.data.CharText.test`.

        Args:
            ids: ``[L]`` integers of any dtype, at least two, on the model's device.

        Raises:
            ValueError: if there are fewer, or an id is out of range.
        """
        if ids.dim() != 1 or len(ids) < 2:
            raise ValueError(f"NGram: expected ids of shape [L], at least two, got {list(ids.shape)}")
        sums, state = ClassificationSums(), None
        no_edges = torch.empty(2, 0, dtype=torch.long)
        for start in range(0, len(ids) - 1, PIECE):
            piece = ids[start : start + PIECE + 1].long()
            batch = sequence_batch(piece[None, :-1], piece[None, 1:], no_edges)
            log_probability, state = self(batch, state)
            sums.add(log_probability, _check_ids(batch.y, self.num_tokens))
        result = sums.result()
        return result.loss, result.accuracy

    def extra_repr(self) -> str:
        return f"num_tokens={self.num_tokens}, order={self.order}, contexts={len(self.keys)}"


def _check_ids(ids: Tensor, num_tokens: int, least: int = 0) -> Tensor:
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"NGram: expected integer ids, got {ids.dtype}")
    ids = ids.long()
    if ids.numel() and not least <= int(ids.min()) <= int(ids.max()) < num_tokens:
        got = f"{int(ids.min())} to {int(ids.max())}"
        raise ValueError(f"NGram: expected ids between {least} and {num_tokens - 1}, got {got}")
    return ids
