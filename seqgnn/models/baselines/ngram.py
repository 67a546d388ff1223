"""N-gram models of text, with Witten-Bell smoothing: what a table of counts knows about the next character."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from seqgnn._utils.validation import check_count, describe
from seqgnn.data import from_padded, sequence_batch, to_padded
from seqgnn.metrics.classification import ClassificationSums

NO_ID = -1  # in a state, where a stream has not yet begun
PIECE = 4096  # characters that `score` reads at a time


class NGram(nn.Module):
    r"""An n-gram model, smoothed as Witten and Bell do and interpolated down to the uniform distribution.

    Witten and Bell, `The zero-frequency problem <https://doi.org/10.1109/18.87000>`_ (1991), method C: a context that
    was followed by t(h) different characters meets a new one with odds t(h) : n(h), and then asks the context h' that
    is one character shorter.

    .. math:: p(c \mid h) = \frac{n(h c) + t(h) \, p(c \mid h')}{n(h) + t(h)}

    n(h c) says how often c followed h in the training text, n(h) how often anything did. The empty context falls back
    on 1 / C. A context that nothing ever followed leaves the answer to h'. Where fewer than order - 1 characters stand
    before the one that is predicted, they are the context.

    Deviation: the paper, on compression, asks h' for those characters alone that h never met; here the two are always
    interpolated, as is usual for language models (Chen and Goodman 1999), and so add up to one.

    Called as models are. The contexts form a tree: the root is the empty one, the child of h under character c is the
    context c h, one character older. Make one with :meth:`fit`; the constructor takes the tables that ``state_dict``
    gives, so ``NGram(C, order, **tables)`` restores one.

    Args:
        num_tokens: C, how many ids there are, at least 1.
        order: characters that a count spans, at least 1: the predicted one and order - 1 before it.
        keys: sorted, ``parent * C + oldest character``; the i-th of them is node i + 1. At the end stands one
            that is larger than all keys.
        start: ``[nodes + 1]``; the followers of node i are entries ``start[i]`` to ``start[i + 1]`` of the next two.
        symbols, counts: the followers of all nodes, and how often each followed.

    Shapes:
        A batch with ids ``x [sum L]`` gives log-probabilities ``[sum L, C]`` in float64 and a state
        ``[order - 1, B]``: the last ids, oldest first, -1 where the stream had not yet begun.

    Example:
        >>> from seqgnn.data import path_graph
        >>> model = NGram.fit(torch.tensor([0, 1, 0, 1, 0, 0]), num_tokens=2, order=2)
        >>> batch = sequence_batch(torch.tensor([[1, 0]]), torch.tensor([[0, 0]]), path_graph(2))
        >>> log_probability, state = model(batch)
        >>> log_probability.exp().round(decimals=4).tolist(), state.tolist()
        ([[0.875, 0.125], [0.45, 0.55]], [[0]])
    """

    hops = (1,)  # of the edges that a batch made for it may as well have: none is read
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
        """Counts the contexts of up to order - 1 characters in a text, and what follows them.

        Args:
            ids: ``[L]`` integers of any dtype between 0 and num_tokens - 1, at least one of them.
            num_tokens: C, at least 1.
            order: at least 1; any, since keys never pass (contexts in the text) * C.

        Raises:
            ValueError: if an argument is out of range, or ids are not a text.
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
        # Nodes of longer contexts have larger numbers, so that the keys of all lengths in a row are sorted too.
        end = torch.tensor([torch.iinfo(torch.long).max], device=text.device)
        pairs = torch.cat(followers)
        number = torch.bincount(pairs // num_tokens, minlength=nodes)
        start = torch.cat([number.new_zeros(1), number.cumsum(0)])
        return cls(num_tokens, order, torch.cat([*keys, end]), start, pairs % num_tokens, torch.cat(counts))

    def forward(self, batch: Batch, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next id after each of `batch.x`, and the state that continues the streams.

        Raises:
            ValueError: if ids are no integers between 0 and C - 1 or on another device, or the state does not fit.
        """
        if batch.x.device != self.counts.device:
            raise ValueError(f"NGram: expected ids x on {self.counts.device}, got {batch.x.device}")
        ids = _check_ids(batch.x, self.num_tokens)
        if ids.dim() != 1:
            raise ValueError(f"NGram: expected ids x of shape [sum L], got {list(ids.shape)}")
        padded, lengths = to_padded(batch, ids)
        reach, size = self.order - 1, padded.size(1)
        if state is None:
            state = padded.new_full((reach, size), NO_ID)
        elif not isinstance(state, Tensor) or state.shape != (reach, size) or state.device != padded.device:
            raise ValueError(f"NGram: expected a state [{reach}, {size}] on {padded.device}, got {describe(state)}")
        else:
            state = _check_ids(state, self.num_tokens, least=NO_ID)
        stream = torch.cat([state, padded])
        contexts = from_padded(stream.unfold(0, reach, 1)[1:], lengths)
        tail = lengths + torch.arange(reach)[:, None]
        state = stream[tail.to(stream.device), torch.arange(size, device=stream.device)]
        return self._probabilities(contexts).log(), state

    def _probabilities(self, contexts: Tensor) -> Tensor:
        """``p(c | h) [M, C]`` for contexts ``[M, order - 1]``, oldest first, -1 where there is none."""
        rows = torch.arange(len(contexts), device=contexts.device)
        node = torch.zeros_like(rows)
        p = torch.full((len(rows), self.num_tokens), 1 / self.num_tokens, dtype=torch.double, device=rows.device)
        self._interpolate(p, rows, node)
        for older in contexts.flip(1).unbind(1):
            # A context never seen has no longer one that was: its row is finished.
            key = node * self.num_tokens + older[rows]
            place = torch.searchsorted(self.keys, key)
            seen = (self.keys[place] == key) & (older[rows] != NO_ID)
            rows, node = rows[seen], place[seen] + 1
            self._interpolate(p, rows, node)
        return p

    def _interpolate(self, p: Tensor, rows: Tensor, node: Tensor) -> None:
        """Turns p(c | h') into p(c | h) in those rows, in place; `node` is that of h."""
        first, t = self.start[node], self.start[node + 1] - self.start[node]
        row = torch.arange(len(rows), device=rows.device).repeat_interleave(t)
        entry = first[row] + torch.arange(len(row), device=rows.device) - (t.cumsum(0) - t)[row]
        n_hc = self.counts[entry]
        n = torch.zeros_like(t).index_add(0, row, n_hc)
        p[rows] *= (t.double() / (n + t))[:, None]
        p[rows[row], self.symbols[entry]] += n_hc.double() / (n + t)[row]

    def score(self, ids: Tensor) -> tuple[float, float]:
        """Nats per character and accuracy over a text, read from its beginning to its end with full contexts.

        The first character is only read: L - 1 are predicted, as in :meth:`seqgnn.data.CharText.test`.

        Args:
            ids: ``[L]`` integers of any dtype, at least two, on the model's device.

        Raises:
            ValueError: if there are fewer, or they do not fit the model.
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
        found = f"{int(ids.min())} to {int(ids.max())}"
        raise ValueError(f"NGram: expected ids between {least} and {num_tokens - 1}, got {found}")
    return ids
