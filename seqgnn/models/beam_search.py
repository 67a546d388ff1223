"""Beam search: the most probable continuations of a prompt."""

import math
from typing import Any

import torch
from torch import Tensor

from seqgnn.models.incremental_decoder import IncrementalDecoder


@torch.no_grad()
def beam_search(
    decoder: IncrementalDecoder,
    prompt: Tensor,
    *,
    length: int,
    beam: int,
    samples: int,
    length_penalty: float,
    ends: frozenset[int],
) -> list[list[int]]:
    """Return the ids of the `samples` best continuations (or fewer, if there are fewer), best first.

    Args:
        decoder: the model.
        prompt: ids `[L]` of the text to continue.
        length, beam, samples, length_penalty: as in `seqgnn.models.generate`.
        ends: ids that end a continuation.
    """
    is_end = torch.zeros(decoder.classes, dtype=torch.bool)
    is_end[list(ends)] = True
    scores = torch.zeros(1, dtype=torch.float64)  # of unfinished continuations, all of the same length
    paths: list[Any] = [()]  # of these: (path without the last id, last id), so that prefixes are shared
    finished: list[tuple[float, Any]] = []
    ids = prompt[None]
    for step in range(1, length + 1):
        candidates = scores[:, None] + decoder.read(ids).double().log_softmax(-1).cpu()
        over = torch.ones_like(is_end) if step == length else is_end
        ended = _best(candidates.masked_fill(~over, -math.inf), samples)
        finished += [(score / step**length_penalty, (paths[row], i)) for score, row, i in ended]
        finished = sorted(finished, key=lambda pair: -pair[0])[:samples]  # stable: the first of ties
        unfinished = _best(candidates.masked_fill(over, -math.inf), beam)
        if not unfinished:
            break
        # Log-probabilities only decrease, so this is an upper bound on the scores of all extensions.
        bound = unfinished[0][0] / length**length_penalty
        if len(finished) == samples and finished[-1][0] >= bound:
            break
        scores = torch.tensor([score for score, _, _ in unfinished], dtype=torch.float64)
        decoder.select(torch.tensor([row for _, row, _ in unfinished]))
        paths = [(paths[row], i) for _, row, i in unfinished]
        ids = torch.tensor([[i] for _, _, i in unfinished])
    return [_ids_of(path) for _, path in finished]


def _best(candidates: Tensor, count: int) -> list[tuple[float, int, int]]:
    """Return the `count` largest finite candidates `[paths, V]` as (score, path, id)."""
    values, indices = candidates.flatten().sort(descending=True, stable=True)
    pairs = zip(values[:count].tolist(), indices[:count].tolist())
    return [(value, *divmod(index, candidates.size(1))) for value, index in pairs if value > -math.inf]


def _ids_of(path: Any) -> list[int]:
    """Return the ids of a path, the first one first."""
    ids = []
    while path:
        path, last = path
        ids.append(last)
    return ids[::-1]
